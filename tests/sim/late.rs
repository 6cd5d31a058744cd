//! The second pass over late events: a shell that reads ledger and log as the aggregator's does,
//! and what has to come of it.

use ledger::account::Account;
use ledger::classify::Clock;
use ledger::commit::Part;
use ledger::core::Input;
use ledger::late::{Batch, BatchOptions, Decided};
use rand::RngExt as _;

use crate::books::Range;
use crate::log::{Partition, Stored};
use crate::mutation::Mutation;
use crate::producer::{Made, PARTITIONS};
use crate::reference::Second;
use crate::shell::{Place, Shell, window};
use crate::world::World;

impl Shell {
    /// Decides late events, from what the ledger and the log say now. The verdicts are taken later,
    /// or never.
    pub fn decide_late(&mut self, place: &mut Place<'_>) {
        let Some(nonce) = self.nonce().filter(|_| self.core.takes_verdicts()) else { return };
        let committed = *self.core.committed();
        if committed.account.undecided() == 0 {
            return;
        }
        let partition = self.partition() as usize;
        let (log, ledger) = (&place.logs[partition], &place.sql.ledger);
        let options = BatchOptions {
            window: window(place.mutation),
            partition: self.partition(),
            n_partitions: PARTITIONS,
            unread_us: ledger.unread_us(partition, log.low),
            safeguards: place.mutation.safeguards(),
        };
        let mut batch = Batch::new(options, committed.late_next);
        let has_late = |range: &&Range| {
            range.base >= committed.late_next && range.next <= committed.next && range.sums.late > 0
        };
        let mut n_found = 0;
        let mut is_cut_short = false;
        for range in ledger.ranges[partition].iter().filter(has_late) {
            is_cut_short = n_found > 0 && place.rng.random_bool(0.1);
            if is_cut_short {
                break;
            }
            take(&mut batch, range, log, place.mutation);
            n_found += range.sums.late;
        }
        if !is_cut_short {
            batch.move_to(committed.next);
            batch.give_up((committed.account.undecided() - n_found).max(0), committed.next);
        }
        for stretch in batch.windows() {
            for range in &ledger.ranges[partition] {
                let (first, last) = (range.sums.first_clock_us, range.sums.last_clock_us);
                let is_before = last.is_none_or(|last| last < *stretch.start());
                let is_behind = first.is_some_and(|first| first > *stretch.end());
                if range.next == range.base || is_before || is_behind {
                    continue;
                }
                let look = |_, stored: &Stored, clock: Clock| {
                    if clock.us().is_some_and(|us| stretch.contains(&us)) {
                        batch.look(&stored.bytes, clock);
                    }
                };
                if !walk(log, range, place.mutation, look) {
                    // Retention was faster. The next look knows.
                    return;
                }
            }
        }
        let keys = batch.keys();
        let merged = ledger.merged.keys().filter(|(of, ..)| *of == self.partition());
        let merged = merged.filter(|(_, key, _)| keys.binary_search(key).is_ok());
        let merged: Vec<_> = merged.map(|(_, key, time_us)| (*key, *time_us)).collect();
        self.verdicts = Some((nonce, batch.decide(&merged)));
    }

    /// Takes verdicts that were made, maybe long ago.
    pub fn take_verdicts(&mut self, place: &mut Place<'_>) {
        if !self.core.takes_verdicts() {
            return;
        }
        let Some((nonce, verdicts)) = self.verdicts.clone() else { return };
        if place.rng.random_bool(0.7) {
            self.verdicts = None;
        }
        let effects = self.core.on(Input::Decided(Decided { nonce, verdicts: &verdicts }));
        self.carry_out(effects, place);
    }
}

/// Takes the late events of a range.
fn take(batch: &mut Batch, range: &Range, log: &Partition, mutation: Mutation) {
    if range.base < log.low {
        batch.give_up(range.sums.late, range.next);
        return;
    }
    let mut n_late = 0;
    walk(log, range, mutation, |offset, stored, clock| {
        n_late += batch.take(offset, &stored.bytes, clock);
    });
    batch.give_up((range.sums.late - n_late).max(0), range.next);
}

