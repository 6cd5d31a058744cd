//! The exact dedup set of one partition: 128-bit keys with the bucket of their last copy.
//!
//! A mark records that a copy of the event was counted or was a duplicate, and when the log's clock
//! last saw one. Marks older than the window count as absent; they are freed bucket by bucket when
//! the clock moves on, so that memory follows the events of one window. A mark that still holds is
//! never dropped: there is no eviction. Decision 0027 says why the set is laid out as it is.

mod shard;

use std::hint::black_box;

use event::Key;

use shard::Shard;

/// Shards: each grows alone, so that no single step touches all marks.
const N_SHARDS: usize = 64;

/// The marks of one partition.
#[derive(Debug)]
pub struct Dedup {
    shards: Vec<Shard>,
    /// Number of marks per bucket, ascending; the last one is the bucket of the newest frame.
    counts: Vec<(u32, u64)>,
}

impl Default for Dedup {
    fn default() -> Dedup {
        Dedup { shards: (0..N_SHARDS).map(|_| Shard::default()).collect(), counts: Vec::new() }
    }
}

impl Dedup {
    /// Fetches what marking these keys will read, all at once instead of one after the other: the
    /// processor waits for memory once. Changes nothing.
    pub fn touch(&self, keys: impl Iterator<Item = Key> + Clone) {
        let mut read = 0;
        for key in keys.clone() {
            read ^= self.shards[shard_of(&key)].touch_slot(&key);
        }
        for key in keys {
            read ^= u32::from(self.shards[shard_of(&key)].touch_mark(&key));
        }
        black_box(read);
    }

    /// Marks a copy in `bucket` and gives the fingerprint of an earlier copy whose mark still
    /// holds, that is, lies in `oldest` or later. With `renew` off an existing mark stays as it is.
    pub fn mark(&mut self, copy: Copy, oldest: u32, renew: Renew) -> Option<u64> {
        let Copy { key, fingerprint, bucket } = copy;
        let shard = &mut self.shards[shard_of(&key)];
        let Some(found) = shard.find(&key) else {
            shard.insert(&key, fingerprint, bucket, oldest);
            self.add(bucket);
            return None;
        };
        let earlier = (found.bucket >= oldest).then_some(found.fingerprint);
        if earlier.is_none() || renew == Renew::Yes {
            shard.renew(found, fingerprint, bucket);
            self.count(found.bucket, bucket);
        }
        earlier
    }

    /// Number of valid marks if the log's clock is in a bucket whose window begins with `oldest`.
    #[must_use]
    pub fn len_since(&self, oldest: u32) -> u64 {
        self.counts.iter().filter(|(bucket, _)| *bucket >= oldest).map(|(_, n)| n).sum()
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Shard>() * self.shards.len() + self.shards.iter().map(Shard::bytes).sum::<usize>()
    }

    /// The share of `bytes` of the marks in `oldest` or later: what is left once the log's clock
    /// stands in a bucket whose window begins there.
    #[must_use]
    pub fn bytes_since(&self, oldest: u32) -> usize {
        let held = self.shards.iter().map(Shard::n_marks).sum::<usize>().max(1) as u128;
        let live = u128::from(self.len_since(oldest)).min(held);
        usize::try_from(self.bytes() as u128 * live / held).expect("at most all bytes")
    }

    /// Frees the buckets before `oldest`. Called when the clock enters a new bucket.
    pub fn advance(&mut self, oldest: u32) {
        self.counts.retain(|(bucket, _)| *bucket >= oldest);
        for shard in &mut self.shards {
            shard.forget(oldest);
            shard.shrink();
        }
    }

    /// Moves a mark from one bucket to another in the counts.
    fn count(&mut self, from: u32, to: u32) {
        if from != to {
            if let Some((_, n)) = self.counts.iter_mut().find(|(bucket, _)| *bucket == from) {
                *n -= 1;
            }
            self.add(to);
        }
    }

    /// Counts a mark in its bucket, which is nearly always the newest.
    fn add(&mut self, bucket: u32) {
        match self.counts.last_mut() {
            Some((last, n)) if *last == bucket => *n += 1,
            _ => match self.counts.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
                Ok(idx) => self.counts[idx].1 += 1,
                Err(idx) => self.counts.insert(idx, (bucket, 1)),
            },
        }
    }
}

/// One copy of an event, as it is marked.
#[derive(Clone, Copy, Debug)]
pub struct Copy {
    /// Identity of the event.
    pub key: Key,
    /// Fingerprint of this copy.
    pub fingerprint: u64,
    /// Bucket of the log's clock behind its frame.
    pub bucket: u32,
}

/// Whether a copy renews a mark that still holds. Only the simulation turns this off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renew {
    /// The mark is renewed.
    Yes,
    /// The mark stays as it was.
    No,
}

/// The shard of a key. The first half of the key chooses the partition, so that all keys of one are
/// alike there.
#[inline]
fn shard_of(key: &Key) -> usize {
    key.low() as usize % N_SHARDS
}

#[cfg(test)]
mod tests;
