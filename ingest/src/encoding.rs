//! How a body is encoded, and the way from what came to what is parsed.
//!
//! The head names an encoding; the bytes that came are unpacked into a buffer of the caller, which
//! need not be larger than what they may become: `BODY_RATIO_MAX` times their number, at most
//! `BODY_BYTES_MAX`. Unpacking stops at the first byte beyond, and no memory is asked for on the
//! way but the decoder's own, so bombs cost the one buffer. Nothing here may trust a size that the
//! sender wrote, and only one layer is unpacked.

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

/// What `Accept-Encoding` says in the answer to an encoding that is not supported.
pub const SUPPORTED: &str = "gzip, zstd";
/// Bytes of a buffer in which any body can be unpacked: one more than the largest, which tells a
/// body at the limit from one above it.
pub const SCRATCH_BYTES: usize = BODY_BYTES_MAX + 1;
/// Most characters of an unknown encoding that are repeated in the answer.
const SHOWN_CHARS_MAX: usize = 40;

/// How the bytes of a body stand for its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As they are.
    Identity,
    /// RFC 1952, one member or several.
    Gzip,
    /// RFC 8878, one frame or several.
    Zstd,
}

/// Why a body was not unpacked. The text is for the sender.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodingError {
    /// No encoding of ours, or more than one.
    #[error(
        "Content-Encoding {shown:?} is not supported: send gzip, zstd or plain, and one layer only"
    )]
    Unsupported {
        /// The header's value, shortened.
        shown: String,
    },
    /// More plain bytes than any body may have.
    #[error("the unpacked body is above the limit of {BODY_BYTES_MAX} bytes")]
    TooLarge,
    /// More plain bytes than so few compressed ones may become.
    #[error(
        "the unpacked body is above the limit of {BODY_RATIO_MAX} times its {n_bytes} \
         compressed bytes"
    )]
    RatioTooHigh {
        /// Bytes that came.
        n_bytes: usize,
    },
    /// A zstd frame wants more memory than any body needs.
    #[error(
        "the zstd window is above the limit of 2^{ZSTD_WINDOW_LOG_MAX} bytes: compress with a \
         window log of at most {ZSTD_WINDOW_LOG_MAX}"
    )]
    WindowTooLarge,
    /// No bytes at all.
    #[error("the {name} body is empty")]
    Empty {
        /// Name of the encoding.
        name: &'static str,
    },
    /// Something else under the name of the encoding.
    #[error("the body is not {name}, though its Content-Encoding says so")]
    Foreign {
        /// Name of the encoding.
        name: &'static str,
    },
    /// It ends before its end mark.
    #[error("the {name} body is cut off")]
    CutOff {
        /// Name of the encoding.
        name: &'static str,
    },
    /// It goes on after its end mark with something else.
    #[error("the {name} body has foreign bytes after its end")]
    Trailing {
        /// Name of the encoding.
        name: &'static str,
    },
    /// Its inside is damaged.
    #[error("the {name} body is damaged: {fault}")]
    Damaged {
        /// Name of the encoding.
        name: &'static str,
        /// What the decoder says.
        fault: Cow<'static, str>,
    },
}

impl Encoding {
    /// The encoding that the head names. `identity` may be named as well, but nothing in a list:
    /// a body in two layers is not unpacked, whatever the second one is.
    ///
    /// # Errors
    /// An encoding that is not known, or more than one.
    pub fn of(headers: &HeaderMap) -> Result<Encoding, EncodingError> {
        let values: Vec<&[u8]> =
            headers.get_all(CONTENT_ENCODING).iter().map(http::HeaderValue::as_bytes).collect();
        let whole = String::from_utf8_lossy(&values.join(&b", "[..])).into_owned();
        // A recipient passes over empty elements of a list: proxies write them.
        let mut names = whole.split(',').map(str::trim).filter(|name| !name.is_empty());
        let (first, more) = (names.next(), names.next());
        let is = |other: &str| {
            more.is_none() && first.is_some_and(|name| name.eq_ignore_ascii_case(other))
        };
        if first.is_none() || is("identity") {
            return Ok(Encoding::Identity);
        }
        // RFC 9110 asks recipients to take x-gzip for gzip.
        if is("gzip") || is("x-gzip") {
            return Ok(Encoding::Gzip);
        }
        if is("zstd") {
            return Ok(Encoding::Zstd);
        }
        let shown = whole.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS_MAX).collect();
        Err(EncodingError::Unsupported { shown })
    }

    /// The most bytes that may come.
    pub fn bytes_max(self) -> usize {
        match self {
            Encoding::Identity => BODY_BYTES_MAX,
            Encoding::Gzip | Encoding::Zstd => BODY_COMPRESSED_BYTES_MAX,
        }
    }

    /// The most bytes that `n_bytes` which came may become.
    pub fn plain_bytes_max(self, n_bytes: usize) -> usize {
        match self {
            Encoding::Identity => n_bytes,
            Encoding::Gzip | Encoding::Zstd => {
                n_bytes.saturating_mul(BODY_RATIO_MAX).min(BODY_BYTES_MAX)
            }
        }
    }

    /// The text of a body that came as `bytes`, unpacked into `scratch` where that is needed;
    /// `scratch` must have one byte more than `plain_bytes_max` says.
    ///
    /// # Errors
    /// A limit is passed, or the bytes are not in this encoding from the first to the last.
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
    /// The HTTP status of the answer.
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

/// The limit that is passed by more than `n_max` plain bytes.
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
    // Unpacked in one go, the decoder looks back in what it has written, so it needs no window of
    // its own, and it stops where the buffer ends.
    match context.decompress(&mut scratch[..n_max], bytes) {
        Ok(n_plain) => Ok(&scratch[..n_plain]),
        Err(code) if is(code, ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall) => {
            Err(beyond(bytes.len(), n_max))
        }
        Err(code) => Err(damaged(code)),
    }
}

/// Walks over the frames without unpacking them: each must be whole, behind the last one nothing
/// may follow, and neither windows nor declared sizes may be above the limits.
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
        // A frame that declares too large a size is too large or damaged: no need to see which.
        if n_declared > n_max as u64 {
            return Err(beyond(bytes.len(), n_max));
        }
        rest = rest.get(n_frame..).unwrap_or_default();
    }
    Ok(())
}

/// The logarithm of the window that a frame asks for, rounded up; nothing for what is no frame and
/// for a frame in one segment, whose window is its content. RFC 8878, section 3.1.1.1.2.
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
