//! The ports of `gatemeter all`, and a start that waits for files which somebody else has locked:
//! a backup that runs, a shell that was left open.
//!
//! Ports are bound first. Opening is retried while the file is locked; meanwhile the ports answer
//! that the process waits, and for what. Any other error ends the start.

use std::time::Duration;

use queue::QueueError;
use service::config::{ServerSettings, Settings};
use service::opening::{Opening, Router};
use service::server::Server;
use service::shutdown::{Phase, Shutdown};
use store::StoreError;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::process::Stopped;

/// Pause between two attempts; SQLite itself waits as long within each.
const TRY_EVERY: Duration = Duration::from_millis(250);

/// One value for each port.
#[derive(Clone, Debug, Default)]
pub struct Each<T> {
    /// Of the port that takes events in.
    pub ingest: T,
    /// Of the port that serves the metrics.
    pub aggregator: T,
    /// Of the port that answers questions.
    pub api: T,
}

impl<T> Each<T> {
    fn map<U>(self, mut change: impl FnMut(T) -> U) -> Each<U> {
        let Each { ingest, aggregator, api } = self;
        Each { ingest: change(ingest), aggregator: change(aggregator), api: change(api) }
    }
}

/// The three listeners, bound before anything is opened.
pub struct Ports {
    /// `None` once they serve.
    servers: Option<Each<Server>>,
    limits: ServerSettings,
    shutdown: Shutdown,
    early: Option<Early>,
}

/// Ports that serve while the process still starts.
struct Early {
    opening: Each<Opening>,
    serving: JoinHandle<()>,
}

impl Ports {
    /// Opens the listeners.
    ///
    /// # Errors
    /// An address is in use, or not one of ours.
    pub async fn bind(settings: &Settings, shutdown: &Shutdown) -> anyhow::Result<Ports> {
        let servers = Each {
            ingest: Server::bind("ingest", settings.ingest.listen).await?,
            aggregator: Server::bind("aggregator", settings.aggregator.listen).await?,
            api: Server::bind("api", settings.api.listen).await?,
        };
        Ok(Ports {
            servers: Some(servers),
            limits: settings.server.clone(),
            shutdown: shutdown.clone(),
            early: None,
        })
    }

    /// Retries `open` for as long as it fails because another process holds a lock.
    ///
    /// # Errors
    /// Any other error of `open`; `Stopped` if the process is to end.
    pub async fn unlocked<T>(
        &mut self,
        mut open: impl AsyncFnMut() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let shutdown = self.shutdown.clone();
        let mut has_waited = false;
        loop {
            let opened = tokio::select! {
                opened = open() => opened,
                () = shutdown.requested() => return Err(Stopped.into()),
            };
            let error = match opened {
                Ok(opened) => {
                    if has_waited {
                        info!("the lock was released, the start continues");
                    }
                    return Ok(opened);
                }
                Err(error) => error,
            };
            let Some(reason) = lock_on(&error) else { return Err(error) };
            if !has_waited {
                warn!(
                    error = &*error as &dyn std::error::Error,
                    "the start waits for a lock of another process"
                );
                has_waited = true;
            }
            self.serve_early(reason);
            if shutdown.sleep(TRY_EVERY).await != Phase::Running {
                return Err(Stopped.into());
            }
        }
    }

    /// Answers on all ports why the process does not start yet.
    fn serve_early(&mut self, reason: &'static str) {
        if let Some(servers) = self.servers.take() {
            let opening = Each::<Opening>::default();
            let routers = opening.clone().map(|each| each.router());
            let serving = serve(servers, routers, self.limits.clone(), self.shutdown.clone());
            self.early = Some(Early { opening, serving: tokio::spawn(serving) });
        }
        if let Some(early) = &self.early {
            let Each { ingest, aggregator, api } = &early.opening;
            [ingest, aggregator, api].iter().for_each(|port| port.wait_for(reason));
        }
    }

    /// Serves the routes until the shutdown, then drains.
    pub async fn serve(self, routers: Each<Router>) {
        if let Some(servers) = self.servers {
            return serve(servers, routers, self.limits, self.shutdown).await;
        }
        let Some(Early { opening, serving }) = self.early else { return };
        opening.ingest.open(routers.ingest);
        opening.aggregator.open(routers.aggregator);
        opening.api.open(routers.api);
        if let Err(error) = serving.await {
            tracing::error!(%error, "serving panicked");
        }
    }
}

async fn serve(
    servers: Each<Server>,
    routers: Each<Router>,
    limits: ServerSettings,
    shutdown: Shutdown,
) {
    tokio::join!(
        servers.ingest.serve(routers.ingest, &limits, shutdown.clone()),
        servers.aggregator.serve(routers.aggregator, &limits, shutdown.clone()),
        servers.api.serve(routers.api, &limits, shutdown.clone()),
    );
}

/// What another process has locked, if that is the error.
fn lock_on(error: &anyhow::Error) -> Option<&'static str> {
    error.chain().find_map(|cause| {
        let is_log = cause.downcast_ref::<QueueError>().is_some_and(QueueError::is_locked);
        let ledger = cause.downcast_ref::<StoreError>().filter(|error| error.is_locked());
        let log = is_log.then_some("the log is locked by another process");
        log.or_else(|| ledger.map(StoreError::reason))
    })
}
