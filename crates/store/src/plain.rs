//! The ledger as plain rows of integers, strings and bytes, for code that must not share types with
//! the counting code.
//!
//! A `PlainReader` asks a `Reader` and takes each row apart, field by field. It may not sum, round,
//! sort, join, leave out rows or correct a value: a recount cannot find what is changed here. Enum
//! values use their public names. There is no SQL here.

mod convert;

use std::ops::Range;
use std::path::Path;

use ledger::commit;
use ledger::consumer::N_CONSUMER_SUMS;
use ledger::measures::N_MEASURES;
use ledger::window;

use crate::Store;
use crate::accepted::AcceptedRow;
use crate::error::Result;
use crate::read::{self, Reader};
use crate::roll_up::namespace_columns;
use crate::rows::Width;
use crate::usage::{UsageAsk, UsageBy, UsageValue};

/// Identity of a row: a hash of its labels, the same in totals and baselines.
pub type Id = [u8; 16];
/// Numbers of a total, a quarter-hour or a minute, in the order of the columns of `total`. A minute
/// has 0 for the buckets of the time to first token and for all of the time per output token.
pub type Sums = [i64; N_MEASURES];
/// Requests, tokens per additive class and cost in nano-dollars of a consumer.
pub type Used = [i64; N_CONSUMER_SUMS];

/// Roll-ups by namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceRows {
    /// Names of the numbers.
    pub names: Vec<String>,
    /// Namespace, time and numbers.
    pub rows: Vec<(String, i64, Vec<i64>)>,
}

/// A generation of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Number of the generation.
    pub generation: u32,
    /// Which events it counts.
    pub window: Window,
}

/// Widths of the window of a generation, microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// A: an event older than the log's clock by more than this is late.
    pub past_us: i64,
    /// F: an event ahead of the log's clock by more than this is from the future.
    pub ahead_us: i64,
    /// W: how long copies are recognised.
    pub keep_us: i64,
}

/// State of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Generation of the log.
    pub generation: u32,
    /// Number of the partition.
    pub partition: u32,
    /// How far it is counted.
    pub progress: Progress,
}

/// From where on a partition has times per output token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TpotStart {
    /// Generation of the log.
    pub generation: u32,
    /// Number of the partition.
    pub partition: u32,
    /// Offset of the first frame that is counted with them.
    pub offset: u64,
}

/// How far a partition is counted, and what that came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Offset of the first frame that is not counted.
    pub next: u64,
    /// Offset from which marks can be rebuilt.
    pub floor: u64,
    /// M before the floor, microseconds.
    pub floor_clock_us: Option<i64>,
    /// M after the last counted frame, microseconds.
    pub clock_us: Option<i64>,
    /// XXH3 of the last counted frame.
    pub last_print: Option<u64>,
    /// Offset of the first frame whose late events are not decided.
    pub late_next: u64,
    /// Events by class.
    pub account: Account,
}

/// Events of a partition by class, and what else is accounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the classes of docs/counting.md")]
pub struct Account {
    pub events: i64,
    pub counted: i64,
    pub duplicate: i64,
    pub late: i64,
    pub future: i64,
    pub poison: i64,
    pub misrouted: i64,
    pub conflicts: i64,
    pub lost_frames: i64,
    pub merged: i64,
    pub late_duplicate: i64,
    pub expired: i64,
}

/// Labels of totals and quarter-hours.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the labels of docs/counting.md")]
pub struct Labels {
    pub namespace: String,
    pub upstream: String,
    pub model: String,
    pub method: &'static str,
    pub endpoint: String,
    pub status: u16,
    pub outcome: &'static str,
    pub service_tier: &'static str,
    pub source: &'static str,
    pub is_final: bool,
    pub limited_by: Option<String>,
}

/// Labels of minutes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "as those of `Labels`")]
pub struct MinuteLabels {
    pub namespace: String,
    pub upstream: String,
    pub outcome: &'static str,
    pub source: &'static str,
    pub is_final: bool,
}

/// Labels of consumers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerLabels {
    /// Tenant.
    pub namespace: String,
    /// Alias of a key or user; empty for none.
    pub consumer: String,
    /// Model that answered, or `none`.
    pub model: String,
}

/// What one commit counted of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeLine {
    /// Number of the partition.
    pub partition: u32,
    /// First offset of the range.
    pub base: u64,
    /// Offset after the range.
    pub next: u64,
    /// Events in the range.
    pub events: i64,
    /// Counted events in the range.
    pub counted: i64,
    /// Input tokens of the counted events.
    pub input_tokens: i64,
    /// Output tokens of the counted events.
    pub output_tokens: i64,
    /// Late events in the range.
    pub late: i64,
    /// Wrapping sum of the low halves of the counted keys.
    pub digest: i64,
    /// M after the first frame of the range, microseconds.
    pub first_clock_us: Option<i64>,
    /// M after the last frame of the range, microseconds.
    pub last_clock_us: Option<i64>,
}

