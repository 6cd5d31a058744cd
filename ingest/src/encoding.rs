//! Content encodings of bodies: recognises and decompresses gzip and zstd.
//!
//! A body is decompressed into a buffer of the caller, sized for the most it may become:
//! `BODY_RATIO_MAX` times its length, at most `BODY_BYTES_MAX`. Decompression stops at the first
//! byte beyond and allocates nothing but the decoder's own state, so a bomb costs that one buffer.
//! Sizes declared by the sender must not be trusted, and only one layer is decoded.

use std::borrow::Cow;
use std::io::{ErrorKind, Read};

use event::limits::{
    BODY_BYTES_MAX, BODY_COMPRESSED_BYTES_MAX, BODY_RATIO_MAX, ZSTD_WINDOW_LOG_MAX,
};
use flate2::bufread::MultiGzDecoder;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use zstd::zstd_safe::zstd_sys::ZSTD_ErrorCode;
use zstd::zstd_safe::{DCtx, find_frame_compressed_size, get_error_name, get_frame_content_size};

/// `Accept-Encoding` of a 415 response.
pub const SUPPORTED: &str = "gzip, zstd";
/// Size of a buffer for any decompressed body: one byte more than the largest, to tell a body at
/// the limit from one above it.
pub const SCRATCH_BYTES: usize = BODY_BYTES_MAX + 1;
/// Most characters of an unknown encoding that the error repeats.
const SHOWN_CHARS_MAX: usize = 40;

/// The content encoding of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Identity,
    /// RFC 1952, one or more members.
    Gzip,
    /// RFC 8878, one or more frames.
    Zstd,
}

/// Why a body was not decompressed. The message is sent to the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodingError {
    /// An unsupported encoding, or more than one.
    #[error(
        "Content-Encoding {shown:?} is not supported: send gzip, zstd or plain, and one layer only"
    )]
    Unsupported {
        /// The header's value, truncated.
        shown: String,
    },
    /// Decompresses to more bytes than any body may have.
    #[error("the unpacked body is above the limit of {BODY_BYTES_MAX} bytes")]
    TooLarge,
    /// Decompresses to more bytes than its compressed length allows.
    #[error(
        "the unpacked body is above the limit of {BODY_RATIO_MAX} times its {n_bytes} \
         compressed bytes"
    )]
    RatioTooHigh {
        /// Compressed bytes.
        n_bytes: usize,
    },
    /// A zstd frame asks for a larger window than any body needs.
    #[error(
        "the zstd window is above the limit of 2^{ZSTD_WINDOW_LOG_MAX} bytes: compress with a \
         window log of at most {ZSTD_WINDOW_LOG_MAX}"
    )]
    WindowTooLarge,
    #[error("the {name} body is empty")]
    Empty { name: &'static str },
    /// Not in the declared encoding.
    #[error("the body is not {name}, though its Content-Encoding says so")]
    Foreign { name: &'static str },
    /// Truncated.
    #[error("the {name} body is cut off")]
    CutOff { name: &'static str },
    /// Complete, but followed by bytes that are not in the encoding.
    #[error("the {name} body has foreign bytes after its end")]
    Trailing { name: &'static str },
    /// Corrupt.
    #[error("the {name} body is damaged: {fault}")]
    Damaged {
        name: &'static str,
        /// The decoder's message.
        fault: Cow<'static, str>,
    },
}

impl Encoding {
    /// The encoding that the headers declare. A list of several is refused, even if one of them is
    /// `identity`: only one layer is decoded.
    ///
    /// # Errors
    /// `Unsupported` for an unknown encoding, or more than one.
    pub fn of(headers: &HeaderMap) -> Result<Encoding, EncodingError> {
        let values: Vec<&[u8]> =
            headers.get_all(CONTENT_ENCODING).iter().map(http::HeaderValue::as_bytes).collect();
        let whole = String::from_utf8_lossy(&values.join(&b", "[..])).into_owned();
        // Recipients ignore empty list elements (RFC 9110, 5.6.1): some proxies send them.
        let mut names = whole.split(',').map(str::trim).filter(|name| !name.is_empty());
        let (first, more) = (names.next(), names.next());
        let is = |other: &str| {
            more.is_none() && first.is_some_and(|name| name.eq_ignore_ascii_case(other))
        };
        if first.is_none() || is("identity") {
            return Ok(Encoding::Identity);
        }
        // RFC 9110, 8.4.1.3: x-gzip is equivalent to gzip.
        if is("gzip") || is("x-gzip") {
            return Ok(Encoding::Gzip);
        }
        if is("zstd") {
            return Ok(Encoding::Zstd);
        }
        let shown = whole.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS_MAX).collect();
        Err(EncodingError::Unsupported { shown })
    }

    /// Most bytes of a body as received.
    pub fn bytes_max(self) -> usize {
        match self {
            Encoding::Identity => BODY_BYTES_MAX,
            Encoding::Gzip | Encoding::Zstd => BODY_COMPRESSED_BYTES_MAX,
        }
    }

    /// Most bytes to which `n_bytes` as received may decompress.
    pub fn plain_bytes_max(self, n_bytes: usize) -> usize {
        match self {
            Encoding::Identity => n_bytes,
            Encoding::Gzip | Encoding::Zstd => {
                n_bytes.saturating_mul(BODY_RATIO_MAX).min(BODY_BYTES_MAX)
            }
        }
    }

    /// Decodes a body, into `scratch` if it is compressed. `scratch` must be one byte longer than
    /// `plain_bytes_max`.
    ///
    /// # Errors
    /// If a limit is exceeded, or `bytes` are not in this encoding from the first to the last.
    pub fn unpack<'a>(
        self,
        bytes: &'a [u8],
        scratch: &'a mut [u8],
    ) -> Result<&'a [u8], EncodingError> {
        match self {
            Encoding::Identity => Ok(bytes),
            Encoding::Gzip => gunzip(bytes, scratch),
            Encoding::Zstd => unzstd(bytes, scratch),
        }
    }
}

