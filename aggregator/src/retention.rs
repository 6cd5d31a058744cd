//! Deletes what is no longer kept: counted frames, old rows, dead letters and journal lines; and
//! rolls up rows whose time has passed.
//!
//! Runs once a minute beside the counting and does a bounded amount of work each time. A frame at
//! or past the committed floor is never deleted.

use std::sync::Arc;
use std::time::Duration;

use clock::Wall;
use queue::Queue;
use service::shutdown::{Phase, Shutdown};
use store::{Keep, Store};
use tracing::warn;

use crate::metrics::Gauges;

/// Most steps of one round, a transaction each, so that commits get their turn between two: a
/// million rows of each table per round.
const STEPS_MAX: usize = 50;
/// Time from one round to the next.
const EVERY: Duration = Duration::from_secs(60);

/// Forgets late events that were merged from frames which have left the log.
async fn forget_merged(queue: &Queue, store: &Store, partition: u32, low: u64) {
    for _ in 0..STEPS_MAX {
        match store.forget_merged(queue.generation(), partition, low).await {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                warn!(partition, %error, "merged events could not be forgotten");
                break;
            }
        }
    }
}

/// Runs until shutdown.
pub async fn run(
    queue: Arc<Queue>,
    store: Arc<Store>,
    gauges: Arc<Gauges>,
    keep: Keep,
    shutdown: Shutdown,
) {
    while shutdown.sleep(EVERY).await == Phase::Running {
        for (partition, floor) in gauges.floors() {
            match queue.retain(partition, floor, Wall::now().as_us()).await {
                Ok(report) => forget_merged(&queue, &store, partition, report.low).await,
                Err(error) => warn!(partition, %error, "old frames could not be deleted"),
            }
        }
        for _ in 0..STEPS_MAX {
            match store.roll_up(Wall::now()).await {
                Ok(true) if shutdown.phase() == Phase::Running => {}
                Ok(_) => break,
                Err(error) => {
                    warn!(%error, "rows could not be rolled up");
                    break;
                }
            }
        }
        for _ in 0..STEPS_MAX {
            match store.retain(Wall::now(), &keep).await {
                Ok(retained) if retained.more && shutdown.phase() == Phase::Running => {}
                Ok(_) => break,
                Err(error) => {
                    warn!(%error, "old rows could not be deleted");
                    break;
                }
            }
        }
    }
}
