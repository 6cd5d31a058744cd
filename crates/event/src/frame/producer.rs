//! Who numbered an event, as a frame has it.

use std::hash::{Hash, Hasher};

use crate::limits::PRODUCER_BYTES_MAX;

/// Source, name and epoch of a producer in the bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Producer {
    n_bytes: usize,
    /// 0 beyond `n_bytes`, so that equal producers are equal.
    bytes: [u8; PRODUCER_BYTES_MAX],
}

impl Producer {
    /// A producer; `None` if it takes more than `PRODUCER_BYTES_MAX` bytes.
    #[must_use]
    pub fn of(source: &str, name: &str, epoch: u64) -> Option<Producer> {
        let mut producer = Producer { n_bytes: 0, bytes: [0; PRODUCER_BYTES_MAX] };
        for text in [source, name] {
            producer.put(&[u8::try_from(text.len()).ok()?])?;
            producer.put(text.as_bytes())?;
        }
        producer.put(&epoch.to_le_bytes())?;
        Some(producer)
    }

    fn put(&mut self, part: &[u8]) -> Option<()> {
        let end = self.n_bytes + part.len();
        self.bytes.get_mut(self.n_bytes..end)?.copy_from_slice(part);
        self.n_bytes = end;
        Some(())
    }

    /// As it stands in a frame.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.n_bytes]
    }
}

impl Hash for Producer {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

/// The place of an event in the sequence of its producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbered<'a> {
    /// Who numbered it.
    pub producer: &'a Producer,
    /// Its number, from 1.
    pub seq: u64,
}

#[cfg(test)]
mod tests;
