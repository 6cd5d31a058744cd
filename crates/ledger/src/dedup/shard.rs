//! One shard of the dedup set: marks in blocks of one bucket each, and an index into them.
//!
//! A block holds marks that were made in one bucket. When the bucket has expired, its blocks are
//! freed whole; only blocks with a renewed mark are read, and those marks move to a block of their
//! bucket. The index is open addressing with linear probing over slots of four bytes: a tag, which
//! keeps most marks of other keys from being read, and the place of the mark. Slots of freed marks
//! stay until the index is full and is built anew from the blocks. Until then such a slot leads to
//! nothing, or to another mark, whose key differs or whose slot it is as well. A mark never has a
//! second place, and its bucket, not its block's, says whether it holds.

use event::Key;

/// Marks of a block. The only block of a bucket may have room for fewer.
const BLOCK_MARKS: usize = 64;
/// Marks that the first block of a bucket has room for when it is made.
const BLOCK_MARKS_MIN: usize = 4;
/// Bytes that the allocator adds to an allocation.
const ALLOCATION_BYTES: usize = 16;
/// Bits of a slot that say where the mark is. With these, all shards together hold as many marks as
/// 1.1 million events a second leave behind in 65 minutes.
const PLACE_BITS: u32 = 26;
/// Mask of those bits.
const PLACE_MASK: u32 = (1 << PLACE_BITS) - 1;
/// Fewest slots of an index that has any.
const SLOTS_MIN: usize = 16;
/// Slots that are searched for a mark to touch: most searches end within them.
const TOUCHED_SLOTS: usize = 8;

/// Slots of a new index for `n` marks: few enough that a mark takes at most 40 bytes in all, enough
/// that a third may be added before it is built anew.
fn slots_for(n: usize) -> usize {
    (n * 9 / 5).max(SLOTS_MIN)
}

/// Fewest slots that an index for `n` marks is built in again, if it has them already.
fn slots_min(n: usize) -> usize {
    (n * 5 / 3).max(SLOTS_MIN)
}

/// Most slots of an index for `n` marks, beyond which it is built anew although it is not full.
fn slots_max(n: usize) -> usize {
    (n * 5 / 2).max(SLOTS_MIN)
}

/// Whether an index has no room for one more slot in use: beyond three quarters, searches get long.
#[inline]
fn is_full(n_used: usize, n_slots: usize) -> bool {
    (n_used + 1) * 4 > n_slots * 3
}

/// One mark: 28 bytes.
#[derive(Clone, Copy, Debug)]
struct Mark {
    key: [u8; 16],
    fingerprint: [u8; 8],
    bucket: u32,
}

/// Marks that were made in one bucket.
#[derive(Debug, Default)]
struct Block {
    marks: Vec<Mark>,
    /// Whether a mark was renewed since, so that it may outlive the bucket.
    is_renewed: bool,
}

/// The blocks of one bucket. All but the last are full.
#[derive(Debug)]
struct Bucket {
    number: u32,
    blocks: Vec<u32>,
}

/// Where a mark is: the number of its block times `BLOCK_MARKS`, and its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place(u32);

/// A mark that was found.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    place: Place,
    /// Its bucket.
    pub bucket: u32,
    /// Its fingerprint.
    pub fingerprint: u64,
}

/// Marks of one shard.
#[derive(Debug, Default)]
pub struct Shard {
    /// 0 is empty; else the tag, which is never 0, above the place.
    slots: Vec<u32>,
    /// Slots that are not empty, also those of freed marks.
    n_used: usize,
    n_marks: usize,
    blocks: Vec<Block>,
    /// Numbers of the blocks without marks.
    free: Vec<u32>,
    /// Ascending; none is empty.
    buckets: Vec<Bucket>,
    /// Bytes of the marks' allocations.
    mark_bytes: usize,
}

impl Shard {
    /// The mark of a key.
    #[inline]
    pub fn find(&self, key: &Key) -> Option<Found> {
        if self.slots.is_empty() {
            return None;
        }
        let tag = tag_of(key);
        let mut slot = self.home(key);
        loop {
            let entry = self.slots[slot];
            if entry == 0 {
                return None;
            }
            if entry >> PLACE_BITS == tag {
                let place = Place(entry & PLACE_MASK);
                let block = &self.blocks[place.block()];
                if let Some(mark) = block.marks.get(place.idx()).filter(|mark| mark.key == key.0) {
                    let fingerprint = u64::from_le_bytes(mark.fingerprint);
                    return Some(Found { place, bucket: mark.bucket, fingerprint });
                }
            }
            slot = self.after(slot);
        }
    }

    /// Reads the slot at which the search for a key begins.
    #[inline]
    pub fn touch_slot(&self, key: &Key) -> u32 {
        if self.slots.is_empty() { 0 } else { self.slots[self.home(key)] }
    }

