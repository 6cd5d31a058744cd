//! What a batch goes through on its way to the log, whichever way it came in.
//!
//! A text is parsed, its labels are settled against their budgets, tokens that nobody reported are
//! counted, its events are stamped into columns; then they are appended. Whatever cannot be decided
//! now fails the whole batch with `Unready`: whoever brought it brings it again, and what was
//! written already is recognised as a copy.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use event::native::{Batch, BodyError, parse};
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
use crate::gather::{GatherError, GatherOptions, Gatherers, now_us};
use crate::label::{LabelCache, names};
use crate::metrics::IngestMetrics;
use crate::stamp::{Columns, Stamped, Stamper};

/// Texts above this many bytes are worked on away from the async threads: about half a
/// millisecond.
pub const INLINE_BYTES_MAX: usize = 128 * 1024;

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
    /// Whoever brought it is gone.
    #[error("the request was given up")]
    GivenUp,
    /// The work on it panicked: it may do so again.
    #[error("the batch could not be worked on")]
    Defect(#[source] JoinError),
}

/// A text with events, as somebody brought it.
#[derive(Clone, Debug)]
pub struct Text {
    /// JSON, as `event::native` reads it.
    pub bytes: Bytes,
    /// Whose ids its events have.
    pub source: Arc<str>,
}

/// What happens to texts whose reports of connections cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reports {
    /// Nothing of them is taken.
    Needed,
    /// The events are taken: a gauge of a minute is not worth holding up what counts.
    Spare,
}

/// What became of texts.
#[derive(Debug, Default)]
pub struct Taken {
    /// Each in its place; an error if it is no batch.
    pub texts: Vec<Result<Stamped, BodyError>>,
    /// Where the events are in the log.
    pub positions: Vec<Position>,
}

/// Texts whose events fit a frame, ready for the log.
#[derive(Default)]
struct Piece {
    texts: Vec<Result<Stamped, BodyError>>,
    columns: Columns,
}

/// The way into the log. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Intake {
    parts: Parts,
    metrics: IngestMetrics,
    labels: Arc<LabelCache>,
    estimator: Estimator,
    gateways: Arc<Gateways>,
    gatherers: Arc<Gatherers>,
    refusals: Arc<Refusals>,
}

