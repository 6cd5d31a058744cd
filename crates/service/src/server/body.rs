//! Watched bodies: a request body has a time limit, a response body reports its end.
//!
//! A body that is too slow fails in the handler, which responds as to any broken body; the
//! connection then replaces that response with a 408. The clock starts when the handler first polls
//! for bytes, so that time spent queued is not held against the client. What a handler leaves
//! unread is drained before the response is sent.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::watch::{Receiving, RequestGuard, Watch};
use crate::config::ServerSettings;
use crate::http_metrics::SlowBody;

/// How long a body may take before its rate is checked: a slow start is not a slow client.
const RATE_GRACE: Duration = Duration::from_secs(3);

/// How slow a request body may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyLimits {
    timeout: Duration,
    bytes_per_second_min: u64,
}

impl BodyLimits {
    pub(super) fn new(settings: &ServerSettings) -> BodyLimits {
        BodyLimits {
            timeout: settings.body_timeout(),
            bytes_per_second_min: settings.body_bytes_per_second_min,
        }
    }

    /// How long a body of which this much has arrived may stall.
    fn allowed(self, n_bytes: u64) -> Duration {
        let Some(ms) = n_bytes.saturating_mul(1_000).checked_div(self.bytes_per_second_min) else {
            return self.timeout;
        };
        Duration::from_millis(ms).max(RATE_GRACE).min(self.timeout)
    }
}

/// Maximum number of unread bytes that are drained so that the client receives the response: a few
/// times the largest allowed body.
const DISCARD_BYTES_MAX: u64 = 64 << 20;

/// A request body that fails once it is too slow, or once its connection has to make room.
struct TimedBody<B> {
    inner: B,
    limits: BodyLimits,
    n_bytes: u64,
    clock: Option<Clock>,
    slow_body: SlowBody,
    watch: Arc<Watch>,
    /// Held while bytes are wanted and do not come.
    receiving: Option<Receiving>,
    is_ended: bool,
}

struct Clock {
    begin: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl<B> TimedBody<B> {
    fn poll_clock(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let allowed = self.limits.allowed(self.n_bytes);
        let clock = self.clock.get_or_insert_with(|| {
            let begin = Instant::now();
            Clock { begin, sleep: Box::pin(sleep_until(begin + allowed)) }
        });
        let until = clock.begin + allowed;
        if clock.sleep.deadline() != until {
            clock.sleep.as_mut().reset(until);
        }
        clock.sleep.as_mut().poll(cx)
    }

    /// Fails the body as too slow.
    fn too_slow(&mut self) -> axum::BoxError {
        self.is_ended = true;
        self.receiving = None;
        self.slow_body.set();
        io::Error::new(io::ErrorKind::TimedOut, "the request body comes too slowly").into()
    }
}

impl<B> TimedBody<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<axum::BoxError>,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        if self.is_ended {
            return Poll::Ready(None);
        }
        if self.watch.is_cut() {
            return Poll::Ready(Some(Err(self.too_slow())));
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) {
            match &frame {
                Some(Ok(frame)) => {
                    self.n_bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                }
                None | Some(Err(_)) => {
                    self.is_ended = true;
                    self.receiving = None;
                }
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        if self.receiving.is_none() {
            self.receiving = Some(self.watch.receiving());
        }
        ready!(self.poll_clock(cx));
        Poll::Ready(Some(Err(self.too_slow())))
    }
}

/// A request body as its handler sees it. The connection keeps its [`Remainder`].
pub(super) struct HeldBody<B>(Arc<Mutex<TimedBody<B>>>);

/// The unread remainder of a body.
pub(super) struct Remainder<B>(Arc<Mutex<TimedBody<B>>>);

/// Puts the limits on a body. `slow_body` is set when it fails for its slowness.
pub(super) fn hold<B>(
    inner: B,
    limits: BodyLimits,
    slow_body: SlowBody,
    watch: &Arc<Watch>,
) -> (HeldBody<B>, Remainder<B>) {
    let body = Arc::new(Mutex::new(TimedBody {
        inner,
        limits,
        n_bytes: 0,
        clock: None,
        slow_body,
        watch: Arc::clone(watch),
        receiving: None,
        is_ended: false,
    }));
    (HeldBody(Arc::clone(&body)), Remainder(body))
}

impl<B> Remainder<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<axum::BoxError>,
{
    /// Reads and drops what the handler left, under the limits that it had itself. A socket that is
    /// closed with unread bytes is reset, and the reset can overtake the answer: many clients would
    /// never see why they were refused. Returns whether the end was reached, so that the connection
    /// can carry another request.
    pub(super) async fn discard(self) -> bool {
        let mut n_bytes = 0;
        loop {
            match std::future::poll_fn(|cx| self.lock().poll(cx)).await {
                None => return true,
                Some(Err(_)) => return false,
                Some(Ok(frame)) => {
                    n_bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                }
            }
            if n_bytes > DISCARD_BYTES_MAX {
                return false;
            }
        }
    }

    /// Whether the handler never asked for a byte.
    pub(super) fn is_untouched(&self) -> bool {
        let body = self.lock();
        body.n_bytes == 0 && body.clock.is_none() && !body.is_ended
    }

    fn lock(&self) -> MutexGuard<'_, TimedBody<B>> {
        self.0.lock().expect("nothing panics while a body is polled")
    }
}

impl<B> HttpBody for HeldBody<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<axum::BoxError>,
{
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        self.0.lock().expect("nothing panics while a body is polled").poll(cx)
    }

    fn is_end_stream(&self) -> bool {
        let body = self.0.lock().expect("nothing panics while a body is polled");
        body.is_ended || body.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().expect("nothing panics while a body is polled").inner.size_hint()
    }
}

/// A response body that holds its request open until it is dropped.
pub(super) struct TrackedBody {
    inner: Body,
    _request: RequestGuard,
}

impl TrackedBody {
    pub(super) fn new(inner: Body, request: RequestGuard) -> TrackedBody {
        TrackedBody { inner, _request: request }
    }
}

impl HttpBody for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests;
