//! The end of a run: no more faults, everything is counted, and every view agrees.

use std::collections::BTreeMap;

use ledger::consumer::{ConsumerLabels, ConsumerSums};
use ledger::invariants::{i3_once, i7_agreement};
use ledger::measures::Measures;
use ledger::series::{FullLabels, SeriesId};

use crate::process::Pace;
use crate::producer::{KINDS, Made, PARTITIONS, labels};
use crate::scraper::settled;
use crate::world::{SECOND_US, World};

/// Rounds within which everything has to be counted.
pub(crate) const ROUNDS: usize = 400;
/// Scrapes until nothing is held any more.
const SCRAPES: usize = 20;

impl World {
    /// Lets the world come to rest and looks at all of it.
    pub fn quiesce(&mut self) -> Result<(), String> {
        self.zombie = None;
        self.sql.arrive_all(&mut self.rng);
        self.check()?;
        self.upgrade();
        self.settle_all()?;
        for n in 0..SCRAPES {
            if n == SCRAPES / 2 {
                // What the publisher of then must follow, whoever commits it.
                self.produce();
            }
            self.now_us += 15 * SECOND_US;
            self.rounds(1.0);
            self.settle_all()?;
            self.scrape()?;
        }
        self.check_page()?;
        self.check_rows()?;
        self.check_once()
    }

    /// Counts until there is nothing left to count.
    fn settle_all(&mut self) -> Result<(), String> {
        for _ in 0..ROUNDS {
            let mut is_done = true;
            for partition in 0..PARTITIONS as usize {
                is_done &= self.settle_one(partition);
                self.check()?;
            }
            if is_done {
                return self.check_places();
            }
        }
        Err("I10: not everything is counted, and nothing says why".to_owned())
    }

    pub(crate) fn settle_one(&mut self, partition: usize) -> bool {
        let high = self.logs[partition].high();
        let done = self.on(true, |instance, place| {
            let shell = &mut instance.shells[partition];
            if shell.core.halted().is_some() {
                return true;
            }
            if shell.is_waiting() {
                instance.turn(Pace::All, place);
            } else if !shell.has_claim() {
                shell.claim(place);
            } else if shell.core.position() < high {
                shell.read(64, place);
            } else {
                if !shell.core.is_dirty() {
                    shell.decide_late(place);
                    shell.take_verdicts(place);
                }
                shell.due(place);
            }
            let shell = &instance.shells[partition];
            let progress = &place.sql.ledger.rows[partition].progress;
            !shell.is_waiting()
                && shell.core.position() == high
                && (progress.next, progress.late_next) == (high, high)
        });
        done.unwrap_or(false)
    }

    /// A partition is counted to its end, or halted because its log is broken.
    fn check_places(&self) -> Result<(), String> {
        for (partition, (log, shell)) in self.logs.iter().zip(&self.current.shells).enumerate() {
            match (log.is_broken, shell.core.halted()) {
                (true, None) => {
                    return Err(format!("I4: log {partition} is broken and nothing says so"));
                }
                (false, Some(halt)) => {
                    return Err(format!("I10: partition {partition} is halted: {halt}"));
                }
                (true, Some(_)) => {}
                (false, None) => {
                    let progress = &self.sql.ledger.rows[partition].progress;
                    self.check_account(&progress.account, partition, progress.next)?;
                    self.check_decided(partition, &progress.account)?;
                }
            }
        }
        Ok(())
    }

    /// The last page is the committed ledger.
    fn check_page(&self) -> Result<(), String> {
        match self.scraper.last() {
            Some(page) if *page == settled(&self.sql) => Ok(()),
            Some(_) => Err("I7: the last page is not the committed ledger".to_owned()),
            None => Err("I10: there was never a page".to_owned()),
        }
    }

    /// Totals, quarter-hours and minutes agree with one another and with the plain account.
    fn check_rows(&self) -> Result<(), String> {
        let ledger = &self.sql.ledger;
        let mut quarters: BTreeMap<SeriesId, Measures> = BTreeMap::new();
        for ((_, id), sums) in &ledger.quarters {
            quarters.entry(*id).or_default().add(sums).expect("small numbers");
        }
        if !i7_agreement(&quarters, &ledger.totals) {
            return Err("I7: quarter-hours do not add up to the totals".to_owned());
        }
        let n = |rows: &mut dyn Iterator<Item = &Measures>| -> [i64; 3] {
            rows.fold([0; 3], |[n, input, output], sums| {
                [n + sums.n, input + sums.input(), output + sums.output()]
            })
        };
        if n(&mut ledger.minutes.values()) != n(&mut ledger.totals.values()) {
            return Err("I7: minutes do not add up to the totals".to_owned());
        }
        if self.logs.iter().any(|log| log.is_broken) {
            return Ok(());
        }
        self.check_totals()
    }

