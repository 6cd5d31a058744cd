//! Time passes: processes do their rounds and one of them is the publisher, Prometheus scrapes all
//! of them, and some answers are slow.

use ledger::lease::Nonce;
use rand::RngExt as _;

use crate::producer::PARTITIONS;
use crate::scraper::Scrape;
use crate::seat::Around;
use crate::shell::Shell;
use crate::world::{MINUTE_US, SECOND_US, World};

/// Time between two looks at everything.
pub(crate) const TICK_US: i64 = 2_500_000;
/// Most looks of one step; before them everything stood still.
const TICKS_MAX: i64 = 12;
/// A process is scraped once in so many ticks: every 10 s, at any moment.
const TICKS_PER_SCRAPE: u32 = 4;
/// When Prometheus gives a scrape up.
const TIMEOUT_US: i64 = 10 * SECOND_US;

/// A scrape that was let through and whose page is fetched later.
#[derive(Clone, Copy, Debug)]
pub struct Flight {
    process: Nonce,
    scrape: Scrape,
    due_us: i64,
}

/// How often processes are scraped, and how slow they answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speed {
    /// As usual.
    Usual,
    /// Often, and they are slow.
    Contended,
}

impl World {
    /// Time passes and Prometheus looks.
    pub(crate) fn pass_time(&mut self) -> Result<(), String> {
        let passed_us = match self.rng.random_range(0..20) {
            0 => self.rng.random_range(10..40) * MINUTE_US,
            1..5 => self.rng.random_range(1..6) * MINUTE_US,
            _ => self.rng.random_range(1..60) * SECOND_US,
        };
        let end_us = self.now_us + passed_us;
        let n_ticks = (passed_us / TICK_US).min(TICKS_MAX);
        for idx in (0..n_ticks).rev() {
            self.now_us = end_us - idx * TICK_US;
            self.tick(Speed::Usual)?;
        }
        self.now_us = end_us;
        Ok(())
    }

    /// A moment: rounds of processes, answers, and scrapes.
    pub(crate) fn tick(&mut self, speed: Speed) -> Result<(), String> {
        // Now and then processes are slow to read the ledger.
        let (is_slow, ticks_per_scrape, late) = match speed {
            Speed::Usual => (0.5, TICKS_PER_SCRAPE, 0.3),
            Speed::Contended => (0.8, 2, 0.8),
        };
        let chance = if self.rng.random_bool(is_slow) { 0.1 } else { 0.9 };
        self.rounds(chance);
        self.land()?;
        for process in self.processes() {
            if self.rng.random_ratio(1, ticks_per_scrape) {
                self.ask(process, late)?;
            }
        }
        Ok(())
    }

    /// Each process may have a round. A zombie hardly gets to it.
    pub(crate) fn rounds(&mut self, chance: f64) {
        let mut went_back = false;
        for is_current in [true, false] {
            let highs = (0..).zip(&self.logs).map(|(number, log)| (number, log.high())).collect();
            let is_halted = |shell: &Shell| shell.core.halted().is_some();
            let halted = (0..).zip(&self.current.shells);
            let halted = halted.filter(|(_, shell)| is_halted(shell)).map(|(number, _)| number);
            let mut around = Around {
                sql: &mut self.sql,
                highs,
                halted: halted.collect(),
                rng: &mut self.rng,
                now_us: self.now_us,
                incarnation: &mut self.incarnation,
            };
            let instance = if is_current { Some(&mut self.current) } else { self.zombie.as_mut() };
            let chance = if is_current { chance } else { chance / 10.0 };
            for seat in instance.into_iter().flat_map(|instance| instance.seats()) {
                if around.rng.random_bool(chance) {
                    went_back |= seat.round(&mut around) && is_current;
                }
            }
        }
        if went_back {
            self.start_anew();
        }
    }

    /// A process that sees that the ledger went back ends and starts anew, and then all do.
    fn start_anew(&mut self) {
        self.note(|| "a process sees that the ledger went back".to_owned());
        self.reseat();
        for partition in 0..PARTITIONS as usize {
            self.hear_out(partition);
            self.with(partition, true, |shell, place| shell.claim(place));
        }
    }

    /// The processes of the instance have other publishers than before.
    pub(crate) fn reseat(&mut self) {
        self.current.reseat(self.mutation, &mut self.rng);
    }

    /// The processes, in any order.
    fn processes(&mut self) -> Vec<Nonce> {
        let zombies = self.zombie.iter_mut().flat_map(|zombie| zombie.seats());
        let mut all: Vec<Nonce> =
            self.current.seats().chain(zombies).map(|seat| seat.id()).collect();
        let n_first = self.rng.random_range(0..all.len());
        all.rotate_left(n_first);
        all
    }

    /// Prometheus scrapes a process, unless it still waits for an answer of it; its page may be
    /// fetched late.
    fn ask(&mut self, process: Nonce, slow: f64) -> Result<(), String> {
        if self.flights.iter().any(|flight| flight.process == process) {
            return Ok(());
        }
        if self.current.shells.iter().any(Shell::is_too_old) {
            // Where the ledger and the program of its time were put back, what was shown of frames
            // that only a newer program knows is out of reach.
            self.scraper.forget();
            self.flights.clear();
        }
        let (sql, now_us) = (&self.sql, self.now_us);
        let seats = self.current.seats();
        let mut seats = seats.chain(self.zombie.iter_mut().flat_map(|zombie| zombie.seats()));
        let seat = seats.find(|seat| seat.id() == process);
        let scrape = seat.and_then(|seat| seat.asked(sql, TIMEOUT_US, now_us));
        drop(seats);
        let Some(scrape) = scrape else { return Ok(()) };
        let wait_us = match self.rng.random_bool(slow) {
            true => self.rng.random_range(0..TIMEOUT_US),
            false => 0,
        };
        self.flights.push(Flight { process, scrape, due_us: self.now_us + wait_us });
        self.land()
    }

    /// Answers that are due arrive, if whoever waits for them has not given up.
    fn land(&mut self) -> Result<(), String> {
        let now_us = self.now_us;
        let (due, waiting) = self.flights.iter().partition(|flight| flight.due_us <= now_us);
        self.flights = waiting;
        let due: Vec<Flight> = due;
        for Flight { process, scrape, .. } in due {
            if now_us >= scrape.came_us + TIMEOUT_US {
                continue;
            }
            let zombies = self.zombie.iter_mut().flat_map(|zombie| zombie.seats());
            let mut seats = self.current.seats().chain(zombies);
            let Some(seat) = seats.find(|seat| seat.id() == process) else { continue };
            let answered = self.scraper.answered(scrape, &mut seat.publisher, &self.sql, now_us);
            drop(seats);
            answered?;
        }
        Ok(())
    }

    /// Everything does its round, and is scraped at once.
    pub(crate) fn scrape(&mut self) -> Result<(), String> {
        self.rounds(1.0);
        for process in self.processes() {
            self.ask(process, 0.0)?;
        }
        Ok(())
    }
}