impl Intake {
    /// Starts the gatherers, which end once the intake and its clones are gone.
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
            gather: Duration::from_millis(parts.settings.gather_ms),
            events_max: parts.settings.queue_events_max,
            window: parts.generation.window,
        };
        let (gatherers, tasks) = Gatherers::start(&parts.queue, options, &metrics);
        let estimator = Estimator::new(metrics.estimated.clone());
        let gatherers = Arc::new(gatherers);
        let gateways = Arc::default();
        let intake = Intake { parts, metrics, labels, estimator, gateways, gatherers, refusals };
        Ok((intake, tasks))
    }

    /// Takes texts into the log, each under its source: parsed, settled, stamped and durable when
    /// this returns. A text that is no batch is an error in its own place. If it is given up half
    /// way, some events may be in the log.
    ///
    /// # Errors
    /// Why nothing can be taken now; the texts may come again as they are.
    pub async fn take(&self, texts: Vec<Text>, reports: Reports) -> Result<Taken, Unready> {
        let taken = self.take_all(texts.into(), reports).await;
        if let Err(unready) = &taken {
            self.refusals.note(unready);
        }
        taken
    }

    async fn take_all(&self, texts: Arc<[Text]>, reports: Reports) -> Result<Taken, Unready> {
        self.check_pressure()?;
        let mut taken = Taken::default();
        while taken.texts.len() < texts.len() {
            let piece = self.prepare_away(&texts, taken.texts.len()).await?;
            if reports == Reports::Needed {
                self.keep_reports(&piece.texts).await?;
            }
            taken.positions.extend(self.append(piece.columns).await?);
            if reports == Reports::Spare
                && let Err(unready) = self.keep_reports(&piece.texts).await
            {
                self.refusals.note(&unready);
            }
            taken.texts.extend(piece.texts);
        }
        for stamped in taken.texts.iter().flatten() {
            self.metrics.note_taken(stamped.n_events, &stamped.rejects);
        }
        Ok(taken)
    }

    /// Prepares texts from one on; many bytes do not keep the async threads from others.
    async fn prepare_away(&self, texts: &Arc<[Text]>, from: usize) -> Result<Piece, Unready> {
        let n_bytes: usize = texts[from..].iter().map(|text| text.bytes.len()).sum();
        if n_bytes <= INLINE_BYTES_MAX {
            return self.prepare(&texts[from..]).await;
        }
        let (intake, texts) = (self.clone(), Arc::clone(texts));
        let runtime = tokio::runtime::Handle::current();
        // Dropped with the caller: a thread must not wait for a lock that outlasts the process.
        let (_alive, gone) = tokio::sync::oneshot::channel::<()>();
        let preparing = async move {
            tokio::select! {
                prepared = intake.prepare(&texts[from..]) => prepared,
                _ = gone => Err(Unready::GivenUp),
            }
        };
        spawn_blocking(move || runtime.block_on(preparing)).await.map_err(Unready::Defect)?
    }

    /// Parses, settles and stamps texts, as many as certainly fit a frame.
    async fn prepare(&self, texts: &[Text]) -> Result<Piece, Unready> {
        let mut piece = Piece::default();
        for text in texts {
            if !piece.columns.have_room() {
                break;
            }
            let stamped = match parse(&text.bytes) {
                Ok(batch) => Ok(self.stamp(batch, &text.source, &mut piece.columns).await?),
                Err(error) => Err(error),
            };
            piece.texts.push(stamped);
        }
        Ok(piece)
    }

    async fn stamp(
        &self,
        batch: Batch<'_>,
        source: &str,
        columns: &mut Columns,
    ) -> Result<Stamped, Unready> {
        let registered =
            self.labels.register(&self.parts.store, &batch.events, &batch.connections).await;
        registered.map_err(|error| self.refusals.stand(Unready::Store(error)))?;
        let estimates = self.estimator.estimate(&batch.events).await;
        let stamper = Stamper {
            known: &self.labels.known(),
            gateways: &self.gateways,
            generation: &self.parts.generation,
            now_us: now_us(),
        };
        Ok(stamper.stamp(batch, &estimates, source, columns))
    }

    /// Takes events into the log again that were stamped before, with their labels as names are
    /// known now. Says in the place of each why it is not taken.
    ///
    /// # Errors
    /// Why nothing can be taken now.
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
        let mut columns = Columns::default();
        let again = |(labels, facts): &(Labels<'_>, Facts)| {
            columns.push_again(
                labels,
                facts,
                &self.labels.known(),
                &self.parts.generation,
                now_us(),
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

    /// Keeps reports of open connections, which do not enter the log.
    async fn keep_reports(&self, texts: &[Result<Stamped, BodyError>]) -> Result<(), Unready> {
        let rows = texts.iter().flatten().flat_map(|stamped| stamped.connections.iter().cloned());
        let rows: Vec<ConnectionsRow> = rows.collect();
        if rows.is_empty() {
            return Ok(());
        }
        self.parts.store.put_connections(rows).await.map_err(Unready::Store)
    }

    /// Appends events, if there are any; durable when this returns.
    async fn append(&self, columns: Columns) -> Result<Vec<Position>, Unready> {
        let builders = columns.into_builders();
        if builders.is_empty() {
            return Ok(Vec::new());
        }
        let appended = self.gatherers.append(builders).await;
        let positions = appended.map_err(|error| self.refusals.stand(Unready::Append(error)))?;
        self.refusals.over();
        Ok(positions)
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
    /// Logs that batches are refused, if that is new.
    pub fn note(&self, error: &(dyn std::error::Error + 'static)) {
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
