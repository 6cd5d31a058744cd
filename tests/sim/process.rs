//! The processes of an instance: a real committer each, and the channels between it and the owners
//! of its partitions.
//!
//! What the database says is heard in a later step than it was asked, so that a crash can come
//! first. A member that is asked answers later, or not before the committer stops waiting.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use event::frame::Version;
use ledger::commit::{Commit, CommitId, Outcome, Resolution};
use ledger::committer::{Committer, Effect, Input};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use crate::mutation::Mutation;
use crate::producer::PARTITIONS;
use crate::seat::Seat;
use crate::shell::{Message, Place, Shell, Told};

/// Turns within which a part has to be settled.
const TURNS_MAX: usize = 400;

/// How the partitions of an instance are divided among processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// All in one process.
    Together,
    /// Each in a process of its own.
    Apart,
    /// As chance has it, other in each instance.
    Mixed,
}

impl Layout {
    /// The layout of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Layout {
        [Layout::Together, Layout::Mixed, Layout::Together, Layout::Apart][(seed / 4 % 4) as usize]
    }

    /// The partitions of each process.
    fn divide(self, rng: &mut ChaCha8Rng) -> Vec<Vec<usize>> {
        let mut processes = vec![Vec::new(); PARTITIONS as usize];
        for partition in 0..PARTITIONS as usize {
            let process = match self {
                Layout::Together => 0,
                Layout::Apart => partition,
                Layout::Mixed => rng.random_range(0..2),
            };
            processes[process].push(partition);
        }
        processes.retain(|partitions| !partitions.is_empty());
        processes
    }
}

/// How fast messages and answers arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As chance has it.
    Any,
    /// All that are there.
    All,
}

impl Pace {
    fn is_now(self, rng: &mut ChaCha8Rng) -> bool {
        self == Pace::All || rng.random_bool(0.8)
    }
}

/// What the database is still to be asked, or has answered.
#[derive(Debug)]
enum Waiting {
    Commit(Arc<Commit>),
    Ended(Arc<Commit>, Outcome),
    Resolve(Arc<Commit>),
}

/// One process: its committer, and what this waits for.
#[derive(Debug)]
struct Process {
    partitions: Vec<usize>,
    /// The highest version of a frame that its program knows.
    program: Version,
    nonce: [u8; 8],
    seat: Seat,
    committer: Committer,
    /// In the order in which it was asked. More than one only if a safeguard is off.
    waiting: VecDeque<Waiting>,
    /// Its commits that it has shown, or that had no effect when they were looked up. Of these, one
    /// that was delayed may take effect yet; then whatever was to follow it is refused.
    known: BTreeSet<CommitId>,
}

/// Processes that together own each partition once, or believe to.
#[derive(Debug)]
pub struct Instance {
    /// The owners by partition.
    pub shells: Vec<Shell>,
    processes: Vec<Process>,
    /// What its processes did since somebody looked, for the trace.
    pub notes: Vec<String>,
    /// The first thing that was wrong with what it shows, or with how it waits.
    pub fault: Option<String>,
}

impl Instance {
    /// Starts processes.
    #[must_use]
    pub fn new(
        layout: Layout,
        program: Version,
        mutation: Mutation,
        rng: &mut ChaCha8Rng,
    ) -> Instance {
        let divided = layout.divide(rng);
        let start = |partitions| {
            let nonce = rng.random();
            Process {
                partitions,
                program,
                nonce,
                seat: Seat::new(mutation, rng),
                committer: Committer::new(nonce, mutation.safeguards()),
                waiting: VecDeque::new(),
                known: BTreeSet::new(),
            }
        };
        // One more than there is work for stands by.
        let spare = Vec::new();
        Instance {
            shells: (0..PARTITIONS).map(|n| Shell::new(n, mutation, program)).collect(),
            processes: divided.into_iter().chain([spare]).map(start).collect(),
            notes: Vec::new(),
            fault: None,
        }
    }

    /// Its processes as they may be the publisher.
    pub fn seats(&mut self) -> impl Iterator<Item = &mut Seat> {
        self.processes.iter_mut().map(|process| &mut process.seat)
    }

    /// Every process ends and starts anew, as far as it may be the publisher.
    pub fn reseat(&mut self, mutation: Mutation, rng: &mut ChaCha8Rng) {
        for process in &mut self.processes {
            process.seat = Seat::new(mutation, rng);
        }
    }

    /// An owner tells the publisher of its process something.
    pub fn tell(&mut self, partition: u32, told: Told, now_us: i64) {
        let idx = self.process_of(partition as usize);
        let publisher = &mut self.processes[idx].seat.publisher;
        match told {
            Told::Progress(progress) => publisher.progress(partition, &progress, now_us),
            Told::Halted => publisher.halted(partition),
            Told::Uncommitted(account) => publisher.uncommitted(partition, account),
        }
    }

    /// Every process has a turn.
    pub fn turn(&mut self, pace: Pace, place: &mut Place<'_>) {
        for idx in 0..self.processes.len() {
            self.turn_of(idx, pace, place);
        }
    }

    /// What the owner of a partition has said reaches its committer.
    pub fn deliver(&mut self, partition: usize, place: &mut Place<'_>) {
        let idx = self.process_of(partition);
        for input in self.shells[partition].said() {
            self.give(idx, input, place);
        }
    }

