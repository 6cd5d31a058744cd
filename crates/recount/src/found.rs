//! What the ledger holds, as plain rows: one committed version of it, read once.
//!
//! Converts plain rows of the store into the recount's own types, so that what is compared later
//! shares nothing with the counting code.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail};
use store::plain::{self, Baseline, Id, MergedEvent, PlainReader, Progress, RangeLine};

use crate::groups::{self, Groups};
use crate::labels::Row;
use crate::late::Stored;
use crate::rolled::{Begin, RollUps};
use crate::stored::{consumer, row, short, wide};
use crate::sums::Sums;
use crate::tally::{Account, MINUTE_US, QUARTER_MINUTES, Rows};
use crate::verdict::Class;

/// One committed version of the ledger.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ledger {
    /// Ledger version.
    pub version: i64,
    /// When it was committed, microseconds since the epoch.
    pub committed_us: i64,
    /// Codes of the configured namespaces.
    pub namespaces: Vec<String>,
    /// Committed progress of each partition.
    pub partitions: BTreeMap<u32, Progress>,
    /// Offset from which the frames of a partition are counted with their time per output token.
    pub tpot_from: BTreeMap<u32, u64>,
    /// Rows; minutes have no buckets of the time to first token, and no time per output token.
    pub rows: Rows,
    /// Consumers of the same quarter-hours, as the database adds them up.
    pub groups: Groups,
    /// What is rolled up of the same rows.
    pub roll_ups: RollUps,
    /// The oldest quarter-hour that is kept, since the epoch.
    pub oldest_quarter: Option<i64>,
    /// The oldest minute that is kept, since the epoch.
    pub oldest_minute: Option<i64>,
    /// The oldest quarter-hour that consumer rows are kept of, since the epoch.
    pub oldest_used: Option<i64>,
    /// When the last commit without consumer rows was made, microseconds; 0 for none.
    pub used_start_us: i64,
    /// What each commit counted of each partition, in the order of the commits.
    pub ranges: Vec<RangeLine>,
    /// Offsets after accepted losses, by partition: frames before them are not the log that was
    /// counted.
    pub accepted: BTreeMap<u32, u64>,
    /// Late events that were merged, of all partitions.
    pub merged: Vec<MergedEvent>,
    /// Starting points, oldest first.
    pub baselines: Vec<Start>,
}

/// Totals and partitions at an earlier version.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Start {
    /// Ledger version.
    pub version: i64,
    /// Progress of each partition at that time.
    pub partitions: BTreeMap<u32, Progress>,
    /// Counter totals by row.
    pub totals: BTreeMap<Row, Sums>,
}

impl Ledger {
    /// Reads all of one version but the rows of quarter-hours and minutes, which there may be
    /// far more of than are compared.
    ///
    /// # Errors
    /// The error of the store, or that there are several generations.
    pub async fn read(reader: &mut PlainReader, generation: u32) -> anyhow::Result<Ledger> {
        let mut partitions = BTreeMap::new();
        for row in reader.partitions().await? {
            if row.generation != generation {
                bail!(
                    "the ledger holds generation {} of the log as well: a recount covers one only",
                    row.generation
                );
            }
            partitions.insert(row.partition, row.progress);
        }
        let mut rows = Rows::default();
        let mut ids = BTreeMap::new();
        for (id, labels, sums) in reader.totals().await? {
            let row = row(labels);
            ids.insert(id, row.clone());
            rows.totals.insert(row, wide(&sums));
        }
        let starts = reader.tpot_starts().await?;
        let starts = starts.iter().filter(|start| start.generation == generation);
        let baselines = reader.baselines().await?;
        let accepted = reader.accepted_losses().await?;
        let accepted = accepted.iter().filter(|row| row.generation == generation);
        Ok(Ledger {
            version: reader.version(),
            committed_us: reader.committed_us(),
            namespaces: reader.namespaces().await?,
            partitions,
            tpot_from: starts.map(|start| (start.partition, start.offset)).collect(),
            rows,
            groups: Groups::new(),
            roll_ups: RollUps::default(),
            oldest_quarter: reader.oldest_quarter().await?,
            oldest_minute: reader.oldest_minute().await?,
            oldest_used: reader.oldest_consumers().await?,
            used_start_us: reader.consumers_start_us().await?,
            ranges: reader.ranges().await?,
            accepted: accepted.map(|row| (row.partition, row.next)).collect(),
            merged: reader.merged(generation).await?,
            baselines: baselines
                .iter()
                .map(|baseline| start(baseline, generation, &ids))
                .collect::<anyhow::Result<_>>()?,
        })
    }

