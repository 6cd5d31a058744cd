//! A bad network between the store and its server: it sees where a COMMIT passes and does with it
//! what the test says.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

use super::fixture::WAIT_MAX;

/// What happens to a COMMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It arrives, and so does its answer.
    Passes,
    /// The connection breaks before it arrives.
    Lost,
    /// It arrives; the connection breaks before its answer does.
    AnswerLost,
    /// It arrives; its answer never does, and the connection looks alive.
    AnswerHeld,
    /// It is held back, while the connection looks alive, until the fate is another.
    Held,
}

/// A proxy in front of a server.
pub(super) struct Proxy {
    pub port: u16,
    /// Commits that were held back so far, or their answers.
    n_held: Arc<watch::Sender<u32>>,
    fate: Arc<watch::Sender<Fate>>,
    /// Where new connections lead to.
    server: Arc<Mutex<PathBuf>>,
}

impl Proxy {
    pub(super) async fn new(server: PathBuf) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let fate = Arc::new(watch::Sender::new(Fate::Passes));
        let n_held = Arc::new(watch::Sender::new(0));
        let (fates, holds) = (Arc::clone(&fate), Arc::clone(&n_held));
        let server = Arc::new(Mutex::new(server));
        let leads_to = Arc::clone(&server);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = leads_to.lock().expect("no holder panics").clone();
                let fates = fates.subscribe();
                let holds = Arc::clone(&holds);
                tokio::spawn(async move {
                    let _ = pass(client, server, fates, &holds).await;
                });
            }
        });
        Proxy { port, n_held, fate, server }
    }

    /// Waits until `n` commits, or their answers, were held back.
    pub(super) async fn held(&self, n_wanted: u32) {
        let mut n_held = self.n_held.subscribe();
        let wait = n_held.wait_for(|n| *n >= n_wanted);
        tokio::time::timeout(WAIT_MAX, wait).await.expect("a COMMIT came").expect("it is held");
    }

    /// Leads new connections to another server; those that are open stay where they are, as they
    /// do when an address moves.
    pub(super) fn lead_to(&self, server: PathBuf) {
        *self.server.lock().expect("no holder panics") = server;
    }

    pub(super) fn set(&self, fate: Fate) {
        self.fate.send_replace(fate);
    }
}

/// Passes bytes both ways until one side ends or a COMMIT meets its fate.
async fn pass(
    mut client: TcpStream,
    path: PathBuf,
    mut fate: watch::Receiver<Fate>,
    n_held: &watch::Sender<u32>,
) -> io::Result<()> {
    let mut server = UnixStream::connect(path).await?;
    let (mut up, mut down) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            n = client.read(&mut up) => {
                let bytes = &up[..n?];
                if bytes.is_empty() {
                    return Ok(());
                }
                if bytes.ends_with(b"\x03COMMIT") {
                    meet(&mut server, bytes, &mut fate, n_held).await?;
                } else {
                    server.write_all(bytes).await?;
                }
            }
            n = server.read(&mut down) => {
                let bytes = &down[..n?];
                if bytes.is_empty() {
                    return Ok(());
                }
                client.write_all(bytes).await?;
            }
        }
    }
}

/// Lets a COMMIT meet its fate; an error ends both connections.
async fn meet(
    server: &mut UnixStream,
    commit: &[u8],
    fate: &mut watch::Receiver<Fate>,
    n_held: &watch::Sender<u32>,
) -> io::Result<()> {
    let now = *fate.borrow_and_update();
    match now {
        Fate::Passes => server.write_all(commit).await,
        Fate::Lost => Err(io::ErrorKind::BrokenPipe.into()),
        Fate::AnswerLost | Fate::AnswerHeld => {
            server.write_all(commit).await?;
            let mut answer = [0; 1024];
            let _ = server.read(&mut answer).await?;
            if now == Fate::AnswerHeld {
                n_held.send_modify(|n| *n += 1);
                let _ = fate.changed().await;
            }
            Err(io::ErrorKind::BrokenPipe.into())
        }
        Fate::Held => {
            n_held.send_modify(|n| *n += 1);
            let _ = fate.changed().await;
            server.write_all(commit).await
        }
    }
}
