//! A durable ordered log of opaque records.
//!
//! Records go in through [`Queue::append`], get an offset, and come out through [`Queue::read`]
//! in the order of their offsets, as often as the consumer asks, until retention deletes them.
//! The queue does not know what a record holds and must never look.
//!
//! There are two backends. The embedded log is a file of this machine, for one process. On Kafka
//! a process opens the log for one direction: to append, to read as a member of the group that
//! shares the partitions, or to read alone.
//!
//! # The contract
//! - **Durable.** When `append` returns `Ok`, the records of that call survive. Embedded, the
//!   death of the process and the loss of power: their transaction has been committed with
//!   `synchronous=FULL`, which means that the file system has reported it to be on the disk. Kafka,
//!   the loss of any one broker: a majority of the copies has them (`acks=all` and
//!   `min.insync.replicas`), in page caches at least. With one copy that is one page cache.
//! - **All or nothing** holds embedded only: the records of one call are in the log together,
//!   with consecutive offsets in the order of the call, or not at all, also if the caller stops
//!   waiting. On Kafka each record stands for itself: after an error any of them may be in the
//!   log, now or within the delivery time, and records of other calls may lie between. Records of
//!   one call and partition keep their order.
//! - **At least once.** After any error but those that state that nothing was written, a record
//!   may still be in the log. The producer repeats the call, the consumer removes duplicates. On
//!   Kafka the client's own retries add none.
//! - **Ordered, without holes.** Offsets start at 0 and grow by one per record, also after
//!   retention has deleted everything. A read returns consecutive offsets from the one asked
//!   for, or an error that states why it cannot. A foreign transaction leaves holes in a topic; a
//!   read stops there.
//! - **Never silently wrong.** Embedded, a record whose bytes the storage garbled is delivered
//!   with `intact: false`, a file that contradicts itself is not opened, and after a failed write
//!   or sync the writer stops for good. Kafka, a batch whose checksum does not hold is never
//!   delivered, a topic that would lose or spoil records is not opened, and a producer that can no
//!   longer keep its order stops for good. In both, [`Queue::fatal`] then turns true.
//! - **Append time** is the writer's wall clock as it is, and on Kafka the leader's. Embedded, a
//!   clock that cannot be trusted stops the appends instead of being corrected.

// From the foundation up; a file uses only groups above its own.
mod sqlite;

mod error;
mod foreign_lock;
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

mod kafka;

#[cfg(test)]
mod tests;

use std::path::Path;

use tokio::sync::watch;

pub use embedded::{Embedded, EmbeddedOptions};
pub use error::QueueError;
pub use foreign_lock::{ForeignLock, LOCK_PROBE_EVERY, LOCK_TRY, LOCK_WAIT_MAX};
pub use kafka::{
    Kafka, KafkaOptions, KafkaPassword, KafkaProtocol, KafkaSasl, KafkaSecurity, RawBatch, RawMark,
    RawMessage, RawPlace, RawReader, RawTopic, RawWatch, Remade, Witness,
};
pub use kafka_id::TopicId;
pub use limits::{
    APPEND_BYTES_MAX, APPENDS_WAITING_MAX, BYTES_MAX, CLOCK_ALARM_US, CLOCK_BACK_US_MAX,
    CLOCK_FORWARD_US_MAX, DISK_RESERVE_BYTES, KAFKA_RECORD_BYTES_MAX, RAW_BYTES_MAX,
    RAW_STALL_SECONDS, READ_RECORDS_MAX, RETENTION_US, ROW_BYTES, WAL_ALARM_BYTES,
};
pub use lock::DirectoryLock;
pub use reader::Reader as EmbeddedReader;
pub use record::{Append, Position, Record, RetainReport, Watermarks};
pub use sqlite::{SQLITE_CODES, SqliteClass};

