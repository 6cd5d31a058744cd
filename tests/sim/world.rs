//! The world: clocks, logs, a database, one instance that counts and maybe an older one that does
//! not know that it is over.
//!
//! Each step draws what happens next. After it, every commit that took effect is held against the
//! plain account of the log.

use std::collections::{BTreeMap, VecDeque};

use event::frame::Version;
use ledger::account::Account;
use ledger::commit::Commit;
use ledger::invariants::i2_conserved;
use ledger::series::{FullLabels, SeriesId};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::log::Partition;
use crate::mutation::Mutation;
use crate::producer::{Fate, KINDS, Made, PARTITIONS, labels};
use crate::publisher::{Publisher, Scraper};
use crate::reference::{Classes, home};
use crate::shell::{Place, Shell, window};
use crate::sql::Sql;

pub(crate) const SECOND_US: i64 = 1_000_000;
pub(crate) const MINUTE_US: i64 = 60 * SECOND_US;
/// Time between two scrapes.
const SCRAPE_US: i64 = 15 * SECOND_US;
/// Most scrapes of one step; before them Prometheus was away.
const SCRAPES_MAX: i64 = 6;
/// Lines of the trace that a failure shows.
const TRACE_MAX: usize = 40;

/// One process with an owner for each partition.
#[derive(Debug)]
pub struct Instance {
    pub(crate) shells: Vec<Shell>,
}

impl Instance {
    pub(crate) fn new(mutation: Mutation, program: Version) -> Instance {
        Instance { shells: (0..PARTITIONS).map(|n| Shell::new(n, mutation, program)).collect() }
    }
}

/// Everything there is.
pub struct World {
    pub(crate) mutation: Mutation,
    pub(crate) rng: ChaCha8Rng,
    pub(crate) now_us: i64,
    pub(crate) log_clock_us: i64,
    pub(crate) ingest_clock_us: i64,
    pub(crate) logs: Vec<Partition>,
    pub(crate) sql: Sql,
    pub(crate) current: Instance,
    pub(crate) zombie: Option<Instance>,
    /// The highest version of a frame that the program knows which starts next.
    pub(crate) program: Version,
    /// What each ingest writes.
    pub(crate) ingests: [Version; 2],
    /// Whether an earlier ledger was ever put back.
    pub(crate) went_back: bool,
    pub(crate) publisher: Publisher,
    pub(crate) scraper: Scraper,
    /// Grows with each publisher.
    pub(crate) incarnation: u64,
    made: Vec<Made>,
    next_id: u64,
    /// Furthest offset that was ever counted, by partition.
    pub(crate) furthest: [u64; PARTITIONS as usize],
    ids: [SeriesId; KINDS],
    /// What happened lately.
    pub trace: VecDeque<String>,
    /// A fault that a step saw before it was over.
    pub(crate) failed_early: Option<String>,
}

impl World {
    /// A world from a seed.
    #[must_use]
    pub fn new(seed: u64, mutation: Mutation) -> World {
        let keep_us = window(mutation).keep_us;
        let program = if seed.is_multiple_of(4) { Version::V1 } else { Version::V2 };
        let sql = Sql::new(mutation);
        let publisher = Publisher::take_over(&sql, BTreeMap::new(), mutation);
        World {
            mutation,
            rng: ChaCha8Rng::seed_from_u64(seed),
            now_us: 1_700_000_000 * SECOND_US,
            log_clock_us: 0,
            ingest_clock_us: 0,
            logs: (0..PARTITIONS).map(|number| Partition::new(number, keep_us)).collect(),
            sql,
            current: Instance::new(mutation, program),
            zombie: None,
            program,
            ingests: [Version::V1; 2],
            went_back: false,
            publisher,
            scraper: Scraper::default(),
            incarnation: 0,
            made: Vec::new(),
            next_id: 0,
            furthest: [0; PARTITIONS as usize],
            ids: std::array::from_fn(|kind| FullLabels::of(&labels(kind)).id()),
            trace: VecDeque::new(),
            failed_early: None,
        }
    }

