//! Unit tests of `view`.

use super::*;

#[test]
fn a_message_cannot_steer_the_terminal() {
    assert_eq!(message(b"{\"a\":1}\n\x1b[2J"), "{\\\"a\\\":1}\n\\u{1b}[2J\n");
    assert_eq!(message(b"\xff\x00"), "ff00\n");
    let long = vec![b'a'; SHOWN_BYTES_MAX + 3];
    assert!(message(&long).ends_with("a\n..and 3 bytes more\n"));
}
