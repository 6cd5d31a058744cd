//! A body on its way from the network to the parser: read within its limits, then unpacked.
//!
//! Every byte that came has a place among the bytes of all bodies at hand, from the moment it is
//! read until its events are durable; without a place the body is refused at once. So memory stays
//! bounded, however many connections send large bodies and however slowly. Nothing is parsed here.

use std::sync::Arc;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use service::answer::ApiError;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinError, spawn_blocking};
use tracing::error;

use crate::answer::unavailable;
use crate::encoding::{Encoding, EncodingError, SCRATCH_BYTES};
use crate::intake::INLINE_BYTES_MAX;

/// Most bytes of all bodies that are being read or worked on: sixteen of the largest, or five
/// hundred of the usual 250 KiB.
const BODIES_BYTES_MAX: usize = 128 << 20;
/// Bytes that are read are counted in pieces of this size.
const PIECE_BYTES: usize = 1 << 10;

/// Takes bodies in.
#[derive(Clone, Debug)]
pub struct Bodies {
    /// Pieces that may still be read.
    room: Arc<Semaphore>,
    /// The one buffer in which compressed bodies are unpacked, one after the other: however many
    /// bombs come at once, they cost its 8 MiB. Untouched pages of it cost nothing.
    scratch: Arc<Mutex<Vec<u8>>>,
}

/// A body as it came, with its place.
#[derive(Debug)]
pub struct Packed {
    encoding: Encoding,
    bytes: Bytes,
    place: Option<OwnedSemaphorePermit>,
}

/// A body as it is parsed. The place is held as long as its bytes.
#[derive(Debug)]
pub struct Plain {
    /// The text.
    pub bytes: Bytes,
    _place: Option<OwnedSemaphorePermit>,
}

impl Default for Bodies {
    fn default() -> Bodies {
        Bodies {
            room: Arc::new(Semaphore::new(BODIES_BYTES_MAX / PIECE_BYTES)),
            scratch: Arc::new(Mutex::new(vec![0; SCRATCH_BYTES])),
        }
    }
}

impl Packed {
    /// How many bytes came.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }
}

impl Bodies {
    /// Reads a body up to the limit of its encoding.
    ///
    /// # Errors
    /// 415 for its encoding, 413 above its limit, 503 without a place, 400 if it ends early.
    pub async fn read(&self, headers: &HeaderMap, mut body: Body) -> Result<Packed, ApiError> {
        let encoding = Encoding::of(headers).map_err(|error| not_unpacked(&error))?;
        let bytes_max = encoding.bytes_max();
        let declared = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
        let declared: usize = declared.unwrap_or(0);
        if declared > bytes_max {
            return Err(too_large(encoding));
        }
        let mut bytes = BytesMut::new();
        let mut place: Option<OwnedSemaphorePermit> = None;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| broken(&error))?;
            let Ok(data) = frame.into_data() else { continue };
            if data.len() > bytes_max - bytes.len() {
                return Err(too_large(encoding));
            }
            self.grow(&mut place, bytes.len() + data.len())?;
            if bytes.is_empty() {
                bytes.reserve(declared.max(data.len()));
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Packed { encoding, bytes: bytes.freeze(), place })
    }

    /// Makes the place of a body large enough for `n_bytes`.
    fn grow(
        &self,
        place: &mut Option<OwnedSemaphorePermit>,
        n_bytes: usize,
    ) -> Result<(), ApiError> {
        let held = place.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = n_bytes.div_ceil(PIECE_BYTES).saturating_sub(held);
        let missing = u32::try_from(missing).expect("a body is bounded far below");
        let more = Arc::clone(&self.room).try_acquire_many_owned(missing);
        let more = more.map_err(|_| unavailable("too many bodies are being read"))?;
        match place {
            Some(place) => place.merge(more),
            None => *place = Some(more),
        }
        Ok(())
    }

    /// The body as it is parsed. What leaves the shared buffer has exactly its size.
    ///
    /// # Errors
    /// 400 or 413 for a body that is not what its encoding says, or too large in it.
    pub async fn unpack(&self, packed: Packed) -> Result<Plain, ApiError> {
        let Packed { encoding, bytes, place } = packed;
        let plain_bytes_max = encoding.plain_bytes_max(bytes.len());
        let unpacked = if encoding == Encoding::Identity {
            Ok(bytes)
        } else if plain_bytes_max < INLINE_BYTES_MAX {
            let mut scratch = vec![0; plain_bytes_max + 1];
            encoding.unpack(&bytes, &mut scratch).map(Bytes::copy_from_slice)
        } else {
            let mut scratch = Arc::clone(&self.scratch).lock_owned().await;
            let work = move || encoding.unpack(&bytes, &mut scratch).map(Bytes::copy_from_slice);
            spawn_blocking(work).await.map_err(|error| defect(&error))?
        };
        let bytes = unpacked.map_err(|error| not_unpacked(&error))?;
        let mut place = place;
        self.grow(&mut place, bytes.len())?;
        Ok(Plain { bytes, _place: place })
    }
}

/// The answer when work on a body panicked.
pub fn defect(error: &JoinError) -> ApiError {
    error!(%error, "reading a body panicked");
    ApiError::internal()
}

fn too_large(encoding: Encoding) -> ApiError {
    let what = if encoding == Encoding::Identity { "body" } else { "compressed body" };
    let message = format!("the {what} is above the limit of {} bytes", encoding.bytes_max());
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message)
}

/// The answer to a body that could not be read to its end.
fn broken(error: &axum::Error) -> ApiError {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.downcast_ref::<std::io::Error>().is_some_and(is_bad_chunk) {
            return ApiError::bad_request("the body is not well-formed: a chunk of it is broken");
        }
        source = cause.source();
    }
    ApiError::bad_request("the body ended early")
}

/// How hyper reports chunks that break the rules of RFC 9112.
fn is_bad_chunk(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData)
}

/// The answer to a body that is not in the encoding it claims, or too large in it.
fn not_unpacked(error: &EncodingError) -> ApiError {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
    ApiError::new(status, error.to_string())
}

#[cfg(test)]
mod tests;