/// A log that can be written and read.
#[derive(Debug)]
pub enum Queue {
    /// One SQLite file in a directory of this machine.
    Embedded(Embedded),
    /// A topic of Kafka, opened for one direction.
    Kafka(Kafka),
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
        Ok(QueueReader::Embedded(reader::Reader::open(dir).await?))
    }

    /// Opens the topic of `options` for appends, or makes it. Reads answer
    /// [`QueueError::Direction`].
    ///
    /// # Errors
    /// [`QueueError::TopicSetting`] if it is there and laid out otherwise,
    /// [`QueueError::KafkaSetting`], or [`QueueError::Kafka`] if no broker answers.
    pub async fn open_kafka_producer(options: &KafkaOptions) -> Result<Queue, QueueError> {
        Ok(Queue::Kafka(Kafka::producer(options).await?))
    }

    /// Opens the topic of `options` for reading, or makes it, and joins the group that shares its
    /// partitions. A partition can be read while it is [assigned](Queue::assigned). Appends answer
    /// [`QueueError::Direction`].
    ///
    /// # Errors
    /// As [`Queue::open_kafka_producer`].
    pub async fn open_kafka_consumer(options: &KafkaOptions) -> Result<Queue, QueueError> {
        Ok(Queue::Kafka(Kafka::consumer(options).await?))
    }

    /// Opens the topic of `options` for reading alone: joins no group, takes nothing from a
    /// consumer, never changes the log.
    ///
    /// # Errors
    /// [`QueueError::TopicMissing`] if there is none; else as [`Queue::open_kafka_producer`].
    pub async fn open_kafka_read_only(options: &KafkaOptions) -> Result<QueueReader, QueueError> {
        Ok(QueueReader::Kafka(Kafka::alone(options).await?))
    }

    /// Opens the same log for reading alone, beside this one: reads of the one never move the
    /// other. Embedded, the two share connections, and closing one closes the other.
    ///
    /// # Errors
    /// As [`Queue::open_kafka_read_only`].
    pub async fn read_beside(&self) -> Result<QueueReader, QueueError> {
        match self {
            Queue::Embedded(embedded) => Ok(QueueReader::Embedded(embedded.reader.clone())),
            Queue::Kafka(kafka) => Ok(QueueReader::Kafka(kafka.read_beside().await?)),
        }
    }

    /// Generation of the log; frozen for its life.
    pub fn generation(&self) -> u32 {
        match self {
            Queue::Embedded(embedded) => embedded.reader.generation,
            Queue::Kafka(kafka) => kafka.generation,
        }
    }

    /// Number of partitions, frozen per generation; they are counted from 0.
    pub fn partitions(&self) -> u32 {
        match self {
            Queue::Embedded(embedded) => embedded.reader.partitions,
            Queue::Kafka(kafka) => kafka.partitions,
        }
    }

    /// Appends the records of one call and returns their positions in the same order. `Ok` only
    /// when all of them are durable. An empty call is `Ok` and does nothing.
    ///
    /// # Errors
    /// [`QueueError::Full`], [`QueueError::DiskFull`], [`QueueError::Clock`],
    /// [`QueueError::Locked`], [`QueueError::Unwritable`]: come back later.
    /// [`QueueError::TooLarge`], [`QueueError::Partition`]: this call can never work.
    /// [`QueueError::Kafka`]: not acknowledged in time, may be in the log nonetheless.
    /// [`QueueError::Fatal`]: the process must exit. [`QueueError::Closed`]: after `close`.
    pub async fn append(&self, records: Vec<Append>) -> Result<Vec<Position>, QueueError> {
        match self {
            Queue::Embedded(embedded) => embedded.append(records).await,
            Queue::Kafka(kafka) => kafka.append(records).await,
        }
    }

    /// Reads records with consecutive offsets, the first at `from`: as many as fit into
    /// `bytes_max` payload bytes, but one at least if there is one, and [`READ_RECORDS_MAX`] at
    /// most. Empty if `from` is the end of the log, or on Kafka, if it is where the last read
    /// ended and nothing more has come yet: [`Queue::subscribe`] shows when to read again. A read
    /// from anywhere else starts over there and waits for the first record.
    ///
    /// # Errors
    /// [`QueueError::Gap`] if `from` is no longer retained, [`QueueError::PastEnd`] if it lies
    /// past the end, [`QueueError::Hole`] if it is missing between others,
    /// [`QueueError::Sql`], [`QueueError::Kafka`] or [`QueueError::Slow`] if it cannot be read now.
    /// [`QueueError::NotAssigned`] if the partition is not assigned to us, or was not for a moment.
    /// [`QueueError::Remade`] once the topic has another id than when it was opened.
    pub async fn read(
        &self,
        partition: u32,
        from: u64,
        bytes_max: usize,
    ) -> Result<Vec<Record>, QueueError> {
        match self {
            Queue::Embedded(embedded) => embedded.reader.read(partition, from, bytes_max).await,
            Queue::Kafka(kafka) => kafka.read(partition, from, bytes_max).await,
        }
    }

    /// Waits until the partition may be read by this process; embedded, it always may. It can be
    /// revoked at any time: reads then answer [`QueueError::NotAssigned`].
    ///
    /// # Errors
    /// [`QueueError::Partition`], [`QueueError::Direction`]; [`QueueError::Closed`] or
    /// [`QueueError::Fatal`] if it never will.
    pub async fn assigned(&self, partition: u32) -> Result<(), QueueError> {
        match self {
            Queue::Embedded(embedded) => embedded.reader.check_partition(partition),
            Queue::Kafka(kafka) => kafka.assigned(partition).await,
        }
    }

    /// Waits until the partition may no longer be read by this process; embedded, that is never.
    pub async fn revoked(&self, partition: u32) {
        match self {
            Queue::Embedded(_) => std::future::pending().await,
            Queue::Kafka(kafka) => kafka.revoked(partition).await,
        }
    }

    /// Follows the offset up to which there is something to read: embedded, the next offset to be
    /// written, which changes after each commit; on Kafka, the one behind the last record that has
    /// come in since the last read from elsewhere. A Kafka producer follows its own records. The
    /// channel closes when the log does.
    ///
    /// # Panics
    /// If there is no such partition.
    pub fn subscribe(&self, partition: u32) -> watch::Receiver<u64> {
        assert!(partition < self.partitions(), "partition {partition} does not exist");
        match self {
            Queue::Embedded(embedded) => embedded.subscribe(),
            Queue::Kafka(kafka) => kafka.subscribe(partition),
        }
    }

    /// The next offset to be written, as last seen: on Kafka about a second old, and 0 before
    /// anything is known. For gauges; [`Queue::watermarks`] asks.
    ///
    /// # Panics
    /// If there is no such partition.
    pub fn high(&self, partition: u32) -> u64 {
        assert!(partition < self.partitions(), "partition {partition} does not exist");
        match self {
            Queue::Embedded(embedded) => *embedded.subscribe().borrow(),
            Queue::Kafka(kafka) => kafka.high(partition),
        }
    }

    /// Has the consumer group's offset of a partition committed soon, for tools that show its lag:
    /// everything before `next` is counted. Nothing here reads it, and embedded it does nothing.
    pub fn commit_offset(&self, partition: u32, next: u64) {
        match self {
            Queue::Embedded(_) => {}
            Queue::Kafka(kafka) => kafka.commit_offset(partition, next),
        }
    }

    /// A log that was made anew under its reader is the right one all the same: reads of this
    /// partition no longer answer [`QueueError::Remade`]. Nothing happens embedded.
    pub fn trust(&self, partition: u32) {
        match self {
            Queue::Embedded(_) => {}
            Queue::Kafka(kafka) => kafka.trust(partition),
        }
    }

    /// Name and id of the topic that the log is in, as the brokers report it now; `None` embedded,
    /// and with brokers that report no ids.
    ///
    /// # Errors
    /// [`QueueError::Kafka`] if there is no answer.
    pub async fn topic_id(&self) -> Result<Option<(String, TopicId)>, QueueError> {
        match self {
            Queue::Embedded(_) => Ok(None),
            Queue::Kafka(kafka) => kafka.topic_id().await,
        }
    }

    /// Both ends of a partition, in one snapshot.
    ///
    /// # Errors
    /// [`QueueError::Partition`]; [`QueueError::Sql`] or [`QueueError::Kafka`] if there is no
    /// answer.
    pub async fn watermarks(&self, partition: u32) -> Result<Watermarks, QueueError> {
        match self {
            Queue::Embedded(embedded) => embedded.reader.watermarks(partition).await,
            Queue::Kafka(kafka) => kafka.watermarks(partition).await,
        }
    }

    /// Deletes records that are older than the retention time at `now_us` (microseconds since
    /// the Unix epoch), and the oldest ones while the log holds more than seven eighths of
    /// `bytes_max`; never one at or past `floor`, the lowest offset that is still needed. One
    /// call does a bounded amount of work and reports whether more could go. On Kafka the brokers
    /// delete by age alone, whatever the floor, and this call does nothing.
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
            Queue::Kafka(kafka) => kafka.retain(partition),
        }
    }

    /// Log bytes held, [`ROW_BYTES`] per record included. The file may be larger: it keeps the
    /// pages that retention frees and uses them again. On Kafka, the bytes that this process
    /// holds: not yet acknowledged, or not yet read.
    pub fn bytes(&self) -> u64 {
        match self {
            Queue::Embedded(embedded) => embedded.bytes(),
            Queue::Kafka(kafka) => kafka.bytes(),
        }
    }

    /// Size of the write-ahead log in bytes. It grows while some reader holds an old snapshot;
    /// above [`WAL_ALARM_BYTES`] the queue warns. 0 on Kafka.
    pub fn wal_bytes(&self) -> u64 {
        match self {
            Queue::Embedded(embedded) => embedded.wal_bytes(),
            Queue::Kafka(_) => 0,
        }
    }

    /// Why appends are refused at present although the log works: no space, a wall clock that
    /// cannot be trusted, or a lock that another process holds. Space that is back is noticed by
    /// the next append or retention, a lock that is gone within a second.
    pub fn refusing(&self) -> Option<&'static str> {
        match self {
            Queue::Embedded(embedded) => embedded.refusing(),
            Queue::Kafka(_) => None,
        }
    }

    /// Turns true when the writer has stopped after a failed write or sync, or the Kafka client
    /// can do nothing more. The process must exit then: embedded, reads go on, but nothing will
    /// ever be appended.
    pub fn fatal(&self) -> watch::Receiver<bool> {
        match self {
            Queue::Embedded(embedded) => embedded.fatal(),
            Queue::Kafka(kafka) => kafka.fatal(),
        }
    }

    /// Finishes the appends that wait, then closes the files, or leaves the group. Later calls
    /// answer [`QueueError::Closed`].
    pub async fn close(&self) {
        match self {
            Queue::Embedded(embedded) => embedded.close().await,
            Queue::Kafka(kafka) => kafka.close().await,
        }
    }
}