impl EncodingError {
    /// HTTP status of the response.
    pub fn status(&self) -> u16 {
        match self {
            EncodingError::Unsupported { .. } => 415,
            EncodingError::TooLarge
            | EncodingError::RatioTooHigh { .. }
            | EncodingError::WindowTooLarge => 413,
            EncodingError::Empty { .. }
            | EncodingError::Foreign { .. }
            | EncodingError::CutOff { .. }
            | EncodingError::Trailing { .. }
            | EncodingError::Damaged { .. } => 400,
        }
    }
}

/// The error for more than `n_max` decompressed bytes: `n_max` is the smaller of two limits.
fn beyond(n_bytes: usize, n_max: usize) -> EncodingError {
    if n_max == BODY_BYTES_MAX {
        EncodingError::TooLarge
    } else {
        EncodingError::RatioTooHigh { n_bytes }
    }
}

fn gunzip<'a>(bytes: &[u8], scratch: &'a mut [u8]) -> Result<&'a [u8], EncodingError> {
    const NAME: &str = "gzip";
    if bytes.is_empty() {
        return Err(EncodingError::Empty { name: NAME });
    }
    let n_max = Encoding::Gzip.plain_bytes_max(bytes.len());
    let mut decoder = MultiGzDecoder::new(bytes);
    let is_gzip = decoder.header().is_some();
    let mut n_plain = 0;
    let error = loop {
        match decoder.read(&mut scratch[n_plain..=n_max]) {
            Ok(0) => return Ok(&scratch[..n_plain]),
            Ok(n) => n_plain += n,
            Err(error) => break error,
        }
        if n_plain > n_max {
            return Err(beyond(bytes.len(), n_max));
        }
    };
    let is_cut_off = error.kind() == ErrorKind::UnexpectedEof;
    Err(match decoder.header() {
        None if is_gzip => EncodingError::Trailing { name: NAME },
        None if !is_cut_off => EncodingError::Foreign { name: NAME },
        _ if is_cut_off => EncodingError::CutOff { name: NAME },
        _ => EncodingError::Damaged { name: NAME, fault: error.to_string().into() },
    })
}

