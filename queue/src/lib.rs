//! A durable ordered log of opaque records.
//!
//! Records go in through [`Queue::append`], get an offset, and come out through [`Queue::read`]
//! in the order of their offsets, as often as the consumer asks, until retention deletes them.
//! The queue does not know what a record holds and must never look.
//!
//! # The contract
//! - **Durable.** When `append` returns `Ok`, the records of that call survive the death of the
//!   process and the loss of power: embedded, their transaction has been committed with
//!   `synchronous=FULL`, which means that the file system has said that it is on the disk.
//! - **All or nothing.** The records of one call are in the log together, with consecutive
//!   offsets in the order of the call, or not at all. That also holds if the caller stops
//!   waiting: its future can be dropped at any time.
//! - **At least once.** After any error but those that say that nothing was written, a record
//!   may still be in the log. The producer repeats the call, the consumer removes duplicates.
//! - **Ordered, without holes.** Offsets start at 0 and grow by one per record, also after
//!   retention has deleted everything. A read returns consecutive offsets from the one asked
//!   for, or says why it cannot.
//! - **Never silently wrong.** A record whose bytes the storage garbled is delivered with
//!   `intact: false`; a file that contradicts itself is not opened; after a failed write or
//!   sync the writer stops for good and [`Queue::fatal`] turns true.
//! - **Append time** is the writer's wall clock as it is; a clock that cannot be trusted stops
//!   the appends instead of being corrected.

// From the foundation up; a file uses only groups above its own.
mod fault;

mod error;
mod limits;

mod clock;
mod lock;
mod record;

mod schema;

mod checkpoint;
mod command;
mod disk;
mod reader;
mod retain;

mod writer;

mod embedded;

#[cfg(test)]
mod tests;

use std::path::Path;

use tokio::sync::watch;

pub use embedded::{Embedded, EmbeddedOptions};
pub use error::QueueError;
pub use limits::{
    APPEND_BYTES_MAX, APPENDS_WAITING_MAX, BYTES_MAX, CLOCK_ALARM_US, CLOCK_BACK_US_MAX,
    CLOCK_FORWARD_US_MAX, DISK_RESERVE_BYTES, READ_RECORDS_MAX, RETENTION_US, ROW_BYTES,
    WAL_ALARM_BYTES,
};
pub use lock::DirectoryLock;
pub use record::{Append, Position, Record, RetainReport, Watermarks};

/// A log that can be written and read.
#[derive(Debug)]
pub enum Queue {
    /// One SQLite file in a directory of this machine.
    Embedded(Embedded),
}

impl Queue {
    /// Opens the embedded log in `dir` for writing, or makes it. The caller holds the
    /// [`DirectoryLock`] of `dir` for as long as the queue lives. Must be called within a tokio
    /// runtime, which then runs the writer.
    ///
    /// A wall clock earlier than the last append by more than F does not fail the opening: reads
    /// work, appends answer [`QueueError::Clock`].
    ///
    /// # Errors
    /// [`QueueError::SqliteTooOld`], [`QueueError::Format`], [`QueueError::Corrupt`], or
    /// [`QueueError::Sql`] if the file cannot be opened.
    pub async fn open_embedded(dir: &Path, options: EmbeddedOptions) -> Result<Queue, QueueError> {
        let internals = embedded::Internals::default();
        Ok(Queue::Embedded(Embedded::open(dir, options, internals).await?))
    }

    /// Opens the embedded log in `dir` for reading only. Needs no lock and works beside a
    /// writer; never changes the log.
    ///
    /// # Errors
    /// [`QueueError::Missing`] if there is none; else as [`Queue::open_embedded`].
    pub async fn open_embedded_read_only(dir: &Path) -> Result<QueueReader, QueueError> {
        Ok(QueueReader { reader: reader::Reader::open(dir).await? })
    }

    /// Generation of the log; frozen for the life of its files.
    pub fn generation(&self) -> u32 {
        self.reader().generation
    }

    /// Number of partitions, frozen per generation; they are counted from 0.
    pub fn partitions(&self) -> u32 {
        self.reader().partitions
    }

    /// Appends the records of one call and returns their positions in the same order. `Ok` only
    /// when all of them are durable. An empty call is `Ok` and does nothing.
    ///
    /// # Errors
    /// [`QueueError::Full`], [`QueueError::DiskFull`], [`QueueError::Clock`]: come back later.
    /// [`QueueError::TooLarge`], [`QueueError::Partition`]: this call can never work.
    /// [`QueueError::Fatal`]: the process must exit. [`QueueError::Closed`]: after `close`.
    pub async fn append(&self, records: Vec<Append>) -> Result<Vec<Position>, QueueError> {
        match self {
            Queue::Embedded(embedded) => embedded.append(records).await,
        }
    }