    /// Reads quarter-hours, minutes and consumers from the rows on that hold this time,
    /// microseconds.
    ///
    /// # Errors
    /// The error of the store.
    pub async fn read_rows(
        &mut self,
        reader: &mut PlainReader,
        from_us: i64,
    ) -> anyhow::Result<()> {
        let minute = from_us.div_euclid(MINUTE_US);
        let quarter = minute.div_euclid(QUARTER_MINUTES);
        for (at, labels, sums) in reader.quarters(quarter..i64::MAX).await? {
            self.rows.quarters.insert((at, row(labels)), wide(&sums));
        }
        for (at, labels, sums) in reader.minutes(minute..i64::MAX).await? {
            self.rows.minutes.insert((at, short(labels)), wide(&sums));
        }
        for (at, labels, used) in reader.consumers(quarter..i64::MAX).await? {
            self.rows.used.insert((at, consumer(labels)), Sums::of_used(used));
        }
        self.groups = groups::of_store(reader, quarter..i64::MAX).await?;
        let begin = Begin {
            quarter,
            minute,
            oldest_quarter: self.oldest_quarter,
            oldest_minute: self.oldest_minute,
            oldest_used: self.oldest_used,
        };
        self.roll_ups = RollUps::read(reader, begin).await?;
        Ok(())
    }

    /// First offsets of the commits of a partition.
    pub fn bases(&self, partition: u32) -> BTreeSet<u64> {
        let lines = self.ranges.iter().filter(|line| line.partition == partition);
        lines.map(|line| line.base).collect()
    }

    /// Offset from which a partition has times per output token.
    pub fn tpot_from(&self, partition: u32) -> u64 {
        self.tpot_from.get(&partition).copied().unwrap_or(0)
    }

    /// What the ledger says of the late events of a partition since `from`.
    pub fn late_since(&self, partition: u32, from: &Progress) -> Stored {
        let own = self.merged.iter();
        let own = own.filter(|row| row.partition == partition && row.offset >= from.late_next);
        let now = self.partitions.get(&partition).copied().unwrap_or_default();
        let (now, before) = (account(&now.account).late, account(&from.account).late);
        Stored {
            merged: own.map(|row| (row.offset, row.key, row.time_us)).collect(),
            counts: std::array::from_fn(|n| now[n] - before[n]),
        }
    }

    /// Accounting of all partitions together.
    pub fn account(&self) -> Account {
        let mut sum = Account::default();
        for progress in self.partitions.values() {
            sum.merge(&account(&progress.account));
        }
        sum
    }
}

/// Accounting of a partition.
pub fn account(stored: &plain::Account) -> Account {
    Account {
        events: i128::from(stored.events),
        classes: BTreeMap::from([
            (Class::Counted, i128::from(stored.counted)),
            (Class::Duplicate, i128::from(stored.duplicate)),
            (Class::Late, i128::from(stored.late)),
            (Class::Future, i128::from(stored.future)),
            (Class::Poison, i128::from(stored.poison)),
            (Class::Misrouted, i128::from(stored.misrouted)),
        ]),
        conflicts: i128::from(stored.conflicts),
        lost_frames: i128::from(stored.lost_frames),
        late: [stored.merged, stored.late_duplicate, stored.expired].map(i128::from),
    }
}

fn start(baseline: &Baseline, generation: u32, ids: &BTreeMap<Id, Row>) -> anyhow::Result<Start> {
    let mut start = Start { version: baseline.version, ..Start::default() };
    for row in baseline.partitions.iter().filter(|row| row.generation == generation) {
        start.partitions.insert(row.partition, row.progress);
    }
    for (id, sums) in &baseline.totals {
        let row = ids.get(id).context("a baseline has a row that the totals do not have")?;
        start.totals.insert(row.clone(), wide(sums));
    }
    Ok(start)
}
