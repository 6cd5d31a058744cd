//! `gatemeter api`: answers questions from the ledger, keeps the configuration, serves the page.

use std::pin::Pin;
use std::sync::Arc;

use api::Dependency;
use service::opening::Opening;
use service::server::Drain;
use tokio::task::JoinHandle;

use super::follow::Listing;
use super::lags::Lags;
use super::open;
use crate::compose::{self, Views};
use crate::keys::{Guarded, access};
use crate::live::Subscriber;
use crate::process::{Process, Role};
use crate::{resend, services};

/// Runs until a signal.
///
/// # Errors
/// Whatever keeps it from starting.
pub async fn run(
    process: &Process,
    opening: &Opening,
    mut serving: Pin<&mut impl Future<Output = Drain>>,
) -> anyhow::Result<()> {
    let Process { settings, dev, shutdown, .. } = process;
    let opened = async {
        let store = Arc::new(services::ledger(settings, opening).await?);
        let access = services::patiently(opening, async || {
            access(Guarded::Admin, &settings.data.dir, *dev, &store).await
        });
        let access = access.await?;
        Ok((store, access))
    };
    let Some((store, access)) = open(opened, serving.as_mut(), shutdown).await? else {
        return Ok(());
    };
    let (lags, subscriber) = (Arc::new(Lags::default()), Subscriber::default());
    let cache = Arc::new(services::cache(settings)?);
    let generation = settings.kafka.generation;
    let row = compose::this_process(Role::Api, settings)?;
    let listing = Listing::start(&store, row, shutdown.clone());
    let tasks = [
        tokio::spawn(Arc::clone(&lags).follow_log(settings.clone(), shutdown.clone())),
        tokio::spawn(Arc::clone(&lags).follow_ledger(
            Arc::clone(&store),
            generation,
            shutdown.clone(),
        )),
        tokio::spawn(subscriber.clone().run(Arc::clone(&cache))),
    ];
    let (polled, redis) = (Arc::clone(&lags), Arc::clone(&cache));
    let dependencies = move || {
        let mut all = polled.dependencies();
        if redis.has_redis() {
            all.push(Dependency { name: "redis", fault: redis.fault() });
        }
        all
    };
    let views = Views {
        lag: Arc::new(move || lags.lag()),
        dependencies: Arc::new(dependencies),
        live: Arc::new(move || subscriber.newest()),
        resend: resend::through(&settings.api),
    };
    opening.open(compose::api(process, &store, access, cache, views)?);
    serving.await;
    listing.ended().await;
    tasks.iter().for_each(JoinHandle::abort);
    store.close().await;
    Ok(())
}
