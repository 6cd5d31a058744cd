//! Unit tests of `names`.

use super::*;

static TABLE: Names<u8> =
    Names::of(&[("id", 1), ("time", 2), ("identity", 3), ("fifteen letters", 4), ("", 5)]);

#[test]
fn a_name_is_found_only_if_it_is_the_same() {
    for (name, value) in [("id", 1), ("time", 2), ("identity", 3), ("fifteen letters", 4), ("", 5)]
    {
        assert_eq!(
            TABLE.get(ShortName::of(name.as_bytes()).expect("short")),
            Some(value),
            "{name}"
        );
    }
    for name in ["i", "ids", "Id", "tim", "times", "identity ", "identit", "id\0", "\0"] {
        assert_eq!(TABLE.get(ShortName::of(name.as_bytes()).expect("short")), None, "{name}");
    }
    assert!(ShortName::of(&[b'a'; 15]).is_some() && ShortName::of(&[b'a'; 16]).is_none());
}
