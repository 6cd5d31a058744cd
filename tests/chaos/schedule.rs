//! Which faults come when: a pure function of the seed, the length and the size of the stack.
//!
//! Faults overlap, but for those of one resource: one fault of the brokers at a time, so that a
//! majority is left, one of the database, one of each ingest and of each aggregator. They come in
//! bursts: each begins with one that takes the counters from who shows them, and behind it there is
//! time for another one to show them. The others are dealt from a shuffled deck, so that a run that
//! is long enough has all kinds.

use std::collections::BTreeMap;
use std::fmt;

use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// The load flows before the first fault.
const FIRST_MS: u64 = 2_000;
/// Bounds of the time from the begin of a fault to that of the next one of its burst.
const GAP_MS: [u64; 2] = [300, 4_000];
/// Bounds of the number of faults in a burst.
const BURST: [u32; 2] = [4, 7];
/// From the end of a burst to the next one: a hand-over after a death takes a quarter of a minute.
const CALM_MS: u64 = 18_000;
/// A step on where every kind that is left in the deck is busy.
const STEP_MS: u64 = 250;
/// Partitions whose leader may be killed.
const PARTITIONS: u16 = 6;

/// How many there are of what is hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Targets {
    /// 2 to 4.
    pub aggregators: u16,
    /// 1 or 2.
    pub ingests: u16,
}

/// An aggregator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// The one that shows the counters when the fault begins.
    Publisher,
    /// By its number.
    Number(u16),
}

/// What is done, and to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `kill -9`, and a start after the time of the fault.
    KillAggregator(Who),
    /// SIGSTOP beyond the session of its consumer group, then SIGCONT.
    PauseAggregator(Who),
    /// A clean end, and a start after the time of the fault.
    ScaleAggregators(Who),
    /// Each aggregator in turn: a clean end, a start, and ready again.
    RollingRestart,
    /// `kill -9` of the broker that leads a partition, and a start.
    KillLeader(u16),
    /// Every connection to the first broker is reset, once.
    CutBroker,
    /// The same, and new connections are refused.
    RefuseBroker,
    /// Nothing that the first broker answers passes.
    StallBroker,
    /// `kill -9` of the database, and a start.
    KillDatabase,
    /// Every connection to the database is reset, once.
    CutDatabase,
    /// The same, and new connections are refused.
    RefuseDatabase,
    /// Nothing that the database answers passes.
    StallDatabase,
    /// So many COMMITs take effect while their answer is lost.
    LoseCommitAnswers(u16),
    /// `kill -9` of an ingest, and a start.
    KillIngest(u16),
}

/// A fault that is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// From the start of the load, milliseconds.
    pub at_ms: u64,
    /// Until it is undone.
    pub lasts_ms: u64,
    /// What it is.
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Resource {
    Aggregator(Who),
    Brokers,
    Database,
    Ingest(u16),
}

/// The faults of so many seconds, in the order in which they begin; all are undone by the end.
pub fn schedule(seed: u64, seconds: u64, targets: Targets) -> Vec<Fault> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (mut at_ms, end_ms) = (FIRST_MS, seconds * 1_000);
    let (mut deck, mut faults): (Vec<Kind>, Vec<Fault>) = (Vec::new(), Vec::new());
    while at_ms < end_ms {
        let mut busy: BTreeMap<Resource, u64> = BTreeMap::new();
        let mut over_ms = at_ms;
        let n_faults = random.random_range(BURST[0]..=BURST[1]);
        let mut first = Some(hit_publisher(&mut random));
        for _ in 0..n_faults {
            if deck.is_empty() {
                deck = deal(&mut random, targets);
            }
            let is_free = |kind: &Kind, at_ms| {
                let used = kind.resources(targets);
                used.iter().all(|one| busy.get(one).is_none_or(|until| *until <= at_ms))
            };
            let kind = first.take().unwrap_or_else(|| {
                loop {
                    match deck.iter().rposition(|kind| is_free(kind, at_ms)) {
                        Some(idx) => break deck.remove(idx),
                        None => at_ms += STEP_MS,
                    }
                }
            });
            let [shortest, longest] = kind.bounds_ms();
            let lasts_ms = random.random_range(shortest..=longest);
            // What would not be over in time is left out.
            if at_ms + lasts_ms <= end_ms {
                over_ms = over_ms.max(at_ms + lasts_ms);
                for one in kind.resources(targets) {
                    busy.insert(one, at_ms + lasts_ms + kind.rest_ms());
                }
                faults.push(Fault { at_ms, lasts_ms, kind });
            }
            at_ms += random.random_range(GAP_MS[0]..=GAP_MS[1]);
        }
        at_ms = over_ms + CALM_MS;
    }
    faults
}

/// What takes the counters from who shows them.
fn hit_publisher(random: &mut ChaCha8Rng) -> Kind {
    match random.random_range(0..4) {
        0 => Kind::PauseAggregator(Who::Publisher),
        1 => Kind::ScaleAggregators(Who::Publisher),
        2 => Kind::RollingRestart,
        _ => Kind::KillAggregator(Who::Publisher),
    }
}