    /// Notes what happens, for the trace of a failure.
    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
        if self.trace.len() == TRACE_MAX {
            self.trace.pop_front();
        }
        self.trace.push_back(what());
    }

    /// One step, and what it must not have done.
    pub fn step(&mut self) -> Result<(), String> {
        match self.rng.random_range(0..100) {
            0..30 => self.produce(),
            30..52 => self.work(),
            52..64 => self.commit(),
            64..74 => self.answer(),
            74..78 => self.zombie_works(),
            78..82 => self.sql.arrive(&mut self.rng),
            82..93 => self.pass_time()?,
            _ => self.fault(),
        }
        self.check()
    }

    /// Works on one partition of an instance.
    pub(crate) fn with<T>(
        &mut self,
        partition: usize,
        is_current: bool,
        act: impl FnOnce(&mut Shell, &mut Place<'_>) -> T,
    ) -> Option<T> {
        let instance = if is_current { &mut self.current } else { self.zombie.as_mut()? };
        let mut place = Place {
            mutation: self.mutation,
            sql: &mut self.sql,
            log: &self.logs[partition],
            publisher: is_current.then_some(&mut self.publisher),
            rng: &mut self.rng,
            now_us: self.now_us,
        };
        Some(act(&mut instance.shells[partition], &mut place))
    }

    /// An ingest appends a frame of new events, of copies and of ids used again.
    pub(crate) fn produce(&mut self) {
        let now_us = self.now_us;
        let mut events = Vec::new();
        for _ in 0..self.rng.random_range(1..5) {
            let earlier = match self.made.len() {
                0 => None,
                n => Some(self.made[self.rng.random_range(0..n)]),
            };
            let rng = &mut self.rng;
            let event = match (rng.random_range(0..10), earlier) {
                (0..3, Some(earlier)) => earlier.again(rng),
                (3, Some(earlier)) => earlier.reused(rng, now_us),
                _ => {
                    let lag_us = match rng.random_range(0..20) {
                        0 => rng.random_range(50..90) * MINUTE_US,
                        1 => -rng.random_range(3..9) * MINUTE_US,
                        2..5 => rng.random_range(0..50) * MINUTE_US,
                        _ => rng.random_range(0..5) * SECOND_US,
                    };
                    self.next_id += 1;
                    Made::new(rng, self.next_id, now_us - lag_us)
                }
            };
            self.made.push(event);
            events.push(event);
        }
        let is_foreign = self.rng.random_bool(0.03);
        let fate = match self.rng.random_range(0..60) {
            0 => Fate::Garbled,
            1 => Fate::NoEnvelope,
            2 => Fate::BadRow,
            _ => Fate::Good,
        };
        let (append_us, ingest_us) = (now_us + self.log_clock_us, now_us + self.ingest_clock_us);
        let version = self.ingest();
        let mut parts: BTreeMap<u32, Vec<Made>> = BTreeMap::new();
        for event in events {
            let partition = if is_foreign { 0 } else { home(&event) };
            parts.entry(partition).or_default().push(event);
        }
        for (partition, events) in parts {
            let log = &mut self.logs[partition as usize];
            let (offset, n) = (log.high(), events.len());
            log.append(events, append_us, ingest_us, fate, version);
            self.note(|| {
                format!("frame {partition}/{offset} of {n} events, {version:?}, {fate:?}")
            });
        }
    }

    fn any_partition(&mut self) -> usize {
        self.rng.random_range(0..PARTITIONS as usize)
    }

    /// The current instance claims or reads.
    fn work(&mut self) {
        let (partition, n) = (self.any_partition(), self.rng.random_range(1..8));
        let stands = self.with(partition, true, |shell, place| {
            let what = if shell.has_claim() { "reads" } else { "claims" };
            if shell.has_claim() {
                shell.read(n, place)
            } else {
                shell.claim(place)
            }
            (what, shell.core.position(), shell.core.committed().next)
        });
        if let Some((what, position, next)) = stands {
            self.note(|| format!("owner of {partition} {what}: at {position}, {next} committed"));
        }
        self.replace_if_refused();
    }

    fn commit(&mut self) {
        let partition = self.any_partition();
        let outcome = self.with(partition, true, |shell, place| {
            let was_waiting = shell.is_waiting();
            shell.due(place);
            shell.outcome().filter(|_| !was_waiting)
        });
        if let Some(outcome) = outcome.flatten() {
            self.note(|| format!("commit of {partition}: {outcome:?}"));
        }
    }

    fn answer(&mut self) {
        for partition in 0..PARTITIONS as usize {
            self.with(partition, true, |shell, place| shell.answer(place));
        }
    }

    /// The older instance goes on as if nothing had happened.
    pub(crate) fn zombie_works(&mut self) {
        let partition = self.any_partition();
        let draw = self.rng.random_range(0..10);
        self.with(partition, false, |shell, place| match draw {
            0 => shell.claim(place),
            1..4 => shell.read(3, place),
            4..8 => shell.due(place),
            _ => shell.answer(place),
        });
        self.note(|| format!("zombie does {draw} on {partition}"));
    }

    /// Time passes and Prometheus looks.
    pub(crate) fn pass_time(&mut self) -> Result<(), String> {
        let passed_us = match self.rng.random_range(0..20) {
            0 => self.rng.random_range(10..40) * MINUTE_US,
            1..5 => self.rng.random_range(1..6) * MINUTE_US,
            _ => self.rng.random_range(1..60) * SECOND_US,
        };
        let end_us = self.now_us + passed_us;
        let n_scrapes = (passed_us / SCRAPE_US).min(SCRAPES_MAX);
        for idx in (0..n_scrapes).rev() {
            self.now_us = end_us - idx * SCRAPE_US;
            self.follow();
            if self.rng.random_bool(0.95) {
                self.scrape()?;
            }
        }
        self.now_us = end_us;
        Ok(())
    }

    pub(crate) fn scrape(&mut self) -> Result<(), String> {
        let Self { scraper, publisher, sql, now_us, incarnation, .. } = self;
        scraper.scrape(publisher, sql, *now_us, *incarnation)
    }

    /// A restored ledger is taken over again, and every owner claims again.
    pub(crate) fn follow(&mut self) {
        if self.publisher.must_take_over(&self.sql) {
            self.note(|| "publisher sees that the ledger went back".to_owned());
            self.take_over();
            for partition in 0..PARTITIONS as usize {
                self.with(partition, true, |shell, place| {
                    while shell.is_waiting() {
                        shell.answer(place);
                    }
                    shell.claim(place);
                });
            }
        }
    }

    /// A new publisher.
    pub(crate) fn take_over(&mut self) {
        let highs = (0..).zip(&self.logs).map(|(number, log)| (number, log.high())).collect();
        self.publisher = Publisher::take_over(&self.sql, highs, self.mutation);
        self.incarnation += 1;
        for (partition, shell) in (0..).zip(&self.current.shells) {
            if shell.core.halted().is_some() {
                self.publisher.halted(partition);
            }
        }
    }

    /// Holds every commit that took effect against the plain account.
    pub(crate) fn check(&mut self) -> Result<(), String> {
        if let Some(unfenced) = self.sql.unfenced.first() {
            return Err(format!("I8: two commits took effect from one offset: {unfenced:?}"));
        }
        self.check_versions()?;
        for commit in std::mem::take(&mut self.sql.landed) {
            let partition = commit.owner.partition as usize;
            self.furthest[partition] = self.furthest[partition].max(commit.progress.next);
            self.check_commit(&commit, partition)?;
        }
        Ok(())
    }

    fn check_commit(&self, commit: &Commit, partition: usize) -> Result<(), String> {
        let log = &self.logs[partition];
        if log.is_broken {
            return Ok(());
        }
        let (base, next) = (commit.base, commit.progress.next);
        let place = || format!("partition {partition}, frames {base}..{next}");
        let mut classes = Classes::default();
        let mut rows: BTreeMap<SeriesId, [i64; 4]> = BTreeMap::new();
        for delta in log.deltas(base, next) {
            classes.add(&delta.classes);
            for made in &delta.counted {
                let sums = rows.entry(self.ids[made.kind]).or_default();
                sums[0] += 1;
                sums[1] += made.duration_us.cast_signed();
                sums[2] += i64::from(made.tokens[0]);
                sums[3] += i64::from(made.tokens[1]);
            }
        }
        let found: BTreeMap<SeriesId, [i64; 4]> = commit
            .totals
            .iter()
            .map(|(id, _, sums)| (*id, [sums.n, sums.duration_us, sums.input(), sums.output()]))
            .collect();
        for (kind, id) in self.ids.iter().enumerate() {
            let (expected, found) = (rows.get(id), found.get(id));
            if found != expected {
                let place = place();
                return Err(format!(
                    "I1: {place}: kind {kind}: {expected:?} expected, {found:?} committed"
                ));
            }
        }
        if found.len() != rows.len() {
            return Err(format!("I1: {}: rows of labels that no event has", place()));
        }
        let n_letters: i64 = commit.letters.iter().map(|letter| i64::from(letter.n)).sum();
        if n_letters != classes.letters() {
            let expected = classes.letters();
            return Err(format!("I4: {}: {expected} letters expected, {n_letters}", place()));
        }
        self.check_account(&commit.progress.account, partition, next)
            .map_err(|fault| format!("{}: {fault}", place()))
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
