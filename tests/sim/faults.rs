//! What goes wrong: crashes, zombies, restored ledgers, clocks that jump, and logs that lose
//! their beginning, their end or everything.
//!
//! A fault that makes the truth ambiguous is only done where docs/counting.md says what must be
//! counted after it, as each of them explains.

use rand::RngExt as _;

use crate::producer::PARTITIONS;
use crate::seat::Seat;
use crate::watch::{Speed, TICK_US};
use crate::world::{MINUTE_US, SECOND_US, World};

/// Moments for which processes contend for the lease.
const CONTEND_TICKS: u32 = 32;

impl World {
    /// Draws a fault.
    pub(crate) fn fault(&mut self) {
        match self.rng.random_range(0..128) {
            0..16 => self.crash(),
            16..30 => self.pause(),
            30..36 => self.zombie = None,
            36..48 => self.sql.back_up(),
            48..56 => self.restore(),
            56..66 => self.jump(),
            66..82 => self.retain(),
            82..96 => self.cut(),
            96..98 => self.overtake(),
            98..107 => self.switch_program(),
            107..117 => self.raise(),
            117..125 => {
                let contended = self.contend();
                self.failed_early = self.failed_early.take().or(contended.err());
            }
            _ => self.break_log(),
        }
    }

    /// The instance dies with all of its processes, and another one starts.
    pub(crate) fn crash(&mut self) {
        let is_clean = self.rng.random_bool(0.3);
        self.note(|| format!("the instance {}", if is_clean { "is stopped" } else { "dies" }));
        if is_clean {
            let Self { current, sql, now_us, .. } = self;
            current.seats().for_each(|seat| seat.give_back(sql, *now_us));
        }
        self.current = self.new_instance();
    }

    /// The instance stands still; another one starts, and the first goes on later.
    pub(crate) fn pause(&mut self) {
        self.note(|| "the instance becomes a zombie".to_owned());
        let next = self.new_instance();
        self.zombie = Some(std::mem::replace(&mut self.current, next));
    }

    /// The publisher does not get to renew its lease for a while, though it counts and answers, or
    /// it is stopped: it answers what it was asked, and gives the lease back. Everything is counted
    /// before, so that the next one shows a page as soon as it may, and events go on coming in.
    fn contend(&mut self) -> Result<(), String> {
        if !(0..CONTEND_TICKS).any(|_| self.settle_each()) {
            return Ok(());
        }
        let stops = self.rng.random_bool(0.4);
        let what = if stops { "is stopped" } else { "stalls" };
        self.note(|| format!("the publisher {what}"));
        let until_us = self.now_us + self.rng.random_range(20..40) * SECOND_US;
        for n in 0..CONTEND_TICKS {
            if n == 2 && !stops {
                self.current.seats().for_each(|seat| seat.stall(until_us));
            }
            if n == 4 && stops {
                self.hand_over();
            }
            if self.rng.random_bool(0.5) {
                self.produce();
            }
            self.settle_each();
            self.now_us += self.rng.random_range(0..TICK_US);
            self.tick(Speed::Contended)?;
            self.check()?;
        }
        Ok(())
    }

    /// Each partition is worked on. Whether all are counted to their ends.
    fn settle_each(&mut self) -> bool {
        let mut is_counted = true;
        for partition in 0..PARTITIONS as usize {
            is_counted &= self.settle_one(partition);
        }
        is_counted
    }

    /// The publisher ends, and another process starts in its place.
    fn hand_over(&mut self) {
        let Self { current, sql, now_us, mutation, rng, .. } = self;
        for seat in current.seats().filter(|seat| seat.is_publisher()) {
            seat.give_back(sql, *now_us);
            *seat = Seat::new(*mutation, rng);
        }
    }

    /// An older ledger is put back, unless a log is broken: then what was shown is out of reach.
    fn restore(&mut self) {
        if self.logs.iter().any(|log| log.is_broken) {
            return;
        }
        if self.sql.restore(&self.logs, &mut self.rng) {
            let version = self.sql.ledger.version;
            self.note(|| format!("the ledger is restored to version {version}"));
            self.went_back = true;
            self.maybe_restore_program();
        }
    }

    /// The clock of the log or of ingest jumps, or is right again.
    fn jump(&mut self) {
        let jump_us = match self.rng.random_range(0..6) {
            0 => self.rng.random_range(-90..90) * MINUTE_US,
            1 => 24 * 60 * MINUTE_US,
            2 => self.rng.random_range(-240..240) * SECOND_US,
            _ => 0,
        };
        if self.rng.random_bool(0.5) {
            self.log_clock_us = jump_us;
            self.note(|| format!("the log's wall clock is off by {jump_us} us"));
        } else {
            self.ingest_clock_us = jump_us;
            self.note(|| format!("ingest's clock is off by {jump_us} us"));
        }
    }

    /// Retention deletes what lies before the floor.
    ///
    /// What late events need is kept until they are decided again after a restore.
    fn retain(&mut self) {
        for (partition, log) in self.logs.iter_mut().enumerate() {
            let floor = self.sql.ledger.rows[partition].progress.floor;
            if !log.is_broken && floor > log.low && !self.sql.must_decide_again(partition) {
                log.retain(self.rng.random_range(log.low..=floor));
            }
        }
    }

