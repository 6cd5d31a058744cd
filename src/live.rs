//! Live totals on their way from the aggregator to every api, through Redis.
//!
//! Told once a second and never kept: whoever missed one hears the next. An api that heard nothing
//! for a while asks the ledger instead.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cache::{Cache, Channel, Heard};
use service::shutdown::{Phase, Shutdown};
use tokio::sync::broadcast::error::RecvError;
use tracing::debug;

/// From one word to the next.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// After this long without a word the last one says nothing about now.
const HEARD_MAX: Duration = Duration::from_secs(3);

/// The totals of an aggregator, as an api knows them.
pub fn view(live: aggregator::Live) -> api::Live {
    let aggregator::Live { version, requests, errors, input_tokens, output_tokens } = live;
    api::Live { version, requests, errors, input_tokens, output_tokens }
}

/// Tells the totals until shutdown.
pub async fn tell(cache: Cache, live: impl Fn() -> Option<aggregator::Live>, shutdown: Shutdown) {
    while shutdown.phase() == Phase::Running {
        if let Some(live) = live()
            && let Ok(text) = serde_json::to_vec(&view(live))
        {
            cache.publish(Channel::Live, text.into());
        }
        tokio::select! {
            () = tokio::time::sleep(TELL_EVERY) => {}
            () = shutdown.requested() => return,
        }
    }
}

/// What was heard last.
#[derive(Clone, Debug, Default)]
pub struct Ear(Arc<Mutex<Option<(api::Live, Instant)>>>);

impl Ear {
    /// The newest totals, unless they are old.
    pub fn newest(&self) -> Option<api::Live> {
        let heard = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.filter(|(_, at)| at.elapsed() < HEARD_MAX).map(|(live, _)| live)
    }

    /// Listens for as long as the cache lives.
    pub async fn listen(self, cache: Arc<Cache>) {
        let mut listener = cache.listen();
        drop(cache);
        loop {
            match listener.recv().await {
                Ok(Heard::Message(Channel::Live, text)) => match serde_json::from_slice(&text) {
                    Ok(live) => {
                        let heard = Some((live, Instant::now()));
                        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = heard;
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
