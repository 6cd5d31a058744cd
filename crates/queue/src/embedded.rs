//! The embedded log: one SQLite file, one partition, one writer, a few readers.
//! Appends go through a bounded channel to the writer's task; reads go to connections of their
//! own. This file only connects the two and holds no state of the log itself.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, TryAcquireError, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::checkpoint::{self, CheckpointLimits, Checkpointer};
use crate::clock::{ClockGuard, ClockPolicy, ClockSource, Refusal};
use crate::command::{Command, Waiting};
use crate::disk::DiskReserve;
use crate::error::QueueError;
use crate::foreign_lock::ForeignLock;
use crate::limits::{
    APPEND_BYTES_MAX, APPENDS_WAITING_MAX, BYTES_MAX, DISK_RESERVE_BYTES, RETAIN_CHUNKS_MAX,
    RETENTION_US,
};
use crate::reader::Reader;
use crate::record::{Append, Position, RetainReport};
use crate::retain::Retention;
use crate::schema;
use crate::writer::{CLOCK_JUMPED, Ended, LOCKED, Shown, Writer};

/// Settings of an embedded log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmbeddedOptions {
    /// Age in microseconds from which a record below the floor may be deleted.
    pub retention_us: i64,
    /// Bound on the log bytes held, row overhead included. At the bound appends are refused;
    /// retention trims to seven eighths of it.
    pub bytes_max: u64,
    /// Disk space in bytes that appends leave free for the ledger.
    pub disk_reserve_bytes: u64,
    /// An operator confirms the wall clock as it is now, although the log's last append is
    /// later. Jumps after the start are refused all the same.
    pub accept_clock: bool,
}

impl Default for EmbeddedOptions {
    fn default() -> EmbeddedOptions {
        EmbeddedOptions {
            retention_us: RETENTION_US,
            bytes_max: BYTES_MAX,
            disk_reserve_bytes: DISK_RESERVE_BYTES,
            accept_clock: false,
        }
    }
}

/// What tests set and users cannot.
#[derive(Debug, Clone)]
pub(crate) struct Internals {
    pub clock: ClockSource,
    pub checkpoint: CheckpointLimits,
    /// Most pages that the file may have, to play a full disk.
    pub pages_max: Option<u32>,
}

impl Default for Internals {
    fn default() -> Internals {
        Internals {
            clock: ClockSource::System,
            checkpoint: CheckpointLimits::default(),
            pages_max: None,
        }
    }
}

