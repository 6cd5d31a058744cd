//! Unit tests of `address`.

use super::*;

#[test]
fn an_address_reads_as_it_is_written() {
    for text in ["1/3/17/0", "raw:gatemeter.raw/0/12", "raw:a.b@AAAAAAAAAAAAAAAAAAAAAQ/5/0"] {
        assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
    }
    for text in [
        "",
        "1/2/3",
        "1/2/3/4/5",
        "a/0/0/0",
        "raw:/0/1",
        "raw:t/1",
        "raw:t@/0/1",
        "raw:@x/0/1",
        "1/2/-3/0",
    ] {
        assert!(text.parse::<Address>().is_err(), "{text}");
    }
}
