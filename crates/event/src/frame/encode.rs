//! Encodes columns of events as a frame.

use super::columns::{EventColumns, Texts};
use super::envelope::{ENVELOPE_BYTES, Envelope, Stamp, Version};
use super::{v1, v2};

/// Encodes frames. Its buffers are kept from one frame to the next.
#[derive(Debug, Default)]
pub struct FrameEncoder {
    v1: v1::Writer,
    v2: v2::Writer,
}

impl FrameEncoder {
    /// The frame of at least one event as bytes. `texts` is the table that the labels' numbers are
    /// of.
    #[must_use]
    pub fn encode(
        &mut self,
        columns: &EventColumns,
        texts: &impl Texts,
        stamp: Stamp,
        version: Version,
    ) -> Vec<u8> {
        assert!(!columns.is_empty(), "a frame has at least one event");
        let mut bytes = Vec::new();
        let dictionary_bytes = match version {
            Version::V1 => self.v1.write(&mut bytes, columns, texts),
            Version::V2 => self.v2.write(&mut bytes, columns, texts),
        };
        bytes.extend_from_slice(&columns.fingerprints);
        bytes.extend_from_slice(&columns.keys);
        let payload = &bytes[ENVELOPE_BYTES..];
        let envelope = Envelope {
            version,
            n_events: u32::try_from(columns.len()).expect("at most 4,096 events"),
            stamp,
            dictionary_bytes: u32::try_from(dictionary_bytes).expect("below 8 MiB"),
            columns_bytes: u32::try_from(payload.len() - dictionary_bytes).expect("below 8 MiB"),
            payload_crc: crc32c::crc32c(payload),
        };
        bytes[..ENVELOPE_BYTES].copy_from_slice(&envelope.encode());
        bytes
    }
}
