//! What a batch goes through on its way to the log, whichever way it came in.
//!
//! A text is parsed, its labels are settled against their budgets, tokens that nobody reported are
//! counted, its events are stamped into columns; then they are appended. Whatever cannot be decided
//! now fails the whole batch with `Unready`: whoever brought it brings it again, and what was
//! written already is recognised as a copy.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLockReadGuard};
use std::time::{Duration, Instant};

use event::frame::FrameBuilder;
use event::native::Batch;
use queue::{Position, Queue};
use service::auth::Access;
use service::config::IngestSettings;
use service::health::Reason;
use service::metrics::ProcessMetrics;
use store::{ConnectionsRow, Generation, LabelName, Store, StoreError};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::estimate::Estimator;
use crate::gateways::Gateways;
use crate::gather::{GatherError, GatherOptions, Gatherers, now_us};
use crate::label::{Known, LabelCache};
use crate::metrics::IngestMetrics;
use crate::raw_account::RawState;
use crate::stamp::{Stamped, stamp, stamp_connections};

/// What ingest works on.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The log.
    pub queue: Arc<Queue>,
    /// Labels and connections.
    pub store: Arc<Store>,
    /// Generation of the log.
    pub generation: Generation,
    /// Who may send.
    pub access: Access,
    /// Set while the dedup set of the aggregator is at its budget.
    pub pressure: Arc<AtomicBool>,
    /// Its settings.
    pub settings: IngestSettings,
    /// What others see that it cannot do its work without.
    pub faults: Vec<Reason>,
}

