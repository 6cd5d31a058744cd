//! Every commit that took effect is held against the plain account of the logs: each of its parts,
//! and its rows, which are those of its parts together and no others.

use std::collections::BTreeMap;

use ledger::account::Account;
use ledger::commit::{Commit, CommitRows, Part};
use ledger::invariants::i2_conserved;
use ledger::measures::Measures;
use ledger::series::SeriesId;

use crate::producer::Made;
use crate::reference::Classes;
use crate::world::World;

/// Events, duration, input and output tokens, and how many times per output token of what sum, by
/// row.
type Sums = BTreeMap<SeriesId, [i64; 6]>;

impl World {
    /// What no step may have done.
    pub(crate) fn check(&mut self) -> Result<(), String> {
        if let Some((partition, offset)) = self.sql.merged_twice {
            return Err(format!("I3: a late event of {partition}/{offset} is merged twice"));
        }
        if let Some(unfenced) = self.sql.unfenced.first() {
            return Err(format!("I8: two commits took effect from one offset: {unfenced:?}"));
        }
        let instances = [Some(&self.current), self.zombie.as_ref()];
        if let Some(fault) = instances.into_iter().flatten().find_map(|it| it.fault.clone()) {
            return Err(fault);
        }
        self.check_versions()?;
        for commit in std::mem::take(&mut self.sql.landed) {
            for part in &commit.parts {
                let furthest = &mut self.furthest[part.owner.partition as usize];
                *furthest = part.progress.next.max(*furthest);
            }
            self.check_commit(&commit)?;
        }
        Ok(())
    }

    /// Its parts are what must be counted, and its rows are those of its parts.
    fn check_commit(&self, commit: &Commit) -> Result<(), String> {
        let mut together = Sums::new();
        for part in &commit.parts {
            for (id, more) in self.check_part(part)? {
                let sums = together.entry(id).or_default();
                *sums = std::array::from_fn(|idx| sums[idx] + more[idx]);
            }
        }
        let place = || format!("commit of {} parts", commit.parts.len());
        self.check_sums(&together, &sums_of(&commit.rows))
            .map_err(|f| format!("I1: {}: {f}", place()))
    }

    /// A part is what must be counted of its range; what that is.
    fn check_part(&self, part: &Part) -> Result<Sums, String> {
        let partition = part.owner.partition as usize;
        let (log, found) = (&self.logs[partition], sums_of(&part.rows));
        if log.is_broken {
            return Ok(found);
        }
        let (base, next) = (part.base, part.progress.next);
        let place = || format!("partition {partition}, frames {base}..{next}");
        let mut classes = Classes::default();
        let mut expected = Sums::new();
        for delta in log.deltas(base, next) {
            classes.add(&delta.classes);
            for made in &delta.counted {
                add(expected.entry(self.ids[made.kind]).or_default(), made);
            }
        }
        for made in self.check_late(part, partition)? {
            let sums = expected.entry(self.ids[made.kind]).or_default();
            add(sums, &made);
        }
        self.check_sums(&expected, &found).map_err(|fault| format!("I1: {}: {fault}", place()))?;
        let n_letters: i64 = part.letters.iter().map(|letter| i64::from(letter.n)).sum();
        if n_letters != classes.letters() {
            let expected = classes.letters();
            return Err(format!("I4: {}: {expected} letters expected, {n_letters}", place()));
        }
        self.check_account(&part.progress.account, partition, next)
            .map_err(|fault| format!("{}: {fault}", place()))?;
        Ok(expected)
    }

    fn check_sums(&self, expected: &Sums, found: &Sums) -> Result<(), String> {
        for (kind, id) in self.ids.iter().enumerate() {
            let (expected, found) = (expected.get(id), found.get(id));
            if found != expected {
                return Err(format!("kind {kind}: {expected:?} expected, {found:?} committed"));
            }
        }
        match found.len() == expected.len() {
            true => Ok(()),
            false => Err("rows of labels that no event has".to_owned()),
        }
    }

    /// The accounting of everything before an offset.
    pub(crate) fn check_account(
        &self,
        account: &Account,
        partition: usize,
        next: u64,
    ) -> Result<(), String> {
        if !i2_conserved(account) {
            return Err(format!("I2: classes do not add up: {account:?}"));
        }
        let log = &self.logs[partition];
        let mut expected = Classes::default();
        for delta in log.deltas(0, next) {
            expected.add(&delta.classes);
        }
        let found = Classes::of(account);
        if found != expected {
            return Err(format!("I1: {expected:?} expected, {found:?} accounted"));
        }
        let lost = log.n_lost(0, next);
        if account.lost_frames != lost {
            return Err(format!("I4: {lost} frames were lost, {} accounted", account.lost_frames));
        }
        Ok(())
    }
}

/// Adds an event.
fn add(sums: &mut [i64; 6], made: &Made) {
    sums[0] += 1;
    sums[1] += made.duration_us.cast_signed();
    sums[2] += i64::from(made.tokens[0]);
    sums[3] += i64::from(made.tokens[1]);
    sums[4] += i64::from(made.tpot_us().is_some());
    sums[5] += made.tpot_us().unwrap_or(0);
}

/// What rows add to totals.
fn sums_of(rows: &CommitRows) -> Sums {
    let plain = |sums: &Measures| {
        let Measures { n, duration_us, tpot_us, .. } = *sums;
        [n, duration_us, sums.input(), sums.output(), sums.n_tpot(), tpot_us]
    };
    rows.totals.iter().map(|(id, _, sums)| (*id, plain(sums))).collect()
}
