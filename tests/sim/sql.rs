//! The ledger's database: one transaction after the other, answers that get lost, transactions
//! that are still in the air, and backups that are put back.
//!
//! A transaction that holds the locks of its rows makes everybody who asks for any of them wait, so
//! it ends before they are answered. One that was delayed on its way has no lock and is carried out
//! whenever it arrives. What may take effect is decided by the rows alone, each member's by its
//! own; what did take effect is known from the journal.

use std::sync::Arc;

use event::frame::Version;
use ledger::commit::{Claim, Commit, CommitId, Outcome, Owner, Part, Resolution};
use ledger::histogram::N_TPOT;
use ledger::lease::{LeaseRow, Nonce};
use ledger::measures::Measures;
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use crate::books::{Ledger, Range, Row};
use crate::log::Partition;
use crate::mutation::Mutation;
use crate::producer::PARTITIONS;

/// A transaction whose answer got lost.
#[derive(Clone, Debug)]
struct Flying {
    commit: Arc<Commit>,
    program: Version,
    has_lock: bool,
}

/// A part that took effect although the row stood elsewhere, or that accepts a loss once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfenced {
    /// Partition.
    pub partition: u32,
    /// Where the part began.
    pub base: u64,
    /// Where the row stood.
    pub next: u64,
}

/// The database.
#[derive(Debug)]
pub struct Sql {
    mutation: Mutation,
    /// What is committed.
    pub ledger: Ledger,
    flying: Vec<Flying>,
    backups: Vec<Ledger>,
    /// Commits that took effect and are not checked yet.
    pub landed: Vec<Arc<Commit>>,
    /// I8: parts that took effect from another offset than the row's.
    pub unfenced: Vec<Unfenced>,
    /// Partition and offset of a late event that was merged although it had been.
    pub merged_twice: Option<(u32, u64)>,
    /// The versions that pages may show: totals and rows of each.
    pub versions: Vec<Ledger>,
    /// The version that was put back last.
    restored: i64,
    /// How many commits took effect, and how many of these had several parts.
    pub n_commits: [u64; 2],
}

/// Backups that are kept.
const BACKUPS: usize = 4;
/// Versions that a page may still show: it is never further behind.
const VERSIONS: usize = 64;

impl Sql {
    /// An empty ledger.
    #[must_use]
    pub fn new(mutation: Mutation) -> Sql {
        Sql {
            mutation,
            ledger: Ledger::default(),
            flying: Vec::new(),
            backups: Vec::new(),
            landed: Vec::new(),
            unfenced: Vec::new(),
            merged_twice: None,
            versions: vec![Ledger::default()],
            restored: 0,
            n_commits: [0; 2],
        }
    }

    /// The commits that took effect before a version, and since a ledger was put back.
    pub fn since_restore(&self, version: i64) -> impl Iterator<Item = CommitId> {
        let journal = self.ledger.journal.range(self.restored + 1..);
        journal.take_while(move |(made, _)| **made < version).map(|(_, id)| *id)
    }

    /// `SELECT .. FOR UPDATE`, epoch + 1, a fresh nonce. `None` for a program that is older than
    /// the ledger's format.
    pub fn claim(
        &mut self,
        partition: u32,
        nonce: [u8; 16],
        program: Version,
        rng: &mut ChaCha8Rng,
    ) -> Option<Claim> {
        self.settle_locked(partition, rng);
        if !self.is_open_to(program) {
            return None;
        }
        if program == Version::V2 && !self.ledger.is_newer {
            self.migrate(rng);
        }
        let row = &mut self.ledger.rows[partition as usize];
        row.epoch += 1;
        row.nonce = nonce;
        if program == Version::V2 {
            row.told_epoch = row.epoch;
        }
        let owner = Owner { generation: 1, partition, epoch: row.epoch, nonce };
        Some(Claim { owner, progress: row.progress })
    }

