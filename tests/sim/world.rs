//! The world: clocks, logs, a database, one instance that counts and maybe an older one that does
//! not know that it is over.
//!
//! Each step draws what happens next. After it, `check` looks at what took effect.

use std::collections::{BTreeMap, VecDeque};

use event::frame::Version;
use ledger::series::{FullLabels, SeriesId};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::log::Partition;
use crate::mutation::Mutation;
use crate::process::{Instance, Layout, Pace};
use crate::producer::{Fate, KINDS, Made, PARTITIONS, labels};
use crate::reference::home;
use crate::scraper::Scraper;
use crate::shell::{Place, Shell, window};
use crate::sql::Sql;
use crate::watch::{Flight, Speed, TICK_US};

pub(crate) const SECOND_US: i64 = 1_000_000;
pub(crate) const MINUTE_US: i64 = 60 * SECOND_US;
/// Lines of the trace that a failure shows.
const TRACE_MAX: usize = 40;

/// Everything there is.
pub struct World {
    pub(crate) mutation: Mutation,
    pub(crate) rng: ChaCha8Rng,
    pub(crate) now_us: i64,
    pub(crate) log_clock_us: i64,
    pub(crate) ingest_clock_us: i64,
    pub(crate) logs: Vec<Partition>,
    pub(crate) sql: Sql,
    /// How each instance divides the partitions among processes.
    layout: Layout,
    pub(crate) current: Instance,
    pub(crate) zombie: Option<Instance>,
    /// The highest version of a frame that the program knows which starts next.
    pub(crate) program: Version,
    /// What each ingest writes.
    pub(crate) ingests: [Version; 2],
    /// Whether an earlier ledger was ever put back.
    pub(crate) went_back: bool,
    pub(crate) scraper: Scraper,
    /// Scrapes whose answers are on their way.
    pub(crate) flights: Vec<Flight>,
    /// Grows with each take-over.
    pub(crate) incarnation: u64,
    made: Vec<Made>,
    next_id: u64,
    /// Furthest offset that was ever counted, by partition.
    pub(crate) furthest: [u64; PARTITIONS as usize],
    pub(crate) ids: [SeriesId; KINDS],
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
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let layout = Layout::of(seed);
        let sql = Sql::new(mutation);
        World {
            mutation,
            current: Instance::new(layout, program, mutation, &mut rng),
            rng,
            now_us: 1_700_000_000 * SECOND_US,
            log_clock_us: 0,
            ingest_clock_us: 0,
            logs: (0..PARTITIONS).map(|number| Partition::new(number, keep_us)).collect(),
            sql,
            layout,
            zombie: None,
            program,
            ingests: [Version::V1; 2],
            went_back: false,
            scraper: Scraper::default(),
            flights: Vec::new(),
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
        if self.rng.random_bool(0.4) {
            self.now_us += TICK_US;
            self.tick(Speed::Usual)?;
        }
        match self.rng.random_range(0..100) {
            0..28 => self.produce(),
            28..49 => self.work(),
            49..60 => self.commit(),
            60..74 => self.answer(),
            74..79 => self.zombie_works(),
            79..82 => self.sql.arrive(&mut self.rng),
            82..93 => self.pass_time()?,
            _ => self.fault(),
        }
        self.check()
    }

