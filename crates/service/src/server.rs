//! The accept loop of every listener, with the limits that keep slow clients harmless.
//!
//! Bind first, so that an error comes before any work and port 0 can be requested; then accept, one
//! task per connection; then drain until a deadline, and return which of the two ended it. At the
//! connection limit the one that has been idle for longest is closed, so that idle sockets cannot
//! shut out a client with a request. It never accepts without a bound and never leaves a task
//! behind.

mod body;
mod connection;
mod idle;
#[cfg(test)]
mod tests;
mod watch;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use self::connection::ListenerState;
use crate::config::ServerSettings;
use crate::error::Error;
use crate::shutdown::Shutdown;

/// Pause after a failed accept, mostly because no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listener that does not accept yet.
#[derive(Debug)]
pub struct Server {
    name: &'static str,
    listener: TcpListener,
    address: SocketAddr,
}

/// Address of the client; an extension of each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer(pub IpAddr);

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drain {
    /// Every connection has ended.
    Done,
    /// The deadline, or a second signal, came first and these connections were cut.
    Cut {
        /// Number of connections that were cut.
        n_connections: usize,
    },
}

impl Server {
    /// Opens the listener; connections wait in its backlog until [`Server::serve`].
    ///
    /// # Errors
    /// The address is in use, or not one of this machine.
    pub async fn bind(name: &'static str, address: SocketAddr) -> Result<Server, Error> {
        let bound = async {
            let listener = TcpListener::bind(address).await?;
            let local = listener.local_addr()?;
            Ok((listener, local))
        };
        let (listener, local) =
            bound.await.map_err(|source| Error::Bind { name, address, source })?;
        Ok(Server { name, listener, address: local })
    }

    /// Local address, with the port that was chosen for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves the router until the shutdown, then drains.
    // Boxed, so that it is compiled here and not again in the program.
    pub fn serve(
        self,
        router: Router,
        settings: &ServerSettings,
        shutdown: Shutdown,
    ) -> Pin<Box<dyn Future<Output = Drain> + Send + '_>> {
        Box::pin(async move {
            tracing::info!(listener = self.name, address = %self.address, "listening");
            let shared = Arc::new(ListenerState::new(router, settings, shutdown.clone()));
            let mut connections = JoinSet::new();
            tokio::select! {
                () = shutdown.requested() => {}
                () = self.accept(&shared, &mut connections, settings.connections_max) => {}
            }
            drop(self.listener);
            drain(self.name, &mut connections, settings.drain_timeout(), &shutdown).await
        })
    }

    /// Accepts forever. Cancel-safe: a connection that was just accepted is then closed before a
    /// byte was read.
    async fn accept(
        &self,
        shared: &Arc<ListenerState>,
        connections: &mut JoinSet<()>,
        connections_max: usize,
    ) {
        let mut is_failing = false;
        loop {
            let stream = tokio::select! {
                Some(ended) = connections.join_next() => {
                    report(self.name, ended);
                    continue;
                }
                accepted = self.listener.accept() => accepted.map(|(stream, _)| stream),
            };
            match stream {
                Ok(stream) => {
                    is_failing = false;
                    self.make_room(shared, connections, connections_max).await;
                    spawn(shared, connections, stream);
                }
                Err(error) if is_of_the_client(&error) => {}
                Err(error) => {
                    if !is_failing {
                        tracing::error!(listener = self.name, error = %error, "cannot accept");
                    }
                    is_failing = true;
                    shared.idle.evict_oldest();
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Waits until there are fewer connections than the cap; evicts an idle one.
    async fn make_room(
        &self,
        shared: &ListenerState,
        connections: &mut JoinSet<()>,
        connections_max: usize,
    ) {
        let mut is_one_leaving = false;
        while connections.len() >= connections_max {
            is_one_leaving = is_one_leaving || shared.idle.evict_oldest();
            tokio::select! {
                Some(ended) = connections.join_next() => report(self.name, ended),
                () = shared.idle.grown(), if !is_one_leaving => {}
            }
        }
    }
}

fn spawn(shared: &Arc<ListenerState>, connections: &mut JoinSet<()>, stream: TcpStream) {
    // Answers are written whole, so that waiting for more to send only costs time.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(error = %error, "cannot set TCP_NODELAY, the client is gone");
        return;
    }
    connections.spawn(connection::run(Arc::clone(shared), stream));
}

async fn drain(
    name: &'static str,
    connections: &mut JoinSet<()>,
    timeout: Duration,
    shutdown: &Shutdown,
) -> Drain {
    let deadline = Instant::now() + timeout;
    loop {
        tokio::select! {
            ended = connections.join_next() => match ended {
                Some(ended) => report(name, ended),
                None => {
                    tracing::info!(listener = name, "drained, every connection is closed");
                    return Drain::Done;
                }
            },
            () = tokio::time::sleep_until(deadline) => break,
            () = shutdown.immediate() => break,
        }
    }
    let n_connections = connections.len();
    tracing::warn!(listener = name, n_connections, "not drained in time, connections are cut");
    connections.shutdown().await;
    Drain::Cut { n_connections }
}

/// A handler that panics closes its own connection and nothing else.
fn report(name: &'static str, ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(listener = name, error = %error, "connection task failed");
    }
}

/// The client disconnected between connect and accept; this is not a failure of the listener.
fn is_of_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}