/// A log in one SQLite file. Made by [`crate::Queue::open_embedded`].
#[derive(Debug)]
pub struct Embedded {
    dir: PathBuf,
    commands: mpsc::Sender<Command>,
    room: Arc<Semaphore>,
    pub(crate) reader: Reader,
    high: watch::Receiver<u64>,
    fatal: watch::Receiver<bool>,
    refusing: watch::Receiver<Option<&'static str>>,
    lock: Arc<ForeignLock>,
    bytes: Arc<AtomicU64>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Embedded {
    pub(crate) async fn open(
        dir: &Path,
        options: EmbeddedOptions,
        internals: Internals,
    ) -> Result<Embedded, QueueError> {
        let now = internals.clock.read();
        let (mut conn, head) = schema::open_writer(dir, now.wall_us).await?;
        if let Some(pages_max) = internals.pages_max {
            schema::limit_pages(&mut conn, pages_max).await?;
        }
        let page_bytes = schema::page_bytes(&mut conn).await?;
        let reader = Reader::open(dir).await?;
        let policy = match options.accept_clock {
            true => ClockPolicy::Accept,
            false => ClockPolicy::Check,
        };
        let guard = ClockGuard::open(now, head.last_append_us, policy);
        if let Some(Refusal { wall_us, expected_us }) = guard.refusal() {
            tracing::error!(wall_us, expected_us, "the wall clock is behind the last append");
        }
        let bytes = Arc::new(AtomicU64::new(head.bytes));
        let (high_sender, high) = watch::channel(head.high);
        let (fatal_sender, fatal) = watch::channel(false);
        let (refusing_sender, refusing) = watch::channel(guard.refusal().map(|_| CLOCK_JUMPED));
        let lock = Arc::new(ForeignLock::new(LOCKED));
        let writer = Writer {
            path: dir.join(schema::FILE),
            conn,
            reader: reader.clone(),
            head,
            retention: Retention { age_us: options.retention_us, bytes_max: options.bytes_max },
            clock: internals.clock,
            guard,
            disk: DiskReserve::new(dir, options.disk_reserve_bytes, page_bytes),
            checkpointer: Checkpointer::new(dir, internals.checkpoint, page_bytes),
            shown: Shown {
                high: high_sender,
                fatal: fatal_sender.clone(),
                bytes: Arc::clone(&bytes),
                refusing: refusing_sender,
            },
            short_of_space: false,
            unwritable: false,
            lock: Arc::clone(&lock),
            unsettled: false,
        };
        let (commands, receiver) = mpsc::channel(APPENDS_WAITING_MAX);
        let task = tokio::spawn(supervise(writer, receiver, fatal_sender));
        Ok(Embedded {
            dir: dir.to_path_buf(),
            commands,
            room: Arc::new(Semaphore::new(APPEND_BYTES_MAX)),
            reader,
            high,
            fatal,
            refusing,
            lock,
            bytes,
            writer: Mutex::new(Some(task)),
        })
    }

    pub(crate) async fn append(&self, records: Vec<Append>) -> Result<Vec<Position>, QueueError> {
        for record in &records {
            self.reader.check_partition(record.partition)?;
        }
        if records.is_empty() {
            return Ok(Vec::new());
        }
        // An empty record waits as well and takes its place.
        let bytes = records.iter().map(|r| r.bytes.len().max(1)).sum::<usize>();
        if bytes > APPEND_BYTES_MAX {
            return Err(QueueError::TooLarge { bytes, bytes_max: APPEND_BYTES_MAX });
        }
        let permits = u32::try_from(bytes).expect("bounded by a constant below 2^32");
        let room = match Arc::clone(&self.room).try_acquire_many_owned(permits) {
            Ok(room) => room,
            Err(TryAcquireError::NoPermits) => return Err(QueueError::Full),
            Err(TryAcquireError::Closed) => return Err(QueueError::Closed),
        };
        let (answer, answered) = oneshot::channel();
        match self.commands.try_send(Command::Append(Waiting { records, _room: room, answer })) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => return Err(QueueError::Full),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(self.gone()),
        }
        answered.await.unwrap_or_else(|_| Err(self.gone()))
    }

    pub(crate) async fn retain(
        &self,
        partition: u32,
        floor: u64,
        now_us: i64,
    ) -> Result<RetainReport, QueueError> {
        self.reader.check_partition(partition)?;
        let mut total = self.retain_chunk(floor, now_us).await?;
        for _ in 1..RETAIN_CHUNKS_MAX {
            if !total.more {
                break;
            }
            let chunk = self.retain_chunk(floor, now_us).await?;
            total = RetainReport {
                deleted: total.deleted + chunk.deleted,
                deleted_bytes: total.deleted_bytes + chunk.deleted_bytes,
                ..chunk
            };
        }
        Ok(total)
    }

    async fn retain_chunk(&self, floor: u64, now_us: i64) -> Result<RetainReport, QueueError> {
        let (answer, answered) = oneshot::channel();
        let command = Command::Retain { floor, now_us, answer };
        self.commands.send(command).await.map_err(|_| self.gone())?;
        answered.await.unwrap_or_else(|_| Err(self.gone()))
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.high.clone()
    }

    pub(crate) fn refusing(&self) -> Option<&'static str> {
        self.refusing.borrow().or_else(|| self.lock.report())
    }

    pub(crate) fn fatal(&self) -> watch::Receiver<bool> {
        self.fatal.clone()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn wal_bytes(&self) -> u64 {
        checkpoint::wal_bytes(&self.dir)
    }

    pub(crate) async fn close(&self) {
        let _ = self.commands.send(Command::Close).await;
        let task = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            let _ = task.await;
        }
        // The writer has closed the readers already, unless it failed.
        self.reader.close().await;
    }

    /// Why the writer cannot answer any more.
    fn gone(&self) -> QueueError {
        match *self.fatal.borrow() {
            true => QueueError::Fatal,
            false => QueueError::Closed,
        }
    }
}

/// A writer that panics has failed as well, and the process must exit.
async fn supervise(writer: Writer, commands: mpsc::Receiver<Command>, fatal: watch::Sender<bool>) {
    match tokio::spawn(writer.run(commands)).await {
        Ok(Ended::Closed | Ended::Fatal) => {}
        Err(error) => {
            tracing::error!(%error, "the queue's writer panicked, the process must exit");
            fatal.send_replace(true);
        }
    }
}
