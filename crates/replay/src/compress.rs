//! How bodies are packed for the way to ingest.
//!
//! A plain body goes in, the bytes that travel and the name of their encoding come out. The same
//! body gives the same bytes on every try. A batch is never changed by it: tape, digest and totals
//! speak of the plain body.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// The level that zstd itself takes when none is named.
const ZSTD_LEVEL: i32 = 3;

/// Value of `--compress`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Compress {
    /// No compression.
    None,
    /// `Content-Encoding: gzip`, level 6.
    Gzip,
    /// `Content-Encoding: zstd`, level 3.
    Zstd,
}

impl Compress {
    /// The value of `Content-Encoding`, if there is to be one.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Compress::None => None,
            Compress::Gzip => Some("gzip"),
            Compress::Zstd => Some("zstd"),
        }
    }

    /// The body as it travels. Takes up to some ten milliseconds for a million bytes.
    ///
    /// # Errors
    /// There is no memory for the encoder.
    pub fn pack(self, body: &Bytes) -> io::Result<Bytes> {
        match self {
            Compress::None => Ok(body.clone()),
            Compress::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(body)?;
                encoder.finish().map(Bytes::from)
            }
            Compress::Zstd => {
                zstd::bulk::Compressor::new(ZSTD_LEVEL)?.compress(body).map(Bytes::from)
            }
        }
    }
}
