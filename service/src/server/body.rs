//! Bodies with a watch on them: a request's has a time limit, a response's tells when it ends.
//!
//! A body that comes too slowly fails under the handler's hands, which answers as it does to any
//! broken body; the connection then puts a 408 in place of that answer. The clock starts when the
//! handler first wants bytes, so that our own waiting is not held against the client.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::watch::RequestGuard;
use crate::config::ServerSettings;
use crate::http_metrics::SlowBody;

/// How long a body may take before its rate is looked at: a slow start is not a slow client.
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

    /// How long a body of which this much has come may go on without more.
    fn allowed(self, n_bytes: u64) -> Duration {
        let Some(ms) = n_bytes.saturating_mul(1_000).checked_div(self.bytes_per_second_min) else {
            return self.timeout;
        };
        Duration::from_millis(ms).max(RATE_GRACE).min(self.timeout)
    }
}

/// A request body that fails once it is too slow.
pub(super) struct TimedBody<B> {
    inner: B,
    limits: BodyLimits,
    n_bytes: u64,
    clock: Option<Clock>,
    slow_body: SlowBody,
}

struct Clock {
    begin: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl<B> TimedBody<B> {
    /// `slow_body` is set when it fails for its slowness.
    pub(super) fn new(inner: B, limits: BodyLimits, slow_body: SlowBody) -> TimedBody<B> {
        TimedBody { inner, limits, n_bytes: 0, clock: None, slow_body }
    }

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
}

impl<B> HttpBody for TimedBody<B>
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
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(cx) {
            if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
                this.n_bytes += data.len() as u64;
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        ready!(this.poll_clock(cx));
        this.slow_body.set();
        let error = io::Error::new(io::ErrorKind::TimedOut, "the request body comes too slowly");
        Poll::Ready(Some(Err(error.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
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
mod tests {
    use super::*;

    #[test]
    fn time_allowed_grows_with_what_has_come_between_grace_and_limit() {
        let limits = BodyLimits { timeout: Duration::from_secs(15), bytes_per_second_min: 1_024 };
        for (n_bytes, expected_ms) in [
            (0, 3_000),
            (1_024, 3_000),
            (4 * 1_024, 4_000),
            (14 * 1_024, 14_000),
            (1 << 20, 15_000),
            (u64::MAX, 15_000),
        ] {
            assert_eq!(limits.allowed(n_bytes), Duration::from_millis(expected_ms), "{n_bytes}");
        }
        let without_rate = BodyLimits { bytes_per_second_min: 0, ..limits };
        assert_eq!(without_rate.allowed(0), Duration::from_secs(15));
    }
}
