//! The second pass over late events: reads what `ledger::late` needs to decide, beside counting.
//!
//! A worker says what its ledger row says of late events; this loop reads the log with a reader of
//! its own and hands the verdicts to the worker, which commits them with whatever else it counts.
//! Nothing is kept between two batches: the next one begins where the ledger says that the last one
//! ended. It takes its time: a partition at a time, with pauses as long as its work at least.

mod walk;
mod desk;
mod round;

use std::sync::Arc;
use std::time::{Duration, Instant};

use queue::{Queue, QueueReader};
use service::chain;
use service::shutdown::{Phase, Shutdown};
use store::{Generation, Store};
use tracing::{info, warn};

pub use desk::LateDesk;

use crate::publisher::Publisher;
use desk::Standing;
use round::{Round, RoundError};

/// How often the desks are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Time between two looks at a partition while the page waits for its late events.
const HURRY: Duration = Duration::from_secs(1);
/// Pause behind a look after which nothing is left to decide, as a multiple of what it took.
const PAUSE_FACTOR: u32 = 4;
/// Longest such pause, unless the look took longer still.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Longest wait for a worker to commit verdicts; then they are made again.
const COMMIT_MAX: Duration = Duration::from_secs(60);

/// What the pass depends on.
#[derive(Debug)]
pub struct PassParts {
    /// The log.
    pub queue: Arc<Queue>,
    /// The ledger.
    pub store: Arc<Store>,
    /// Generation of the log.
    pub generation: Generation,
    /// Shows what is committed.
    pub publisher: Arc<Publisher>,
    /// Desks of the partitions.
    pub desks: Vec<Arc<LateDesk>>,
    /// Time between two looks at a partition.
    pub every: Duration,
}

/// A partition, as the pass sees it.
#[derive(Debug, Default)]
struct Seen {
    /// When it may be looked at next; at once after a claim.
    due: Option<Instant>,
    nonce: [u8; 16],
    /// What was handed over, and until when it is waited for.
    awaited: Option<(u64, Instant)>,
}

/// The loop.
#[derive(Debug)]
pub struct Pass {
    parts: PassParts,
    seen: Vec<Seen>,
    log: Option<QueueReader>,
    shutdown: Shutdown,
}

impl Pass {
    /// A pass that has not looked yet.
    #[must_use]
    pub fn new(parts: PassParts, shutdown: Shutdown) -> Pass {
        let seen = parts.desks.iter().map(|_| Seen::default()).collect();
        Pass { parts, seen, log: None, shutdown }
    }

    /// Decides until shutdown. Runs on a thread of its own: deciding takes longer than an async
    /// thread may be held.
    pub async fn run(mut self) {
        while self.shutdown.sleep(LOOK_EVERY).await == Phase::Running {
            for partition in 0..self.parts.desks.len() {
                let Some(standing) = self.due(partition) else { continue };
                let number = u32::try_from(partition).expect("partitions are counted by u32");
                let shutdown = self.shutdown.clone();
                tokio::select! {
                    () = self.decide(number, standing) => {}
                    () = shutdown.requested() => return,
                }
            }
            if self.is_idle() {
                self.close().await;
            }
        }
    }

    /// What a worker says of its partition, if that has to be decided now.
    fn due(&mut self, partition: usize) -> Option<Standing> {
        let standing = self.parts.desks[partition].standing()?;
        let seen = &mut self.seen[partition];
        if seen.nonce != standing.nonce {
            *seen = Seen { nonce: standing.nonce, ..Seen::default() };
        }
        if let Some((to, until)) = seen.awaited {
            if standing.late_next < to && Instant::now() < until {
                return None;
            }
            seen.awaited = None;
        }
        let is_due = seen.due.is_none_or(|at| Instant::now() >= at);
        (is_due && standing.undecided > 0).then_some(standing)
    }

    /// Decides one batch of a partition and hands it over.
    async fn decide(&mut self, partition: u32, standing: Standing) {
        let began = Instant::now();
        let more = match self.batch(partition, standing).await {
            Ok(more) => more,
            Err(error) => {
                warn!(partition, error = chain(&error), "late events could not be decided yet");
                false
            }
        };
        let took = began.elapsed();
        let is_awaited = self.parts.publisher.ready().is_err();
        let pause = match (more, is_awaited) {
            (true, _) => took,
            (false, true) => took.max(HURRY),
            (false, false) => self.parts.every.max(took).max(PAUSE_MAX.min(took * PAUSE_FACTOR)),
        };
        self.seen[partition as usize].due = Some(Instant::now() + pause);
    }

    /// Whether there are more late events than were decided.
    async fn batch(&mut self, partition: u32, standing: Standing) -> Result<bool, RoundError> {
        let log = match self.log.take() {
            Some(log) => log,
            None => self.parts.queue.read_beside().await?,
        };
        let round = Round {
            log: &log,
            store: &self.parts.store,
            generation: &self.parts.generation,
            partition,
            standing,
        };
        let verdicts = round.decide().await;
        self.log = Some(log);
        let verdicts = verdicts?;
        let (merged, duplicate) = (verdicts.merged.len(), verdicts.duplicate);
        let expired = verdicts.expired;
        info!(partition, to = verdicts.to, merged, duplicate, expired, "late events decided");
        if expired > 0 {
            warn!(partition, expired, "late events expired: the log of their time is gone");
        }
        let more = verdicts.to < standing.next;
        let awaited = (verdicts.to, Instant::now() + COMMIT_MAX);
        self.seen[partition as usize].awaited = Some(awaited);
        self.parts.desks[partition as usize].hand_over(standing.nonce, verdicts);
        Ok(more)
    }

    /// Whether nothing has to be decided.
    fn is_idle(&self) -> bool {
        let mut standings = self.parts.desks.iter().filter_map(|desk| desk.standing());
        standings.all(|standing| standing.undecided == 0)
    }

    /// Closes the reader of its own: a consumer of Kafka reads ahead. Embedded, the connections are
    /// those of the log.
    async fn close(&mut self) {
        if let Some(log @ QueueReader::Kafka(_)) = self.log.take() {
            log.close().await;
        }
    }
}
