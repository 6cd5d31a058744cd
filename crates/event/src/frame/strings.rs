//! Byte strings that few events of a frame have apart from the tables of names.

/// Byte strings by number, from 1, one behind the other. Mostly few, and the same one again.
#[derive(Clone, Debug, Default)]
pub(super) struct Strings {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Strings {
    /// Number of a string. Recognises the string that was added last.
    pub fn add(&mut self, string: &[u8]) -> u32 {
        let last = self.len();
        if last > 0 && self.get(last) == string {
            return last;
        }
        self.bytes.extend_from_slice(string);
        self.ends.push(u32::try_from(self.bytes.len()).expect("at most 128 bytes an event"));
        self.len()
    }

    /// Adds all of other strings; what to add to their numbers.
    pub fn append(&mut self, other: &Strings) -> u32 {
        let before = self.len();
        let bytes = u32::try_from(self.bytes.len()).expect("at most 128 bytes an event");
        self.bytes.extend_from_slice(&other.bytes);
        self.ends.extend(other.ends.iter().map(|end| end + bytes));
        before
    }

    /// How many there are, equal ones counted again.
    pub fn len(&self) -> u32 {
        u32::try_from(self.ends.len()).expect("at most one an event")
    }

    /// A string; `number` is from 1 to `len`.
    pub fn get(&self, number: u32) -> &[u8] {
        let at = number as usize;
        let begin = if at == 1 { 0 } else { self.ends[at - 2] as usize };
        &self.bytes[begin..self.ends[at - 1] as usize]
    }

    /// Removes all strings and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}