    /// The step to the newer format. Transactions that are open end first; those of old programs,
    /// which count no times per output token, are refused afterwards.
    fn migrate(&mut self, rng: &mut ChaCha8Rng) {
        if self.mutation == Mutation::NotedEarly {
            self.note_tpot_from();
        }
        (0..PARTITIONS).for_each(|partition| self.settle_locked(partition, rng));
        if !matches!(self.mutation, Mutation::NotedEarly | Mutation::TpotFrom) {
            self.note_tpot_from();
        }
        self.ledger.is_newer = true;
    }

    fn note_tpot_from(&mut self) {
        for row in &mut self.ledger.rows {
            row.tpot_from = row.progress.next;
        }
    }

    /// Whether late events that were decided once are undecided since the ledger was put back.
    #[must_use]
    pub fn must_decide_again(&self, partition: usize) -> bool {
        let decided = self.ledger.rows[partition].progress.late_next;
        decided < self.ledger.furthest_late[partition]
    }

    /// Whether the ledger's format is known to a program.
    #[must_use]
    pub fn is_open_to(&self, program: Version) -> bool {
        let is_known = program == Version::V2 || !self.ledger.is_newer;
        is_known || self.mutation == Mutation::FormatCheck
    }

    /// Whether this claim is the newest of its partition.
    #[must_use]
    pub fn is_newest(&self, partition: u32, nonce: [u8; 16]) -> bool {
        self.ledger.rows[partition as usize].nonce == nonce
    }

    /// An operator wants frames of version 2: whether every owner knows it.
    pub fn raise(&mut self) -> bool {
        let knows = |row: &Row| row.epoch > 0 && row.told_epoch == row.epoch;
        let may = self.ledger.rows.iter().all(knows) || self.mutation == Mutation::OwnersKnow;
        self.ledger.wants_v2 |= may;
        may
    }

    /// Takes the lease over, if it is this row. Whether the process hears of it: the answer may get
    /// lost.
    pub fn acquire_lease(&mut self, row: LeaseRow, me: Nonce, rng: &mut ChaCha8Rng) -> bool {
        if self.ledger.lease != row {
            return false;
        }
        self.ledger.lease = LeaseRow { term: row.term + 1, holder: Some(me), ..row };
        rng.random_bool(0.9)
    }

    /// Renews the lease, if it is this row.
    pub fn renew_lease(&mut self, row: LeaseRow) {
        if self.ledger.lease == row {
            self.ledger.lease.beat += 1;
        }
    }

    /// Gives the lease back, if it is this row.
    pub fn give_lease_back(&mut self, row: LeaseRow) {
        if self.ledger.lease == row {
            self.ledger.lease.holder = None;
        }
    }

    /// A commit, and what its committer hears of it.
    pub fn submit(
        &mut self,
        commit: &Arc<Commit>,
        program: Version,
        rng: &mut ChaCha8Rng,
    ) -> Outcome {
        self.settle_members(commit, rng);
        let flying = |has_lock| Flying { commit: Arc::clone(commit), program, has_lock };
        match rng.random_range(0..100) {
            0..5 => Outcome::Aborted,
            5..10 => {
                self.carry_out(commit, program);
                Outcome::Unknown
            }
            10..14 => Outcome::Unknown,
            14..20 => {
                let partitions = self.refused(commit, program);
                if !partitions.is_empty() {
                    return Outcome::Refused { partitions };
                }
                self.flying.push(flying(true));
                Outcome::Unknown
            }
            20..26 => {
                self.flying.push(flying(false));
                Outcome::Unknown
            }
            _ => self.carry_out(commit, program),
        }
    }

    /// `SELECT .. FOR UPDATE` of all its rows on a new connection, after an unknown outcome; then
    /// the journal says whether the commit took effect.
    pub fn resolve(&mut self, commit: &Commit, rng: &mut ChaCha8Rng) -> Resolution {
        self.settle_members(commit, rng);
        if self.mutation == Mutation::JournalDecides {
            return self.resolve_by_row(commit);
        }
        if let Some(version) = self.ledger.version_of(commit.id) {
            return Resolution::Committed { version };
        }
        let at_base = commit.parts.iter().filter(|part| self.ledger.is_at_base(part));
        Resolution::Absent { at_base: at_base.map(|part| part.owner.partition).collect() }
    }

