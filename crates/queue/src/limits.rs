//! The bounds of the queue, each with its reason.
//! Every channel, batch, transaction and wait of this crate takes its bound from here; nothing
//! in this file may depend on what a record holds.

/// One second, in microseconds.
pub(crate) const SECOND_US: i64 = 1_000_000;

/// One hour, in microseconds.
const HOUR_US: i64 = 3_600 * SECOND_US;

/// F of the counting rules, in microseconds: how far a clock may be wrong before an append time
/// could change the verdict on an event.
pub const CLOCK_BACK_US_MAX: i64 = 300 * SECOND_US;

/// How far the wall clock may run ahead of the boot clock, in microseconds: a forward jump by
/// more would turn every event that is on its way into a late one.
pub const CLOCK_FORWARD_US_MAX: i64 = HOUR_US;

/// A step of the wall clock by more than this, in microseconds, is reported, although the
/// queue still copes.
pub const CLOCK_ALARM_US: i64 = CLOCK_BACK_US_MAX / 2;

/// How long one pairing of wall and boot clock is kept, in microseconds of the boot clock:
/// small honest corrections of a day may not add up over months to a refusal.
pub(crate) const CLOCK_ANCHOR_US: i64 = 24 * HOUR_US;

/// Default age at which a record may be deleted, in microseconds: seven days, the time in
/// which a late event can still be decided and a recount can start from a daily baseline.
pub const RETENTION_US: i64 = 7 * 24 * HOUR_US;

/// Default bound on the bytes that the log holds: what a small machine can spare.
pub const BYTES_MAX: u64 = 10 << 30;

/// Default of the disk space that appends leave free, in bytes: the ledger on the same disk
/// needs it to commit what the log already holds.
pub const DISK_RESERVE_BYTES: u64 = 64 << 20;

/// What a row costs beside its payload, in bytes: key, time, checksum and cell overhead. It
/// keeps a flood of empty records from being free.
pub const ROW_BYTES: u64 = 32;

/// Append calls that wait for the writer: enough for every connection that one process serves,
/// few enough that a stalled disk shows as back-pressure and not as a long queue.
pub const APPENDS_WAITING_MAX: usize = 1_024;

/// Bytes that wait for the writer in all append calls together, and so the most that a single
/// call may bring: bounds memory, whatever the number of calls.
pub const APPEND_BYTES_MAX: usize = 64 << 20;

/// Records after which a group commit stops gathering: bounds the time to its answer.
pub(crate) const COMMIT_RECORDS_MAX: usize = 4_096;

/// Bytes after which a group commit stops gathering: bounds the write-ahead log's growth in one
/// transaction.
pub(crate) const COMMIT_BYTES_MAX: usize = 8 << 20;

/// Records that one statement inserts at most: as many statements are kept prepared.
pub(crate) const INSERT_ROWS_MAX: usize = 16;

/// Records that one read returns at most, whatever their size: bounds the work of one call.
pub const READ_RECORDS_MAX: usize = 4_096;

/// Connections that read: one for the consumer, one for questions such as watermarks.
pub(crate) const READERS_MAX: u32 = 2;

/// Rows that one retention transaction deletes at most: appends wait for it.
pub(crate) const RETAIN_ROWS_MAX: u32 = 1_024;

/// Bytes after which a retention transaction stops: the overflow pages of a large row are
/// walked one by one when it is deleted.
pub(crate) const RETAIN_CHUNK_BYTES_MAX: u64 = 8 << 20;

/// Retention transactions in one call; appends get their turn between two of them.
pub(crate) const RETAIN_CHUNKS_MAX: usize = 16;

/// Bytes appended after which the write-ahead log is copied back: small enough to be quick,
/// large enough to write a page that changes often only once.
pub(crate) const CHECKPOINT_BYTES: u64 = 4 << 20;

