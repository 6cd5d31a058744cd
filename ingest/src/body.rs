//! Reads request bodies within their limits and decompresses them.
//!
//! Every byte received is reserved from a budget that all bodies in flight share, from the moment
//! it is read until its events are durable; a body that exceeds the budget is refused at once. So
//! memory stays bounded, however many connections send large bodies and however slowly. Nothing is
//! parsed here.

use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};

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

/// Budget of all bodies in flight, bytes: sixteen of the largest, or five hundred of the usual
/// 250 KiB.
const BODIES_BYTES_MAX: usize = 128 << 20;
/// Bodies that may be larger once decompressed, about half a millisecond of work, are decompressed
/// on a blocking thread.
const INLINE_BYTES_MAX: usize = 128 << 10;
/// Buffers that are kept for other bodies, and their sizes: 8 MiB in all. A smaller one is not
/// worth keeping.
const SPARES_MAX: usize = 8;
const SPARE_BYTES_MIN: usize = 16 << 10;
const SPARE_BYTES_MAX: usize = 1 << 20;
/// Bytes that one permit reserves.
const PERMIT_BYTES: usize = 1 << 10;

/// Reads and decompresses bodies. Clones share the budget.
#[derive(Clone, Debug)]
pub struct Bodies {
    budget: Arc<Semaphore>,
    /// The one buffer into which large bodies are decompressed, one at a time: however many bombs
    /// arrive at once, they cost its 8 MiB. Untouched pages of it cost nothing.
    scratch: Arc<Mutex<Vec<u8>>>,
    spares: Spares,
}

/// A body as received, and its reservation.
#[derive(Debug)]
pub struct Packed {
    encoding: Encoding,
    bytes: Bytes,
    reservation: Option<OwnedSemaphorePermit>,
}

/// A decompressed body. Its bytes stay reserved until this is dropped.
#[derive(Debug)]
pub struct Plain {
    pub bytes: Bytes,
    spares: Spares,
    _reservation: Option<OwnedSemaphorePermit>,
}

impl Drop for Plain {
    fn drop(&mut self) {
        self.spares.put(std::mem::take(&mut self.bytes));
    }
}

/// Buffers of bodies that are done with, for the next ones: pages that are fresh from the system
/// cost more than what is copied into them. Clones share them.
#[derive(Clone, Debug, Default)]
struct Spares(Arc<StdMutex<Vec<BytesMut>>>);

impl Spares {
    /// An empty buffer with room for this many bytes.
    fn take(&self, n_bytes: usize) -> BytesMut {
        let mut spares = self.lock();
        let at = spares.iter().position(|spare| spare.capacity() >= n_bytes);
        let spare = at.map(|at| spares.swap_remove(at));
        drop(spares);
        spare.unwrap_or_else(|| BytesMut::with_capacity(n_bytes))
    }

    /// Keeps the buffer of a body, unless others still read it.
    fn put(&self, bytes: Bytes) {
        let Ok(mut spare) = bytes.try_into_mut() else { return };
        spare.clear();
        let is_useful = (SPARE_BYTES_MIN..=SPARE_BYTES_MAX).contains(&spare.capacity());
        let mut spares = self.lock();
        if is_useful && spares.len() < SPARES_MAX {
            spares.push(spare);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<BytesMut>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Bodies {
    fn default() -> Bodies {
        Bodies {
            budget: Arc::new(Semaphore::new(BODIES_BYTES_MAX / PERMIT_BYTES)),
            scratch: Arc::new(Mutex::new(vec![0; SCRATCH_BYTES])),
            spares: Spares::default(),
        }
    }
}

impl Packed {
    /// Bytes received.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }
}

impl Bodies {
    /// Reads a body up to the limit of its encoding.
    ///
    /// # Errors
    /// 415 for an unsupported encoding, 413 above its limit, 503 if the budget is used up, 400 if
    /// the body ends early.
    pub async fn read(&self, headers: &HeaderMap, mut body: Body) -> Result<Packed, ApiError> {
        let encoding = Encoding::of(headers).map_err(|error| not_unpacked(&error))?;
        let bytes_max = encoding.bytes_max();
        let declared = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
        let declared: usize = declared.unwrap_or(0);
        if declared > bytes_max {
            return Err(too_large(encoding));
        }
        let mut bytes = BytesMut::new();
        let mut reservation: Option<OwnedSemaphorePermit> = None;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| broken(&error))?;
            let Ok(data) = frame.into_data() else { continue };
            if data.len() > bytes_max - bytes.len() {
                return Err(too_large(encoding));
            }
            self.reserve(&mut reservation, bytes.len() + data.len())?;
            if bytes.is_empty() {
                bytes = self.spares.take(declared.max(data.len()));
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Packed { encoding, bytes: bytes.freeze(), reservation })
    }

    /// Extends the reservation of a body to `n_bytes`.
    fn reserve(
        &self,
        reservation: &mut Option<OwnedSemaphorePermit>,
        n_bytes: usize,
    ) -> Result<(), ApiError> {
        let held = reservation.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = n_bytes.div_ceil(PERMIT_BYTES).saturating_sub(held);
        let missing = u32::try_from(missing).expect("the limits of a body fit 32 bits");
        let more = Arc::clone(&self.budget).try_acquire_many_owned(missing);
        let more = more.map_err(|_| unavailable("too many bodies are being read"))?;
        match reservation {
            Some(reservation) => reservation.merge(more),
            None => *reservation = Some(more),
        }
        Ok(())
    }

    /// Decompresses a body, if it is compressed. The result has a buffer of exactly its size.
    ///
    /// # Errors
    /// 400 for a body that is not in the encoding it declares, 413 above the limits of decompressed
    /// bodies, 503 if the budget is used up.
    pub async fn unpack(&self, packed: Packed) -> Result<Plain, ApiError> {
        let Packed { encoding, bytes, reservation } = packed;
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
        let mut reservation = reservation;
        self.reserve(&mut reservation, bytes.len())?;
        Ok(Plain { bytes, spares: self.spares.clone(), _reservation: reservation })
    }
}

/// 500, because processing the body panicked.
pub fn defect(error: &JoinError) -> ApiError {
    error!(%error, "processing a body panicked");
    ApiError::internal()
}

fn too_large(encoding: Encoding) -> ApiError {
    let what = if encoding == Encoding::Identity { "body" } else { "compressed body" };
    let message = format!("the {what} is above the limit of {} bytes", encoding.bytes_max());
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message)
}

/// The response to a body that could not be read to its end.
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

/// Whether this is how hyper reports a chunk that violates RFC 9112.
fn is_bad_chunk(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData)
}

/// The response to a body that could not be decompressed.
fn not_unpacked(error: &EncodingError) -> ApiError {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
    ApiError::new(status, error.to_string())
}

#[cfg(test)]
mod tests;