/// Reads a range, with the clock behind each intact record. False if one is gone.
fn walk(
    log: &Partition,
    range: &Range,
    mutation: Mutation,
    mut look: impl FnMut(u64, &Stored, Clock),
) -> bool {
    let mut clock = Clock::default();
    for offset in range.base..range.next {
        let Some(stored) = log.get(offset) else { return false };
        if offset == range.base {
            clock = Clock::at(range.sums.first_clock_us);
        } else if stored.intact {
            let (append_us, window) = (stored.append_us, window(mutation));
            clock.observe_record(append_us, &stored.bytes, &window, mutation.safeguards());
        }
        if stored.intact {
            look(offset, stored, clock);
        }
    }
    true
}

impl World {
    /// The late events that a part merges are some that must be, and all of them if the log is
    /// whole.
    pub(crate) fn check_late(&self, part: &Part, partition: usize) -> Result<Vec<Made>, String> {
        let log = &self.logs[partition];
        let (base, next) = (part.late.base, part.progress.late_next);
        let place = || format!("partition {partition}, late events of frames {base}..{next}");
        let mut merged = Vec::new();
        for event in &part.late.merged {
            let late = log.late(event.offset, event.offset + 1);
            let mut same =
                late.filter(|(made, _)| (made.key, made.time_us) == (event.key, event.time_us));
            match same.next() {
                Some((made, Second::Merged)) => merged.push(*made),
                Some((made, Second::CopyOfMerged)) if !log.is_whole() => merged.push(*made),
                Some((_, second)) => {
                    return Err(format!("I3: {}: {second:?} at {} merged", place(), event.offset));
                }
                None => return Err(format!("I1: {}: no late event is merged", place())),
            }
        }
        let is_due = |(_, second): &&(Made, Second)| *second == Second::Merged;
        let n_due = log.late(base, next).filter(is_due).count();
        if log.is_whole() && n_due != merged.len() {
            let found = merged.len();
            return Err(format!("I1: {}: {n_due} to be merged, {found} are", place()));
        }
        Ok(merged)
    }

    /// Late events of a partition that are merged, with the offsets of their frames.
    pub(crate) fn late_merged(&self, partition: usize) -> impl Iterator<Item = (u64, &Made)> {
        let rows =
            self.sql.ledger.merged.iter().filter(move |((of, ..), _)| *of as usize == partition);
        rows.filter_map(move |((_, key, time_us), (offset, _))| {
            let mut late = self.logs[partition].late(*offset, offset + 1);
            let found = late.find(|(made, _)| (made.key, made.time_us) == (*key, *time_us));
            found.map(|(made, _)| (*offset, made))
        })
    }

    /// Events of a log that the ledger counts: those of frames from an offset on, and late ones
    /// that are merged; where the offset is above 0, only those with their times per output token.
    pub(crate) fn counted<'a>(
        &'a self,
        log: &'a Partition,
        from: u64,
    ) -> impl Iterator<Item = &'a Made> {
        let partition = log.number();
        let merged = self.late_merged(partition as usize).filter(move |(_, made)| {
            let key = (partition, made.key, made.time_us);
            from == 0 || self.sql.ledger.merged.get(&key).is_some_and(|(_, has_tpot)| *has_tpot)
        });
        let deltas = log.deltas(from, log.high()).flat_map(|delta| &delta.counted);
        deltas.chain(merged.map(|(_, made)| made))
    }

    /// Every late event of a partition has a verdict, and those that are merged are on record.
    pub(crate) fn check_decided(&self, partition: usize, account: &Account) -> Result<(), String> {
        let merged = self.sql.ledger.merged.keys().filter(|(of, ..)| *of as usize == partition);
        let n_merged = merged.count();
        if account.undecided() != 0 || account.merged != n_merged as i64 {
            return Err(format!("I2: {n_merged} late events on record, {account:?} accounted"));
        }
        if self.logs[partition].is_whole() && account.expired > 0 {
            return Err(format!("I4: the log is whole, {} late events expired", account.expired));
        }
        Ok(())
    }
}
