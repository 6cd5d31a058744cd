//! Group commit: merges the events of many requests into frames and appends them to the log.
//!
//! A gatherer per partition waits a few milliseconds for more events, seals a frame and appends it
//! in a task of its own while it gathers the next. Submitted events are appended even if their
//! client has disconnected. The number of events in flight is bounded; above it, requests are shed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use clock::Wall;
use event::frame::{EventColumns, FrameEncoder, Stamp, Version};
use event::limits::FRAME_EVENTS_MAX;
use ledger::window::Window;
use prometheus::IntGauge;
use queue::{Append, Position, Queue, QueueError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tracing::warn;

use crate::label::LabelCache;
use crate::metrics::IngestMetrics;

/// Why events may not be durable.
#[derive(Clone, Debug, thiserror::Error)]
pub enum GatherError {
    /// Too many events are in flight.
    #[error("too many events wait to be written")]
    Busy,
    /// The append failed.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The clocks of ingest and of the log, which stamped the append, are too far apart.
    #[error("the clocks of ingest and log are {apart_us} us apart")]
    Clock {
        /// Microseconds.
        apart_us: u64,
    },
    /// The process is shutting down.
    #[error("the process is shutting down")]
    Closed,
}

/// The events of one request for one partition.
struct Job {
    columns: EventColumns,
    answer: oneshot::Sender<Result<Position, GatherError>>,
    reservation: Reservation,
}

/// Capacity reserved for events in flight, released when their append is over.
struct Reservation {
    _permit: OwnedSemaphorePermit,
    waiting: IntGauge,
    n: i64,
}

impl Reservation {
    /// Reserves capacity for `n` events. Returns `None` if there is not enough.
    fn try_acquire(capacity: &Arc<Semaphore>, n: u32, waiting: &IntGauge) -> Option<Reservation> {
        let permit = Arc::clone(capacity).try_acquire_many_owned(n).ok()?;
        waiting.add(n.into());
        Some(Reservation { _permit: permit, waiting: waiting.clone(), n: n.into() })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.waiting.sub(self.n);
    }
}

/// Submits events to the gatherers.
#[derive(Debug)]
pub struct Gatherers {
    jobs: Vec<mpsc::UnboundedSender<Job>>,
    capacity: Arc<Semaphore>,
    waiting: IntGauge,
}

/// How events are gathered.
#[derive(Clone, Debug)]
pub struct GatherOptions {
    /// Version of the frames, as the ledger has it: it is raised while ingest runs.
    pub frame_version: Arc<AtomicU8>,
    /// How long a gatherer waits for more events.
    pub gather: Duration,
    /// Most events in flight.
    pub events_max: usize,
    /// The generation's window; its `ahead_us` bounds the clock skew.
    pub window: Window,
}

impl Gatherers {
    /// Starts a gatherer per partition. The tasks end once the `Gatherers` are dropped and every
    /// event in flight is appended.
    #[must_use]
    pub fn start(
        queue: &Arc<Queue>,
        labels: &Arc<LabelCache>,
        options: GatherOptions,
        metrics: &IngestMetrics,
    ) -> (Gatherers, Vec<JoinHandle<()>>) {
        let mut jobs = Vec::new();
        let mut tasks = Vec::new();
        for partition in 0..queue.partitions() {
            let (sender, receiver) = mpsc::unbounded_channel();
            let gatherer = Gatherer {
                queue: Arc::clone(queue),
                labels: Arc::clone(labels),
                partition,
                options: options.clone(),
                metrics: metrics.clone(),
                encoder: FrameEncoder::default(),
                frame: EventColumns::default(),
                appends: JoinSet::new(),
            };
            jobs.push(sender);
            tasks.push(tokio::spawn(gatherer.run(receiver)));
        }
        let capacity = Arc::new(Semaphore::new(options.events_max.min(Semaphore::MAX_PERMITS)));
        (Gatherers { jobs, capacity, waiting: metrics.waiting.clone() }, tasks)
    }

    /// Submits events and waits until all are durable. Returns their position in each partition, in
    /// order. Events that were submitted are appended even if this is cancelled.
    ///
    /// # Errors
    /// If any events may not be durable; some or all may be nonetheless.
    pub async fn append(
        &self,
        by_partition: Vec<(u32, EventColumns)>,
    ) -> Result<Vec<Position>, GatherError> {
        let mut waiting = Vec::with_capacity(by_partition.len());
        for (partition, columns) in by_partition {
            let n = u32::try_from(columns.len()).expect("at most 4,096 events");
            let reservation = Reservation::try_acquire(&self.capacity, n, &self.waiting)
                .ok_or(GatherError::Busy)?;
            let (answer, answered) = oneshot::channel();
            let job = Job { columns, answer, reservation };
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

/// The gatherer of one partition.
struct Gatherer {
    queue: Arc<Queue>,
    /// The texts that the labels' numbers stand for.
    labels: Arc<LabelCache>,
    partition: u32,
    options: GatherOptions,
    metrics: IngestMetrics,
    encoder: FrameEncoder,
    /// The events of several jobs, while they are encoded; kept for its memory.
    frame: EventColumns,
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

    /// Collects jobs until the frame is full or the wait is over. Also returns the job that did not
    /// fit, if any.
    async fn gather(
        &self,
        first: Job,
        jobs: &mut mpsc::UnboundedReceiver<Job>,
    ) -> (Vec<Job>, Option<Job>) {
        let end = tokio::time::Instant::now() + self.options.gather;
        let mut n = first.columns.len();
        let mut group = vec![first];
        while n < FRAME_EVENTS_MAX {
            match tokio::time::timeout_at(end, jobs.recv()).await {
                Ok(Some(job)) if n + job.columns.len() <= FRAME_EVENTS_MAX => {
                    n += job.columns.len();
                    group.push(job);
                }
                Ok(Some(job)) => return (group, Some(job)),
                Ok(None) | Err(_) => break,
            }
        }
        (group, None)
    }

    /// The version of the next frame: the ledger's, or the highest that this program knows.
    fn version(&self) -> Version {
        let number = self.options.frame_version.load(Ordering::Relaxed);
        Version::from_number(number).unwrap_or(Version::NEWEST)
    }

    /// The frame of a group's events.
    fn encode(&mut self, group: &[Job], stamp: Stamp) -> Vec<u8> {
        let columns = match group {
            [job] => &job.columns,
            group => {
                self.frame.clear();
                for job in group {
                    self.frame.append(&job.columns).expect("jobs were gathered to fit one frame");
                }
                &self.frame
            }
        };
        self.encoder.encode(columns, &*self.labels.known(), stamp, self.version())
    }

    /// Seals a frame and appends it in the background.
    fn append(&mut self, group: Vec<Job>) {
        let ingest_us = Wall::now().as_us();
        let bytes = self.encode(&group, Stamp { ingest_us, ..Stamp::default() });
        let answers: Vec<_> = group.into_iter().map(|job| (job.answer, job.reservation)).collect();
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
            for (waiting, reservation) in answers {
                // Before the answer, so that a client with an answer finds the capacity free.
                drop(reservation);
                // The client may have disconnected; its events are in the log all the same.
                let _ = waiting.send(answer.clone());
            }
        });
    }
}

/// Compares ingest's stamp with the append time of the log.
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