/// Why ingest could not start.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The registered labels could not be read.
    #[error("labels could not be read")]
    Store(#[from] StoreError),
    /// A metric could not be registered.
    #[error("process metrics failed")]
    Metrics(#[from] service::Error),
}

/// Why a batch cannot be taken now. It may be later, as it is.
#[derive(Debug, thiserror::Error)]
pub enum Unready {
    /// There is no memory for recognising copies.
    #[error("the memory for recognising copies is full")]
    Pressure,
    /// Labels cannot be registered, or what does not go into the log be kept.
    #[error("{}", .0.reason())]
    Store(#[source] StoreError),
    /// The events are not durable.
    #[error(transparent)]
    Append(#[from] GatherError),
}

/// The way into the log. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Intake {
    /// What it works on.
    pub parts: Parts,
    /// What is measured.
    pub metrics: IngestMetrics,
    /// The reader of raw topics, if there is one.
    pub raw: RawState,
    labels: Arc<LabelCache>,
    estimator: Estimator,
    gateways: Arc<Gateways>,
    gatherers: Arc<Gatherers>,
    /// Which batches were refused.
    pub refusals: Arc<Refusals>,
}

impl Intake {
    /// Starts the gatherers, which end once the intake and its clones are gone.
    ///
    /// # Errors
    /// If the labels cannot be read or a metric cannot be registered.
    pub async fn start(
        parts: Parts,
        process: &ProcessMetrics,
    ) -> Result<(Intake, Vec<JoinHandle<()>>), IngestError> {
        let metrics = IngestMetrics::new(process)?;
        let labels = Arc::new(LabelCache::load(&parts.store, parts.settings.clone()).await?);
        let options = GatherOptions {
            gather: Duration::from_millis(parts.settings.gather_ms),
            events_max: parts.settings.queue_events_max,
            window: parts.generation.window,
        };
        let (gatherers, tasks) = Gatherers::start(&parts.queue, options, &metrics);
        let estimator = Estimator::new(metrics.estimated.clone());
        let intake = Intake {
            parts,
            metrics,
            raw: RawState::default(),
            labels,
            estimator,
            gateways: Arc::default(),
            gatherers: Arc::new(gatherers),
            refusals: Arc::default(),
        };
        Ok((intake, tasks))
    }

    /// Refuses while there is no memory for recognising copies.
    ///
    /// # Errors
    /// `Pressure`.
    pub fn check_pressure(&self) -> Result<(), Unready> {
        match self.parts.pressure.load(Ordering::Relaxed) {
            true => Err(Unready::Pressure),
            false => Ok(()),
        }
    }

    /// Settles the labels of a batch and adds its events to what is stamped already, under a
    /// source.
    ///
    /// # Errors
    /// `Store` if a name is not known and cannot be registered now; nothing was added then.
    pub async fn prepare(
        &self,
        batch: Batch<'_>,
        source: &str,
        stamped: &mut Stamped,
    ) -> Result<(), Unready> {
        let registered =
            self.labels.register(&self.parts.store, &batch.events, &batch.connections).await;
        registered.map_err(|error| self.refusals.stand(Unready::Store(error)))?;
        let estimates = self.estimator.estimate(&batch.events).await;
        let known = self.labels.known();
        let now_us = now_us();
        let generation = &self.parts.generation;
        stamp(&batch.events, &estimates, &known, generation, source, now_us, stamped);
        stamp_connections(batch.connections, &known, &self.gateways, now_us, stamped);
        drop(known);
        stamped.rejects.extend(batch.rejects);
        stamped.rejects.sort_by_key(|reject| reject.index);
        Ok(())
    }

    /// Registers names within their budgets.
    ///
    /// # Errors
    /// `Store`.
    pub async fn register_names(&self, names: Vec<LabelName>) -> Result<(), Unready> {
        let registered = self.labels.register_names(&self.parts.store, names).await;
        registered.map_err(Unready::Store)
    }

    /// The known names. Not to be held across a wait.
    pub fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.labels.known()
    }

    /// Keeps reports of open connections, which do not enter the log.
    ///
    /// # Errors
    /// `Store`.
    pub async fn keep_connections(&self, rows: Vec<ConnectionsRow>) -> Result<(), Unready> {
        if rows.is_empty() {
            return Ok(());
        }
        self.parts.store.put_connections(rows).await.map_err(Unready::Store)
    }

    /// Appends events, if there are any; durable when this returns.
    ///
    /// # Errors
    /// `Append`; some may be in the log nonetheless.
    pub async fn append(
        &self,
        builders: Vec<(u32, FrameBuilder)>,
    ) -> Result<Vec<Position>, Unready> {
        if builders.is_empty() {
            return Ok(Vec::new());
        }
        let appended = self.gatherers.append(builders).await;
        let positions = appended.map_err(|error| self.refusals.stand(Unready::Append(error)))?;
        self.refusals.over();
        Ok(positions)
    }

    /// Tells once that batches are being refused.
    pub fn note(&self, unready: &Unready) {
        self.refusals.note(unready);
    }
}

/// How long a refusal stands against readiness. It must end by itself: whoever is not ready is not
/// sent anything by which it could show that it is.
const REFUSAL_MAX: Duration = Duration::from_secs(10);

/// Whether batches are being refused for what is not their fault: one line when that begins and
/// one when it ends, and not one per batch. What was refused last stands against readiness.
#[derive(Debug, Default)]
pub struct Refusals {
    is_refusing: AtomicBool,
    /// Whether there is a last one.
    is_standing: AtomicBool,
    last: Mutex<Option<(Instant, String)>>,
}

impl Refusals {
    fn note(&self, error: &(dyn std::error::Error + 'static)) {
        if !self.is_refusing.swap(true, Ordering::Relaxed) {
            warn!(error, "events are refused");
        }
    }

    /// Events could not be taken, for this reason.
    fn stand(&self, unready: Unready) -> Unready {
        *self.lock() = Some((Instant::now(), unready.to_string()));
        self.is_standing.store(true, Ordering::Relaxed);
        unready
    }

    fn over(&self) {
        if self.is_standing.load(Ordering::Relaxed) {
            self.is_standing.store(false, Ordering::Relaxed);
            *self.lock() = None;
        }
        if self.is_refusing.load(Ordering::Relaxed)
            && self.is_refusing.swap(false, Ordering::Relaxed)
        {
            info!("events are accepted again");
        }
    }

    /// Why the last batch was refused, if that was a moment ago and none was taken since.
    pub fn last(&self) -> Option<String> {
        let last = self.lock();
        let (at, why) = last.as_ref()?;
        (at.elapsed() < REFUSAL_MAX).then(|| format!("events are refused: {why}"))
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Instant, String)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