    fn check_totals(&self) -> Result<(), String> {
        let mut expected = [[0_i64; 4]; KINDS];
        let mut at = BTreeMap::new();
        for log in &self.logs {
            for made in self.counted(log, 0) {
                let sums = &mut expected[made.kind];
                sums[0] += 1;
                sums[1] += made.duration_us.cast_signed();
                sums[2] += i64::from(made.tokens[0]);
                sums[3] += i64::from(made.tokens[1]);
                let minute = made.time_us.div_euclid(60 * SECOND_US);
                *at.entry((minute, FullLabels::of(&labels(made.kind)).short().id()))
                    .or_default() += 1;
            }
        }
        for (kind, expected) in expected.into_iter().enumerate() {
            let id = FullLabels::of(&labels(kind)).id();
            let sums = self.sql.ledger.totals.get(&id).cloned().unwrap_or_default();
            let found = [sums.n, sums.duration_us, sums.input(), sums.output()];
            let in_buckets: i64 = sums.duration.iter().sum();
            if found != expected || in_buckets != sums.n {
                return Err(format!("I1: kind {kind}: {expected:?} expected, {found:?} in totals"));
            }
        }
        self.check_consumers()?;
        self.check_tpot()?;
        let minutes = self.sql.ledger.minutes.iter();
        let found: BTreeMap<_, i64> = minutes.map(|(key, sums)| (*key, sums.n)).collect();
        if found == at { Ok(()) } else { Err("I1: a minute has other counts".to_owned()) }
    }

    /// Requests and tokens of each consumer per quarter-hour are those of the plain account.
    fn check_consumers(&self) -> Result<(), String> {
        let mut expected: BTreeMap<(i64, SeriesId), [i64; 3]> = BTreeMap::new();
        for log in &self.logs {
            for made in self.counted(log, 0) {
                let mut bytes = Vec::new();
                ConsumerLabels::encode(&labels(made.kind), &mut bytes);
                let quarter = made.time_us.div_euclid(15 * 60 * SECOND_US);
                let id = ConsumerLabels::id_of(&bytes);
                let sums = expected.entry((quarter, id)).or_default();
                sums[0] += i64::from(labels(made.kind).is_final);
                sums[1] += i64::from(made.tokens[0]);
                sums[2] += i64::from(made.tokens[1]);
            }
        }
        let plain = |sums: &ConsumerSums| [sums.requests, sums.input(), sums.output()];
        let found: BTreeMap<_, _> =
            self.sql.ledger.used.iter().map(|(key, sums)| (*key, plain(sums))).collect();
        if found == expected { Ok(()) } else { Err("I1: a consumer has other sums".to_owned()) }
    }

    /// The totals have the times per output token of every counted event from the noted offset on,
    /// and of none before.
    fn check_tpot(&self) -> Result<(), String> {
        let mut expected = [[0_i64; 2]; KINDS];
        for (log, row) in self.logs.iter().zip(&self.sql.ledger.rows) {
            for made in self.counted(log, row.tpot_from) {
                let [n, sum_us] = &mut expected[made.kind];
                *n += i64::from(made.tpot_us().is_some());
                *sum_us += made.tpot_us().unwrap_or(0);
            }
        }
        for (kind, expected) in expected.into_iter().enumerate() {
            let sums = self.sql.ledger.totals.get(&self.ids[kind]).cloned().unwrap_or_default();
            let found = [sums.n_tpot(), sums.tpot_us];
            if found != expected {
                return Err(format!(
                    "I1: kind {kind}: {expected:?} times per token expected, {found:?} in totals"
                ));
            }
        }
        Ok(())
    }

    /// No event is counted twice. A log that lost what was counted can no longer tell copies.
    fn check_once(&self) -> Result<(), String> {
        let logs = self.logs.iter().filter(|log| log.lost.is_none() && !log.is_broken);
        let counted: Vec<[u8; 16]> =
            logs.flat_map(|log| self.counted(log, 0)).map(Made::identity).collect();
        if i3_once(&counted) { Ok(()) } else { Err("I3: an event is counted twice".to_owned()) }
    }
}
