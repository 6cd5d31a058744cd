//! Unit tests of `dedup`.

use std::collections::BTreeMap;

use proptest::prelude::*;

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
    assert_eq!((dedup.len_since(0), dedup.shards.iter().map(Shard::n_marks).sum()), (0, 0));
}

/// Most bytes per mark that holds, all in.
const MARK_BYTES_MAX: u64 = 40;

/// Numbers of a seed: splitmix64.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// One key of `n`; the half that chooses shard, slot and tag is one of `n_low`.
    fn key(&mut self, n: u64, n_low: u64) -> Key {
        let number = self.below(n);
        let low = Numbers(number % n_low).next();
        // Few shards and few tags, and slots at the end of the index among them.
        let low = match number % 3 {
            0 => low | 0xffff_ffff_ffff_ff00,
            1 => low & 0xffff_ffff_0000_0001,
            _ => low,
        };
        let mut key = [0; 16];
        key[..8].copy_from_slice(&number.to_le_bytes());
        key[8..].copy_from_slice(&low.to_le_bytes());
        Key(key)
    }
}

/// A copy of one of many events.
fn spread(n: u64, bucket: u32) -> Copy {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&n.to_le_bytes());
    key[8..].copy_from_slice(&Numbers(n).next().to_le_bytes());
    Copy { key: Key(key), fingerprint: n, bucket }
}

/// What the set must do: every mark with its bucket and fingerprint, none ever dropped.
#[derive(Default)]
struct Model(BTreeMap<[u8; 16], (u32, u64)>);

impl Model {
    fn mark(&mut self, copy: Copy, oldest: u32, renew: Renew) -> Option<u64> {
        let earlier = self.0.get(&copy.key.0).filter(|(bucket, _)| *bucket >= oldest);
        let earlier = earlier.map(|(_, fingerprint)| *fingerprint);
        if earlier.is_none() || renew == Renew::Yes {
            self.0.insert(copy.key.0, (copy.bucket, copy.fingerprint));
        }
        earlier
    }

    fn len_since(&self, oldest: u32) -> u64 {
        self.0.values().filter(|(bucket, _)| *bucket >= oldest).count() as u64
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn verdicts_are_those_of_a_plain_map(
        seed: u64,
        n_keys in prop_oneof![1_u64..50, 50_u64..20_000],
        n_low in prop_oneof![1_u64..8, Just(u64::MAX)],
        keep in 0_u32..15,
        marks_per_bucket in prop_oneof![1_u64..10, 10_u64..3_000],
        renews in prop_oneof![Just(0_u64), Just(50), Just(100)],
    ) {
        // Keys of few halves are found one after the other.
        let n_keys = if n_low < 8 { n_keys.min(400) } else { n_keys };
        let mut numbers = Numbers(seed);
        let (mut dedup, mut model) = (Dedup::default(), Model::default());
        let (mut bucket, mut freed) = (keep + numbers.below(3) as u32, 0);
        for _ in 0..6_000 {
            if numbers.below(marks_per_bucket) == 0 {
                bucket += [1, 1, 1, 2, 5, 40][numbers.below(6) as usize];
                if numbers.below(4) != 0 {
                    freed = bucket - keep;
                    dedup.advance(freed);
                }
            }
            let oldest = bucket - keep;
            let renew = if numbers.below(100) < renews { Renew::Yes } else { Renew::No };
            let fingerprint = numbers.next();
            let copy = Copy { key: numbers.key(n_keys, n_low), fingerprint, bucket };
            if numbers.below(2) == 0 {
                dedup.touch([copy.key, numbers.key(n_keys, n_low)].into_iter());
            }
            prop_assert_eq!(dedup.mark(copy, oldest, renew), model.mark(copy, oldest, renew));
        }
        for oldest in freed.max(bucket - keep)..=bucket + 1 {
            prop_assert_eq!(dedup.len_since(oldest), model.len_since(oldest));
            prop_assert!(dedup.bytes_since(oldest) <= dedup.bytes());
        }
        for shard in &dedup.shards {
            let (kept, held) = shard.mark_bytes();
            prop_assert_eq!(kept, held);
        }
        dedup.advance(bucket + 1);
        prop_assert_eq!(dedup.bytes_since(0), 0);
        prop_assert_eq!(dedup.shards.iter().map(Shard::n_marks).sum::<usize>(), 0);
    }
}

#[test]
fn a_mark_takes_at_most_40_bytes_while_the_set_grows_and_the_window_moves() {
    let (mut dedup, mut n) = (Dedup::default(), 0);
    let mut fill = |dedup: &mut Dedup, bucket: u32, marks: u64| {
        let oldest = bucket.saturating_sub(13);
        dedup.advance(oldest);
        let enough = |dedup: &Dedup| {
            let (bytes, live) = (dedup.bytes() as u64, dedup.len_since(oldest));
            assert!(live < 600_000 || bytes <= live * MARK_BYTES_MAX, "{bytes} for {live}");
        };
        enough(dedup);
        for mark in 0..marks {
            n += 1;
            let copy = spread(n, bucket);
            assert_eq!(dedup.mark(copy, oldest, Renew::Yes), None);
            if mark % 5_000 == 0 {
                enough(dedup);
            }
        }
    };
    // It grows within one bucket and over many, stays as it is, shrinks to half, and grows again.
    fill(&mut dedup, 0, 700_000);
    (1..14).for_each(|bucket| fill(&mut dedup, bucket, 50_000));
    (14..28).for_each(|bucket| fill(&mut dedup, bucket, 60_000));
    (28..40).for_each(|bucket| fill(&mut dedup, bucket, 45_000));
    (40..50).for_each(|bucket| fill(&mut dedup, bucket, 100_000));
    let (bytes, live) = (dedup.bytes() as u64, dedup.len_since(49 - 13));
    assert_eq!((live > 1_000_000, dedup.bytes_since(49 - 13) as u64), (true, bytes));
    assert_eq!(dedup.bytes_since(50), 0);
    dedup.advance(50);
    assert_eq!(dedup.len_since(0), 0);
    assert!(dedup.bytes() < 64 * 1_024, "{}", dedup.bytes());
}

#[test]
fn renewed_marks_take_no_more_bytes_than_others() {
    let mut dedup = Dedup::default();
    for bucket in 0..40_u32 {
        let oldest = bucket.saturating_sub(13);
        dedup.advance(oldest);
        for n in 0..300_000 {
            let earlier = dedup.mark(spread(n, bucket), oldest, Renew::Yes);
            assert_eq!(earlier.is_some(), bucket > 0);
        }
        assert_eq!(dedup.len_since(oldest), 300_000);
        assert!(dedup.bytes() as u64 <= 300_000 * (MARK_BYTES_MAX + 2), "{}", dedup.bytes());
    }
}