/// A late event that the second pass has merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MergedEvent {
    /// Number of the partition.
    pub partition: u32,
    /// Offset of its frame.
    pub offset: u64,
    /// Its key.
    pub key: [u8; 16],
    /// Its time, microseconds.
    pub time_us: i64,
}

/// Totals and partitions as they stood before the first commit of a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Baseline {
    /// Ledger version.
    pub version: i64,
    /// Partitions of all generations.
    pub partitions: Vec<Partition>,
    /// Counter totals by row.
    pub totals: Vec<(Id, Sums)>,
}

/// A loss that an operator accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptedLoss {
    /// Generation of the log.
    pub generation: u32,
    /// Number of the partition.
    pub partition: u32,
    /// Offset at which counting resumed.
    pub next: u64,
}

/// A ledger that is only read.
#[derive(Debug)]
pub struct PlainStore(Store);

/// One read transaction: everything it answers is of one committed version.
#[derive(Debug)]
pub struct PlainReader(pub(crate) Reader);

impl From<Store> for PlainStore {
    fn from(store: Store) -> PlainStore {
        PlainStore(store)
    }
}

impl PlainStore {
    /// Opens the ledger of a directory, without its lock and alongside a writer.
    ///
    /// # Errors
    /// As `Store::open_read_only`.
    pub async fn open_read_only(dir: &Path) -> Result<PlainStore> {
        Store::open_read_only(dir).await.map(PlainStore)
    }

    /// A generation of the log.
    ///
    /// # Errors
    /// The generation does not exist, or was created with another number of partitions.
    pub async fn generation(&self, generation: u32, partitions: u32) -> Result<Generation> {
        let found = self.0.generation(generation, partitions).await?;
        let window::Window { past_us, ahead_us, keep_us } = found.window;
        let window = Window { past_us, ahead_us, keep_us };
        Ok(Generation { generation: found.generation, window })
    }

    /// Begins a read transaction.
    ///
    /// # Errors
    /// As `Store::read`.
    pub async fn read(&self) -> Result<PlainReader> {
        self.0.read().await.map(PlainReader)
    }

    /// Closes the connections.
    pub async fn close(&self) {
        self.0.close().await;
    }
}

/// Errors are those of `Reader`.
impl PlainReader {
    /// The version that all answers show.
    #[must_use]
    pub fn version(&self) -> i64 {
        self.0.as_of().version
    }

    /// When it was committed, microseconds since the epoch; 0 before the first commit.
    #[must_use]
    pub fn committed_us(&self) -> i64 {
        self.0.as_of().committed_us
    }

    /// Codes of the configured namespaces.
    pub async fn namespaces(&mut self) -> Result<Vec<String>> {
        let rows = self.0.namespaces_after(0).await?;
        Ok(rows.into_iter().map(|row| row.code).collect())
    }

    /// State of every partition of every generation.
    pub async fn partitions(&mut self) -> Result<Vec<Partition>> {
        let rows = self.0.partitions().await?;
        Ok(rows.iter().map(|row| partition(row.generation, row.partition, &row.progress)).collect())
    }

    /// From where on each partition has times per output token.
    pub async fn tpot_starts(&mut self) -> Result<Vec<TpotStart>> {
        let plain = |row: &read::PartitionRow| {
            let read::PartitionRow { generation, partition, tpot_from: offset, .. } = *row;
            TpotStart { generation, partition, offset }
        };
        Ok(self.0.partitions().await?.iter().map(plain).collect())
    }

    /// Counter totals.
    pub async fn totals(&mut self) -> Result<Vec<(Id, Labels, Sums)>> {
        let rows = self.0.total_rows(None).await?;
        let rows = rows.iter();
        Ok(rows.map(|(labels, sums)| (labels.id().0, labels.into(), sums.to_array())).collect())
    }

    /// Rows of quarter-hours since the epoch.
    pub async fn quarters(&mut self, at: Range<i64>) -> Result<Vec<(i64, Labels, Sums)>> {
        let rows = self.0.full_quarters(at).await?;
        let rows = rows.iter();
        Ok(rows.map(|(at, labels, sums)| (*at, labels.into(), sums.to_array())).collect())
    }

    /// Rows of minutes since the epoch.
    pub async fn minutes(&mut self, at: Range<i64>) -> Result<Vec<(i64, MinuteLabels, Sums)>> {
        let rows = self.0.short_rows(at, None).await?;
        let rows = rows.iter();
        Ok(rows.map(|(at, labels, sums)| (*at, labels.into(), sums.to_array())).collect())
    }

    /// Consumers of quarter-hours since the epoch.
    pub async fn consumers(&mut self, at: Range<i64>) -> Result<Vec<(i64, ConsumerLabels, Used)>> {
        let rows = self.0.consumer_rows(at).await?.into_iter();
        Ok(rows.map(|(at, labels, sums)| (at, labels.into(), sums.to_array())).collect())
    }

