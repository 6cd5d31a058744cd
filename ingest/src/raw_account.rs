//! Tracks raw topics alongside their reader: the position in each partition, the topic id it
//! belongs to, and what was lost with topics that were deleted.
//!
//! Positions are stored in the ledger once a second, so that a topic that is deleted and recreated
//! while no ingest runs is noticed. A deleted topic is settled in the ledger: the first process to
//! settle a partition reports what was not read, and the others have nothing to report. If the
//! ledger does not answer, this is retried; no message may wait for it.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use queue::{RAW_STALL_SECONDS, RawWatch, Remade, TopicId, Witness};
use service::config::RawTopic;
use store::{Known, RawPlace, Settled, Store, StoreError};
use tokio::time::timeout;
use tracing::{error, warn};

use crate::metrics::IngestMetrics;

/// Interval of updates of the gauges.
const GAUGES_EVERY: Duration = Duration::from_secs(1);
/// Interval of writes to the ledger.
const STORE_EVERY: Duration = Duration::from_secs(1);
/// How long a former owner of a deleted partition defers to its last owner.
const FORMER_DELAY: Duration = Duration::from_secs(2);
/// How long a process that only observed the end of a deleted partition defers to its readers.
const OBSERVER_DELAY: Duration = Duration::from_secs(3);
/// How long a deleted partition known only from the ledger is left to its readers and observers.
const LEDGER_DELAY: Duration = Duration::from_secs(4);
/// Longest wait for the ledger at shutdown.
const FINISH_MAX: Duration = Duration::from_millis(700);

/// Readiness of the reader of raw topics. Ready while there is none.
#[derive(Clone, Debug, Default)]
pub(crate) struct RawHealth(Arc<OnceLock<(RawWatch, Vec<RawTopic>)>>);

impl RawHealth {
    pub fn set(&self, watch: RawWatch, topics: Vec<RawTopic>) {
        // A second reader in one process would be a bug; the first one stays.
        let _ = self.0.set((watch, topics));
    }

    /// Why the process is not ready: one reason per topic with stalled partitions.
    pub fn reasons(&self) -> Vec<String> {
        let Some((watch, topics)) = self.0.get() else { return Vec::new() };
        let mut of_topic: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for (topic, partition) in watch.stalled() {
            of_topic.entry(topic).or_default().push(partition.to_string());
        }
        let reason = |(topic, partitions): (usize, Vec<String>)| {
            format!(
                "messages of {} have been unread for {RAW_STALL_SECONDS} s in partitions {}",
                topics[topic].topic,
                partitions.join(", ")
            )
        };
        of_topic.into_iter().map(reason).collect()
    }
}

/// Gauges of raw topics. Separate from the tracker: a ledger that hangs must not hide lag or
/// stalled partitions.
pub(crate) struct RawGauges {
    pub watch: RawWatch,
    pub topics: Vec<RawTopic>,
    pub metrics: IngestMetrics,
}

impl RawGauges {
    /// Runs until it is dropped.
    pub async fn run(&self) {
        let mut ticks = tokio::time::interval(GAUGES_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.update();
        }
    }

    fn update(&self) {
        let stalled = self.watch.stalled();
        for (idx, topic) in self.topics.iter().enumerate() {
            let name = [topic.topic.as_str()];
            let lag = i64::try_from(self.watch.lag(idx)).unwrap_or(i64::MAX);
            self.metrics.raw.lag.with_label_values(&name).set(lag);
            let n = stalled.iter().filter(|(other, _)| *other == idx).count();
            self.metrics.raw.stalled.with_label_values(&name).set(n as i64);
        }
    }
}

/// Stores positions and settles deleted topics.
pub(crate) struct PositionTracker {
    pub watch: RawWatch,
    pub store: Arc<Store>,
    /// Consumer group of the reader.
    pub group: String,
    pub topics: Vec<RawTopic>,
    pub metrics: IngestMetrics,
    /// Deleted topics or partitions to settle, and when each is due.
    waiting: Vec<(Instant, Remade)>,
    /// Positions that the ledger has.
    stored: BTreeMap<(usize, u32), queue::RawPlace>,
    lost: u64,
    has_warned: bool,
}

impl PositionTracker {
    pub fn new(
        watch: RawWatch,
        store: Arc<Store>,
        group: String,
        topics: Vec<RawTopic>,
        metrics: IngestMetrics,
    ) -> PositionTracker {
        for topic in &topics {
            for unread in ["told", "unknown"] {
                metrics.raw.remade.with_label_values(&[topic.topic.as_str(), unread]).inc_by(0);
            }
        }
        let (waiting, stored) = (Vec::new(), BTreeMap::new());
        let (lost, has_warned) = (0, false);
        PositionTracker { watch, store, group, topics, metrics, waiting, stored, lost, has_warned }
    }

    /// Runs until it is dropped.
    pub async fn run(&mut self) {
        let mut ticks = tokio::time::interval(STORE_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.collect();
            self.sync().await;
        }
    }

    /// Settles and stores for the last time, within `FINISH_MAX`.
    pub async fn finish(&mut self) {
        self.collect();
        if timeout(FINISH_MAX, self.sync()).await.is_err() {
            warn!("last positions in raw topics were not stored");
        }
    }

