//! The shell around a real core: claims, reads, commits, and whatever may go wrong between them.
//!
//! It does one thing at a time and waits for each answer, as the worker does; answers come in a
//! later step, so that a crash can come first.

use std::sync::Arc;

use event::frame::Version;
use ledger::commit::{Commit, Outcome};
use ledger::core::{Core, Effect, Halt, Input, Notice, Options, Record};
use ledger::safeguard::Safeguard;
use ledger::window::Window;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use crate::log::{Partition, Stored};
use crate::mutation::Mutation;
use crate::producer::PARTITIONS;
use crate::publisher::Publisher;
use crate::sql::Sql;

/// Dead letters with content per hour.
const LETTER_ROWS_PER_HOUR: i64 = 3;

/// What a shell works on.
pub struct Place<'a> {
    /// What is switched off.
    pub mutation: Mutation,
    /// The database.
    pub sql: &'a mut Sql,
    /// The partition's log.
    pub log: &'a Partition,
    /// `None` for a zombie: its page is never scraped.
    pub publisher: Option<&'a mut Publisher>,
    /// Chance.
    pub rng: &'a mut ChaCha8Rng,
    /// True time.
    pub now_us: i64,
}

/// An answer that is still to come.
#[derive(Debug)]
enum Waiting {
    Ended(Outcome),
    Resolve(Arc<Commit>),
}

/// A record that was fetched for an earlier claim.
#[derive(Debug)]
struct Fetched {
    nonce: [u8; 16],
    offset: u64,
    stored: Stored,
}

/// The owner of one partition, or who believes to be.
#[derive(Debug)]
pub struct Shell {
    partition: u32,
    /// The highest version of a frame that its program knows.
    program: Version,
    /// The real core.
    pub core: Core,
    nonce: Option<[u8; 16]>,
    waiting: Option<Waiting>,
    fetched: Vec<Fetched>,
}

/// The window of a run.
#[must_use]
pub fn window(mutation: Mutation) -> Window {
    let whole = Window::default();
    if mutation.is_on(Safeguard::KeepLongEnough) {
        whole
    } else {
        Window { keep_us: whole.past_us / 2, ..whole }
    }
}

impl Shell {
    /// A new process.
    #[must_use]
    pub fn new(partition: u32, mutation: Mutation, program: Version) -> Shell {
        let core = Core::new(Options {
            window: window(mutation),
            n_partitions: PARTITIONS,
            letter_rows_per_hour: LETTER_ROWS_PER_HOUR,
            newest: program,
            safeguards: mutation.safeguards(),
        });
        Shell { partition, program, core, nonce: None, waiting: None, fetched: Vec::new() }
    }