fn unzstd<'a>(bytes: &[u8], scratch: &'a mut [u8]) -> Result<&'a [u8], EncodingError> {
    const NAME: &str = "zstd";
    if bytes.is_empty() {
        return Err(EncodingError::Empty { name: NAME });
    }
    let n_max = Encoding::Zstd.plain_bytes_max(bytes.len());
    survey(bytes, n_max)?;
    let Some(mut context) = DCtx::try_create() else {
        return Err(damaged(ZSTD_ErrorCode::ZSTD_error_memory_allocation as usize));
    };
    // In a single call the decoder uses its output as the window, so it allocates none of its own,
    // and it stops at the end of the buffer.
    match context.decompress(&mut scratch[..n_max], bytes) {
        Ok(n_plain) => Ok(&scratch[..n_plain]),
        Err(code) if is(code, ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall) => {
            Err(beyond(bytes.len(), n_max))
        }
        Err(code) => Err(damaged(code)),
    }
}

/// Walks the frames without decompressing them: each must be complete, nothing may follow the last
/// one, and neither windows nor declared sizes may exceed the limits.
fn survey(bytes: &[u8], n_max: usize) -> Result<(), EncodingError> {
    const NAME: &str = "zstd";
    let mut rest = bytes;
    let mut n_declared: u64 = 0;
    while !rest.is_empty() {
        if window_log(rest).is_some_and(|log| log > ZSTD_WINDOW_LOG_MAX) {
            return Err(EncodingError::WindowTooLarge);
        }
        let n_frame = find_frame_compressed_size(rest).map_err(|code| {
            let is_first = rest.len() == bytes.len();
            if is(code, ZSTD_ErrorCode::ZSTD_error_prefix_unknown) && is_first {
                EncodingError::Foreign { name: NAME }
            } else if is(code, ZSTD_ErrorCode::ZSTD_error_prefix_unknown) {
                EncodingError::Trailing { name: NAME }
            } else if is(code, ZSTD_ErrorCode::ZSTD_error_srcSize_wrong) {
                EncodingError::CutOff { name: NAME }
            } else {
                damaged(code)
            }
        })?;
        match get_frame_content_size(rest) {
            Ok(n_plain) => n_declared = n_declared.saturating_add(n_plain.unwrap_or(0)),
            Err(_) => return Err(EncodingError::CutOff { name: NAME }),
        }
        // Either the size is true or the frame is corrupt: it is refused in both cases.
        if n_declared > n_max as u64 {
            return Err(beyond(bytes.len(), n_max));
        }
        rest = rest.get(n_frame..).unwrap_or_default();
    }
    Ok(())
}

/// The window log of a frame, rounded up (RFC 8878, 3.1.1.1.2). Returns `None` if this is not a
/// frame, or a single-segment one, whose window is its content.
fn window_log(frame: &[u8]) -> Option<u32> {
    const MAGIC: &[u8] = &0xfd2f_b528_u32.to_le_bytes();
    const SINGLE_SEGMENT: u8 = 1 << 5;
    let &[descriptor, window, ..] = frame.strip_prefix(MAGIC)? else { return None };
    if descriptor & SINGLE_SEGMENT != 0 {
        return None;
    }
    let (exponent, mantissa) = (window >> 3, window & 7);
    Some(10 + u32::from(exponent) + u32::from(mantissa > 0))
}

fn is(code: usize, error: ZSTD_ErrorCode) -> bool {
    code == (error as usize).wrapping_neg()
}

fn damaged(code: usize) -> EncodingError {
    EncodingError::Damaged { name: "zstd", fault: get_error_name(code).into() }
}
