//! The shell around a real core: claims, reads, offers parts, and whatever may go wrong between
//! them.
//!
//! It does one thing at a time, as the worker does, and reads nothing while a part is offered. What
//! it says to the committer and hears from it lies in two queues: nothing gets lost or overtaken
//! there, but anything may come in between.

use std::collections::VecDeque;

use event::frame::Version;
use ledger::account::Account;
use ledger::commit::{Progress, Settled};
use ledger::committer;
use ledger::core::{Core, Effect, Halt, Input, Notice, Options, Record};
use ledger::late::Verdicts;
use ledger::safeguard::Safeguard;
use ledger::window::Window;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use crate::log::{Partition, Stored};
use crate::mutation::Mutation;
use crate::producer::PARTITIONS;
use crate::sql::Sql;

/// Dead letters with content per hour.
const LETTER_ROWS_PER_HOUR: i64 = 3;

/// What a shell works on.
pub struct Place<'a> {
    /// What is switched off.
    pub mutation: Mutation,
    /// The database.
    pub sql: &'a mut Sql,
    /// The logs of all partitions.
    pub logs: &'a [Partition],
    /// What owners tell the publisher of their process, by partition.
    pub told: Vec<(u32, Told)>,
    /// Chance.
    pub rng: &'a mut ChaCha8Rng,
    /// True time.
    pub now_us: i64,
}

/// What an owner tells the publisher of its process.
#[derive(Clone, Copy, Debug)]
pub enum Told {
    /// Its partition stands somewhere.
    Progress(Progress),
    /// It is halted.
    Halted,
    /// What a mutant shows that does not wait for commits.
    Uncommitted(Account),
}

/// What a committer says to a member.
#[derive(Clone, Copy, Debug)]
pub enum Message {
    /// Offer a part, or say that there is none.
    Asked,
    /// How the part that was offered ended.
    Settled(Settled),
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
    /// Whether its part is offered and not settled, as far as it has heard.
    is_waiting: bool,
    /// Whether it is a member of its committer.
    is_member: bool,
    /// What its committer has said and it has not heard yet.
    inbox: VecDeque<Message>,
    /// What it has said and its committer has not heard yet.
    outbox: VecDeque<committer::Input>,
    fetched: Vec<Fetched>,
    /// Verdicts on late events, and the claim that they were made for.
    pub verdicts: Option<([u8; 16], Verdicts)>,
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
        Shell {
            partition,
            program,
            core,
            nonce: None,
            is_waiting: false,
            is_member: false,
            inbox: VecDeque::new(),
            outbox: VecDeque::new(),
            fetched: Vec::new(),
            verdicts: None,
        }
    }

    /// Whether its part is offered and not settled.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.is_waiting
    }

    /// Whether it is halted at a frame that its program does not know.
    #[must_use]
    pub fn is_too_old(&self) -> bool {
        matches!(self.core.halted(), Some(Halt::Newer { .. }))
    }

    /// Whether it met a frame that its program does not know, under the newest claim.
    #[must_use]
    pub fn met_newer(&self, sql: &Sql) -> bool {
        self.is_too_old() && self.nonce.is_some_and(|nonce| sql.is_newest(self.partition, nonce))
    }

    /// The claim that it holds, as far as it knows.
    #[must_use]
    pub fn nonce(&self) -> Option<[u8; 16]> {
        self.nonce
    }

    /// Its partition.
    #[must_use]
    pub fn partition(&self) -> u32 {
        self.partition
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
        let log = place.logs[self.partition as usize].view(next);
        let effects = self.core.on(Input::Claimed { claim, log });
        self.carry_out(effects, place);
        if self.core.halted().is_none() {
            place.told.push((self.partition, Told::Progress(claim.progress)));
        }
    }

    /// An operator accepts that so many frames are lost.
    pub fn accept(&mut self, lost: u64, place: &mut Place<'_>) {
        let Some(next) = self.core.resumes_at() else { return };
        let log = place.logs[self.partition as usize].view(next);
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
        let logs = place.logs;
        let log = &logs[self.partition as usize];
        for _ in 0..n {
            let Some(nonce) = self.nonce.filter(|_| !self.is_waiting()) else { return };
            let position = self.core.position();
            if let Some(idx) = self.fetched.iter().position(|it| it.offset == position) {
                let Fetched { nonce, offset, stored } = self.fetched.swap_remove(idx);
                self.give(nonce, offset, &stored, place);
                continue;
            }
            if position < log.low {
                let effects = self.core.on(Input::Gap { nonce, low: log.low });
                self.carry_out(effects, place);
                continue;
            }
            let offset = match place.rng.random_range(0..40) {
                0 => position.saturating_sub(1),
                1 => position + 1,
                _ => position,
            };
            let Some(stored) = log.get(offset) else { continue };
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
        if !place.mutation.is_on(Safeguard::CommittedOnly) {
            place.told.push((self.partition, Told::Uncommitted(self.core.account())));
        }
    }

    /// Time to commit: offers what was counted, if anything was.
    pub fn due(&mut self, place: &mut Place<'_>) {
        let effects = self.core.on(Input::Due);
        self.carry_out(effects, place);
    }

    /// Its committer says something to it.
    pub fn tell(&mut self, message: Message) {
        self.inbox.push_back(message);
    }

    /// Hears the next message of its committer; whether there was one.
    pub fn hear(&mut self, place: &mut Place<'_>) -> bool {
        let Some(message) = self.inbox.pop_front() else { return false };
        match message {
            Message::Asked if self.core.is_dirty() => self.due(place),
            Message::Asked => self.outbox.push_back(committer::Input::Passed(self.partition)),
            Message::Settled(settled) => {
                self.is_waiting = false;
                let effects = self.core.on(Input::Settled(settled));
                self.carry_out(effects, place);
            }
        }
        true
    }

    /// What it has said since its committer listened last, in order.
    pub fn said(&mut self) -> VecDeque<committer::Input> {
        std::mem::take(&mut self.outbox)
    }

    pub(crate) fn carry_out(&mut self, effects: Vec<Effect>, place: &mut Place<'_>) {
        for effect in effects {
            match effect {
                Effect::Offer(part) => {
                    self.is_waiting = true;
                    self.outbox.push_back(committer::Input::Offered(part));
                }
                Effect::Reclaim(_) => self.nonce = None,
                Effect::Halt(_) => place.told.push((self.partition, Told::Halted)),
                // Its committer has it shown, together with the parts of others.
                Effect::Committed(_) => {}
                Effect::Notice(Notice::Lost { .. } | Notice::FloorGone { .. }) => {}
                Effect::Notice(Notice::Rebuilt { .. }) => {}
            }
        }
        self.join_or_leave();
    }

    /// Tells the committer whether it is to be asked before a commit.
    fn join_or_leave(&mut self) {
        let is_halted = self.core.halted().is_some();
        let counts = self.has_claim() && !is_halted && !self.core.is_rebuilding();
        if counts != self.is_member {
            self.is_member = counts;
            self.outbox.push_back(match counts {
                true => committer::Input::Joined(self.partition),
                false => committer::Input::Left(self.partition),
            });
        }
    }
}