    /// What a mutant does: the first member's row is taken for all that happened.
    fn resolve_by_row(&self, commit: &Commit) -> Resolution {
        let first = &commit.parts[0];
        let row = &self.ledger.rows[first.owner.partition as usize];
        if row.progress.next >= first.progress.next {
            return Resolution::Committed { version: self.ledger.version };
        }
        let n_at_base = if self.ledger.is_at_base(first) { commit.parts.len() } else { 0 };
        let at_base = commit.parts.iter().take(n_at_base).map(|part| part.owner.partition);
        Resolution::Absent { at_base: at_base.collect() }
    }

    /// Something that is in the air arrives, or never will.
    pub fn arrive(&mut self, rng: &mut ChaCha8Rng) {
        if !self.flying.is_empty() {
            let idx = rng.random_range(0..self.flying.len());
            self.settle(idx, rng);
        }
    }

    /// Everything that is in the air arrives.
    pub fn arrive_all(&mut self, rng: &mut ChaCha8Rng) {
        while !self.flying.is_empty() {
            self.settle(0, rng);
        }
    }

    /// Takes a backup.
    pub fn back_up(&mut self) {
        if self.backups.len() == BACKUPS {
            self.backups.remove(0);
        }
        self.backups.push(self.ledger.clone());
    }

    /// Puts a backup back, if there is one that the log still reaches back for. What is in the air
    /// is gone with the database.
    pub fn restore(&mut self, logs: &[Partition], rng: &mut ChaCha8Rng) -> bool {
        let now = &self.ledger;
        let is_usable = |backup: &Ledger| {
            (0..).zip(logs).all(|(partition, log)| backup.is_recounted(now, partition, log))
        };
        self.backups.retain(is_usable);
        if self.backups.is_empty() {
            return false;
        }
        let idx = rng.random_range(0..self.backups.len());
        let backup = self.backups[idx].clone();
        self.put_back(backup);
        true
    }

    /// Puts an earlier ledger back.
    pub fn put_back(&mut self, ledger: Ledger) {
        self.restored = ledger.version;
        // Whoever puts a ledger back notes it, and nobody leads: a holder of then may be alive.
        let lease = LeaseRow { holder: None, ..ledger.lease };
        let furthest_late = self.ledger.furthest_late;
        self.ledger = Ledger { is_restored: true, lease, furthest_late, ..ledger };
        self.flying.clear();
        self.remember();
    }

    /// No backup reaches back behind what just happened to the log.
    pub fn forget_backups(&mut self) {
        self.backups.clear();
    }

    /// Whoever asks for the row waits until the transaction that has its lock has ended.
    pub fn settle_locked(&mut self, partition: u32, rng: &mut ChaCha8Rng) {
        let holds = |it: &Flying| it.has_lock && it.commit.part(partition).is_some();
        while let Some(idx) = self.flying.iter().position(holds) {
            self.settle(idx, rng);
        }
    }

    fn settle_members(&mut self, commit: &Commit, rng: &mut ChaCha8Rng) {
        for part in &commit.parts {
            self.settle_locked(part.owner.partition, rng);
        }
    }

    fn settle(&mut self, idx: usize, rng: &mut ChaCha8Rng) {
        let flying = self.flying.remove(idx);
        if rng.random_bool(0.7) {
            self.carry_out(&flying.commit, flying.program);
        }
    }

    /// The members whose compare-and-swap finds no row: any of them is enough to roll back.
    fn refused(&self, commit: &Commit, program: Version) -> Vec<u32> {
        let n_asked = match self.mutation {
            Mutation::EveryMember => 1,
            _ => commit.parts.len(),
        };
        let asked = commit.parts.iter().take(n_asked);
        let refused = asked.filter(|part| !self.is_accepted(part, program));
        refused.map(|part| part.owner.partition).collect()
    }

