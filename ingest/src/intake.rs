//! The path of every batch into the log, whatever its source.
//!
//! A text is parsed, its labels are checked against their budgets, unreported tokens are estimated,
//! and its events are stamped into columns and appended. If anything cannot be decided now, the
//! whole batch fails with `Unready` and is to be retried: events that were already written are
//! recognised as duplicates.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clock::Wall;
use event::native::BodyError;
use event::{Facts, Labels};
use queue::{Position, Queue};
use service::auth::Access;
use service::config::IngestSettings;
use service::health::Reason;
use store::{ConnectionsRow, Generation, Store, StoreError};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tracing::{info, warn};

use crate::estimate::Estimator;
use crate::gateways::Gateways;
use crate::gather::{GatherError, GatherOptions, Gatherers};
use crate::label::{LabelCache, names};
use crate::metrics::IngestMetrics;
use crate::parsed::{Parsed, ParsedText, Texts};
use crate::producers::{Numbering, Producers};
use crate::stamp::{Columns, Stamped, Stamper, Text};

/// Texts above this many bytes, about half a millisecond of work, are processed on a blocking
/// thread.
const INLINE_BYTES_MAX: usize = 256 * 1024;

/// Dependencies of ingest.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The log.
    pub queue: Arc<Queue>,
    /// Registered labels and reported connections.
    pub store: Arc<Store>,
    /// Generation of the log.
    pub generation: Generation,
    /// Who may send events.
    pub access: Access,
    /// Set while the dedup set of the aggregator is at its memory budget.
    pub pressure: Arc<AtomicBool>,
    /// The frame version to write: every reader of the log knows it. It may be raised at any time,
    /// also beyond what this program knows, and is never lowered.
    pub frame_version: Arc<AtomicU8>,
    /// Settings of ingest.
    pub settings: IngestSettings,
    /// Faults detected elsewhere in the process that make ingest not ready.
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

/// Why a batch cannot be accepted now. A retry of the unchanged batch may succeed.
#[derive(Debug, thiserror::Error)]
pub enum Unready {
    /// The memory for recognising duplicates is full.
    #[error("the memory for recognising copies is full")]
    Pressure,
    /// The store could not register labels, or keep connections or dead letters.
    #[error("{}", .0.reason())]
    Store(#[source] StoreError),
    /// The events may not be durable.
    #[error(transparent)]
    Append(#[from] GatherError),
    /// The caller is gone.
    #[error("the request was cancelled")]
    GivenUp,
    /// Processing the batch panicked, and may do so again.
    #[error("the batch could not be processed")]
    Defect(#[source] JoinError),
}

/// What happens to texts whose connection reports cannot be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reports {
    /// No part of them is accepted.
    Required,
    /// The events are accepted: a one-minute gauge is not worth holding up the counts.
    BestEffort,
}

/// The outcome of texts.
#[derive(Debug, Default)]
pub struct Taken {
    /// One result per text, in order; an error if the text is not a batch.
    pub texts: Vec<Result<Stamped, BodyError>>,
    /// Positions of the events in the log.
    pub positions: Vec<Position>,
}

/// Texts whose events fit one frame, ready for the log.
struct Prepared {
    texts: Vec<Result<Stamped, BodyError>>,
    columns: Columns,
}

/// The path into the log. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Intake {
    parts: Parts,
    metrics: IngestMetrics,
    labels: Arc<LabelCache>,
    estimator: Estimator,
    gateways: Arc<Gateways>,
    producers: Arc<Producers>,
    gatherers: Arc<Gatherers>,
    refusals: Arc<Refusals>,
}

impl Intake {
    /// Starts the gatherer tasks, which end once the intake and all its clones are dropped.
    ///
    /// # Errors
    /// If the labels cannot be read.
    pub async fn start(
        parts: Parts,
        metrics: IngestMetrics,
        refusals: Arc<Refusals>,
    ) -> Result<(Intake, Vec<JoinHandle<()>>), IngestError> {
        let labels = Arc::new(LabelCache::load(&parts.store, parts.settings.clone()).await?);
        let options = GatherOptions {
            frame_version: Arc::clone(&parts.frame_version),
            gather: Duration::from_millis(parts.settings.gather_ms),
            events_max: parts.settings.queue_events_max,
            window: parts.generation.window,
        };
        let (gatherers, tasks) = Gatherers::start(&parts.queue, &labels, options, &metrics);
        let estimator = Estimator::new(metrics.estimated.clone());
        let gatherers = Arc::new(gatherers);
        let (gateways, producers) = (Arc::default(), Arc::default());
        let intake =
            Intake { parts, metrics, labels, estimator, gateways, producers, gatherers, refusals };
        Ok((intake, tasks))
    }

