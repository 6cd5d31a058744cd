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

#[test]
fn a_key_is_the_same_whether_it_is_hashed_in_one_call_or_part_by_part() {
    let secret = Secret([7; 32]);
    for n in 0..600 {
        let (source, id) = ("s".repeat(n / 2), "i".repeat(n - n / 2));
        let mut hasher = blake3::Hasher::new_keyed(&secret.0);
        let length = u32::try_from(source.len()).expect("short").to_le_bytes();
        hasher.update(&length).update(source.as_bytes()).update(id.as_bytes());
        assert_eq!(Key::of(&secret, &source, &id).0, hasher.finalize().as_bytes()[..16]);
    }
}
