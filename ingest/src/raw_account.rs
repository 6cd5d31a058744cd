//! Keeps account of raw topics beside their reader: how far each partition has come, in which
//! topic, and what was not read of topics that are no more.
//!
//! Once a second the places go to the ledger, so that a topic that is made anew while nobody runs
//! is noticed. A topic that was deleted is settled in the ledger: who does so first tells what was
//! not read of it, and the others hear nothing. A ledger that does not answer is asked again; no
//! message waits for it.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use queue::{RAW_STALL_SECONDS, RawWatch, Remade, Teller, TopicId};
use service::config::RawTopic;
use store::{Known, RawPlace, Settled, Store, StoreError};
use tokio::time::timeout;
use tracing::{error, warn};

use crate::metrics::IngestMetrics;

/// How often lag and what stands still are shown anew.
const SHOW_EVERY: Duration = Duration::from_secs(1);
/// How often the ledger hears of places.
const KEEP_EVERY: Duration = Duration::from_secs(1);
/// How long whoever had a partition before waits for the one that had it last to tell of it.
const LATER: Duration = Duration::from_secs(2);
/// How long whoever has only seen the end of a partition waits for those that read it.
const FROM_OUTSIDE: Duration = Duration::from_secs(3);
/// How long what only the ledger knows waits for whoever read or saw it.
const LAST: Duration = Duration::from_secs(4);
/// Longest wait for the ledger at the end.
const END_MAX: Duration = Duration::from_millis(700);

/// The reader of raw topics, as others of this process see it, once there is one.
#[derive(Clone, Debug, Default)]
pub(crate) struct RawState(Arc<OnceLock<(RawWatch, Vec<RawTopic>)>>);

impl RawState {
    /// There is one.
    pub fn set(&self, watch: RawWatch, topics: Vec<RawTopic>) {
        // A second reader of the same process would be a defect; the first one stays.
        let _ = self.0.set((watch, topics));
    }

    /// Why raw topics are not read as they should be.
    pub fn reasons(&self) -> Vec<String> {
        let Some((watch, topics)) = self.0.get() else { return Vec::new() };
        let mut of_topic: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for (topic, partition) in watch.stalled() {
            of_topic.entry(topic).or_default().push(partition.to_string());
        }
        let reason = |(topic, partitions): (usize, Vec<String>)| {
            format!(
                "messages of {} wait unread for {RAW_STALL_SECONDS} s in partitions {}",
                topics[topic].topic,
                partitions.join(", ")
            )
        };
        of_topic.into_iter().map(reason).collect()
    }
}

/// What is shown of raw topics at this moment. Apart from the account: a ledger that hangs must not
/// keep what waits, or stands still, from being seen.
pub(crate) struct Shown {
    pub watch: RawWatch,
    pub topics: Vec<RawTopic>,
    pub metrics: IngestMetrics,
}

impl Shown {
    /// Shows it until it is dropped.
    pub async fn follow(&self) {
        let mut ticks = tokio::time::interval(SHOW_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.note();
        }
    }

    /// Shows lag, and what stands still.
    fn note(&self) {
        let stalled = self.watch.stalled();
        for (idx, topic) in self.topics.iter().enumerate() {
            let name = [topic.topic.as_str()];
            let lag = i64::try_from(self.watch.lag(idx)).unwrap_or(i64::MAX);
            self.metrics.raw_lag.with_label_values(&name).set(lag);
            let n = stalled.iter().filter(|(other, _)| *other == idx).count();
            self.metrics.raw_stalled.with_label_values(&name).set(n as i64);
        }
    }
}

/// The account.
pub(crate) struct Account {
    pub watch: RawWatch,
    pub store: Arc<Store>,
    /// The group that reads.
    pub group: String,
    pub topics: Vec<RawTopic>,
    pub metrics: IngestMetrics,
    /// What is to be settled, and from when on.
    waiting: Vec<(Instant, Remade)>,
    /// What the ledger has.
    kept: BTreeMap<(usize, u32), queue::RawPlace>,
    lost: u64,
    has_told: bool,
}