/// One of each kind, shuffled, on targets that are drawn.
fn deal(random: &mut ChaCha8Rng, targets: Targets) -> Vec<Kind> {
    let who = |random: &mut ChaCha8Rng| match random.random_range(0..=targets.aggregators) {
        0 => Who::Publisher,
        number => Who::Number(number),
    };
    let mut deck = vec![
        Kind::KillAggregator(who(random)),
        Kind::PauseAggregator(who(random)),
        Kind::ScaleAggregators(who(random)),
        Kind::RollingRestart,
        Kind::KillLeader(random.random_range(0..PARTITIONS)),
        Kind::CutBroker,
        Kind::RefuseBroker,
        Kind::StallBroker,
        Kind::KillDatabase,
        Kind::CutDatabase,
        Kind::RefuseDatabase,
        Kind::StallDatabase,
        Kind::LoseCommitAnswers(random.random_range(1..=4)),
        Kind::KillIngest(random.random_range(1..=targets.ingests)),
    ];
    deck.shuffle(random);
    deck
}

impl Kind {
    /// Shortest and longest time, milliseconds.
    fn bounds_ms(self) -> [u64; 2] {
        match self {
            Kind::KillAggregator(_) => [300, 8_000],
            // The session of the group is 10 s.
            Kind::PauseAggregator(_) => [11_000, 16_000],
            Kind::ScaleAggregators(_) => [3_000, 10_000],
            // As long as it takes; it is cut off only in the schedule.
            Kind::RollingRestart => [6_000, 6_000],
            Kind::KillLeader(_) => [1_000, 8_000],
            Kind::CutBroker | Kind::CutDatabase => [0, 0],
            Kind::RefuseBroker | Kind::RefuseDatabase => [500, 5_000],
            Kind::StallBroker | Kind::StallDatabase => [1_000, 9_000],
            Kind::KillDatabase => [300, 4_000],
            Kind::LoseCommitAnswers(_) => [5_000, 5_000],
            Kind::KillIngest(_) => [300, 5_000],
        }
    }

    /// Time to recover before the next fault of the same resource, milliseconds.
    fn rest_ms(self) -> u64 {
        match self {
            // A broker takes some seconds to start and to catch up.
            Kind::KillLeader(_) => 12_000,
            Kind::KillDatabase => 3_000,
            _ => 1_000,
        }
    }

    fn resources(self, targets: Targets) -> Vec<Resource> {
        match self {
            Kind::KillAggregator(who)
            | Kind::PauseAggregator(who)
            | Kind::ScaleAggregators(who) => vec![Resource::Aggregator(who)],
            Kind::RollingRestart => (1..=targets.aggregators)
                .map(Who::Number)
                .chain([Who::Publisher])
                .map(Resource::Aggregator)
                .collect(),
            Kind::KillLeader(_) | Kind::CutBroker | Kind::RefuseBroker | Kind::StallBroker => {
                vec![Resource::Brokers]
            }
            Kind::KillDatabase
            | Kind::CutDatabase
            | Kind::RefuseDatabase
            | Kind::StallDatabase
            | Kind::LoseCommitAnswers(_) => vec![Resource::Database],
            Kind::KillIngest(number) => vec![Resource::Ingest(number)],
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Publisher => out.write_str("the publisher"),
            Who::Number(number) => write!(out, "aggregator {number}"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::KillAggregator(who) => write!(out, "kill -9 of {who}, then a start"),
            Kind::PauseAggregator(who) => write!(out, "SIGSTOP of {who}, then SIGCONT"),
            Kind::ScaleAggregators(who) => write!(out, "one fewer: {who} ends, then is started"),
            Kind::RollingRestart => out.write_str("rolling restart of the aggregators"),
            Kind::KillLeader(partition) => {
                write!(out, "kill -9 of the leader of partition {partition}, then a start")
            }
            Kind::CutBroker => out.write_str("connections to the first broker are reset"),
            Kind::RefuseBroker => out.write_str("the first broker refuses connections"),
            Kind::StallBroker => out.write_str("answers of the first broker stall"),
            Kind::KillDatabase => out.write_str("kill -9 of the database, then a start"),
            Kind::CutDatabase => out.write_str("connections to the database are reset"),
            Kind::RefuseDatabase => out.write_str("the database refuses connections"),
            Kind::StallDatabase => out.write_str("answers of the database stall"),
            Kind::LoseCommitAnswers(n) => write!(out, "the answer to a COMMIT is lost, {n} times"),
            Kind::KillIngest(number) => write!(out, "kill -9 of ingest {number}, then a start"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [at, lasts] = [self.at_ms, self.lasts_ms].map(|ms| ms as f64 / 1e3);
        write!(out, "{at:7.1} s  for {lasts:4.1} s  {}", self.kind)
    }
}
