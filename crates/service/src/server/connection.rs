//! One connection, from accept to close.
//!
//! hyper reads requests from a stream that reports to the [`Watch`], the router answers them, and
//! the task ends the whole when the watch's deadline passes, when the accept loop needs the room or
//! when the process drains. A request in flight is only cut by a deadline, never by an eviction.

use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, Request, StatusCode, header};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tower::ServiceExt as _;

use super::Peer;
use super::body::{BodyLimits, TrackedBody, hold};
use super::idle::IdleList;
use super::watch::Watch;
use crate::answer::ApiError;
use crate::config::ServerSettings;
use crate::http_metrics::SlowBody;
use crate::shutdown::Shutdown;

/// Holds the largest accepted header (431 above it) and a good part of a body.
const BUFFER_BYTES_MAX: usize = 64 << 10;

/// State shared by all connections of a listener.
#[derive(Debug)]
pub(super) struct ListenerState {
    pub(super) idle: Arc<IdleList>,
    router: Router,
    settings: ServerSettings,
    shutdown: Shutdown,
}

impl ListenerState {
    pub(super) fn new(
        router: Router,
        settings: &ServerSettings,
        shutdown: Shutdown,
    ) -> ListenerState {
        ListenerState { idle: Arc::default(), router, settings: settings.clone(), shutdown }
    }
}

/// Serves one connection to its end.
pub(super) async fn run(shared: Arc<ListenerState>, stream: TcpStream) {
    let watch = Watch::new(&shared.settings, Arc::clone(&shared.idle));
    let peer = stream.peer_addr().ok().map(|address| Peer(address.ip()));
    let io = TokioIo::new(WatchedStream { stream, watch: Arc::clone(&watch) });
    let service = service_fn(|request| serve_request(&shared, &watch, peer, request));
    let mut connection = pin!(
        http1::Builder::new()
            .header_read_timeout(None)
            .max_buf_size(BUFFER_BYTES_MAX)
            .serve_connection(io, service)
    );
    let mut timer = pin!(sleep(shared.settings.header_timeout()));
    let mut is_leaving = false;
    loop {
        tokio::select! {
            biased;
            () = watch.evicted(), if !is_leaving => {
                if !watch.is_busy() {
                    tracing::debug!("idle connection closed: too many connections");
                    return;
                }
                connection.as_mut().graceful_shutdown();
                is_leaving = true;
            }
            () = shared.shutdown.requested(), if !is_leaving => {
                connection.as_mut().graceful_shutdown();
                is_leaving = true;
            }
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(error = %error, "connection failed");
                }
                return;
            }
            () = too_late(&watch, timer.as_mut()) => {
                tracing::debug!("connection closed: the client is too slow or idle");
                return;
            }
        }
    }
}

/// Returns once the watch's deadline has passed. It looks again whenever the task is woken, which
/// it is by everything that can move the deadline.
async fn too_late(watch: &Watch, mut timer: Pin<&mut Sleep>) {
    std::future::poll_fn(|cx| {
        let Some(deadline) = watch.deadline() else { return Poll::Pending };
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        timer.as_mut().poll(cx)
    })
    .await;
}

async fn serve_request(
    shared: &ListenerState,
    watch: &Arc<Watch>,
    peer: Option<Peer>,
    request: Request<Incoming>,
) -> Result<Response<TrackedBody>, Infallible> {
    let guard = watch.request();
    let slow_body = SlowBody::default();
    let mut remainder = None;
    let mut request = request.map(|body| {
        if body.is_end_stream() {
            return Body::empty();
        }
        let limits = BodyLimits::new(&shared.settings);
        let (held, rest) = hold(body, limits, slow_body.clone(), watch);
        remainder = Some(rest);
        Body::new(held)
    });
    let asks_first = request.headers().contains_key(header::EXPECT);
    request.extensions_mut().insert(slow_body.clone());
    if let Some(peer) = peer {
        request.extensions_mut().insert(peer);
    }
    let Ok(mut response) = shared.router.clone().oneshot(request).await;
    if slow_body.is_set() {
        response = slow_body_answer();
    } else if let Some(rest) = remainder {
        // A client that sent `Expect: 100-continue` and got no 100 will not send its body.
        if (asks_first && rest.is_untouched()) || !rest.discard().await {
            close_after(&mut response);
        }
    }
    Ok(response.map(|body| TrackedBody::new(body, guard)))
}

/// What is left of the body may still come, so the connection cannot carry another request.
fn close_after<B>(response: &mut Response<B>) {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
}

fn slow_body_answer() -> Response {
    let message = "the request body came too slowly: send it again";
    let mut response = ApiError::new(StatusCode::REQUEST_TIMEOUT, message).into_response();
    close_after(&mut response);
    response
}

/// A stream that reports incoming bytes and stalled writes to the watch.
struct WatchedStream {
    stream: TcpStream,
    watch: Arc<Watch>,
}

impl WatchedStream {
    fn written(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &result {
            Poll::Ready(_) => self.watch.on_write(),
            Poll::Pending => self.watch.on_stall(),
        }
        result
    }
}

impl AsyncRead for WatchedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.watch.on_read();
        }
        result
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.written(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
