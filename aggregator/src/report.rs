//! Tells the ledger that this process runs, which partitions it counts, and which of them are
//! halted: for operators, for the publisher and for the api, whoever owns a partition.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clock::Wall;
use service::chain;
use service::shutdown::{Phase, Shutdown};
use service::status::Halted;
use store::{OwnerRow, ProcessRow};
use tracing::debug;

use crate::metrics::Gauges;
use crate::parts::Parts;

/// How soon a change is told.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often it is told that nothing has changed, several times in what the ledger takes for a
/// sign of life.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// The same where the ledger is a file of this process: each time is a write to its disk.
const TELL_OWN_EVERY: Duration = Duration::from_secs(10);
/// How long a report may take once shutdown has begun, and then taking the process off the list.
const END_MAX: Duration = Duration::from_secs(1);

/// Reports until shutdown, then takes the process off the list.
pub async fn run(parts: Parts, gauges: Arc<Gauges>, shutdown: Shutdown) {
    let tell_every = if parts.is_shared { TELL_EVERY } else { TELL_OWN_EVERY };
    let mut told: Option<(Vec<OwnerRow>, Instant)> = None;
    while shutdown.phase() == Phase::Running {
        let owners = gauges.owners(parts.generation.generation, parts.process.id);
        let is_due = told
            .as_ref()
            .is_none_or(|(before, at)| *before != owners || at.elapsed() >= tell_every);
        if is_due {
            let seen_us = Wall::now().as_us();
            let process = ProcessRow { seen_us, ..parts.process.clone() };
            let rows = owners.iter().map(|owner| OwnerRow { seen_us, ..owner.clone() }).collect();
            let telling = tokio::select! {
                told = parts.store.put_process(process, rows) => told,
                // A ledger that is locked by others makes nobody wait at the end.
                () = over(&shutdown) => break,
            };
            match telling {
                Ok(()) => told = Some((owners, Instant::now())),
                // Whatever else it is needed for says so, and more loudly.
                Err(error) => debug!(error = chain(&error), "process could not report"),
            }
        }
        shutdown.sleep(LOOK_EVERY).await;
    }
    let removed = parts.store.remove_process(parts.process.id);
    if !matches!(tokio::time::timeout(END_MAX, removed).await, Ok(Ok(()))) {
        debug!("process is still listed");
    }
}

/// The halted partitions, as their owners have told the ledger.
#[must_use]
pub fn halts(owners: Vec<OwnerRow>) -> BTreeMap<u32, Halted> {
    let halted = owners.into_iter().filter_map(|owner| {
        let resumes_at = owner.resumes_at;
        Some((owner.partition, Halted { reason: owner.halted?, resumes_at }))
    });
    halted.collect()
}

/// Waits until shutdown, and a while longer.
async fn over(shutdown: &Shutdown) {
    shutdown.requested().await;
    tokio::time::sleep(END_MAX).await;
}
