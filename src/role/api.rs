//! `gatemeter api`: answers questions from the ledger, keeps the configuration, serves the page.

use std::sync::Arc;

use service::metrics::ProcessMetrics;
use service::server::Server;
use store::Store;

use super::Start;
use super::lags::Lags;
use crate::keys::{Guarded, access};
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
    let (lag, dependencies) = (Arc::clone(&lags), lags);
    let parts = api::Parts {
        store: Arc::clone(&store),
        access,
        lag: Arc::new(move || lag.lag()),
        dependencies: Arc::new(move || dependencies.dependencies()),
        timezone: settings.api.timezone.clone(),
        version: env!("CARGO_PKG_VERSION"),
    };
    let router = api::router(parts, metrics)?;
    server.serve(router, &settings.server, shutdown).await;
    following.abort();
    store.close().await;
    Ok(())
}
