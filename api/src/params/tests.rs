//! Unit tests of `params`.

use super::*;

fn check(query: &str) -> Result<Params, String> {
    let uri: Uri = format!("/x?{query}").parse().expect("a uri");
    Params::of(&uri, &["page", "keyword", "tz"]).map_err(|error| error.to_string())
}

#[test]
fn parameters_are_decoded_and_empty_filters_are_ignored() {
    let params = check("page=7&keyword=%E5%BE%AE+a").expect("good");
    assert_eq!((params.get("keyword"), params.get("size")), (Some("微 a"), None));
    assert_eq!(params.number("page", 1, 10).expect("good"), 7);
    let other = check("keyword=%E5%BE%AE%20a&page=7").expect("good");
    assert_eq!(params.key("list", &["UTC"]), other.key("list", &["UTC"]));
    assert_ne!(params.key("list", &["UTC"]), params.key("list", &["Asia/Shanghai"]));
    // A plus sign that is not escaped is a space.
    for (query, page) in [("page=&", 1), ("page=%2B7", 7), ("page=07", 7)] {
        let params = check(query).expect("good");
        assert_eq!(params.number("page", 1, 10).expect("good"), page, "{query}");
    }
}

#[test]
fn unknown_repeated_and_bad_parameters_are_refused_by_name() {
    for (query, expected) in [
        ("Page=1", "unknown parameter \"Page\": takes page, keyword, tz"),
        ("page=1&page=2", "parameter page is given twice"),
        ("tz=UTC&page=1&tz=UTC", "parameter tz is given twice"),
        ("tz=&tz=", "tz must not be empty: give a value or leave it out"),
        ("keyword=&tz=", "tz must not be empty: give a value or leave it out"),
        ("tz", "tz must not be empty: give a value or leave it out"),
        ("=1", "unknown parameter \"\": takes page, keyword, tz"),
    ] {
        assert_eq!(check(query).expect_err("must be refused"), expected);
    }
    for bad in ["0", "-1", "+1", "11", "1.5", "%D9%A1", "x", "99999999999999999999"] {
        let error = check(&format!("page={bad}")).expect("names are right");
        let error = error.number("page", 1, 10).expect_err("must be refused").to_string();
        assert!(error.starts_with("page must be a whole number from 1 to 10, not"), "{error}");
    }
}
