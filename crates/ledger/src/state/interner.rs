//! Numbers for byte strings that come again and again: labels of rows, names of consumers.
//!
//! All bytes lie in one buffer: one allocation, and short strings share cache lines. The hash has a
//! random key, so that a producer that chooses names cannot make them collide; numbers follow the
//! order of insertion and do not depend on it.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// Byte strings by number, counted from 0.
#[derive(Debug, Default)]
pub(super) struct Interner {
    hasher: DefaultHashBuilder,
    numbers: HashTable<u32>,
    /// End of each string in `bytes`; it begins where the one before ends.
    ends: Vec<usize>,
    bytes: Vec<u8>,
}

impl Interner {
    /// The number of a string, if it has one.
    #[inline]
    pub(super) fn find(&self, string: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one(string);
        self.numbers.find(hash, |number| self.string(*number) == string).copied()
    }

    /// The number of a string; one that has none gets the next.
    ///
    /// # Panics
    /// If there are 2^32 strings.
    pub(super) fn number(&mut self, string: &[u8]) -> u32 {
        if let Some(number) = self.find(string) {
            return number;
        }
        let number = u32::try_from(self.ends.len()).expect("strings are bounded");
        self.bytes.extend_from_slice(string);
        self.ends.push(self.bytes.len());
        let Interner { hasher, numbers, ends, bytes } = self;
        let string = |number: &u32| string_of(ends, bytes, *number);
        let hash = |number: &u32| hasher.hash_one(string(number));
        numbers.insert_unique(hash(&number), number, hash);
        number
    }

    /// A string by its number.
    #[inline]
    pub(super) fn string(&self, number: u32) -> &[u8] {
        string_of(&self.ends, &self.bytes, number)
    }
}

/// The string of a number.
#[inline]
fn string_of<'a>(ends: &[usize], bytes: &'a [u8], number: u32) -> &'a [u8] {
    let number = number as usize;
    let start = if number == 0 { 0 } else { ends[number - 1] };
    &bytes[start..ends[number]]
}

#[cfg(test)]
mod tests;