    /// The condition of the statement that moves a member's row.
    fn is_accepted(&self, part: &Part, program: Version) -> bool {
        let row = &self.ledger.rows[part.owner.partition as usize];
        let is_nonce = row.nonce == part.owner.nonce || self.mutation == Mutation::NonceCheck;
        let is_owner = row.epoch == part.owner.epoch && is_nonce;
        let is_base = row.progress.next == part.base;
        let is_late_base = row.progress.late_next == part.late.base;
        self.is_open_to(program)
            && (is_owner || self.mutation == Mutation::OwnerCheck)
            && (is_base || self.mutation == Mutation::BaseCheck)
            && (is_late_base || self.mutation == Mutation::LateBaseCheck)
    }

    /// The whole transaction.
    fn carry_out(&mut self, commit: &Arc<Commit>, program: Version) -> Outcome {
        let partitions = self.refused(commit, program);
        if !partitions.is_empty() {
            return Outcome::Refused { partitions };
        }
        // The journal's key: no commit takes effect twice.
        if self.ledger.version_of(commit.id).is_some() {
            return Outcome::Aborted;
        }
        for part in &commit.parts {
            self.move_row(part);
            self.merge(part, program);
        }
        let (ledger, rows) = (&mut self.ledger, &commit.rows);
        // The statements of an old program do not know the columns.
        let stored = |sums: &Measures| match program {
            Version::V1 => Measures { tpot_us: 0, tpot: [0; N_TPOT], ..sums.clone() },
            Version::V2 => sums.clone(),
        };
        for (id, _, sums) in &rows.totals {
            ledger.totals.entry(*id).or_default().add(&stored(sums)).expect("small numbers");
        }
        for (at, id, sums) in &rows.quarters {
            let quarter = ledger.quarters.entry((*at, *id)).or_default();
            quarter.add(&stored(sums)).expect("small numbers");
        }
        for (at, id, sums) in &rows.minutes {
            ledger.minutes.entry((*at, *id)).or_default().add(sums).expect("small numbers");
        }
        for (at, id, sums) in &rows.used {
            ledger.used.entry((*at, *id)).or_default().add(sums).expect("small numbers");
        }
        ledger.version += 1;
        let version = ledger.version;
        ledger.journal.insert(version, commit.id);
        self.n_commits[0] += 1;
        self.n_commits[1] += u64::from(commit.parts.len() > 1);
        self.landed.push(Arc::clone(commit));
        self.remember();
        Outcome::Committed { version }
    }

    /// What a transaction does to the row of one member.
    fn move_row(&mut self, part: &Part) {
        let (partition, base) = (part.owner.partition, part.base);
        let next = self.ledger.rows[partition as usize].progress.next;
        let accepts = part.accepted.is_some();
        let is_again = accepts && !self.ledger.accepted.insert((part.owner.nonce, base));
        if next != base || is_again {
            self.unfenced.push(Unfenced { partition, base, next });
        }
        self.ledger.rows[partition as usize].progress = part.progress;
        self.ledger.letters += part.letters.iter().map(|letter| i64::from(letter.n)).sum::<i64>();
    }

    /// What a transaction records of the late events of one member.
    fn merge(&mut self, part: &Part, program: Version) {
        let partition = part.owner.partition;
        for merged in &part.late.merged {
            let key = (partition, merged.key, merged.time_us);
            let row = (merged.offset, program == Version::V2);
            if self.ledger.merged.insert(key, row).is_some() {
                self.merged_twice.get_or_insert((partition, merged.offset));
            }
        }
        let (base, next) = (part.base, part.progress.next);
        let ranges = &mut self.ledger.ranges[partition as usize];
        ranges.push(Range { base, next, sums: part.sums });
        let furthest = &mut self.ledger.furthest_late[partition as usize];
        *furthest = part.progress.late_next.max(*furthest);
        if part.accepted.is_some() {
            self.ledger.lost_until[partition as usize] = next;
        }
    }

    fn remember(&mut self) {
        if self.versions.len() == VERSIONS {
            self.versions.remove(0);
        }
        let Ledger { version, rows, totals, .. } = &self.ledger;
        let shown =
            Ledger { version: *version, rows: *rows, totals: totals.clone(), ..Ledger::default() };
        self.versions.push(shown);
    }
}
