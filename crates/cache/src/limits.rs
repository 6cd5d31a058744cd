//! The bounds of the cache, each with its reason.

use std::time::Duration;

/// Longest time that a value is kept: an answer older than a day is useless.
pub const KEPT_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Largest value that is kept, in bytes: an answer for a thousand namespaces is far below.
pub const VALUE_BYTES_MAX: usize = 4 << 20;

/// Longest key, in bytes: a question with all its parameters is far below.
pub const KEY_BYTES_MAX: usize = 1 << 10;

/// Longest wait for Redis: about what the ledger takes for a small answer. A slower cache is
/// useless.
pub(crate) const ANSWER_MAX: Duration = Duration::from_millis(250);

/// Longest wait for a new connection.
pub(crate) const CONNECT_MAX: Duration = Duration::from_secs(1);

/// Interval of health checks, and pause between attempts to subscribe.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Messages that wait to be published; more are dropped, for each is replaced by the next.
pub(crate) const PUBLISH_WAITING_MAX: usize = 64;

/// Messages by which a subscriber may lag; beyond that it is notified of a loss.
pub(crate) const HEARD_WAITING_MAX: usize = 256;
