//! What goes into the log and what comes out of it, and the checksum of a row.
//! A record is opaque: nothing here looks into its bytes.

use bytes::Bytes;

/// One record to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// Partition that it goes to.
    pub partition: u32,
    /// The record; may be empty. All records of one call together are bounded by
    /// [`crate::APPEND_BYTES_MAX`].
    pub bytes: Bytes,
}

/// Where a record was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Generation of the log: a log that was laid out anew has another one.
    pub generation: u32,
    /// Partition.
    pub partition: u32,
    /// Offset in the partition; starts at 0 and grows by one with each record, for ever.
    pub offset: u64,
    /// The wall clock of the writer, or on Kafka of the partition's leader, at the append, in
    /// microseconds since the Unix epoch. Not clamped: it may be lower than that of an earlier
    /// record. Kafka knows milliseconds.
    pub append_time_us: i64,
}

/// One record read from the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Offset in its partition.
    pub offset: u64,
    /// The writer's wall clock at the append, in microseconds since the Unix epoch.
    pub append_time_us: i64,
    /// The record.
    pub bytes: Bytes,
    /// False if the row's own CRC32C over offset, append time and bytes does not match: the
    /// storage garbled it. It is delivered all the same, so that the consumer can account it.
    pub intact: bool,
}

/// The ends of a partition, seen in one snapshot. Equal if it holds no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// Oldest offset that is retained.
    pub low: u64,
    /// Next offset to be written.
    pub high: u64,
}

/// What one retention call did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetainReport {
    /// Records deleted.
    pub deleted: u64,
    /// Log bytes deleted, with the overhead of [`crate::ROW_BYTES`] per record.
    pub deleted_bytes: u64,
    /// Oldest offset that is retained now.
    pub low: u64,
    /// True if the call ended at its bound on work and more could be deleted: call again.
    pub more: bool,
}

/// Bytes that a record counts for in the log's own book-keeping.
pub(crate) fn row_bytes(payload: usize) -> u64 {
    payload as u64 + crate::limits::ROW_BYTES
}

/// CRC32C of a row. The offset is part of it, so that an intact row in the wrong place shows.
pub(crate) fn row_crc32c(offset: u64, append_time_us: i64, bytes: &[u8]) -> u32 {
    let mut head = [0u8; 16];
    head[..8].copy_from_slice(&offset.to_le_bytes());
    head[8..].copy_from_slice(&append_time_us.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&head), bytes)
}

/// Key of the row that holds an offset. SQLite's automatic keys start at 1, offsets at 0.
pub(crate) fn row_id(offset: u64) -> i64 {
    i64::try_from(offset).ok().and_then(|o| o.checked_add(1)).expect("offsets stay below 2^63")
}

/// Number of records that a key counts: the offset after the row with this key.
pub(crate) fn offset_after(row_id: i64) -> u64 {
    u64::try_from(row_id).unwrap_or(0)
}
