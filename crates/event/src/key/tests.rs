//! Unit tests of `key`.

use super::*;

#[test]
fn a_key_depends_on_secret_source_and_id_and_on_where_one_ends() {
    let secret = Secret([7; 32]);
    let key = Key::of(&secret, "default", "a");
    assert_eq!(key, Key::of(&secret, "default", "a"));
    assert_ne!(key, Key::of(&Secret([8; 32]), "default", "a"));
    assert_ne!(Key::of(&secret, "ab", "c"), Key::of(&secret, "a", "bc"));
}

#[test]
fn partitions_are_within_bounds() {
    assert_eq!(Key([255; 16]).partition(1), 0);
    assert_eq!(Key([255; 16]).partition(3), 2);
    assert_eq!(Key([0; 16]).partition(3), 0);
}
