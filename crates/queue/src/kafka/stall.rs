//! Fetches a partition of the log again if the client delivers nothing although there is more.
//!
//! The client reports no error when it stops fetching a partition, for example after a broker that
//! hung. Without this its reader would wait forever. A partition at its end looks the same, so the
//! brokers are asked first; and so does one whose last records are markers of a foreign
//! transaction, so each further attempt waits twice as long.

use std::sync::Arc;
use std::time::Duration;

use super::log_handler::Slots;
use super::poller::Stop;
use super::question::Questions;
use crate::limits::{KAFKA_STALL_DOUBLINGS_MAX, KAFKA_STALL_SECONDS};

/// Time without a record after which a partition that is behind has stalled.
const STALL: Duration = Duration::from_secs(KAFKA_STALL_SECONDS);
/// Time between two searches.
const SEARCH_EVERY: Duration = Duration::from_secs(1);

/// Searches for partitions that stand still.
pub(super) struct Stalls {
    slots: Arc<Slots>,
    questions: Questions,
    known: Vec<Stall>,
}

/// What is known of a partition that nothing is read from.
#[derive(Debug, Default, Clone, Copy)]
struct Stall {
    /// Offset that nothing comes for.
    from: u64,
    /// How often it was fetched again from there.
    n_fetched: u32,
    /// Time without a record after which the brokers are asked for its end.
    limit: Duration,
}

impl Stall {
    fn at(from: u64) -> Stall {
        Stall { from, n_fetched: 0, limit: STALL }
    }

    /// The brokers say that it is at its end.
    fn at_end(&mut self, waited: Duration) {
        self.limit = waited + STALL;
    }

    fn fetched_again(&mut self) {
        self.n_fetched += 1;
        self.limit = STALL * (1 << self.n_fetched.min(KAFKA_STALL_DOUBLINGS_MAX));
    }
}

impl Stalls {
    pub(super) fn new(slots: Arc<Slots>, questions: Questions) -> Stalls {
        let known = vec![Stall::at(0); slots.all().len()];
        Stalls { slots, questions, known }
    }

    /// Searches until the consumer ends.
    pub(super) async fn watch(mut self, stop: Stop) {
        while !stop.is_set() {
            for partition in 0..self.known.len() {
                self.look(partition).await;
            }
            tokio::time::sleep(SEARCH_EVERY).await;
        }
    }

    async fn look(&mut self, partition: usize) {
        let (slot, known) = (&self.slots.all()[partition], &mut self.known[partition]);
        let Some((from, waited)) = slot.waits_for() else { return };
        if known.from != from {
            *known = Stall::at(from);
        }
        let Ok(number) = u32::try_from(partition) else { return };
        if waited < known.limit {
            return;
        }
        // While no broker answers, there is nothing to be fetched either.
        let Ok(ends) = self.questions.ends(number).await else { return };
        slot.ends_seen(ends.low, ends.high);
        if ends.high <= from {
            known.at_end(waited);
        } else if slot.fetch_again(from) {
            tracing::warn!(partition, from, high = ends.high, "partition stalled, fetching again");
            known.fetched_again();
            self.slots.notify();
        }
    }
}

#[cfg(test)]
mod tests;
