//! The shell around `ledger::committer`: all partitions of this process commit in one transaction.
//!
//! Workers offer parts and wait for how they ended; the committer asks the others for theirs,
//! executes the commit, shows it and replies. All waiting happens here; who commits with whom and
//! what an outcome means is decided by the machine. A commit is always awaited to its end.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ledger::commit::{Commit, Outcome, Part, Resolution, Settled};
use ledger::committer::{Committer, Effect, Input};
use ledger::safeguard::Safeguards;
use service::chain;
use service::shutdown::Shutdown;
use store::{Store, StoreError};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::warn;

use crate::backoff::Backoff;
use crate::labels::LabelKeeper;
use crate::publisher::Publisher;

/// Longest wait for the parts of partitions that were asked: a worker answers between two reads,
/// which take a few milliseconds. Those that are late join the next commit.
const GATHER_MAX: Duration = Duration::from_millis(50);
/// Most messages of workers that wait while a commit is under way; each worker sends a few.
const MESSAGES_MAX: usize = 1_024;

/// What a worker says.
#[derive(Debug)]
enum Message {
    Joined(u32),
    Left(u32),
    Passed(u32),
    Offered(Arc<Part>, oneshot::Sender<Settled>),
}

/// A worker's way to the committer.
#[derive(Clone, Debug)]
pub struct Commits {
    messages: mpsc::Sender<Message>,
    /// Grows each time that parts are asked for.
    round: watch::Receiver<u64>,
    last: Arc<Mutex<Option<Instant>>>,
}

impl Commits {
    /// From now on the partition is asked for its part before each commit.
    pub async fn join(&self, partition: u32) {
        self.send(Message::Joined(partition)).await;
    }

    /// The partition is no longer asked.
    pub async fn leave(&self, partition: u32) {
        self.send(Message::Left(partition)).await;
    }

    /// The partition was asked and has nothing to commit.
    pub async fn pass(&self, partition: u32) {
        self.send(Message::Passed(partition)).await;
    }

    /// Commits a part; returns how it ended, or `None` if the committer has failed: it is not known
    /// then, and the process ends.
    pub async fn offer(&self, part: Arc<Part>) -> Option<Settled> {
        let (reply, settled) = oneshot::channel();
        self.send(Message::Offered(part, reply)).await;
        settled.await.ok()
    }

    /// Whether parts were asked for since the last call.
    pub fn is_asked(&mut self) -> bool {
        let is_asked = self.round.has_changed().unwrap_or(false);
        if is_asked {
            self.round.mark_unchanged();
        }
        is_asked
    }

    /// Waits until parts are asked for.
    pub async fn asked(&self) {
        let mut round = self.round.clone();
        if round.changed().await.is_err() {
            // The committer has failed, and the process ends.
            std::future::pending::<()>().await;
        }
    }

    /// When the last commit of this process took effect.
    #[must_use]
    pub fn last(&self) -> Option<Instant> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message to a committer that has failed is dropped: the process ends.
    async fn send(&self, message: Message) {
        let _ = self.messages.send(message).await;
    }
}

/// Makes the commits of this process.
#[derive(Debug)]
pub struct CommitLoop {
    machine: Committer,
    store: Arc<Store>,
    publisher: Arc<Publisher>,
    messages: mpsc::Receiver<Message>,
    round: watch::Sender<u64>,
    last: Arc<Mutex<Option<Instant>>>,
    replies: BTreeMap<u32, oneshot::Sender<Settled>>,
    labels: LabelKeeper,
    /// Whether a partition was claimed since labels were loaded: the ledger may be another one.
    labels_are_old: bool,
    late_at: Option<Instant>,
    backoff: Backoff,
    shutdown: Shutdown,
    finish_max: Duration,
}

impl CommitLoop {
    /// A committer and the way to it; it ends when all ways are dropped. Once shutdown has begun, a
    /// commit is waited for by `finish_max` at most: whether it takes effect or not, nothing is
    /// lost.
    ///
    /// # Errors
    /// If the random number generator fails.
    pub fn new(
        store: Arc<Store>,
        publisher: Arc<Publisher>,
        shutdown: Shutdown,
        finish_max: Duration,
    ) -> Result<(CommitLoop, Commits), getrandom::Error> {
        let mut nonce = [0; 8];
        getrandom::fill(&mut nonce)?;
        let (sender, messages) = mpsc::channel(MESSAGES_MAX);
        let (round, asked) = watch::channel(0);
        let last = Arc::default();
        let commits = Commits { messages: sender, round: asked, last: Arc::clone(&last) };
        let commit_loop = CommitLoop {
            machine: Committer::new(nonce, Safeguards::default()),
            store,
            publisher,
            messages,
            round,
            last,
            replies: BTreeMap::new(),
            labels: LabelKeeper::default(),
            labels_are_old: true,
            late_at: None,
            backoff: Backoff::new(shutdown.clone()),
            shutdown,
            finish_max,
        };
        Ok((commit_loop, commits))
    }

