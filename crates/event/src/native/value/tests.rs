//! Unit tests of `value`.

use super::*;

#[test]
fn nesting_counts_what_is_inside_one_another_and_skips_strings() {
    for (json, deepest) in [
        ("1", 0),
        ("[]", 1),
        ("{}", 1),
        (r#"{"a":[1,{"b":[]}],"c":[[]]}"#, 4),
        (r#"["[[[[", "\"[[[[", "\\", []]"#, 2),
        (r#"{"[[[\"{{{":1}"#, 1),
    ] {
        assert_eq!(nesting(json), deepest, "{json}");
    }
}
