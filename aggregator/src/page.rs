//! One prebuilt business section, and its compressed form, made when it is first asked for.
//!
//! Compressed sections are joined into one gzip member: several concatenated members are a file by
//! RFC 1952, but many clients stop after the first. So each section is a piece of deflate data that
//! ends at a byte and looks back at nothing, and its checksum can be joined to another's.

use std::io::Write as _;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

/// Head of a gzip member: deflate, no name, no time, fastest level, unknown system. RFC 1952, 2.3.
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 4, 255];
/// The last block of deflate data, empty. RFC 1951, 3.2.6.
const LAST_BLOCK: [u8; 2] = [3, 0];

/// The business section of one ledger version.
#[derive(Debug)]
pub struct Page {
    /// Text format 0.0.4.
    pub text: Bytes,
    /// How many series that can be held are on it.
    pub n_series: u32,
    piece: OnceLock<Arc<Piece>>,
}

/// A section as deflate data without an end.
#[derive(Debug)]
pub struct Piece {
    deflated: Vec<u8>,
    crc: Crc,
}

impl Page {
    /// A page of this text.
    #[must_use]
    pub fn new(text: Vec<u8>, n_series: u32) -> Page {
        Page { text: text.into(), n_series, piece: OnceLock::new() }
    }

    /// The compressed text.
    #[must_use]
    pub fn piece(&self) -> Arc<Piece> {
        Arc::clone(self.piece.get_or_init(|| Arc::new(Piece::of(&self.text))))
    }
}

impl Piece {
    /// Compresses at the fastest level: pages go over a near network once per scrape.
    #[must_use]
    pub fn of(text: &[u8]) -> Piece {
        const MEMORY: &str = "writing to memory cannot fail";
        let deflated = Vec::with_capacity(text.len() / 8);
        let mut encoder = DeflateEncoder::new(deflated, Compression::fast());
        encoder.write_all(text).expect(MEMORY);
        // Ends at a byte, with everything written so far in it, and leaves the data open.
        encoder.flush().expect(MEMORY);
        let mut crc = Crc::new();
        crc.update(text);
        Piece { deflated: std::mem::take(encoder.get_mut()), crc }
    }
}

/// Pieces behind each other as one gzip member.
#[must_use]
pub fn gzip(pieces: &[Arc<Piece>]) -> Bytes {
    let n_deflated: usize = pieces.iter().map(|piece| piece.deflated.len()).sum();
    let mut member = Vec::with_capacity(n_deflated + HEAD.len() + LAST_BLOCK.len() + 8);
    member.extend_from_slice(&HEAD);
    let mut crc = Crc::new();
    for piece in pieces {
        member.extend_from_slice(&piece.deflated);
        crc.combine(&piece.crc);
    }
    member.extend_from_slice(&LAST_BLOCK);
    member.extend_from_slice(&crc.sum().to_le_bytes());
    member.extend_from_slice(&crc.amount().to_le_bytes());
    member.into()
}

#[cfg(test)]
mod tests;
