//! Live totals on their way from the aggregator to every api, over the publish/subscribe of Redis.
//!
//! Published once a second and never stored: a subscriber that misses a message takes the next one.
//! An api whose newest message is stale asks the ledger instead.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use api::LiveView;
use cache::{Cache, Channel, Heard};
use service::shutdown::{Phase, Shutdown};
use service::status::Live;
use tokio::sync::broadcast::error::RecvError;
use tracing::debug;

/// Time between two messages.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);
/// Age at which a message is stale: three were missed.
const STALE_AFTER: Duration = Duration::from_secs(3);

/// Publishes the totals until shutdown.
pub async fn publish(cache: Cache, live: LiveView, shutdown: Shutdown) {
    while shutdown.phase() == Phase::Running {
        if let Some(live) = live()
            && let Ok(text) = serde_json::to_vec(&live)
        {
            cache.publish(Channel::Live, text.into());
        }
        shutdown.sleep(PUBLISH_EVERY).await;
    }
}

/// The newest totals that were received, with the time of their arrival. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Subscriber(Arc<Mutex<Option<(Live, Instant)>>>);

impl Subscriber {
    /// The newest totals; `None` if there are none yet or they are stale.
    pub fn newest(&self) -> Option<Live> {
        let newest = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        newest.filter(|(_, at)| at.elapsed() < STALE_AFTER).map(|(live, _)| live)
    }

    /// Receives messages for as long as the cache lives.
    pub async fn run(self, cache: Arc<Cache>) {
        let mut messages = cache.listen();
        drop(cache);
        loop {
            match messages.recv().await {
                Ok(Heard::Message(Channel::Live, text)) => match serde_json::from_slice(&text) {
                    Ok(live) => {
                        let newest = Some((live, Instant::now()));
                        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = newest;
                    }
                    Err(error) => debug!(%error, "live totals cannot be read"),
                },
                Ok(Heard::Message(Channel::Config, _) | Heard::Gap) | Err(RecvError::Lagged(_)) => {
                }
                Err(RecvError::Closed) => return,
            }
        }
    }
}
