//! One connection through the proxy: two pumps, each reading a piece, applying the faults of its
//! direction and writing it on.
//!
//! A pump never holds more than one piece. Faults are looked at for every piece, so a switch takes
//! effect on connections that are open. Whatever cuts a connection resets both of its sides.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::commit::CommitScanner;
use crate::faults::{Faults, Flow, Path, Seen};

const PIECE_BYTES_MAX: usize = 16 * 1024;

/// What all connections share.
#[derive(Clone, Debug)]
pub struct Desk {
    pub faults: watch::Sender<Faults>,
    pub seen: watch::Sender<Seen>,
    /// Connections that began before the last cut end.
    pub n_cuts: watch::Sender<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    ToServer,
    ToClient,
}

/// Whether the next answer of the server is still owed to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Passed,
    Swallowed,
}

/// One direction of one connection.
struct Pump<'a> {
    desk: &'a Desk,
    direction: Direction,
    scanner: CommitScanner,
    answer: &'a watch::Sender<Answer>,
}

/// Joins both sides until they end, or one is cut.
pub async fn join(desk: &Desk, mut client: TcpStream, mut server: TcpStream) {
    let mut n_cuts = desk.n_cuts.subscribe();
    let n_cuts_before = *n_cuts.borrow_and_update();
    desk.seen.send_modify(|seen| seen.n_joined += 1);
    let (answer, _) = watch::channel(Answer::Passed);
    let ended = {
        let (client_read, client_write) = client.split();
        let (server_read, server_write) = server.split();
        let pump = |direction| Pump {
            desk,
            direction,
            scanner: CommitScanner::default(),
            answer: &answer,
        };
        let both = async {
            tokio::try_join!(
                pump(Direction::ToServer).run(client_read, server_write),
                pump(Direction::ToClient).run(server_read, client_write),
            )
        };
        tokio::select! {
            biased;
            _ = n_cuts.wait_for(|n_cuts| *n_cuts > n_cuts_before) => Err(cut()),
            ended = both => ended.map(drop),
        }
    };
    if ended.is_err() {
        reset(desk, client);
        reset_quietly(server);
    }
}

/// Ends a connection as a broken host does, and counts it.
pub fn reset(desk: &Desk, stream: TcpStream) {
    reset_quietly(stream);
    desk.seen.send_modify(|seen| seen.n_reset += 1);
}

fn reset_quietly(stream: TcpStream) {
    // Where the other side was faster there is nothing left to reset.
    let _ = stream.set_zero_linger();
}

fn cut() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

impl Pump<'_> {
    async fn run(
        mut self,
        mut source: impl AsyncRead + Unpin,
        mut target: impl AsyncWrite + Unpin,
    ) -> io::Result<()> {
        let mut piece = vec![0; PIECE_BYTES_MAX];
        loop {
            let n_bytes = source.read(&mut piece).await?;
            self.count(n_bytes);
            self.hold_back().await;
            if n_bytes == 0 {
                return target.shutdown().await;
            }
            let bytes = &piece[..n_bytes];
            self.watch_for_commit(bytes)?;
            let n_allowed = self.spend(n_bytes);
            target.write_all(&bytes[..n_allowed]).await?;
            if n_allowed < n_bytes {
                return Err(cut());
            }
        }
    }

    fn count(&self, n_bytes: usize) {
        let n_bytes = n_bytes as u64;
        self.desk.seen.send_modify(|seen| match self.direction {
            Direction::ToServer => seen.n_bytes_from_client += n_bytes,
            Direction::ToClient => seen.n_bytes_from_server += n_bytes,
        });
    }

    /// The delay, then the wait for an open direction.
    async fn hold_back(&self) {
        let delay = path(&self.desk.faults.borrow(), self.direction).delay;
        if !delay.is_zero() {
            // The wait is the fault itself, not a wait for a state.
            tokio::time::sleep(delay).await;
        }
        let mut faults = self.desk.faults.subscribe();
        let is_open = |faults: &Faults| path(faults, self.direction).flow == Flow::Open;
        // The sender outlives every connection, so this fails never.
        let _ = faults.wait_for(is_open).await;
    }

    /// Marks the connection before a COMMIT goes on, so that its answer cannot slip through; on
    /// the way back, cuts it in place of that answer.
    fn watch_for_commit(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.direction {
            Direction::ToServer => {
                let n_commits = self.scanner.push(bytes) as u64;
                if n_commits > 0 {
                    self.desk.seen.send_modify(|seen| seen.n_commits += n_commits);
                    if self.take_drop() {
                        self.answer.send_replace(Answer::Swallowed);
                    }
                }
                Ok(())
            }
            Direction::ToClient if *self.answer.borrow() == Answer::Swallowed => {
                self.desk.seen.send_modify(|seen| seen.n_commit_answers_dropped += 1);
                Err(cut())
            }
            Direction::ToClient => Ok(()),
        }
    }

    fn take_drop(&self) -> bool {
        self.desk.faults.send_if_modified(|faults| {
            let n_left = &mut faults.n_commit_answers_dropped;
            let is_dropped = *n_left > 0;
            *n_left = n_left.saturating_sub(1);
            is_dropped
        })
    }

    /// How many of so many bytes may pass; they count against the limit.
    fn spend(&self, n_bytes: usize) -> usize {
        let mut n_allowed = n_bytes;
        self.desk.faults.send_if_modified(|faults| {
            let Some(n_left) = &mut path_mut(faults, self.direction).n_bytes_left else {
                return false;
            };
            n_allowed = usize::try_from(*n_left).unwrap_or(usize::MAX).min(n_bytes);
            *n_left -= n_allowed as u64;
            n_allowed > 0
        });
        n_allowed
    }
}

fn path(faults: &Faults, direction: Direction) -> &Path {
    match direction {
        Direction::ToServer => &faults.to_server,
        Direction::ToClient => &faults.to_client,
    }
}

fn path_mut(faults: &mut Faults, direction: Direction) -> &mut Path {
    match direction {
        Direction::ToServer => &mut faults.to_server,
        Direction::ToClient => &mut faults.to_client,
    }
}
