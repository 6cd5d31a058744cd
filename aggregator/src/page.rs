//! One prebuilt business section, and its compressed form, made when it is first asked for.

use std::sync::OnceLock;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

/// The business section of one ledger version.
#[derive(Debug)]
pub struct Page {
    /// Text format 0.0.4.
    pub text: Bytes,
    /// How many series that can be held are on it.
    pub n_series: u32,
    gzip: OnceLock<Bytes>,
}

impl Page {
    /// A page of this text.
    #[must_use]
    pub fn new(text: Vec<u8>, n_series: u32) -> Page {
        Page { text: text.into(), n_series, gzip: OnceLock::new() }
    }

    /// The text as a gzip member. Members behind each other are one gzip file, so that the process
    /// section can follow as a member of its own.
    #[must_use]
    pub fn gzip(&self) -> Bytes {
        self.gzip.get_or_init(|| gzip(&self.text)).clone()
    }
}

/// Compresses at the fastest level: pages go over a near network once per scrape.
#[must_use]
pub fn gzip(text: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 8), Compression::fast());
    encoder.write_all(text).expect("writing to memory cannot fail");
    encoder.finish().expect("writing to memory cannot fail").into()
}
