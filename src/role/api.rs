//! `gatemeter api`: answers questions from the ledger, keeps the configuration, serves the page.

use std::sync::Arc;

use service::metrics::ProcessMetrics;
use service::opening::Opening;
use service::server::Server;
use tokio::task::JoinHandle;

use super::lags::Lags;
use super::{Start, make};
use crate::keys::{Guarded, access};
use crate::live::Subscriber;
use crate::services;

/// Runs until a signal.
///
/// # Errors
/// Whatever keeps it from starting.
pub async fn run(start: Start) -> anyhow::Result<()> {
    let Start { settings, dev, shutdown, .. } = start;
    let server = Server::bind("api", settings.api.listen).await?;
    let opening = Opening::default();
    let serving = server.serve(opening.router(), &settings.server, shutdown.clone());
    tokio::pin!(serving);
    let making = async {
        let store = Arc::new(services::ledger(&settings, &opening).await?);
        let access = access(Guarded::Admin, &settings.data.dir, dev, &store).await?;
        Ok((store, access))
    };
    let Some((store, access)) = make(making, serving.as_mut(), &shutdown).await? else {
        return Ok(());
    };
    let lags = Arc::new(Lags::default());
    let following = [
        tokio::spawn(Arc::clone(&lags).follow_log(settings.clone(), shutdown.clone())),
        tokio::spawn(Arc::clone(&lags).follow_ledger(
            Arc::clone(&store),
            settings.kafka.generation,
            shutdown.clone(),
        )),
    ];
    let metrics = Arc::new(ProcessMetrics::new("api", env!("CARGO_PKG_VERSION"))?);
    let cache = Arc::new(services::cache(&settings)?);
    let subscriber = Subscriber::default();
    let receiving = tokio::spawn(subscriber.clone().run(Arc::clone(&cache)));
    let (lag, dependencies, redis) = (Arc::clone(&lags), lags, Arc::clone(&cache));
    let parts = api::Parts {
        store: Arc::clone(&store),
        access,
        lag: Arc::new(move || lag.lag()),
        dependencies: Arc::new(move || {
            let mut all = dependencies.dependencies();
            if redis.has_redis() {
                all.push(api::Dependency { name: "redis", fault: redis.fault() });
            }
            all
        }),
        timezone: settings.api.timezone.clone(),
        version: env!("CARGO_PKG_VERSION"),
        cache,
        live: Arc::new(move || subscriber.newest()),
        shutdown: shutdown.clone(),
    };
    opening.open(api::router(parts, metrics)?);
    serving.await;
    following.iter().for_each(JoinHandle::abort);
    receiving.abort();
    store.close().await;
    Ok(())
}