    /// Reads the mark that the search for a key will probably end at.
    #[inline]
    pub fn touch_mark(&self, key: &Key) -> u8 {
        if self.slots.is_empty() {
            return 0;
        }
        let tag = tag_of(key);
        let mut slot = self.home(key);
        for _ in 0..TOUCHED_SLOTS {
            let entry = self.slots[slot];
            if entry == 0 {
                break;
            }
            if entry >> PLACE_BITS == tag {
                let place = Place(entry & PLACE_MASK);
                let mark = self.blocks[place.block()].marks.get(place.idx());
                return mark.map_or(0, |mark| mark.key[0]);
            }
            slot = self.after(slot);
        }
        0
    }

    /// Adds the mark of a key that has none.
    pub fn insert(&mut self, key: &Key, fingerprint: u64, bucket: u32, oldest: u32) {
        if is_full(self.n_used, self.slots.len()) {
            self.forget(oldest);
            self.build(self.n_marks + 1);
        }
        let mark = Mark { key: key.0, fingerprint: fingerprint.to_le_bytes(), bucket };
        let place = self.push(mark, oldest);
        self.enter(key, place);
    }

    /// Gives a mark another fingerprint and bucket.
    #[inline]
    pub fn renew(&mut self, found: Found, fingerprint: u64, bucket: u32) {
        let block = &mut self.blocks[found.place.block()];
        let mark = &mut block.marks[found.place.idx()];
        mark.fingerprint = fingerprint.to_le_bytes();
        if mark.bucket != bucket {
            mark.bucket = bucket;
            block.is_renewed = true;
        }
    }

    /// Frees the buckets before `oldest`; marks that were renewed since move to a later bucket.
    pub fn forget(&mut self, oldest: u32) {
        let n = self.buckets.iter().take_while(|bucket| bucket.number < oldest).count();
        if n == 0 {
            return;
        }
        let rest = self.buckets.split_off(n);
        let expired = std::mem::replace(&mut self.buckets, rest);
        for number in expired.into_iter().flat_map(|bucket| bucket.blocks) {
            let block = std::mem::take(&mut self.blocks[number as usize]);
            self.mark_bytes -= bytes_of(block.marks.capacity());
            self.n_marks -= block.marks.len();
            if block.is_renewed {
                self.keep(number, &block.marks, oldest);
            }
            // Only now: a mark that moved must not stand where one that still has to move stood.
            self.free.push(number);
        }
    }

    /// Moves the marks of a freed block that still hold into blocks of their buckets.
    fn keep(&mut self, number: u32, marks: &[Mark], oldest: u32) {
        let held = marks.iter().enumerate().filter(|(_, mark)| mark.bucket >= oldest);
        for (idx, mark) in held {
            let key = Key(mark.key);
            let (old, mut slot) = (entry_of(&key, Place::of(number, idx)), self.home(&key));
            while self.slots[slot] != old {
                slot = self.after(slot);
            }
            let place = self.push(*mark, oldest);
            self.slots[slot] = entry_of(&key, place);
        }
    }

    /// Makes the index smaller if it is far larger than the marks need.
    pub fn shrink(&mut self) {
        if self.slots.len() > slots_max(self.n_marks) {
            self.build(self.n_marks);
        }
    }

    /// Number of marks, also of expired ones that are not freed yet.
    pub fn n_marks(&self) -> usize {
        self.n_marks
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let lists: usize = self.buckets.iter().map(|bucket| bucket.blocks.capacity()).sum();
        self.mark_bytes
            + (self.slots.capacity() + self.free.capacity() + lists) * size_of::<u32>()
            + self.blocks.capacity() * size_of::<Block>()
            + self.buckets.capacity() * size_of::<Bucket>()
    }

    /// Puts a mark into the newest block of its bucket.
    #[inline]
    fn push(&mut self, mark: Mark, oldest: u32) -> Place {
        let newest = self.buckets.last().filter(|newest| newest.number == mark.bucket);
        let last = newest.and_then(|newest| newest.blocks.last());
        let number = match last {
            Some(last) if has_room(&self.blocks[*last as usize]) => *last,
            _ => self.make_room(mark.bucket, oldest),
        };
        let block = &mut self.blocks[number as usize];
        let place = Place::of(number, block.marks.len());
        block.marks.push(mark);
        self.n_marks += 1;
        place
    }

