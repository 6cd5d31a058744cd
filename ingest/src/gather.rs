//! Group commit: joins the events of many requests into frames and appends them to the log.
//!
//! A gatherer per partition waits a few milliseconds for more, seals a frame and appends it in a
//! task of its own while it gathers the next. What was handed over is appended whether or not
//! its client still waits. What waits is bounded in events; beyond it a request is refused at once.

use std::sync::Arc;
use std::time::Duration;

use event::frame::{FrameBuilder, Stamp};
use event::limits::FRAME_EVENTS_MAX;
use ledger::window::Window;
use prometheus::IntGauge;
use queue::{Append, Position, Queue, QueueError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tracing::warn;

use crate::metrics::IngestMetrics;

/// Why events are not durable; nothing is promised of them.
#[derive(Clone, Debug, thiserror::Error)]
pub enum GatherError {
    /// Too many events wait already.
    #[error("too many events wait to be written")]
    Busy,
    /// The log refused.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The clock of ingest and the one that stamped the append are too far apart.
    #[error("the clocks of ingest and log are {apart_us} us apart")]
    Clock {
        /// How far.
        apart_us: u64,
    },
    /// The process is ending.
    #[error("the process is shutting down")]
    Closed,
}

/// The events of one request for one partition.
struct Job {
    builder: FrameBuilder,
    answer: oneshot::Sender<Result<Position, GatherError>>,
    place: Place,
}

/// A place among the events that wait; held until they are durable, which bounds what waits.
struct Place {
    _permit: OwnedSemaphorePermit,
    waiting: IntGauge,
    n: i64,
}

impl Place {
    /// Takes a place for so many events, if there is room.
    fn take(room: &Arc<Semaphore>, n: u32, waiting: &IntGauge) -> Option<Place> {
        let permit = Arc::clone(room).try_acquire_many_owned(n).ok()?;
        waiting.add(n.into());
        Some(Place { _permit: permit, waiting: waiting.clone(), n: n.into() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.waiting.sub(self.n);
    }
}

/// Hands events to the gatherers.
#[derive(Debug)]
pub struct Gatherers {
    jobs: Vec<mpsc::UnboundedSender<Job>>,
    room: Arc<Semaphore>,
    waiting: IntGauge,
}

/// How events are gathered.
#[derive(Clone, Copy, Debug)]
pub struct GatherOptions {
    /// How long a gatherer waits for more.
    pub gather: Duration,
    /// Most events that wait to be durable.
    pub events_max: usize,
    /// The generation's window: F bounds how far clocks may be apart.
    pub window: Window,
}

impl Gatherers {
    /// Starts a gatherer per partition. They end when the `Gatherers` are dropped and everything
    /// handed over has been answered.
    #[must_use]
    pub fn start(
        queue: &Arc<Queue>,
        options: GatherOptions,
        metrics: &IngestMetrics,
    ) -> (Gatherers, Vec<JoinHandle<()>>) {
        let mut jobs = Vec::new();
        let mut tasks = Vec::new();
        for partition in 0..queue.partitions() {
            let (sender, receiver) = mpsc::unbounded_channel();
            let gatherer = Gatherer {
                queue: Arc::clone(queue),
                partition,
                options,
                metrics: metrics.clone(),
                appends: JoinSet::new(),
            };
            jobs.push(sender);
            tasks.push(tokio::spawn(gatherer.run(receiver)));
        }
        let room = Arc::new(Semaphore::new(options.events_max.min(Semaphore::MAX_PERMITS)));
        (Gatherers { jobs, room, waiting: metrics.waiting.clone() }, tasks)
    }

    /// Hands events over and waits until all are durable; gives the last position per partition.
    ///
    /// # Errors
    /// Why they are not; some may be durable nonetheless.
    pub async fn append(
        &self,
        builders: Vec<(u32, FrameBuilder)>,
    ) -> Result<Vec<Position>, GatherError> {
        let mut waiting = Vec::with_capacity(builders.len());
        for (partition, builder) in builders {
            let n = u32::try_from(builder.len()).expect("at most 4,096 events");
            let place = Place::take(&self.room, n, &self.waiting).ok_or(GatherError::Busy)?;
            let (answer, answered) = oneshot::channel();
            let job = Job { builder, answer, place };
            let sender = usize::try_from(partition).ok().and_then(|at| self.jobs.get(at));
            sender.ok_or(GatherError::Closed)?.send(job).map_err(|_| GatherError::Closed)?;
            waiting.push(answered);
        }
        let mut positions = Vec::with_capacity(waiting.len());
        for answered in waiting {
            positions.push(answered.await.map_err(|_| GatherError::Closed)??);
        }
        Ok(positions)
    }
}

/// Gathers for one partition.
struct Gatherer {
    queue: Arc<Queue>,
    partition: u32,
    options: GatherOptions,
    metrics: IngestMetrics,
    appends: JoinSet<()>,
}

impl Gatherer {
    async fn run(mut self, mut jobs: mpsc::UnboundedReceiver<Job>) {
        let mut next = None;
        loop {
            let first = match next.take() {
                Some(job) => job,
                None => match jobs.recv().await {
                    Some(job) => job,
                    None => break,
                },
            };
            let (group, rest) = self.gather(first, &mut jobs).await;
            next = rest;
            self.append(group);
            while self.appends.try_join_next().is_some() {}
        }
        while self.appends.join_next().await.is_some() {}
    }

    /// Takes jobs until the frame is full or nobody came for a while; also gives the job that did
    /// not fit.
    async fn gather(
        &self,
        first: Job,
        jobs: &mut mpsc::UnboundedReceiver<Job>,
    ) -> (Vec<Job>, Option<Job>) {
        let end = tokio::time::Instant::now() + self.options.gather;
        let mut n = first.builder.len();
        let mut group = vec![first];
        while n < FRAME_EVENTS_MAX {
            match tokio::time::timeout_at(end, jobs.recv()).await {
                Ok(Some(job)) if n + job.builder.len() <= FRAME_EVENTS_MAX => {
                    n += job.builder.len();
                    group.push(job);
                }
                Ok(Some(job)) => return (group, Some(job)),
                Ok(None) | Err(_) => break,
            }
        }
        (group, None)
    }

    /// Seals a frame and appends it beside the gathering of the next.
    fn append(&mut self, group: Vec<Job>) {
        let ingest_us = now_us();
        let mut group = group.into_iter();
        let Some(first) = group.next() else { return };
        let mut frame = first.builder;
        let mut answers = vec![(first.answer, first.place)];
        for job in group {
            frame.merge(&job.builder).expect("jobs were gathered to fit one frame");
            answers.push((job.answer, job.place));
        }
        let bytes = frame.encode(Stamp { ingest_us, ..Stamp::default() });
        let record = Append { partition: self.partition, bytes: bytes.into() };
        let (queue, metrics) = (Arc::clone(&self.queue), self.metrics.clone());
        let ahead_us = self.options.window.ahead_us;
        self.appends.spawn(async move {
            let appended = queue.append(vec![record]).await;
            let answer = match appended.as_deref() {
                Ok([position]) => check_clocks(*position, ingest_us, ahead_us),
                Ok(_) => Err(GatherError::Closed),
                Err(error) => Err(GatherError::Queue(error.clone())),
            };
            if answer.is_ok() {
                metrics.frames.inc();
            }
            for (waiting, place) in answers {
                // Before the answer: whoever has it finds the room again.
                drop(place);
                // A client that is gone has no answer; its events are in the log all the same.
                let _ = waiting.send(answer.clone());
            }
        });
    }
}

/// Compares the ingest's stamp with the append time that came back.
fn check_clocks(
    position: Position,
    ingest_us: i64,
    ahead_us: i64,
) -> Result<Position, GatherError> {
    let apart_us = position.append_time_us.abs_diff(ingest_us);
    let limit_us = ahead_us.unsigned_abs();
    if apart_us > limit_us {
        return Err(GatherError::Clock { apart_us });
    }
    if apart_us > limit_us / 2 {
        warn!(apart_us, "clocks of ingest and log drift apart");
    }
    Ok(position)
}

/// The wall clock, microseconds since the epoch.
#[must_use]
pub fn now_us() -> i64 {
    let since =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