impl Account {
    pub fn new(
        watch: RawWatch,
        store: Arc<Store>,
        group: String,
        topics: Vec<RawTopic>,
        metrics: IngestMetrics,
    ) -> Account {
        for topic in &topics {
            for unread in ["told", "unknown"] {
                metrics.raw_remade.with_label_values(&[topic.topic.as_str(), unread]).inc_by(0);
            }
        }
        let (waiting, kept) = (Vec::new(), BTreeMap::new());
        let (lost, has_told) = (0, false);
        Account { watch, store, group, topics, metrics, waiting, kept, lost, has_told }
    }

    /// Keeps account until it is dropped.
    pub async fn follow(&mut self) {
        let mut ticks = tokio::time::interval(KEEP_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.note();
            self.once().await;
        }
    }

    /// Keeps account for the last time, within a bound.
    pub async fn end(&mut self) {
        self.note();
        if timeout(END_MAX, self.once()).await.is_err() {
            warn!("last positions in raw topics were not stored");
        }
    }

    async fn once(&mut self) {
        let done = match self.settle().await {
            Ok(()) => self.keep().await,
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => self.has_told = false,
            Err(error) => {
                if !std::mem::replace(&mut self.has_told, true) {
                    warn!(%error, "positions in raw topics were not stored, trying again");
                }
            }
        }
    }

    /// Shows losses, and takes what there is to settle.
    fn note(&mut self) {
        let lost = self.watch.lost();
        self.metrics.raw_lost.inc_by(lost.saturating_sub(self.lost));
        self.lost = lost;
        let now = Instant::now();
        for remade in self.watch.remade() {
            let wait = match (&remade.place, remade.teller) {
                (Some(_), Teller::Reader) => Duration::ZERO,
                (Some(_), Teller::Former) => LATER,
                (Some(_), Teller::Observer) => FROM_OUTSIDE,
                (None, _) => LAST,
            };
            self.waiting.push((now + wait, remade));
        }
    }

    /// Settles what is due. The first that fails keeps the others waiting.
    async fn settle(&mut self) -> Result<(), StoreError> {
        let now = Instant::now();
        while let Some(at) = self.waiting.iter().position(|(due, _)| *due <= now) {
            let remade = self.waiting[at].1.clone();
            let id = self.newest_id(&remade).to_string();
            let topic = self.topics[remade.topic].topic.as_str();
            match &remade.place {
                Some(known) => {
                    let known = of_ledger(topic, known);
                    let known = match remade.teller {
                        Teller::Reader => Known::Read(known),
                        Teller::Former | Teller::Observer => Known::Seen(known),
                    };
                    let settled = self.store.settle_raw_place(&self.group, known, id).await?;
                    let is_certain = remade.is_quiet;
                    settled.iter().for_each(|settled| self.tell(settled, is_certain));
                }
                None => {
                    let settled = self.store.settle_raw_topic(&self.group, topic, id).await?;
                    settled.iter().for_each(|settled| self.tell(settled, false));
                }
            }
            self.waiting.remove(at);
        }
        Ok(())
    }

    /// The topic that the name stood for last: what was told before may be over.
    fn newest_id(&self, remade: &Remade) -> TopicId {
        let mut of_topic = self.waiting.iter().filter(|(_, other)| other.topic == remade.topic);
        of_topic.next_back().map_or(remade.id, |(_, last)| last.id)
    }

    /// Tells what was not read of a topic that is no more.
    fn tell(&self, settled: &Settled, is_certain: bool) {
        let Settled { place } = settled;
        let RawPlace { topic, topic_id, partition, next, high } = place;
        let lost = place.unread();
        self.metrics.raw_lost.inc_by(lost);
        let unread = if is_certain { "told" } else { "unknown" };
        self.metrics.raw_remade.with_label_values(&[topic.as_str(), unread]).inc();
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

    /// Has the ledger keep the places that have changed.
    async fn keep(&mut self) -> Result<(), StoreError> {
        let mut changed = self.watch.places();
        changed.retain(|place| self.kept.get(&(place.topic, place.partition)) != Some(place));
        // In one order, so that no two processes wait for each other's rows.
        let name = |place: &queue::RawPlace| &self.topics[place.topic].topic;
        changed.sort_by(|a, b| (name(a), a.partition).cmp(&(name(b), b.partition)));
        // One that waits to be settled must not be passed by what is behind it.
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
            self.kept.insert((place.topic, place.partition), place);
        }
        Ok(())
    }
}

/// Whether the ledger may still have another topic for the partition.
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