    async fn sync(&mut self) {
        let synced = match self.settle().await {
            Ok(()) => self.store_positions().await,
            Err(error) => Err(error),
        };
        match synced {
            Ok(()) => self.has_warned = false,
            Err(error) => {
                if !std::mem::replace(&mut self.has_warned, true) {
                    warn!(%error, "positions in raw topics were not stored, retrying");
                }
            }
        }
    }

    /// Counts losses, and collects deleted topics to settle.
    fn collect(&mut self) {
        let lost = self.watch.lost();
        self.metrics.raw.lost.inc_by(lost.saturating_sub(self.lost));
        self.lost = lost;
        let now = Instant::now();
        for remade in self.watch.remade() {
            let wait = match (&remade.place, remade.witness) {
                (Some(_), Witness::Reader) => Duration::ZERO,
                (Some(_), Witness::Former) => FORMER_DELAY,
                (Some(_), Witness::Observer) => OBSERVER_DELAY,
                (None, _) => LEDGER_DELAY,
            };
            self.waiting.push((now + wait, remade));
        }
    }

    /// Settles what is due. Stops at the first failure; the rest stays due.
    async fn settle(&mut self) -> Result<(), StoreError> {
        let now = Instant::now();
        while let Some(at) = self.waiting.iter().position(|(due, _)| *due <= now) {
            let remade = self.waiting[at].1.clone();
            let id = self.newest_id(&remade).to_string();
            let topic = self.topics[remade.topic].topic.as_str();
            match &remade.place {
                Some(known) => {
                    let known = of_ledger(topic, known);
                    let known = match remade.witness {
                        Witness::Reader => Known::Read(known),
                        Witness::Former | Witness::Observer => Known::Seen(known),
                    };
                    let settled = self.store.settle_raw_place(&self.group, known, id).await?;
                    let is_certain = remade.is_quiet;
                    settled.iter().for_each(|settled| self.report(settled, is_certain));
                }
                None => {
                    let settled = self.store.settle_raw_topic(&self.group, topic, id).await?;
                    settled.iter().for_each(|settled| self.report(settled, false));
                }
            }
            self.waiting.remove(at);
        }
        Ok(())
    }

    /// The newest known id of the topic: the one that replaced it may have been deleted since.
    fn newest_id(&self, remade: &Remade) -> TopicId {
        let mut of_topic = self.waiting.iter().filter(|(_, other)| other.topic == remade.topic);
        of_topic.next_back().map_or(remade.id, |(_, last)| last.id)
    }

    /// Logs and counts what was not read of a deleted topic.
    fn report(&self, settled: &Settled, is_certain: bool) {
        let Settled { place } = settled;
        let RawPlace { topic, topic_id, partition, next, high } = place;
        let lost = place.unread();
        self.metrics.raw.lost.inc_by(lost);
        let unread = if is_certain { "told" } else { "unknown" };
        self.metrics.raw.remade.with_label_values(&[topic.as_str(), unread]).inc();
        match (is_certain, lost) {
            (true, 0) => warn!(topic, topic_id, partition, next, "topic was deleted, all was read"),
            (true, _) => error!(
                topic,
                topic_id, partition, next, high, lost, "topic was deleted, messages were not read"
            ),
            (false, _) => error!(
                topic,
                topic_id,
                partition,
                next,
                high,
                lost,
                "topic was deleted while it was written or nobody read it, more may be lost"
            ),
        }
    }

    /// Stores the positions that have changed.
    async fn store_positions(&mut self) -> Result<(), StoreError> {
        let mut changed = self.watch.places();
        changed.retain(|place| self.stored.get(&(place.topic, place.partition)) != Some(place));
        // In a fixed order, so that two processes cannot deadlock on each other's rows.
        let name = |place: &queue::RawPlace| &self.topics[place.topic].topic;
        changed.sort_by(|a, b| (name(a), a.partition).cmp(&(name(b), b.partition)));
        // A partition that waits to be settled must not be overwritten by its successor.
        let is_waiting = |place: &queue::RawPlace| {
            self.waiting.iter().any(|(_, remade)| is_about(remade, place))
        };
        let (known, new): (Vec<_>, Vec<_>) = changed.into_iter().partition(is_waiting);
        if known.is_empty() && new.is_empty() {
            return Ok(());
        }
        let row = |place: &queue::RawPlace| of_ledger(&self.topics[place.topic].topic, place);
        let (of_new, of_known) = (new.iter().map(row).collect(), known.iter().map(row).collect());
        self.store.put_raw_places(&self.group, of_new, of_known).await?;
        for place in new {
            self.stored.insert((place.topic, place.partition), place);
        }
        Ok(())
    }
}

/// Whether the ledger may still have an older topic for the partition.
fn is_about(remade: &Remade, place: &queue::RawPlace) -> bool {
    remade.topic == place.topic
        && remade.place.is_none_or(|known| known.partition == place.partition)
}

fn of_ledger(topic: &str, place: &queue::RawPlace) -> RawPlace {
    RawPlace {
        topic: topic.to_owned(),
        topic_id: place.id.to_string(),
        partition: place.partition,
        next: place.next,
        high: place.high,
    }
}
