//! What can go wrong in the queue, one enum for the crate.
//! Each variant states what a caller may do next: try again later, give up this call, or exit.
//! The enum is `Clone`, because one failed group commit answers many callers. A variant never
//! carries bytes of a record.

use std::path::PathBuf;
use std::sync::Arc;

use rdkafka::error::KafkaError;

use crate::sqlite::SqliteClass;

/// An error of the queue.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueueError {
    /// Too many appends wait, or the log has reached its `bytes_max` and the consumer is not
    /// far enough for retention to make room. Try again later. Embedded, nothing was
    /// written; on Kafka, records of the call that were sent before may be in the log.
    #[error("the queue is full")]
    Full,
    /// The disk is full, or appends would eat the space left for the ledger. Nothing of this
    /// call was acknowledged; reads go on; try again later.
    #[error("the disk of the queue is full")]
    DiskFull,
    /// Another process holds the write lock of the log's file. Nothing was written; try again
    /// later.
    #[error("the log is locked by another process")]
    Locked,
    /// The file cannot be written at present, for lack of a permission or a readable page; the
    /// cause is in the log of the process. Nothing was written; try again later.
    #[error("the log cannot be written now")]
    Unwritable,
    /// A write or sync failed, and what the disk holds now is uncertain. The writer has stopped
    /// for good, the cause is in the log, and the process must exit and start again.
    #[error("the queue stopped after a failed write; the process must be restarted")]
    Fatal,
    /// The queue was closed; nothing was written.
    #[error("the queue is closed")]
    Closed,
    /// The wall clock cannot be trusted, so no append time can be given.
    #[error(
        "the wall clock shows {wall_us} us where {expected_us} us was expected; \
         set the clock right, then restart, with --accept-clock if it is right as it is"
    )]
    Clock {
        /// What the wall clock showed, in microseconds since the Unix epoch.
        wall_us: i64,
        /// What the boot clock, or the last append, led to expect, in the same unit.
        expected_us: i64,
    },
    /// The offset asked for is no longer retained.
    #[error("the log starts at offset {low}; what was before it has been deleted")]
    Gap {
        /// Oldest offset that is retained.
        low: u64,
    },
    /// The offset asked for lies past the end: the log was truncated or made anew.
    #[error("the log ends at offset {high}, before the offset asked for")]
    PastEnd {
        /// Next offset to be written.
        high: u64,
    },
    /// Records are missing between two that are there: the file is damaged.
    #[error("the log has no record at offset {offset}; the next one is at {next}")]
    Hole {
        /// First offset that is missing.
        offset: u64,
        /// First offset after the hole.
        next: u64,
    },
    /// One append call brought more than the queue ever takes at once.
    #[error("an append of {bytes} bytes is above the limit of {bytes_max}")]
    TooLarge {
        /// Bytes of all records of the call.
        bytes: usize,
        /// The limit in bytes.
        bytes_max: usize,
    },
    /// There is no such partition.
    #[error("partition {partition} does not exist; the log has {partitions}")]
    Partition {
        /// The partition asked for.
        partition: u32,
        /// How many there are, counted from 0.
        partitions: u32,
    },
    /// The partition belongs to another member of the group, or to none yet: wait with
    /// [`crate::Queue::assigned`]. What was read before may belong to another member by now.
    #[error("partition {partition} is not assigned to this process")]
    NotAssigned {
        /// The partition.
        partition: u32,
    },
    /// The log was opened for the other direction only.
    #[error("the log was opened only to {opened_to}")]
    Direction {
        /// What this process can do with it.
        opened_to: &'static str,
    },
    /// There is no such topic, and this call makes none.
    #[error("there is no topic {topic}")]
    TopicMissing {
        /// The topic.
        topic: String,
    },
    /// The topic was deleted and made anew since it was opened: it holds other records.
    #[error("topic {topic} was made anew since it was opened")]
    Remade {
        /// The topic.
        topic: String,
    },
    /// The topic is there, but is laid out in a way that would lose or spoil records.
    #[error(
        "topic {topic} has {setting} {found} where {wanted} is needed; \
         change the topic, or the settings of this program"
    )]
    TopicSetting {
        /// The topic.
        topic: String,
        /// Kafka's name of the setting, or what else it is.
        setting: &'static str,
        /// What the topic has.
        found: String,
        /// What is needed.
        wanted: String,
    },
    /// A setting of the Kafka client was refused. Never holds the value: it may be a secret.
    #[error("the Kafka client refuses {setting}: {reason}")]
    KafkaSetting {
        /// Name in librdkafka's terms.
        setting: String,
        /// The reason that the client gives.
        reason: String,
    },
    /// The brokers hold a record at this offset, but did not deliver it in time.
    #[error("partition {partition} has a record at offset {offset}, but no broker sent it in time")]
    Slow {
        /// The partition.
        partition: u32,
        /// The offset asked for.
        offset: u64,
    },
    /// A call to the brokers failed or was not answered. After an append, records of the call
    /// may be in the log.
    #[error("cannot {action}")]
    Kafka {
        /// What was tried.
        action: &'static str,
        /// The error of the client.
        #[source]
        source: Arc<KafkaError>,
    },
    /// Another process owns the data directory.
    #[error("the data directory {} is in use by {}", .dir.display(), holder(*.pid))]
    LockHeld {
        /// The data directory.
        dir: PathBuf,
        /// Process id of the holder, where it could be read.
        pid: Option<u32>,
    },
    /// There is no log in the directory.
    #[error("there is no log at {}", .path.display())]
    Missing {
        /// The file that was looked for.
        path: PathBuf,
    },
    /// The file was written by a newer version of the program.
    #[error("the log {} has format {found}; this program knows format {known}", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Format that the file names.
        found: i64,
        /// Format that this program writes.
        known: i64,
    },
    /// The SQLite in use has a known bug that corrupts write-ahead logs.
    #[error("SQLite {found} is too old: at least {needed} is needed to keep a log safely")]
    SqliteTooOld {
        /// Version that is linked.
        found: String,
        /// Oldest version that is accepted.
        needed: &'static str,
    },
    /// The file system or the file does not allow what makes a commit durable.
    #[error("the log {} cannot be kept durably: {setting} is {found}", .path.display())]
    NotDurable {
        /// The file.
        path: PathBuf,
        /// The setting of SQLite that did not take.
        setting: &'static str,
        /// What it is instead.
        found: String,
    },
    /// The file contradicts itself; it is not opened.
    #[error("the log {} is damaged: {reason}", .path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The contradiction.
        reason: String,
    },
    /// A file operation failed.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// A database operation other than a write failed.
    #[error("cannot {action}")]
    Sql {
        /// What was tried.
        action: &'static str,
        /// The error of the database.
        #[source]
        source: Arc<sqlx::Error>,
    },
}

