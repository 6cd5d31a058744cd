//! The newest totals, for all streams of a process.
//!
//! The totals come from whoever tells them, which is the aggregator of the same process or, through
//! Redis, of another one; without either the ledger is asked, by one task for all streams and only
//! while there are any. Numbers are committed ones, as everywhere.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ledger::query::sums::{Row, Sums};
use service::shutdown::Phase;
use tokio::sync::{Semaphore, watch};

use crate::context::{Live, Parts};
use crate::error::Error;

/// Streams at once: far below the connections of a listener.
pub(crate) const STREAMS_MAX: usize = 64;
/// From one look to the next.
const EVERY: Duration = Duration::from_secs(1);
/// Longest wait for the ledger.
const LEDGER_MAX: Duration = Duration::from_secs(2);

/// Totals with the time at which they were looked at.
pub(crate) type Seen = Option<(Live, Instant)>;

/// The streams of a process.
#[derive(Clone, Debug)]
pub(crate) struct Hub {
    /// Places of streams.
    pub places: Arc<Semaphore>,
    /// The newest totals.
    pub newest: watch::Sender<Seen>,
}

impl Hub {
    /// Begins to look, within a tokio runtime, until the process ends.
    pub fn new(parts: &Parts) -> Hub {
        let newest = watch::Sender::new(None);
        let hub = Hub { places: Arc::new(Semaphore::new(STREAMS_MAX)), newest: newest.clone() };
        let parts = parts.clone();
        tokio::spawn(async move {
            while parts.shutdown.phase() == Phase::Running {
                tokio::select! {
                    () = tokio::time::sleep(EVERY) => {}
                    () = parts.shutdown.requested() => return,
                }
                if newest.receiver_count() > 0
                    && let Some(live) = look(&parts).await
                {
                    newest.send_replace(Some((live, Instant::now())));
                }
            }
        });
        hub
    }
}

/// The newest totals; nothing while nobody can tell.
async fn look(parts: &Parts) -> Option<Live> {
    if let Some(live) = (parts.live)() {
        return Some(live);
    }
    match tokio::time::timeout(LEDGER_MAX, of_ledger(parts)).await {
        Ok(Ok(live)) => Some(live),
        Ok(Err(error)) => {
            tracing::debug!(%error, "no live totals");
            None
        }
        Err(_) => None,
    }
}

async fn of_ledger(parts: &Parts) -> Result<Live, Error> {
    let mut reader = parts.store.read().await?;
    let mut sums = Sums::default();
    for (labels, measures) in reader.total_rows(None).await? {
        sums.add(&Row::full(&labels, &measures));
    }
    let (requests, tokens) = (sums.latency()?, sums.tokens()?);
    Ok(Live {
        version: reader.as_of().version,
        requests: requests.n,
        errors: requests.errors,
        input_tokens: tokens.input,
        output_tokens: tokens.output,
    })
}