    /// Appends the events of texts to the log, each under its source; they are durable when this
    /// returns. A text that is not a batch yields an error of its own. If this is cancelled, some
    /// of the events may still be appended.
    ///
    /// # Errors
    /// If a part cannot be decided now; the unchanged texts may be retried.
    pub async fn take(&self, texts: Vec<Texts>, reports: Reports) -> Result<Taken, Unready> {
        let taken = self.take_all(texts.into(), reports).await;
        if let Err(unready) = &taken {
            self.refusals.note(unready);
        }
        taken
    }

    async fn take_all(&self, texts: Arc<[Texts]>, reports: Reports) -> Result<Taken, Unready> {
        self.check_pressure()?;
        let n_texts = texts.iter().map(Texts::len).sum();
        let mut taken = Taken::default();
        while taken.texts.len() < n_texts {
            let prepared = self.prepare_from(&texts, taken.texts.len()).await?;
            if reports == Reports::Required {
                self.store_reports(&prepared.texts).await?;
            }
            taken.positions.extend(self.append(prepared.columns).await?);
            if reports == Reports::BestEffort
                && let Err(unready) = self.store_reports(&prepared.texts).await
            {
                self.refusals.note(&unready);
            }
            taken.texts.extend(prepared.texts);
        }
        let stamped = || taken.texts.iter().flatten();
        let n_events = stamped().map(|stamped| stamped.n_events).sum();
        self.metrics.note_taken(n_events, stamped().flat_map(|stamped| &stamped.rejects));
        Ok(taken)
    }

    /// Prepares texts from the `from`th on, on a blocking thread if they are large.
    async fn prepare_from(&self, texts: &Arc<[Texts]>, from: usize) -> Result<Prepared, Unready> {
        let n_bytes: usize = texts.iter().map(Texts::n_bytes).sum();
        if n_bytes <= INLINE_BYTES_MAX {
            return self.prepare(texts, from).await;
        }
        let (intake, texts) = (self.clone(), Arc::clone(texts));
        let runtime = tokio::runtime::Handle::current();
        // Dropped with the caller: a thread that waits for a lock must not outlast shutdown.
        let (_alive, gone) = tokio::sync::oneshot::channel::<()>();
        let preparing = async move {
            tokio::select! {
                prepared = intake.prepare(&texts, from) => prepared,
                _ = gone => Err(Unready::GivenUp),
            }
        };
        spawn_blocking(move || runtime.block_on(preparing)).await.map_err(Unready::Defect)?
    }

    /// Parses and stamps texts, as many as are certain to fit one frame.
    async fn prepare(&self, texts: &[Texts], from: usize) -> Result<Prepared, Unready> {
        let parsed = Parsed::of(texts, from);
        let settled = self.labels.settle(&self.parts.store, &parsed).await;
        let settled = settled.map_err(|error| self.refusals.record(Unready::Store(error)))?;
        let estimates = self.estimator.estimate(parsed.events()).await;
        let stamper = Stamper {
            known: &self.labels.known(),
            gateways: &self.gateways,
            generation: &self.parts.generation,
            now_us: Wall::now().as_us(),
        };
        let mut columns = Columns::with_capacity(settled.len(), self.parts.generation.partitions);
        let (mut settled, mut estimates) = (settled.into_iter(), estimates.into_iter());
        let unnumbered = &self.metrics.unnumbered;
        let mut numbering = Numbering::new(&self.producers, unnumbered, Instant::now());
        let (events, texts) = parsed.into_parts();
        let mut events = events.as_slice();
        let stamped = texts.into_iter().map(|ParsedText { source, rest }| {
            let rest = rest?;
            let its_own = events.split_off(..rest.n_events).expect("its events");
            let text = Text { source, events: its_own, rest };
            let (settled, estimates) = (&mut settled, &mut estimates);
            Ok(stamper.stamp(text, settled, estimates, &mut numbering, &mut columns))
        });
        let texts = stamped.collect();
        Ok(Prepared { texts, columns })
    }