impl QueueError {
    /// Whether the storage failed or contradicts itself: what it holds is uncertain, and the
    /// process must exit.
    #[must_use]
    pub fn is_storage(&self) -> bool {
        match self {
            QueueError::Fatal | QueueError::Corrupt { .. } => true,
            QueueError::Sql { source, .. } => SqliteClass::of(source) == SqliteClass::Ends,
            _ => false,
        }
    }

    /// Whether another process holds a lock: that passes, and the caller should try again.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        match self {
            QueueError::Locked => true,
            QueueError::Sql { source, .. } => SqliteClass::of(source) == SqliteClass::Locked,
            _ => false,
        }
    }

    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
        source: std::io::Error,
    ) -> QueueError {
        QueueError::Io { action, path: path.into(), source: Arc::new(source) }
    }

    /// For `map_err` on calls to the brokers.
    pub(crate) fn kafka(action: &'static str) -> impl FnOnce(KafkaError) -> QueueError {
        move |source| match source {
            KafkaError::ClientConfig(_, reason, setting, _) => {
                QueueError::KafkaSetting { setting, reason }
            }
            other => QueueError::Kafka { action, source: Arc::new(other) },
        }
    }

    /// For `map_err` on reads and opens; a pool that was closed means that the queue was.
    pub(crate) fn sql(action: &'static str) -> impl FnOnce(sqlx::Error) -> QueueError {
        move |source| match source {
            sqlx::Error::PoolClosed => QueueError::Closed,
            other => QueueError::Sql { action, source: Arc::new(other) },
        }
    }
}

fn holder(pid: Option<u32>) -> String {
    match pid {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    }
}