    /// Works on an instance.
    pub(crate) fn on<T>(
        &mut self,
        is_current: bool,
        act: impl FnOnce(&mut Instance, &mut Place<'_>) -> T,
    ) -> Option<T> {
        let instance = if is_current { &mut self.current } else { self.zombie.as_mut()? };
        let mut place = Place {
            mutation: self.mutation,
            sql: &mut self.sql,
            logs: &self.logs,
            told: Vec::new(),
            rng: &mut self.rng,
            now_us: self.now_us,
        };
        let done = act(instance, &mut place);
        for (partition, told) in std::mem::take(&mut place.told) {
            instance.tell(partition, told, self.now_us);
        }
        let who = if is_current { "" } else { "zombie's " };
        for what in std::mem::take(&mut instance.notes) {
            self.note(|| format!("{who}{what}"));
        }
        Some(done)
    }

    /// Works on one partition of an instance.
    pub(crate) fn with<T>(
        &mut self,
        partition: usize,
        is_current: bool,
        act: impl FnOnce(&mut Shell, &mut Place<'_>) -> T,
    ) -> Option<T> {
        self.on(is_current, |instance, place| act(&mut instance.shells[partition], place))
    }

    /// Waits until the part that the current owner of a partition has offered is settled.
    pub(crate) fn hear_out(&mut self, partition: usize) {
        self.on(true, |instance, place| instance.hear_out(partition, place));
    }

    /// Processes that an operator starts.
    pub(crate) fn new_instance(&mut self) -> Instance {
        Instance::new(self.layout, self.program, self.mutation, &mut self.rng)
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
        for (partition, mut events) in parts {
            if fate == Fate::BadRow && version == Version::V2 {
                // A program that does not know the version cannot tell how many it held.
                events.truncate(1);
            }
            let log = &mut self.logs[partition as usize];
            let (offset, n) = (log.high(), events.len());
            log.append(events, append_us, ingest_us, fate, version);
            self.note(|| {
                format!("frame {partition}/{offset} of {n} events, {version:?}, {fate:?}")
            });
        }
    }

    /// An ingest of a program to come appends a frame.
    pub(crate) fn produce_other_kind(&mut self, partition: usize) {
        self.next_id += 1;
        let event = Made::new(&mut self.rng, self.next_id, self.now_us);
        let (append_us, ingest_us) =
            (self.now_us + self.log_clock_us, self.now_us + self.ingest_clock_us);
        let log = &mut self.logs[partition];
        log.append(vec![event], append_us, ingest_us, Fate::OtherKind, Version::V2);
    }

    fn any_partition(&mut self) -> usize {
        self.rng.random_range(0..PARTITIONS as usize)
    }

    /// One partition, or all of them in any order.
    fn one_or_all(&mut self) -> impl Iterator<Item = usize> + use<> {
        let first = self.any_partition();
        let n = if self.rng.random_bool(0.4) { PARTITIONS as usize } else { 1 };
        (first..first + n).map(|partition| partition % PARTITIONS as usize)
    }

    /// The current instance claims or reads.
    fn work(&mut self) {
        for partition in self.one_or_all() {
            self.work_on(partition);
        }
        self.replace_if_refused();
    }

    fn work_on(&mut self, partition: usize) {
        let n = if self.rng.random_bool(0.3) { 60 } else { self.rng.random_range(1..8) };
        let stands = self.with(partition, true, |shell, place| {
            let what = if shell.has_claim() { "reads" } else { "claims" };
            if shell.has_claim() {
                shell.read(n, place)
            } else {
                shell.claim(place)
            }
            if place.rng.random_bool(0.2) {
                shell.decide_late(place);
            }
            if place.rng.random_bool(0.3) {
                shell.take_verdicts(place);
            }
            (what, shell.core.position(), shell.core.committed().next)
        });
        if let Some((what, position, next)) = stands {
            self.note(|| format!("owner of {partition} {what}: at {position}, {next} committed"));
        }
    }

    /// A partition is due, or all are: an offer begins a commit, joins one, or waits for the next.
    fn commit(&mut self) {
        let partitions = self.one_or_all();
        self.on(true, |instance, place| {
            for partition in partitions {
                instance.shells[partition].due(place);
                if place.rng.random_bool(0.8) {
                    instance.deliver(partition, place);
                }
            }
        });
    }

    /// Messages and answers arrive.
    fn answer(&mut self) {
        self.on(true, |instance, place| instance.turn(Pace::Any, place));
    }

    /// The older instance goes on as if nothing had happened.
    pub(crate) fn zombie_works(&mut self) {
        let partition = self.any_partition();
        let draw = self.rng.random_range(0..12);
        self.on(false, |instance, place| {
            let shell = &mut instance.shells[partition];
            match draw {
                0 => shell.claim(place),
                1..4 => shell.read(3, place),
                4..6 => {
                    shell.due(place);
                    instance.deliver(partition, place);
                }
                10 => shell.decide_late(place),
                11 => shell.take_verdicts(place),
                _ => instance.turn(Pace::Any, place),
            }
        });
        self.note(|| format!("zombie does {draw} on {partition}"));
    }
}
