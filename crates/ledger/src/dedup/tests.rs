//! Unit tests of `dedup`.

use super::*;

fn copy(n: u64, fingerprint: u64, bucket: u32) -> Copy {
    let mut key = [0; 16];
    key[8..].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
    key[7] = n as u8;
    Copy { key: Key(key), fingerprint, bucket }
}

#[test]
fn a_copy_within_the_window_is_seen_and_renews_the_mark() {
    let mut dedup = Dedup::default();
    assert_eq!(dedup.mark(copy(1, 7, 10), 0, Renew::Yes), None);
    assert_eq!(dedup.mark(copy(1, 8, 20), 10, Renew::Yes), Some(7));
    assert_eq!(dedup.mark(copy(1, 9, 30), 20, Renew::Yes), Some(8));
    assert_eq!(dedup.mark(copy(1, 9, 50), 31, Renew::Yes), None);
    assert_eq!((dedup.len_since(0), dedup.len_since(51)), (1, 0));
}

#[test]
fn expired_marks_make_room_and_live_ones_stay() {
    let mut dedup = Dedup::default();
    for n in 0..50_000 {
        assert_eq!(dedup.mark(copy(n, n, 1), 0, Renew::Yes), None);
    }
    let bytes = dedup.bytes();
    for n in 50_000..100_000 {
        assert_eq!(dedup.mark(copy(n, n, 20), 7, Renew::Yes), None);
    }
    assert!(dedup.bytes() <= bytes * 2, "{bytes} {}", dedup.bytes());
    for n in 50_000..100_000 {
        assert_eq!(dedup.mark(copy(n, n, 20), 7, Renew::Yes), Some(n));
    }
    assert_eq!(dedup.len_since(7), 50_000);
    dedup.advance(21);
    assert_eq!((dedup.len_since(0), dedup.shards.iter().map(HashTable::len).sum()), (0, 0));
}
