//! The columnar frame: one record of the log, up to 4,096 events of one partition.
//!
//! The ingest gathers events in `EventColumns`, which a `FrameEncoder` encodes once; every reader
//! decodes with a `FrameReader`. Both keep their buffers. docs/format.md draws the bytes of both
//! versions. The envelope has a checksum of its own, so that the number of events is known even if
//! the rest is garbled. A layout is fixed: a change is a new version byte, never another meaning of
//! an old one.

mod build;
mod columns;
mod decoded;
mod encode;
pub mod envelope;
mod producer;
mod read;
mod strings;
mod v1;
mod v2;

pub use build::FrameBuilder;
pub use columns::{EventColumns, Full, LabelIds, TextId, Texts};
pub use decoded::FrameRow;
pub use encode::FrameEncoder;
pub use envelope::{Envelope, EnvelopeError, Stamp, Version};
pub use producer::{Numbered, Producer};
pub use read::{FrameError, FrameReader, FrameView};

/// Bits of the presence column.
mod presence {
    /// Time to first token is present.
    pub const TTFT: u64 = 1;
    /// `input` is present; the other token counts follow in the order of `Usage`.
    pub const INPUT: u64 = 1 << 1;
    /// `cache_read` is present.
    pub const CACHE_READ: u64 = 1 << 2;
    /// `cache_write` is present.
    pub const CACHE_WRITE: u64 = 1 << 3;
    /// `output` is present.
    pub const OUTPUT: u64 = 1 << 4;
    /// `reasoning` is present.
    pub const REASONING: u64 = 1 << 5;
    /// `cost` is present.
    pub const COST: u64 = 1 << 6;
    /// The answer was a stream. In version 1 the tuple says so.
    pub const STREAM: u64 = 1 << 7;
}

#[cfg(test)]
mod tests;