/// The largest backlog, in bytes, that the writer copies back itself: below a second on a slow
/// disk. More goes to a connection of its own while the writer goes on.
pub(crate) const CHECKPOINT_INLINE_BYTES_MAX: u64 = 16 << 20;

/// The size, in bytes, to which the write-ahead log is cut when it starts over.
pub(crate) const WAL_KEEP_BYTES: u64 = 64 << 20;

/// A write-ahead log larger than this, in bytes, is reported: some reader holds a snapshot for
/// too long.
pub const WAL_ALARM_BYTES: u64 = 256 << 20;

/// Page size of a new database file, in bytes; the frames of the write-ahead log have it too. An
/// append of 186 kB takes 256 us of CPU, with pages of 4 KiB 412 us; one of 400 bytes some 20 us
/// more. Files keep the size that they were created with.
pub(crate) const PAGE_BYTES: u64 = 16_384;

/// Longest wait of a reader for a lock, in seconds. It meets one only while another process
/// repairs the file or holds it exclusively.
pub(crate) const BUSY_SECONDS_MAX: u64 = 5;

/// Largest record that goes to Kafka, in bytes: a broker takes a batch as a whole, and what is
/// larger would hold up everything behind it.
pub const KAFKA_RECORD_BYTES_MAX: usize = 8 << 20;

/// Largest batch that topic and producer take, in bytes: the largest record with its envelope.
pub(crate) const KAFKA_BATCH_BYTES_MAX: usize = KAFKA_RECORD_BYTES_MAX + (64 << 10);

/// What a record takes at least of the bytes that may wait, so that small ones are bounded too:
/// at most 65,536 wait, below the producer's own bound on their number.
pub(crate) const KAFKA_RECORD_ROOM_MIN: usize = 1 << 10;

/// Records that the producer itself lets wait; never reached before our own bound on bytes.
pub(crate) const KAFKA_RECORDS_WAITING_MAX: usize = 100_000;

/// Milliseconds until a record without acknowledgement is given up: ingest answers 503 then, and
/// its client may try again well before it gives up itself.
pub(crate) const KAFKA_DELIVERY_MS_MAX: u64 = 10_000;

/// Milliseconds for one request of the producer: half the delivery time, so that a broker that
/// hangs leaves time for another.
pub(crate) const KAFKA_REQUEST_MS_MAX: u64 = 5_000;

/// Milliseconds that a client waits for an answer before it gives the connection up, which may have
/// died silently. An answer with records of six partitions may have 6 MiB: a link that takes longer
/// for them than this is too slow for a log.
pub(crate) const KAFKA_SOCKET_MS_MAX: u64 = 20_000;

/// Milliseconds after which the group gives partitions of a silent member to others.
pub(crate) const KAFKA_SESSION_MS: u64 = 10_000;

/// Longest wait for an answer about the topic, in seconds: metadata, ends, settings.
pub(crate) const KAFKA_ANSWER_SECONDS_MAX: u64 = 5;

/// Longest wait for a topic that was just made to be known to every broker, in seconds.
pub(crate) const KAFKA_TOPIC_SECONDS_MAX: u64 = 30;

/// Longest wait for a record that is in the log, in seconds: two answers of a slow broker.
pub(crate) const KAFKA_READ_SECONDS_MAX: u64 = 10;

/// Seconds that a partition of the log with unread records may stand still before it is fetched
/// again; twice as many each time that did not help.
pub(crate) const KAFKA_STALL_SECONDS: u64 = 10;

/// How often these seconds are doubled at most: to 160 s.
pub(crate) const KAFKA_STALL_DOUBLINGS_MAX: u32 = 4;

/// Longest wait for the end of the client, in seconds; the process ends within ten.
pub(crate) const KAFKA_CLOSE_SECONDS_MAX: u64 = 5;

/// Longest poll for delivery reports, in seconds: the thread of a producer that was closed ends
/// within it.
pub(crate) const KAFKA_REPORTS_SECONDS_MAX: u64 = 1;