    /// Commits what the workers offer until they have all ended.
    ///
    /// # Errors
    /// A failure of the ledger after which the process must exit.
    pub async fn run(self) -> Result<(), StoreError> {
        let (shutdown, finish_max) = (self.shutdown.clone(), self.finish_max);
        tokio::select! {
            ended = self.work() => ended,
            () = async {
                shutdown.requested().await;
                tokio::time::sleep(finish_max).await;
            } => {
                warn!("last commit was abandoned, the next start counts those frames");
                Ok(())
            }
        }
    }

    async fn work(mut self) -> Result<(), StoreError> {
        loop {
            let message = match self.late_at {
                None => self.messages.recv().await,
                Some(at) => tokio::select! {
                    message = self.messages.recv() => message,
                    () = tokio::time::sleep_until(at.into()) => {
                        self.handle(Input::Late).await?;
                        continue;
                    }
                },
            };
            let input = match message {
                None => return Ok(()),
                Some(Message::Joined(partition)) => {
                    self.labels_are_old = true;
                    Input::Joined(partition)
                }
                Some(Message::Left(partition)) => Input::Left(partition),
                Some(Message::Passed(partition)) => Input::Passed(partition),
                Some(Message::Offered(part, reply)) => {
                    self.replies.insert(part.owner.partition, reply);
                    Input::Offered(part)
                }
            };
            self.handle(input).await?;
        }
    }

    /// Hands an input to the machine and executes the effects, in order, and those that follow.
    async fn handle(&mut self, input: Input) -> Result<(), StoreError> {
        let mut effects: VecDeque<Effect> = self.machine.on(input).into();
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Ask(_) => {
                    self.round.send_modify(|round| *round += 1);
                    self.late_at = Some(Instant::now() + GATHER_MAX);
                }
                Effect::Commit(commit) => {
                    let outcome = self.commit(commit).await?;
                    effects.extend(self.machine.on(Input::Ended(outcome)));
                }
                Effect::Resolve(commit) => {
                    let resolution = self.resolve(&commit).await?;
                    effects.extend(self.machine.on(Input::Resolved(resolution)));
                }
                Effect::Publish { commit, version } => {
                    *self.last.lock().unwrap_or_else(PoisonError::into_inner) =
                        Some(Instant::now());
                    self.backoff.reset();
                    self.publisher.committed(&commit, version);
                }
                Effect::Settle { partition, settled } => {
                    let reply = self.replies.remove(&partition);
                    // A worker that was given up during shutdown hears nothing.
                    reply.and_then(|reply| reply.send(settled).ok());
                }
            }
        }
        if !self.machine.is_gathering() {
            self.late_at = None;
        }
        Ok(())
    }

    async fn commit(&mut self, commit: Arc<Commit>) -> Result<Outcome, StoreError> {
        if let Err(error) = self.register(&commit).await {
            warn!(error = chain(&error), "labels could not be registered");
        }
        let (outcome, error) = self.store.commit(commit).await;
        if let Some(error) = error {
            self.failed(error).await?;
        }
        Ok(outcome)
    }

    /// Registers labels of the commit that a restored ledger lacks.
    async fn register(&mut self, commit: &Commit) -> Result<(), StoreError> {
        if self.labels_are_old {
            self.labels.load(&self.store).await?;
            self.labels_are_old = false;
        }
        self.labels.register(&self.store, &commit.rows).await
    }

    /// Looks a commit up; nothing else happens before its outcome is known.
    async fn resolve(&mut self, commit: &Commit) -> Result<Resolution, StoreError> {
        loop {
            match self.store.resolve(commit).await {
                Ok(resolution) => return Ok(resolution),
                Err(error) => self.failed(error).await?,
            }
        }
    }

    /// Backs off after a transient failure; returns a permanent one.
    async fn failed(&mut self, error: StoreError) -> Result<(), StoreError> {
        if error.is_fatal() {
            return Err(error);
        }
        let error = chain(&error);
        warn!(error, "ledger did not answer, retrying");
        self.backoff.wait().await;
        Ok(())
    }
}