    /// Appends events again that were stamped before, with their labels settled against the names
    /// known now. Returns one result per event, in order: why it is not accepted, if it is not.
    ///
    /// # Errors
    /// If a part cannot be decided now.
    pub async fn take_again(
        &self,
        events: &[(Labels<'_>, Facts)],
    ) -> Result<Vec<Result<(), &'static str>>, Unready> {
        let taken = self.append_again(events).await;
        if let Err(unready) = &taken {
            self.refusals.note(unready);
        }
        taken
    }

    async fn append_again(
        &self,
        events: &[(Labels<'_>, Facts)],
    ) -> Result<Vec<Result<(), &'static str>>, Unready> {
        self.check_pressure()?;
        let names = events.iter().flat_map(|(labels, _)| names(labels)).collect();
        let registered = self.labels.register_names(&self.parts.store, names).await;
        registered.map_err(Unready::Store)?;
        let partitions = self.parts.generation.partitions;
        let mut columns = Columns::with_capacity(events.len(), partitions);
        let again = |(labels, facts): &(Labels<'_>, Facts)| {
            columns.push_again(
                labels,
                facts,
                &self.labels.known(),
                &self.parts.generation,
                Wall::now().as_us(),
            )
        };
        let results = events.iter().map(again).collect();
        self.append(columns).await?;
        Ok(results)
    }

    fn check_pressure(&self) -> Result<(), Unready> {
        match self.parts.pressure.load(Ordering::Relaxed) {
            true => Err(Unready::Pressure),
            false => Ok(()),
        }
    }

    /// Stores reports of open connections, which do not enter the log.
    async fn store_reports(&self, texts: &[Result<Stamped, BodyError>]) -> Result<(), Unready> {
        let rows = texts.iter().flatten().flat_map(|stamped| stamped.connections.iter().cloned());
        let rows: Vec<ConnectionsRow> = rows.collect();
        if rows.is_empty() {
            return Ok(());
        }
        self.parts.store.put_connections(rows).await.map_err(Unready::Store)
    }

    /// Appends events, if there are any; they are durable when this returns.
    async fn append(&self, columns: Columns) -> Result<Vec<Position>, Unready> {
        let by_partition = columns.into_partitions();
        if by_partition.is_empty() {
            return Ok(Vec::new());
        }
        let appended = self.gatherers.append(by_partition).await;
        let positions = appended.map_err(|error| self.refusals.record(Unready::Append(error)))?;
        self.refusals.clear();
        Ok(positions)
    }
}

/// How long a refusal makes ingest not ready. It must expire by itself: while ingest is not ready,
/// it gets no request that could show that it has recovered.
const REFUSAL_MAX: Duration = Duration::from_secs(10);

/// Whether batches are being refused through no fault of their own. Logs once when that begins and
/// once when it ends, not per batch. A recent refusal makes ingest not ready.
#[derive(Debug, Default)]
pub struct Refusals {
    is_refusing: AtomicBool,
    /// Whether `last` is set: spares accepted batches the lock.
    has_last: AtomicBool,
    last: Mutex<Option<(Instant, String)>>,
}

impl Refusals {
    /// Logs a refusal, if it is the first since a batch was accepted.
    pub fn note(&self, error: &(dyn std::error::Error + 'static)) {
        if !self.is_refusing.swap(true, Ordering::Relaxed) {
            warn!(error, "events are refused");
        }
    }

    /// Records a refusal against readiness.
    fn record(&self, unready: Unready) -> Unready {
        *self.lock() = Some((Instant::now(), unready.to_string()));
        self.has_last.store(true, Ordering::Relaxed);
        unready
    }

    fn clear(&self) {
        if self.has_last.load(Ordering::Relaxed) {
            self.has_last.store(false, Ordering::Relaxed);
            *self.lock() = None;
        }
        if self.is_refusing.load(Ordering::Relaxed)
            && self.is_refusing.swap(false, Ordering::Relaxed)
        {
            info!("events are accepted again");
        }
    }

    /// Why the last batch was refused, if that was recent and no batch was accepted since.
    pub fn last(&self) -> Option<String> {
        let last = self.lock();
        let (at, why) = last.as_ref()?;
        (at.elapsed() < REFUSAL_MAX).then(|| format!("events are refused: {why}"))
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Instant, String)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