/// Longest time between two polls of a consumer, in milliseconds: bounds how long a start or a
/// resume waits, and costs nothing when idle.
pub(crate) const KAFKA_POLL_MS_MAX: u64 = 20;

/// Milliseconds that a broker may hold back a fetch without records: a partition that starts
/// waits for the one under way.
pub(crate) const KAFKA_FETCH_WAIT_MS_MAX: u64 = 100;

/// Kilobytes that the client fetches ahead in all partitions together.
pub(crate) const KAFKA_FETCHED_KBYTES_MAX: u64 = 32 << 10;

/// Bytes of one partition that wait to be read; above it the partition is paused, below the half
/// it goes on. Two reads of the aggregator.
pub(crate) const HANDOFF_BYTES_MAX: usize = 8 << 20;

/// Seconds between two commits of offsets, which only tools that show a lag look at.
pub(crate) const KAFKA_SHOW_SECONDS: u64 = 5;

/// Milliseconds between two looks at the ends that the client knows of.
pub(crate) const KAFKA_STATISTICS_MS: u64 = 1_000;

/// Most messages that a consumer takes between two looks at starts, pauses and the clock: so many
/// that these cost a message next to nothing, so few that none of them waits.
pub(crate) const KAFKA_ROUND_MESSAGES_MAX: usize = 1_000;

/// Bytes of raw messages after which a consumer ends such a round, whatever their number.
pub(crate) const RAW_ROUND_BYTES_MAX: usize = 1 << 20;

/// Bytes of raw messages that are fetched and not yet dropped; above it nothing more is fetched,
/// below the half it goes on. Four of the largest.
pub const RAW_BYTES_MAX: usize = 32 << 20;

/// Raw messages that are fetched and not yet dropped, whatever their size.
pub(crate) const RAW_MESSAGES_MAX: usize = 50_000;

/// Milliseconds after which the group of raw topics gives partitions of a silent member to others:
/// the least that brokers take as they are installed. After the death of a member its messages
/// wait for so long, and twice as long if all members die during a rebalance; one that was silent
/// by mistake costs copies.
pub(crate) const RAW_SESSION_MS: u64 = 6_000;

/// Milliseconds between two signs of life of a member of that group: a third, so that two may be
/// late.
pub(crate) const RAW_HEARTBEAT_MS: u64 = 2_000;

/// Milliseconds between two questions for the ids of raw topics while nothing waits for the answer:
/// below the time that making a topic anew takes, so that it is seen to be gone.
pub(crate) const RAW_ASK_MS: u64 = 200;

/// Least milliseconds between two such questions: bounds what brokers have to answer, and is most
/// of what a message waits for it.
pub(crate) const RAW_ASK_MS_MIN: u64 = 20;

/// Seconds between two checks of the ends of all partitions of raw topics: bounds what is written
/// unseen before a topic that no member reads is deleted.
pub(crate) const RAW_LOOK_SECONDS: u64 = 1;

/// Milliseconds between two commits of the offsets of raw topics: bounds what comes again after
/// the death of the process.
pub(crate) const RAW_KEEP_MS: u64 = 500;

/// Seconds that a raw partition with messages may stand still before it is reported.
pub const RAW_STALL_SECONDS: u64 = 60;

/// Seconds that a raw partition with messages may stand still before it is fetched anew, and once
/// more until the client is replaced.
pub(crate) const RAW_RESTART_SECONDS: u64 = 4;

/// Seconds that messages may stay unread by the whole group before a member without a partition
/// joins anew.
pub(crate) const RAW_REJOIN_SECONDS: u64 = 30;

/// Seconds after which a topic that is gone is taken as deleted for good.
pub(crate) const RAW_GONE_SECONDS: u64 = 30;

/// Milliseconds after which the client looks at the metadata of its topics anew: a topic that is
/// there again is read soon, and not after minutes.
pub(crate) const RAW_METADATA_MS: u64 = 1_000;
