//! Unit tests of `http`.

use super::*;

#[test]
fn pages_are_packed_for_who_takes_gzip_and_likes_it_no_less() {
    let check = |values: &[&'static str]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(ACCEPT_ENCODING, HeaderValue::from_static(value));
        }
        accepts_gzip(&headers)
    };
    for values in [
        &["gzip"][..],
        &["deflate, GZIP"],
        &["br", "gzip;q=0.001"],
        &["x-gzip"],
        &["*"],
        &["gzip;q=0.5, identity;q=0.5"],
        &["gzip;q=0.1, identity;q=0"],
        &["br, *;q=0.1"],
    ] {
        assert!(check(values), "{values:?}");
    }
    for values in [
        &[][..],
        &[""],
        &["identity"],
        &["gzip;q=0"],
        &["gzip;Q=0.0"],
        &["gzip ; q=0."],
        &["gzip;q=0, *"],
        &["*;q=0"],
        &["identity;q=1, gzip;q=0.5"],
        &["gzip;q=nan"],
        &["gzip;q=2"],
        &["gzip;q=-1"],
        &["br, zstd, deflate"],
    ] {
        assert!(!check(values), "{values:?}");
    }
}

#[test]
fn sections_are_read_decoded_and_nothing_else_is_taken() {
    let check = |query: &str| section(&format!("/metrics{query}").parse().expect("a uri"));
    assert_eq!(check(""), Ok(Section::Both));
    assert_eq!(check("?"), Ok(Section::Both));
    assert_eq!(check("?section=%70rocess"), Ok(Section::Process));
    for (query, words) in [
        ("?Section=business", "unknown parameter \"Section\": takes section"),
        ("?section=", "section must be business or process, not \"\""),
        ("?section=Business", "section must be business or process, not \"Business\""),
        ("?section=process&section=process", "parameter section is given twice"),
    ] {
        assert_eq!(check(query), Err(words.to_owned()), "{query}");
    }
}
