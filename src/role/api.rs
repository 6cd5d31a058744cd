//! `gatemeter api`: answers questions from the ledger, keeps the configuration, serves the page.

use std::sync::Arc;

use service::metrics::ProcessMetrics;
use service::server::Server;
use store::Store;

use super::Start;
use super::lags::Lags;
use crate::keys::{Guarded, access};
use crate::live::Ear;
use crate::services;

/// Runs until a signal.
///
/// # Errors
/// Whatever keeps it from starting.
pub async fn run(start: Start) -> anyhow::Result<()> {
    let Start { settings, dev, shutdown, .. } = start;
    let store: Arc<Store> = Arc::new(services::ledger(&settings, &shutdown).await?);
    let access = access(Guarded::Admin, &settings.data.dir, dev, &store).await?;
    let server = Server::bind("api", settings.api.listen).await?;
    let lags = Arc::new(Lags::default());
    let following = tokio::spawn(Arc::clone(&lags).follow(
        settings.clone(),
        Arc::clone(&store),
        shutdown.clone(),
    ));
    let metrics = Arc::new(ProcessMetrics::new("api", env!("CARGO_PKG_VERSION"))?);
    let cache = Arc::new(services::cache(&settings)?);
    let ear = Ear::default();
    let hearing = tokio::spawn(ear.clone().listen(Arc::clone(&cache)));
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
        live: Arc::new(move || ear.newest()),
        shutdown: shutdown.clone(),
    };
    let router = api::router(parts, metrics)?;
    server.serve(router, &settings.server, shutdown).await;
    following.abort();
    hearing.abort();
    store.close().await;
    Ok(())
}
