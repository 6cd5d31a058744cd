//! A process as it may be the publisher: its lease, what it shows, and its rounds, as the
//! aggregator's `lead` does them.

use std::collections::BTreeMap;

use ledger::commit::CommitId;
use ledger::lease::{Answer, Lease, LeaseRow, Next, Nonce};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use crate::mutation::Mutation;
use crate::publisher::Publisher;
use crate::scraper::Scrape;
use crate::sql::Sql;

/// What a round sees of the world.
pub struct Around<'a> {
    /// The database.
    pub sql: &'a mut Sql,
    /// The ends of the logs.
    pub highs: BTreeMap<u32, u64>,
    /// Partitions whose owner says that they are halted.
    pub halted: Vec<u32>,
    /// Chance.
    pub rng: &'a mut ChaCha8Rng,
    /// True time.
    pub now_us: i64,
    /// Grows with each take-over.
    pub incarnation: &'a mut u64,
}

/// A process that may be the publisher.
#[derive(Debug)]
pub struct Seat {
    mutation: Mutation,
    lease: Lease,
    /// What it shows.
    pub publisher: Publisher,
    must_take_over: bool,
    /// Until when it has no rounds, while all else of the process goes on.
    stalled_until_us: i64,
    seen: Option<(i64, CommitId)>,
}

impl Seat {
    /// A process that is not the publisher.
    #[must_use]
    pub fn new(mutation: Mutation, rng: &mut ChaCha8Rng) -> Seat {
        Seat {
            mutation,
            lease: Lease::new(rng.random(), mutation.safeguards()),
            publisher: Publisher::closed(mutation),
            must_take_over: false,
            stalled_until_us: 0,
            seen: None,
        }
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> Nonce {
        self.lease.me()
    }

    /// Whether it believes to be the publisher.
    #[must_use]
    pub fn is_publisher(&self) -> bool {
        self.lease.is_held()
    }

    /// Reads the ledger once and acts on it. Whether the ledger went back.
    pub fn round(&mut self, around: &mut Around<'_>) -> bool {
        if around.now_us < self.stalled_until_us {
            return false;
        }
        let ledger = &around.sql.ledger;
        let is_other = |(version, commit)| ledger.commit_of(version) != Some(commit);
        if self.publisher.close_if_restored(ledger) || self.seen.is_some_and(is_other) {
            return true;
        }
        self.seen = ledger.newest().or(self.seen);
        match self.lease.observe(ledger.lease, around.now_us) {
            Next::Wait => {}
            Next::Lost => self.publisher = Publisher::closed(self.mutation),
            Next::Renew(row) => {
                if around.rng.random_bool(0.9) {
                    around.sql.renew_lease(row);
                }
            }
            Next::Acquire(row) => self.acquire(row, around),
        }
        if self.lease.is_held() {
            self.lead(around);
        }
        false
    }

    fn acquire(&mut self, row: LeaseRow, around: &mut Around<'_>) {
        if around.sql.acquire_lease(row, self.id(), around.rng) {
            self.publisher = Publisher::closed(self.mutation);
            self.lease.acquired(row, around.now_us);
            self.must_take_over = true;
        }
    }

    /// What the publisher does in a round. To read the totals may take a while.
    fn lead(&mut self, around: &mut Around<'_>) {
        if !self.must_take_over {
            self.publisher.follow_to(&around.sql.ledger, around.now_us);
        } else if around.rng.random_bool(0.7) {
            let ledger = &around.sql.ledger;
            let follows_another = self.lease.follows_another();
            self.publisher.take_over(ledger, around.highs.clone(), follows_another);
            self.must_take_over = false;
            *around.incarnation += 1;
            self.publisher.incarnation = *around.incarnation;
        }
        for partition in &around.halted {
            self.publisher.halted(*partition);
        }
        if self.publisher.is_open() {
            around.sql.ledger.is_restored = false;
        }
    }

    /// A scrape comes in: whether it gets a page, which is fetched then or later.
    pub fn asked(&mut self, sql: &Sql, timeout_us: i64, now_us: i64) -> Option<Scrape> {
        self.publisher.close_if_restored(&sql.ledger);
        let (row, version) = (sql.ledger.lease, sql.ledger.version);
        match self.lease.answer(&row, version, now_us, timeout_us) {
            Answer::Page { at_least } => Some(Scrape { came_us: now_us, at_least }),
            Answer::Silence => {
                self.publisher.asked_in_vain(now_us);
                None
            }
            Answer::Standby | Answer::Nobody => None,
        }
    }

    /// If it is the publisher, its rounds stand still for a while.
    pub fn stall(&mut self, until_us: i64) {
        if self.lease.is_held() {
            self.stalled_until_us = until_us;
        }
    }

    /// It has answered everybody and ends.
    pub fn give_back(&mut self, sql: &mut Sql, now_us: i64) {
        if let Next::Renew(row) = self.lease.observe(sql.ledger.lease, now_us) {
            sql.give_lease_back(row);
        }
    }
}
