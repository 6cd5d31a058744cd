//! What is committed: the rows of the ledger.

use std::collections::{BTreeMap, BTreeSet};

use event::Key;
use ledger::commit::{CommitId, Part, Progress, RangeSums};
use ledger::consumer::ConsumerSums;
use ledger::lease::LeaseRow;
use ledger::measures::Measures;
use ledger::series::SeriesId;

use crate::log::Partition;
use crate::producer::PARTITIONS;
use crate::reference::AHEAD_US;

/// One partition's row.
#[derive(Clone, Copy, Debug, Default)]
pub struct Row {
    /// How often it was claimed.
    pub epoch: i64,
    pub(crate) nonce: [u8; 16],
    /// Where the counting stands.
    pub progress: Progress,
    /// From where on times per output token are counted.
    pub tpot_from: u64,
    /// The newest claim of a program that knows version 2 of the frame.
    pub(crate) told_epoch: i64,
}

/// Everything that is committed.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Its version.
    pub version: i64,
    /// Rows by partition.
    pub rows: [Row; PARTITIONS as usize],
    /// Counter totals.
    pub totals: BTreeMap<SeriesId, Measures>,
    /// Quarter-hours.
    pub quarters: BTreeMap<(i64, SeriesId), Measures>,
    /// Minutes.
    pub minutes: BTreeMap<(i64, SeriesId), Measures>,
    /// Consumers per quarter-hour.
    pub used: BTreeMap<(i64, SeriesId), ConsumerSums>,
    /// Events among the dead letters.
    pub letters: i64,
    /// Whether a program that knows version 2 of the frame has opened it: its format is newer.
    pub is_newer: bool,
    /// Whether ingest is to write version 2.
    pub wants_v2: bool,
    /// Who shows the business section.
    pub lease: LeaseRow,
    /// Whether it was put back, as whoever did it notes, or who saw it.
    pub is_restored: bool,
    /// The commits by the versions that they made.
    pub(crate) journal: BTreeMap<i64, CommitId>,
    /// The owners and offsets that accepted a loss.
    pub(crate) accepted: BTreeSet<([u8; 16], u64)>,
    /// Late events that were merged: by partition, key and time, with the offset of the frame and
    /// whether times per output token were stored.
    pub merged: BTreeMap<(u32, Key, i64), (u64, bool)>,
    /// What each commit counted of a partition, in the order of the log, and up to where losses of
    /// it were accepted.
    pub ranges: [Vec<Range>; PARTITIONS as usize],
    pub(crate) lost_until: [u64; PARTITIONS as usize],
    /// Up to where late events were ever decided, whatever was put back since.
    pub(crate) furthest_late: [u64; PARTITIONS as usize],
}

/// What one commit counted of a partition.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// First offset.
    pub base: u64,
    /// Offset after the range.
    pub next: u64,
    /// Its sums.
    pub sums: RangeSums,
}

impl Ledger {
    /// The version and the commit that made it; nothing before the first commit.
    #[must_use]
    pub fn newest(&self) -> Option<(i64, CommitId)> {
        self.journal.last_key_value().map(|(version, id)| (*version, *id))
    }

    /// The commit that made a version.
    #[must_use]
    pub fn commit_of(&self, version: i64) -> Option<CommitId> {
        self.journal.get(&version).copied()
    }

    /// The version that a commit made, if it took effect.
    pub(crate) fn version_of(&self, id: CommitId) -> Option<i64> {
        let line = self.journal.iter().rev().find(|(_, known)| **known == id);
        line.map(|(version, _)| *version)
    }

    /// Whether the row has the owner and the base of a part.
    pub(crate) fn is_at_base(&self, part: &Part) -> bool {
        let (row, owner) = (&self.rows[part.owner.partition as usize], &part.owner);
        let is_owner = row.epoch == owner.epoch && row.nonce == owner.nonce;
        is_owner && (row.progress.next, row.progress.late_next) == (part.base, part.late.base)
    }

    /// Whether, if this is put back in the place of `now`, the log still has all that was counted
    /// and decided since.
    pub(crate) fn is_recounted(&self, now: &Ledger, partition: usize, log: &Partition) -> bool {
        let row = &self.rows[partition].progress;
        let to = now.furthest_late[partition].max(self.furthest_late[partition]);
        let unread_us = self.unread_us(partition, log.low);
        let is_readable = |us: i64| unread_us.is_none_or(|unread_us| us - AHEAD_US > unread_us);
        let mut late = log.late(row.late_next, to);
        row.floor >= log.low && late.all(|(made, _)| is_readable(made.time_us))
    }

    /// The log's clock up to which not all that was counted can be read again.
    #[must_use]
    pub fn unread_us(&self, partition: usize, low: u64) -> Option<i64> {
        let lowest = low.max(self.lost_until[partition]);
        let before = self.ranges[partition].iter().filter(|range| range.base < lowest);
        before.filter_map(|range| range.sums.last_clock_us).max()
    }
}
