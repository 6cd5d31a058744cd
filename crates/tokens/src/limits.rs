//! Every bound of counting, with its reason.

use std::time::Duration;

/// Bytes of a piece that is given to the tokenizer at once. Merging takes time in proportion to
/// the square of a word's length: 4 KiB without a boundary take some milliseconds.
pub const PIECE_BYTES_MAX: usize = 4 << 10;

/// Bytes of text that are counted for one request; the rest is estimated by its length. A context
/// of a million tokens of English has about 4 MiB.
pub const COUNT_BYTES_MAX: usize = 4 << 20;

/// Longest time that counting one request takes before the rest is estimated by its length. Plain
/// text of `COUNT_BYTES_MAX` takes less; hostile text does not.
pub const COUNT_TIME_MAX: Duration = Duration::from_secs(1);
