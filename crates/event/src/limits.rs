//! Every bound on an event, a body and a frame, each with its reason.
//!
//! Other files refer to these names; none repeats a number. Nothing here may be read from a
//! configuration: a bound that decides what a log record means must be the same for every reader.

/// Longest event id in bytes. Long enough for two UUIDs with prefixes, short enough to hash fast.
pub const ID_BYTES_MAX: usize = 128;
/// Longest namespace in bytes: it becomes a metric label on every series of the tenant.
pub const NAMESPACE_BYTES_MAX: usize = 64;
/// Longest other label in bytes; a length prefix of one byte holds it in the frame.
pub const LABEL_BYTES_MAX: usize = 128;
/// Most tokens of one class in one event. Larger than any context window by three orders, small
/// enough that nine thousand million such events fit the signed 64-bit sums.
pub const TOKENS_MAX: u64 = 1_000_000_000;
/// Longest attempt and longest wait for its first token, in microseconds: 24 hours. A hundred
/// million attempts of this length fit the signed 64-bit sum of one series.
pub const DURATION_US_MAX: u64 = 24 * 3_600 * 1_000_000;
/// Latest event time, in microseconds since the epoch: the end of the year 9999, the last that
/// RFC 3339 can write.
pub const TIME_US_MAX: i64 = 253_402_300_799_999_999;
/// Highest attempt number of one request: a gateway that retries more often is broken.
pub const ATTEMPT_MAX: u64 = 65_535;
/// Largest cost of one event in nano-dollars: one million dollars, far above any real request.
pub const COST_NANO_MAX: i64 = 1_000_000 * 1_000_000_000;
/// Most events in a frame: the tuple number fits 16 bits with room, and a garbled frame can spoil
/// only so many.
pub const FRAME_EVENTS_MAX: usize = 4_096;
/// Largest record that is decoded at all, in bytes; the largest frame that ingest can build
/// (4,096 events, each with a tuple of its own) stays below it.
pub const FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most bytes of a producer in a frame: source, name and epoch, 10 of them for lengths and epoch.
pub const PRODUCER_BYTES_MAX: usize = 128;
/// Most events in one body.
pub const BATCH_EVENTS_MAX: usize = 2_000;
/// Largest body in bytes as it is parsed.
pub const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Largest body in bytes as it comes when it is compressed: events shrink to a tenth or less, so
/// this holds the largest plain body, and what must be kept before it is unpacked stays small.
pub const BODY_COMPRESSED_BYTES_MAX: usize = 1024 * 1024;
/// How many plain bytes one compressed byte may become. Batches of events, alike as they are, stay
/// below 50; a bomb, which wants much work for little, has hundreds in gzip and thousands in zstd.
pub const BODY_RATIO_MAX: usize = 100;
/// Largest zstd window as a power of two: 8 MiB, what RFC 8878 asks every decoder to support and
/// no less than the largest body; a larger one only asks for memory.
pub const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// Deepest nesting of a body: prompt text nests a few levels, an attack nests thousands.
pub const JSON_DEPTH_MAX: usize = 16;
/// Most fields of one object on the event level; more cannot be an event.
pub const FIELDS_MAX: usize = 64;
/// Most connections that one gateway can report as active.
pub const CONNECTIONS_MAX: u64 = 10_000_000;
/// Epoch numbers below this are seconds (until the year 5138), below `EPOCH_MS_BELOW` milliseconds.
pub const EPOCH_S_BELOW: f64 = 1e11;
/// Epoch numbers below this are milliseconds (until the year 5138), above microseconds.
pub const EPOCH_MS_BELOW: f64 = 1e14;