    /// Waits until the part of a partition is settled.
    pub fn hear_out(&mut self, partition: usize, place: &mut Place<'_>) {
        let idx = self.process_of(partition);
        for _ in 0..TURNS_MAX {
            if !self.shells[partition].is_waiting() {
                return;
            }
            self.turn_of(idx, Pace::All, place);
        }
        self.fault.get_or_insert(format!("I10: a part of partition {partition} is never settled"));
    }

    fn process_of(&self, partition: usize) -> usize {
        let owns = |process: &Process| process.partitions.contains(&partition);
        self.processes.iter().position(owns).expect("each partition has a process")
    }

    /// Answers of the database are heard, then members hear their committer, then it hears them.
    fn turn_of(&mut self, idx: usize, pace: Pace, place: &mut Place<'_>) {
        for _ in 0..self.processes[idx].waiting.len() {
            if !pace.is_now(place.rng) {
                break;
            }
            self.advance(idx, place);
        }
        let mut partitions = self.processes[idx].partitions.clone();
        if !partitions.is_empty() {
            let n_first = place.rng.random_range(0..partitions.len());
            partitions.rotate_left(n_first);
        }
        for partition in &partitions {
            while pace.is_now(place.rng) && self.shells[*partition].hear(place) {}
        }
        for partition in partitions {
            if pace.is_now(place.rng) {
                self.deliver(partition, place);
            }
        }
        if self.processes[idx].committer.is_gathering() && place.rng.random_bool(0.25) {
            self.give(idx, Input::Late, place);
        }
    }

    /// The database is asked or answers, whichever waits for longest.
    fn advance(&mut self, idx: usize, place: &mut Place<'_>) {
        let input = match self.processes[idx].waiting.pop_front() {
            None => return,
            Some(Waiting::Commit(commit)) => {
                self.notes.push(self.processes[idx].submit(commit, place));
                return;
            }
            Some(Waiting::Ended(commit, outcome)) => {
                self.notes.push(format!("{} heard: {outcome:?}", named(&commit)));
                Input::Ended(outcome)
            }
            Some(Waiting::Resolve(commit)) => {
                let resolution = place.sql.resolve(&commit, place.rng);
                if matches!(resolution, Resolution::Absent { .. }) {
                    self.processes[idx].known.insert(commit.id);
                }
                self.notes.push(format!("{} looked up: {resolution:?}", named(&commit)));
                Input::Resolved(resolution)
            }
        };
        self.give(idx, input, place);
    }

    /// Gives its committer an input and carries out what follows.
    fn give(&mut self, idx: usize, input: Input, place: &mut Place<'_>) {
        let process = &mut self.processes[idx];
        for effect in process.committer.on(input) {
            match effect {
                Effect::Ask(partitions) => {
                    for partition in partitions {
                        self.shells[partition as usize].tell(Message::Asked);
                    }
                }
                Effect::Settle { partition, settled } => {
                    self.shells[partition as usize].tell(Message::Settled(settled));
                }
                Effect::Commit(commit) if place.rng.random_bool(0.8) => {
                    self.notes.push(process.submit(commit, place));
                }
                Effect::Commit(commit) => process.waiting.push_back(Waiting::Commit(commit)),
                Effect::Resolve(commit) => process.waiting.push_back(Waiting::Resolve(commit)),
                Effect::Publish { commit, version } => {
                    if let Err(fault) = process.show(&commit, version, place) {
                        self.fault.get_or_insert(fault);
                    }
                }
            }
        }
    }
}

impl Process {
    /// Sends a commit to the database; what came of it, for the trace.
    fn submit(&mut self, commit: Arc<Commit>, place: &mut Place<'_>) -> String {
        let outcome = place.sql.submit(&commit, self.program, place.rng);
        let note = format!("{}: {outcome:?}", named(&commit));
        self.waiting.push_back(Waiting::Ended(commit, outcome));
        note
    }

    /// Shows a commit. Every commit of a process that took effect is shown by it, in order, unless
    /// it did so after it had been looked up. Only a mutant shows one of an unknown version.
    fn show(&mut self, commit: &Commit, version: i64, place: &mut Place<'_>) -> Result<(), String> {
        let begins = |id: &CommitId| id.0.starts_with(&self.nonce);
        let mut before = place.sql.since_restore(version).filter(begins);
        let is_missed = version > 0 && before.any(|id| !self.known.contains(&id));
        self.known.insert(commit.id);
        self.seat.publisher.committed(commit, version, place.now_us);
        match is_missed {
            true => Err("I6: a commit that took effect was never shown".to_owned()),
            false => Ok(()),
        }
    }
}

/// A commit in the trace: its number in its process, and each of its parts.
fn named(commit: &Commit) -> String {
    let parts = commit.parts.iter().map(|part| {
        let (partition, base, next) = (part.owner.partition, part.base, part.progress.next);
        format!(" {partition}/{base}..{next}")
    });
    let parts: String = parts.collect();
    let id = commit.id.0;
    format!("commit {:02x}{:02x}-{} of{parts}", id[0], id[1], id[8])
}