    /// Reads records with consecutive offsets, the first at `from`: as many as fit into
    /// `bytes_max` payload bytes, but one at least if there is one, and [`READ_RECORDS_MAX`] at
    /// most. Empty if `from` is the end of the log.
    ///
    /// # Errors
    /// [`QueueError::Gap`] if `from` is no longer retained, [`QueueError::PastEnd`] if it lies
    /// past the end, [`QueueError::Hole`] if it is missing between others,
    /// [`QueueError::Sql`] if the file cannot be read.
    pub async fn read(
        &self,
        partition: u32,
        from: u64,
        bytes_max: usize,
    ) -> Result<Vec<Record>, QueueError> {
        self.reader().read(partition, from, bytes_max).await
    }

    /// Follows the next offset to be written: it changes after each commit. The channel closes
    /// when the writer has ended.
    ///
    /// # Panics
    /// If there is no such partition.
    pub fn subscribe(&self, partition: u32) -> watch::Receiver<u64> {
        assert!(partition < self.partitions(), "partition {partition} does not exist");
        match self {
            Queue::Embedded(embedded) => embedded.subscribe(),
        }
    }

    /// Both ends of a partition, in one snapshot.
    ///
    /// # Errors
    /// [`QueueError::Partition`], or [`QueueError::Sql`] if the file cannot be read.
    pub async fn watermarks(&self, partition: u32) -> Result<Watermarks, QueueError> {
        self.reader().watermarks(partition).await
    }

    /// Deletes records that are older than the retention time at `now_us` (microseconds since
    /// the Unix epoch), and the oldest ones while the log holds more than seven eighths of
    /// `bytes_max`; never one at or past `floor`, the lowest offset that is still needed. One
    /// call does a bounded amount of work and says whether more could go.
    ///
    /// # Errors
    /// [`QueueError::Clock`] while the clock is not trusted: it must not age the log.
    /// [`QueueError::DiskFull`], [`QueueError::Fatal`], [`QueueError::Closed`] as for `append`.
    pub async fn retain(
        &self,
        partition: u32,
        floor: u64,
        now_us: i64,
    ) -> Result<RetainReport, QueueError> {
        match self {
            Queue::Embedded(embedded) => embedded.retain(partition, floor, now_us).await,
        }
    }

    /// Log bytes held, [`ROW_BYTES`] per record included. The file may be larger: it keeps the
    /// pages that retention frees and uses them again.
    pub fn bytes(&self) -> u64 {
        match self {
            Queue::Embedded(embedded) => embedded.bytes(),
        }
    }

    /// Size of the write-ahead log in bytes. It grows while some reader holds an old snapshot;
    /// above [`WAL_ALARM_BYTES`] the queue warns.
    pub fn wal_bytes(&self) -> u64 {
        match self {
            Queue::Embedded(embedded) => embedded.wal_bytes(),
        }
    }

    /// Why appends are refused at present although the log works: no space, or a wall clock that
    /// cannot be trusted. Space that is back is noticed by the next append or retention.
    pub fn refusing(&self) -> Option<&'static str> {
        match self {
            Queue::Embedded(embedded) => embedded.refusing(),
        }
    }

    /// Turns true when the writer has stopped after a failed write or sync. The process must
    /// exit then: reads go on, but nothing will ever be appended.
    pub fn fatal(&self) -> watch::Receiver<bool> {
        match self {
            Queue::Embedded(embedded) => embedded.fatal(),
        }
    }

    /// Finishes the appends that wait, then closes the files. Later calls answer
    /// [`QueueError::Closed`].
    pub async fn close(&self) {
        match self {
            Queue::Embedded(embedded) => embedded.close().await,
        }
    }

    fn reader(&self) -> &reader::Reader {
        match self {
            Queue::Embedded(embedded) => &embedded.reader,
        }
    }
}

/// A log that can only be read, beside a writer or without one.
#[derive(Debug)]
pub struct QueueReader {
    reader: reader::Reader,
}

impl QueueReader {
    /// As [`Queue::generation`].
    pub fn generation(&self) -> u32 {
        self.reader.generation
    }

    /// As [`Queue::partitions`].
    pub fn partitions(&self) -> u32 {
        self.reader.partitions
    }

    /// As [`Queue::read`].
    ///
    /// # Errors
    /// As [`Queue::read`].
    pub async fn read(
        &self,
        partition: u32,
        from: u64,
        bytes_max: usize,
    ) -> Result<Vec<Record>, QueueError> {
        self.reader.read(partition, from, bytes_max).await
    }

    /// As [`Queue::watermarks`].
    ///
    /// # Errors
    /// As [`Queue::watermarks`].
    pub async fn watermarks(&self, partition: u32) -> Result<Watermarks, QueueError> {
        self.reader.watermarks(partition).await
    }

    /// Closes the files.
    pub async fn close(&self) {
        self.reader.close().await;
    }
}
