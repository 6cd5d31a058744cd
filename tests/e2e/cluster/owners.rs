//! Two aggregators that both believe to own the same partitions.

use std::time::{Duration, Instant};

use super::LOAD;
use crate::gatemeter::{free_ports, wait_for};
use crate::stack::{Books, Stack};

/// Lowest epoch of all partitions: how often each was claimed at least.
const EPOCH: &str = "SELECT MIN(epoch) FROM gatemeter.partition_state WHERE generation = 1";

/// How often all partitions were claimed together.
const CLAIMS: &str = "SELECT SUM(epoch) FROM gatemeter.partition_state WHERE generation = 1";
/// Longest until another one has all partitions: the session in the group, and as long until the
/// server drops a transaction that stands still; a claim waits for its lock at most four seconds
/// more.
const TAKE_OVER_MAX: Duration = Duration::from_secs(40);

/// An aggregator stands still beyond its session, another one takes all its partitions and counts
/// on, and the first goes on as if nothing had happened: what it had read is refused as a whole.
pub fn aggregator_that_stood_still_is_refused(stack: &Stack, books: &mut Books) {
    let epoch = || -> i64 { stack.sql(EPOCH).parse().expect("a number") };
    stack.under_load("an aggregator stands still beyond its session", books, &LOAD, || {
        let before = epoch();
        stack.signal("aggregator", "STOP");
        let [port, ..] = free_ports();
        let other = stack.role("aggregator", port, "aggregator-2", &[]);
        let stopped = Instant::now();
        wait_for("another aggregator has every partition", || epoch() > before);
        assert!(stopped.elapsed() < TAKE_OVER_MAX, "{:?}", stopped.elapsed());
        let counted = "SELECT SUM(counted) FROM gatemeter.partition_state WHERE generation = 1";
        let counted = || -> i64 { stack.sql(counted).parse().expect("a number") };
        let then = counted();
        wait_for("it counts", || counted() > then);
        // What the first had read, if anything, is refused; it gets a share of the partitions back
        // and claims anew.
        let claims = || -> i64 { stack.sql(CLAIMS).parse().expect("a number") };
        let taken = claims();
        stack.signal("aggregator", "CONT");
        wait_for("the first claims anew", || claims() > taken);
        other.stop();
        // Its page is that of its own commits: it takes over anew.
        stack.kill("aggregator");
        stack.start();
    });
}