/// A log that can only be read, beside a writer or without one.
#[derive(Debug)]
pub enum QueueReader {
    /// Made by [`Queue::open_embedded_read_only`].
    Embedded(EmbeddedReader),
    /// Made by [`Queue::open_kafka_read_only`].
    Kafka(Kafka),
}

impl QueueReader {
    /// As [`Queue::generation`].
    pub fn generation(&self) -> u32 {
        match self {
            QueueReader::Embedded(reader) => reader.generation,
            QueueReader::Kafka(kafka) => kafka.generation,
        }
    }

    /// As [`Queue::partitions`].
    pub fn partitions(&self) -> u32 {
        match self {
            QueueReader::Embedded(reader) => reader.partitions,
            QueueReader::Kafka(kafka) => kafka.partitions,
        }
    }

    /// As [`Queue::read`], but empty only if `from` is the end of the log.
    ///
    /// # Errors
    /// As [`Queue::read`].
    pub async fn read(
        &self,
        partition: u32,
        from: u64,
        bytes_max: usize,
    ) -> Result<Vec<Record>, QueueError> {
        match self {
            QueueReader::Embedded(reader) => reader.read(partition, from, bytes_max).await,
            QueueReader::Kafka(kafka) => kafka.read(partition, from, bytes_max).await,
        }
    }

    /// As [`Queue::watermarks`].
    ///
    /// # Errors
    /// As [`Queue::watermarks`].
    pub async fn watermarks(&self, partition: u32) -> Result<Watermarks, QueueError> {
        match self {
            QueueReader::Embedded(reader) => reader.watermarks(partition).await,
            QueueReader::Kafka(kafka) => kafka.watermarks(partition).await,
        }
    }

    /// Closes the files or connections.
    pub async fn close(&self) {
        match self {
            QueueReader::Embedded(reader) => reader.close().await,
            QueueReader::Kafka(kafka) => kafka.close().await,
        }
    }
}