    /// The same rows as the database adds them up by namespace and consumer, with both names.
    pub async fn consumer_groups(&mut self, at: Range<i64>) -> Result<Vec<(Vec<String>, Used)>> {
        let by = [UsageBy::Namespace, UsageBy::Consumer];
        let question = UsageAsk { quarters: at, by: &by, ..UsageAsk::default() };
        let groups = self.0.usage(&question, i64::MAX, 0).await?.1.into_iter();
        let plain = |value| match value {
            UsageValue::Text(text) => text,
            UsageValue::Number(number) => number.to_string(),
        };
        Ok(groups
            .map(|group| {
                let names = group.values.into_iter().map(plain).collect();
                (names, group.sums.used.to_array())
            })
            .collect())
    }

    /// Quarter-hours before this one are rolled up.
    #[must_use]
    pub fn rolled_up_to(&self) -> i64 {
        self.0.rolled_up_to()
    }

    /// Roll-ups of UTC days since the epoch.
    pub async fn days(&mut self, at: Range<i64>) -> Result<Vec<(i64, Labels, Sums)>> {
        let rows = self.0.day_rows(at).await?.into_iter();
        Ok(rows.map(|(at, labels, sums)| (at, (&labels).into(), sums.to_array())).collect())
    }

    /// Roll-ups of consumers, of UTC days since the epoch.
    pub async fn consumer_days(
        &mut self,
        at: Range<i64>,
    ) -> Result<Vec<(i64, ConsumerLabels, Used)>> {
        let rows = self.0.consumer_day_rows(at).await?.into_iter();
        Ok(rows.map(|(at, labels, sums)| (at, labels.into(), sums.to_array())).collect())
    }

    /// Roll-ups by namespace of quarter-hours since the epoch: an empty name is that of all. The
    /// names of their numbers come first.
    pub async fn namespace_quarters(&mut self, at: Range<i64>) -> Result<NamespaceRows> {
        let rows = self.0.namespace_rows(Width::Full, at).await?;
        Ok(NamespaceRows { names: namespace_columns(Width::Full), rows })
    }

    /// Roll-ups by namespace of minutes since the epoch, likewise.
    pub async fn namespace_minutes(&mut self, at: Range<i64>) -> Result<NamespaceRows> {
        let rows = self.0.namespace_rows(Width::Short, at).await?;
        Ok(NamespaceRows { names: namespace_columns(Width::Short), rows })
    }

    /// The oldest quarter-hour that is kept, since the epoch.
    pub async fn oldest_quarter(&mut self) -> Result<Option<i64>> {
        self.0.oldest_quarter().await
    }

    /// The oldest minute that is kept, since the epoch.
    pub async fn oldest_minute(&mut self) -> Result<Option<i64>> {
        self.0.oldest_minute().await
    }

    /// The oldest quarter-hour that consumers are kept of, since the epoch.
    pub async fn oldest_consumers(&mut self) -> Result<Option<i64>> {
        self.0.oldest_usage().await
    }

    /// When the last commit without consumers was made, microseconds since the epoch; 0 for none.
    pub async fn consumers_start_us(&mut self) -> Result<i64> {
        self.0.usage_start_us().await
    }

    /// The ranges of all commits, by ledger version and partition.
    pub async fn ranges(&mut self) -> Result<Vec<RangeLine>> {
        Ok(self.0.ranges().await?.iter().map(RangeLine::from).collect())
    }

    /// Late events that were merged and whose frames were in the log when somebody looked last.
    pub async fn merged(&mut self, generation: u32) -> Result<Vec<MergedEvent>> {
        Ok(self.0.merged(generation).await?.iter().map(MergedEvent::from).collect())
    }

    /// The baselines, oldest first.
    pub async fn baselines(&mut self) -> Result<Vec<Baseline>> {
        let baselines = self.0.baselines().await?;
        let plain = |baseline: &read::Baseline| {
            let partitions = baseline.partitions.iter();
            let totals = baseline.totals.iter();
            Baseline {
                version: baseline.version,
                partitions: partitions
                    .map(|(generation, number, progress)| partition(*generation, *number, progress))
                    .collect(),
                totals: totals.map(|(id, sums)| (id.0, sums.to_array())).collect(),
            }
        };
        Ok(baselines.iter().map(plain).collect())
    }

    /// Every loss that was accepted, oldest first.
    pub async fn accepted_losses(&mut self) -> Result<Vec<AcceptedLoss>> {
        let plain = |row: &AcceptedRow| {
            let AcceptedRow { generation, partition, next, .. } = *row;
            AcceptedLoss { generation, partition, next }
        };
        Ok(self.0.accepted_losses().await?.iter().map(plain).collect())
    }
}

fn partition(generation: u32, partition: u32, progress: &commit::Progress) -> Partition {
    Partition { generation, partition, progress: progress.into() }
}
