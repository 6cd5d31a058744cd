//! Unit tests of `interner`.

use super::*;

#[test]
fn a_string_keeps_its_number_while_others_are_added() {
    let mut interner = Interner::default();
    let strings: Vec<Vec<u8>> = (0..2_000_u32).map(|n| n.to_string().into_bytes()).collect();
    assert_eq!(interner.find(b""), None);
    for (number, string) in strings.iter().enumerate() {
        assert_eq!(interner.find(string), None);
        assert_eq!(interner.number(string) as usize, number);
    }
    assert_eq!(interner.number(b""), 2_000, "the empty string is one like any other");
    assert_eq!(interner.find(b""), Some(2_000));
    for (number, string) in strings.iter().enumerate() {
        assert_eq!(interner.find(string), Some(number as u32));
        assert_eq!(interner.number(string) as usize, number);
    }
}
