//! The exact dedup set of one partition: 128-bit keys with the bucket of their last copy.
//!
//! A mark records that a copy of the event was counted or was a duplicate, and when the log's clock
//! last saw one. Marks older than the window count as absent and are cleared out when a table would
//! have to grow, so that memory follows the events of one window. A mark that still holds is never
//! dropped: there is no eviction.

use event::Key;
use hashbrown::HashTable;

/// Tables side by side: each grows and is cleared alone, so that no single step touches all marks.
const N_SHARDS: usize = 256;

/// One mark: 28 bytes, and one more in the table's index.
#[derive(Clone, Copy, Debug)]
struct Mark {
    key: [u8; 16],
    fingerprint: [u8; 8],
    bucket: u32,
}

/// The marks of one partition.
#[derive(Debug)]
pub struct Dedup {
    shards: Vec<HashTable<Mark>>,
    /// Number of marks per bucket, ascending; the last one is the bucket of the newest frame.
    counts: Vec<(u32, u64)>,
}

impl Default for Dedup {
    fn default() -> Dedup {
        Dedup { shards: (0..N_SHARDS).map(|_| HashTable::new()).collect(), counts: Vec::new() }
    }
}

impl Dedup {
    /// Marks a copy in `bucket` and gives the fingerprint of an earlier copy whose mark still
    /// holds, that is, lies in `oldest` or later. With `renew` off an existing mark stays as it is.
    pub fn mark(&mut self, copy: Copy, oldest: u32, renew: Renew) -> Option<u64> {
        let hash = copy.key.low();
        // The partition uses the first bytes of the key, the table's index the last ones.
        let shard = &mut self.shards[usize::from(copy.key.0[7])];
        let found = shard.find_mut(hash, |mark| mark.key == copy.key.0);
        if let Some(mark) = found {
            let earlier = (mark.bucket >= oldest).then(|| u64::from_le_bytes(mark.fingerprint));
            if earlier.is_none() || renew == Renew::Yes {
                let bucket = mark.bucket;
                mark.bucket = copy.bucket;
                mark.fingerprint = copy.fingerprint.to_le_bytes();
                self.count(bucket, copy.bucket);
            }
            return earlier;
        }
        if shard.len() == shard.capacity() {
            make_room(shard, oldest);
        }
        let mark = Mark {
            key: copy.key.0,
            fingerprint: copy.fingerprint.to_le_bytes(),
            bucket: copy.bucket,
        };
        shard.insert_unique(hash, mark, hash_of);
        self.add(copy.bucket);
        None
    }

    /// Number of valid marks if the log's clock is in a bucket whose window begins with `oldest`.
    #[must_use]
    pub fn len_since(&self, oldest: u32) -> u64 {
        self.counts.iter().filter(|(bucket, _)| *bucket >= oldest).map(|(_, n)| n).sum()
    }

    /// Bytes that the tables hold.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.shards.iter().map(HashTable::allocation_size).sum()
    }

    /// Forgets the counts of buckets before `oldest` and, if most marks have expired, clears the
    /// tables of them. Called when the clock enters a new bucket.
    pub fn advance(&mut self, oldest: u32) {
        let live = self.len_since(oldest);
        let held: usize = self.shards.iter().map(HashTable::len).sum();
        self.counts.retain(|(bucket, _)| *bucket >= oldest);
        if held as u64 > live.saturating_mul(2) {
            for shard in &mut self.shards {
                shard.retain(|mark| mark.bucket >= oldest);
                let room = shard.len() * 2;
                shard.shrink_to(room, hash_of);
            }
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

/// Clears expired marks out of a full table, and grows it if that did not help much.
fn make_room(shard: &mut HashTable<Mark>, oldest: u32) {
    let before = shard.len();
    shard.retain(|mark| mark.bucket >= oldest);
    if shard.len() * 4 >= before * 3 {
        shard.reserve(before / 2 + 8, hash_of);
    }
}

/// Hash of a mark's key for the table.
fn hash_of(mark: &Mark) -> u64 {
    Key(mark.key).low()
}

#[cfg(test)]
mod tests;