    /// A partition whose ledger stands where it ever stood furthest, and whose log is whole.
    fn settled_partition(&mut self) -> Option<usize> {
        let partition = self.rng.random_range(0..PARTITIONS as usize);
        let log = &self.logs[partition];
        let is_settled = !log.is_broken
            && log.lost.is_none()
            && !self.sql.must_decide_again(partition)
            && self.sql.ledger.rows[partition].progress.next == self.furthest[partition];
        is_settled.then_some(partition)
    }

    /// The log loses a tail that was read, but not committed. The partition is claimed again at
    /// once, as after the failover of a broker; the process that read the old tail must not count
    /// it any more. The ledger may be restored to before that process's claim, in which case the
    /// next owner gets the same epoch.
    fn cut(&mut self) {
        for _ in 0..4 {
            self.produce();
        }
        let Some(partition) = self.settled_partition() else { return };
        let number = u32::try_from(partition).expect("few");
        self.hear_out(partition);
        self.sql.settle_locked(number, &mut self.rng);
        let before = self.rng.random_bool(0.3).then(|| self.sql.ledger.clone());
        // What is not read of the tail may have been fetched.
        let n_read = if self.rng.random_bool(0.5) { 60 } else { self.rng.random_range(0..4) };
        self.with(partition, true, |shell, place| {
            if !shell.has_claim() || before.is_some() {
                shell.claim(place);
            }
            shell.read(n_read, place);
        });
        // At a frame that an old program does not know, it commits what it has first.
        self.hear_out(partition);
        self.sql.settle_locked(number, &mut self.rng);
        self.fault_checked();
        if before.is_some() || self.rng.random_bool(0.5) {
            self.pause();
        } else {
            let Self { current, logs, .. } = self;
            current.shells[partition].fetch(&logs[partition]);
        }
        if let Some(before) = before {
            // The next claim gets the epoch of the one that is forgotten; its nonce is another.
            self.note(|| format!("the ledger is put back to before the claim of {partition}"));
            self.sql.put_back(before);
            self.went_back = true;
        }
        let next = self.sql.ledger.rows[partition].progress.next;
        let high = self.rng.random_range(next..=self.logs[partition].high());
        self.note(|| format!("log {partition} is cut to {high}, {next} is counted"));
        self.logs[partition].cut(high);
        self.furthest[partition] = next;
        // A ledger from before would know the claim of who read the old tail, and let it back in.
        self.sql.forget_backups();
        for _ in 0..3 {
            self.produce();
        }
        self.reseat();
        // A program that the ledger refuses would leave the partition to who read the old tail.
        self.replace_if_refused();
        self.with(partition, true, |shell, place| shell.claim(place));
    }

    /// Retention overtakes counting, while no process holds a part of the deleted frames.
    fn overtake(&mut self) {
        for _ in 0..4 {
            self.produce();
        }
        let Some(partition) = self.settled_partition() else { return };
        self.all_stop();
        let next = self.sql.ledger.rows[partition].progress.next;
        let high = self.logs[partition].high();
        if next >= high {
            return;
        }
        let low = self.rng.random_range(next + 1..=high);
        self.note(|| format!("log {partition} loses {next}..{low} before they are counted"));
        self.logs[partition].overtake(next, low);
        self.sql.forget_backups();
    }

    /// The log is cut below what was counted, or replaced by another one: the partition must be
    /// halted, and never go on as if nothing had happened.
    fn break_log(&mut self) {
        let Some(partition) = self.settled_partition() else { return };
        self.all_stop();
        let progress = &self.sql.ledger.rows[partition].progress;
        let is_shown_all = (self.sql.ledger.rows.iter())
            .zip(&self.furthest)
            .all(|(row, furthest)| row.progress.next == *furthest)
            && !(0..PARTITIONS as usize).any(|number| self.sql.must_decide_again(number));
        let log = &mut self.logs[partition];
        let next = progress.next;
        if !is_shown_all || progress.last_print.is_none() || next == 0 || log.low >= next {
            return;
        }
        let high = self.rng.random_bool(0.5).then(|| self.rng.random_range(log.low..next));
        log.break_below(next, high);
        self.note(|| format!("log {partition} is broken below {next}"));
        self.sql.forget_backups();
        // A new frame of the same moment could equal the one that was cut off.
        self.now_us += SECOND_US;
        for _ in 0..self.rng.random_range(0..30) {
            self.produce();
        }
    }

    /// Nobody holds anything any more, and nothing is in the air.
    fn all_stop(&mut self) {
        self.zombie = None;
        self.sql.arrive_all(&mut self.rng);
        self.fault_checked();
        self.crash();
    }

    /// Commits that took effect are checked before the log changes below them.
    fn fault_checked(&mut self) {
        if let Err(fault) = self.check() {
            self.failed_early.get_or_insert(fault);
        }
    }
}