    /// Whether an answer is still to come.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// How its commit ended, before it hears of it.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        if let Some(Waiting::Ended(outcome)) = self.waiting { Some(outcome) } else { None }
    }

    /// Whether it met a frame that its program does not know, under the newest claim.
    #[must_use]
    pub fn met_newer(&self, sql: &Sql) -> bool {
        matches!(self.core.halted(), Some(Halt::Newer { .. }))
            && self.nonce.is_some_and(|nonce| sql.is_newest(self.partition, nonce))
    }

    /// Whether it holds a claim, as far as it knows.
    #[must_use]
    pub fn has_claim(&self) -> bool {
        self.nonce.is_some()
    }

    /// Claims the partition, also while it believes to hold it.
    pub fn claim(&mut self, place: &mut Place<'_>) {
        if self.is_waiting() || self.core.halted().is_some() {
            return;
        }
        let mut nonce = [0; 16];
        place.rng.fill(&mut nonce);
        let claim = place.sql.claim(self.partition, nonce, self.program, place.rng);
        let Some(claim) = claim else { return };
        self.nonce = Some(nonce);
        let next = claim.progress.next;
        let log = place.log.view(next);
        let effects = self.core.on(Input::Claimed { claim, log });
        self.carry_out(effects, place);
        if self.core.halted().is_none()
            && let Some(publisher) = &mut place.publisher
        {
            publisher.progress(self.partition, next, place.now_us);
        }
    }

    /// An operator accepts that so many frames are lost.
    pub fn accept(&mut self, lost: u64, place: &mut Place<'_>) {
        let Some(next) = self.core.resumes_at() else { return };
        let log = place.log.view(next);
        let effects = self.core.on(Input::Accepted { log, lost });
        self.carry_out(effects, place);
    }

    /// Fetches what comes next, without looking at it yet.
    pub fn fetch(&mut self, log: &Partition) {
        let Some(nonce) = self.nonce else { return };
        let from = self.core.position();
        self.fetched.clear();
        for offset in from..from + 3 {
            if let Some(stored) = log.get(offset) {
                self.fetched.push(Fetched { nonce, offset, stored: stored.clone() });
            }
        }
    }

    /// Reads up to `n` records, some of them twice, too early, or for a claim that is over.
    pub fn read(&mut self, n: u64, place: &mut Place<'_>) {
        for _ in 0..n {
            let Some(nonce) = self.nonce.filter(|_| !self.is_waiting()) else { return };
            let position = self.core.position();
            if let Some(idx) = self.fetched.iter().position(|it| it.offset == position) {
                let Fetched { nonce, offset, stored } = self.fetched.swap_remove(idx);
                self.give(nonce, offset, &stored, place);
                continue;
            }
            if position < place.log.low {
                let effects = self.core.on(Input::Gap { nonce, low: place.log.low });
                self.carry_out(effects, place);
                continue;
            }
            let offset = match place.rng.random_range(0..40) {
                0 => position.saturating_sub(1),
                1 => position + 1,
                _ => position,
            };
            let Some(stored) = place.log.get(offset) else { continue };
            self.give(nonce, offset, stored, place);
        }
    }

    fn give(&mut self, nonce: [u8; 16], offset: u64, stored: &Stored, place: &mut Place<'_>) {
        let record = Record {
            nonce,
            offset,
            append_time_us: stored.append_us,
            intact: stored.intact,
            bytes: &stored.bytes,
        };
        let effects = self.core.on(Input::Record(record));
        self.carry_out(effects, place);
        let shows_all = !place.mutation.is_on(Safeguard::CommittedOnly);
        if let (true, Some(publisher)) = (shows_all, &mut place.publisher) {
            publisher.uncommitted(self.partition, self.core.account());
        }
    }

    /// Time to commit.
    pub fn due(&mut self, place: &mut Place<'_>) {
        let effects = self.core.on(Input::Due);
        self.carry_out(effects, place);
    }

    /// The answer that was waited for.
    pub fn answer(&mut self, place: &mut Place<'_>) {
        let effects = match self.waiting.take() {
            None => return,
            Some(Waiting::Ended(outcome)) => self.core.on(Input::Ended(outcome)),
            Some(Waiting::Resolve(commit)) => {
                let resolution = place.sql.resolve(&commit, place.rng);
                self.core.on(Input::Resolved(resolution))
            }
        };
        self.carry_out(effects, place);
    }

    fn carry_out(&mut self, effects: Vec<Effect>, place: &mut Place<'_>) {
        for effect in effects {
            match effect {
                Effect::Commit(commit) => {
                    self.waiting =
                        Some(Waiting::Ended(place.sql.submit(&commit, self.program, place.rng)));
                }
                Effect::Resolve(commit) => self.waiting = Some(Waiting::Resolve(commit)),
                Effect::Publish { commit, version } => {
                    if let Some(publisher) = &mut place.publisher {
                        publisher.committed(&commit, version, place.sql, place.now_us);
                    }
                }
                Effect::Reclaim(_) => self.nonce = None,
                Effect::Halt(_) => {
                    if let Some(publisher) = &mut place.publisher {
                        publisher.halted(self.partition);
                    }
                }
                Effect::Notice(Notice::Lost { .. } | Notice::FloorGone { .. }) => {}
                Effect::Notice(Notice::Rebuilt { .. }) => {}
            }
        }
    }
}
