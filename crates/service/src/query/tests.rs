//! Unit tests of `query`.

use super::*;

#[test]
fn names_are_decoded_and_what_no_call_takes_is_refused_by_name() {
    let check = |query: &str| {
        let uri: Uri = format!("/x?{query}").parse().expect("a uri");
        parameters(&uri, &["section", "b"])
    };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    for (query, expected) in [
        ("", vec![]),
        ("&&", vec![]),
        ("%73ection=%62usiness", vec![pair("section", "business")]),
        ("b=+%2B&section", vec![pair("b", " +"), pair("section", "")]),
    ] {
        assert_eq!(check(query), Ok(expected), "{query}");
    }
    for (query, expected) in [
        ("Section=business", "unknown parameter \"Section\": takes section, b"),
        ("section=a&b=&%73ection=a", "parameter section is given twice"),
        ("section[]=a", "unknown parameter \"section[]\": takes section, b"),
        ("=a", "unknown parameter \"\": takes section, b"),
        ("c%00%0A=1", "unknown parameter \"c\\0\\n\": takes section, b"),
    ] {
        assert_eq!(check(query), Err(expected.to_owned()), "{query}");
    }
    let long = "é".repeat(65);
    assert!(check(&long).is_err_and(|message| message.contains("é\"..: takes")));
    let uri: Uri = "/x?dry_run=1".parse().expect("a uri");
    let expected = Err("unknown parameter \"dry_run\": takes none".to_owned());
    assert_eq!(parameters(&uri, &[]), expected);
}