    /// Number of a block of a bucket that has room. A new bucket frees those that have expired.
    fn make_room(&mut self, bucket: u32, oldest: u32) -> u32 {
        if self.buckets.last().is_none_or(|newest| newest.number < bucket) {
            self.forget(oldest);
        }
        let at = self.buckets.partition_point(|other| other.number < bucket);
        if self.buckets.get(at).is_none_or(|other| other.number != bucket) {
            self.buckets.insert(at, Bucket { number: bucket, blocks: Vec::new() });
        }
        let blocks = &mut self.buckets[at].blocks;
        let mut room = BLOCK_MARKS_MIN;
        if let Some(last) = blocks.last() {
            let marks = &mut self.blocks[*last as usize].marks;
            if marks.len() < BLOCK_MARKS {
                // Only the first block: it doubles.
                self.mark_bytes -= bytes_of(marks.capacity());
                marks.reserve_exact(marks.len().min(BLOCK_MARKS - marks.len()));
                self.mark_bytes += bytes_of(marks.capacity());
                return *last;
            }
            room = BLOCK_MARKS;
        }
        let block = Block { marks: Vec::with_capacity(room), is_renewed: false };
        self.mark_bytes += bytes_of(block.marks.capacity());
        let number = self.free.pop().unwrap_or_else(|| {
            self.blocks.push(Block::default());
            u32::try_from(self.blocks.len() - 1).expect("places are bounded")
        });
        self.blocks[number as usize] = block;
        blocks.push(number);
        number
    }

    /// Builds the index anew, for `n` marks and some more to come, and numbers the blocks anew. If
    /// the old index is not of a fitting size, it is freed before there is another.
    fn build(&mut self, n: usize) {
        let n_blocks = self.blocks.len() - self.free.len();
        let mut blocks = Vec::with_capacity(n_blocks + n_blocks / 2 + 1);
        for number in self.buckets.iter_mut().flat_map(|bucket| &mut bucket.blocks) {
            let block = std::mem::take(&mut self.blocks[*number as usize]);
            *number = u32::try_from(blocks.len()).expect("places are bounded");
            blocks.push(block);
        }
        self.blocks = Vec::new();
        self.free = Vec::new();
        if (slots_min(n)..=slots_max(n)).contains(&self.slots.len()) {
            self.slots.fill(0);
        } else {
            self.slots = Vec::new();
            self.slots = vec![0; slots_for(n)];
        }
        self.n_used = 0;
        for (number, block) in (0..).zip(&blocks) {
            for (idx, mark) in block.marks.iter().enumerate() {
                self.enter(&Key(mark.key), Place::of(number, idx));
            }
        }
        self.blocks = blocks;
    }

    /// Enters the place of a key's mark in the first empty slot.
    #[inline]
    fn enter(&mut self, key: &Key, place: Place) {
        let mut slot = self.home(key);
        while self.slots[slot] != 0 {
            slot = self.after(slot);
        }
        self.slots[slot] = entry_of(key, place);
        self.n_used += 1;
    }

    /// The slot at which the search for a key begins.
    #[inline]
    fn home(&self, key: &Key) -> usize {
        (((key.low() >> 32) * self.slots.len() as u64) >> 32) as usize
    }

    /// The slot behind another.
    #[inline]
    fn after(&self, slot: usize) -> usize {
        if slot + 1 == self.slots.len() { 0 } else { slot + 1 }
    }
}

impl Place {
    #[inline]
    fn of(block: u32, idx: usize) -> Place {
        let place = block as usize * BLOCK_MARKS + idx;
        let place = u32::try_from(place).ok().filter(|place| *place <= PLACE_MASK);
        Place(place.expect("a shard never holds so many marks"))
    }

    #[inline]
    fn block(self) -> usize {
        self.0 as usize / BLOCK_MARKS
    }

    #[inline]
    fn idx(self) -> usize {
        self.0 as usize % BLOCK_MARKS
    }
}

/// The tag of a key: bits that choose neither shard nor slot; never 0.
#[inline]
fn tag_of(key: &Key) -> u32 {
    ((key.low() >> 8) as u32 & (u32::MAX >> PLACE_BITS)).max(1)
}

/// What stands in the slot of a key.
#[inline]
fn entry_of(key: &Key, place: Place) -> u32 {
    tag_of(key) << PLACE_BITS | place.0
}

/// Bytes of an allocation for `n` marks.
fn bytes_of(n: usize) -> usize {
    n * size_of::<Mark>() + ALLOCATION_BYTES
}

#[cfg(test)]
impl Shard {
    /// Bytes of the marks' allocations, as they are kept and as they are.
    pub fn mark_bytes(&self) -> (usize, usize) {
        let blocks = self.blocks.iter().filter(|block| block.marks.capacity() > 0);
        (self.mark_bytes, blocks.map(|block| bytes_of(block.marks.capacity())).sum())
    }
}

/// Whether a block takes a mark without growing.
#[inline]
fn has_room(block: &Block) -> bool {
    block.marks.len() < block.marks.capacity()
}
