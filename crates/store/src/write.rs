//! Claims and commits: the only statements that change what is counted.
//!
//! A commit is one transaction of one or more partitions, with compare-and-swap on owner and offset
//! of each: if one is refused, none takes effect. Whatever fails before COMMIT is rolled back. A
//! COMMIT that fails is checked again in SQLite; on a server, where the answer may be lost, the
//! outcome is unknown, and nothing else is committed before `resolve` has told.

use std::collections::HashSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use clock::Wall;
use ledger::commit::{Claim, Commit, CommitId, CommitRows, Outcome, Owner, Part};
use ledger::measures::Measures;
use ledger::series::SeriesId;
use ledger::window::MINUTE_US;
use sqlx::AssertSqlSafe;

use crate::dictionary::{CONSUMER_SERIES, FULL_SERIES, SHORT_SERIES};
use crate::error::{Result, StoreError};
use crate::rows::{
    NO_PROGRESS, PROGRESS, Upsert, Upserts, bind_full, bind_progress, bind_short, bind_used, get,
    progress, signed,
};
use crate::sql::{Backend, Bound, Conn, Row};
use crate::steps::{FailAfter, Steps};
use crate::{accepted, baseline, journal, late, letter, roll_up, schema, server_schema};

/// Series whose stored labels are known to match; beyond this the cache starts over.
const KNOWN_MAX: usize = 1_000_000;

const CLAIM: &str = "claim a partition";

/// What all writers of a store cache of committed transactions.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    facts: Arc<Mutex<Facts>>,
    /// How long minutes are kept, microseconds.
    pub minutes_kept_us: Arc<AtomicI64>,
    /// Statements left before one fails; set by tests only.
    pub fail_after: FailAfter,
}

impl Default for Memory {
    fn default() -> Memory {
        Memory {
            facts: Arc::default(),
            minutes_kept_us: Arc::new(AtomicI64::new(i64::MAX)),
            fail_after: FailAfter::default(),
        }
    }
}

#[derive(Debug, Default)]
struct Facts {
    known: HashSet<SeriesId>,
    baseline_day: Option<i64>,
}

impl Memory {
    /// Reads or changes the cache; never waits for I/O.
    fn with<T>(&self, look: impl FnOnce(&mut Facts) -> T) -> T {
        look(&mut self.facts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A connection that writes.
#[derive(Debug)]
pub(crate) struct Writer {
    pub steps: Steps,
    memory: Memory,
}

/// What the statements of a commit came to, before COMMIT.
enum Applied {
    /// All are done; `fresh` is to be cached once they are committed.
    Whole { version: i64, fresh: Vec<SeriesId> },
    /// These partitions, ascending, have another owner or offset.
    Refused { partitions: Vec<u32> },
}

impl Writer {
    pub(crate) fn new(conn: Conn, memory: Memory) -> Writer {
        Writer { steps: Steps::new(conn, memory.fail_after.clone()), memory }
    }

    /// Statements left before one fails.
    #[cfg(test)]
    pub(crate) fn fail_after(&self) -> &FailAfter {
        &self.memory.fail_after
    }

    /// Takes the partition: epoch + 1 and a fresh nonce, and the frame version that the owner
    /// knows. Refuses a ledger that a newer program has migrated since it was opened.
    pub(crate) async fn claim(
        &mut self,
        generation: u32,
        partition: u32,
        nonce: [u8; 16],
        frames: u8,
    ) -> Result<Claim> {
        let row = match self.steps.backend() {
            Backend::Sqlite => self.claim_in_file(generation, partition, nonce, frames).await?,
            Backend::Mysql => self.claim_on_server(generation, partition, nonce, frames).await?,
        };
        let Some(row) = row else {
            let query = self.steps.backend().query("SELECT format FROM meta");
            let found = self.steps.one(query, CLAIM).await?.get(0)?;
            return Err(StoreError::Newer { found, known: known_format(self.steps.backend()) });
        };
        let owner = Owner { generation, partition, epoch: get(&row, 0)?, nonce };
        Ok(Claim { owner, progress: progress(&row, 1)? })
    }

    async fn claim_in_file(
        &mut self,
        generation: u32,
        partition: u32,
        nonce: [u8; 16],
        frames: u8,
    ) -> Result<Option<Row>> {
        let sql = format!(
            "INSERT INTO partition_state \
             (generation, `partition`, epoch, nonce, frames, frames_epoch, {PROGRESS}) \
             SELECT ?1, ?2, 1, ?3, ?4, 1, {NO_PROGRESS} FROM meta WHERE format <= ?5 \
             ON CONFLICT (generation, `partition`) DO UPDATE \
             SET frames_epoch = epoch + 1, epoch = epoch + 1, nonce = excluded.nonce, \
             frames = excluded.frames \
             RETURNING epoch, {PROGRESS}"
        );
        let query = Backend::Sqlite.query(AssertSqlSafe(sql)).bind(generation).bind(partition);
        let query = query.bind(nonce.to_vec()).bind(frames).bind(known_format(Backend::Sqlite));
        Ok(self.steps.all(query, CLAIM).await?.into_iter().next())
    }

    /// The row is made if it is missing, locked and read in its current state: a snapshot taken
    /// before the lock could be older than the last commit.
    async fn claim_on_server(
        &mut self,
        generation: u32,
        partition: u32,
        nonce: [u8; 16],
        frames: u8,
    ) -> Result<Option<Row>> {
        let backend = Backend::Mysql;
        self.steps.begin().await?;
        // It stays as it is until the claim ends, and so does the frame version.
        let query = backend.query("SELECT format FROM meta LOCK IN SHARE MODE");
        if self.steps.one(query, CLAIM).await?.get::<i64>(0)? > known_format(backend) {
            return Ok(None);
        }
        let sql = format!(
            "INSERT INTO partition_state (generation, `partition`, epoch, nonce, {PROGRESS}) \
             VALUES (?, ?, 0, ?, {NO_PROGRESS}) \
             ON DUPLICATE KEY UPDATE epoch = epoch"
        );
        let query = backend.query(AssertSqlSafe(sql));
        self.steps.run(query.bind(generation).bind(partition).bind(nonce.to_vec()), CLAIM).await?;
        let sql = format!(
            "SELECT epoch + 1, {PROGRESS} FROM partition_state \
             WHERE generation = ? AND `partition` = ? FOR UPDATE"
        );
        let query = backend.query(AssertSqlSafe(sql)).bind(generation).bind(partition);
        let row = self.steps.one(query, CLAIM).await?;
        // In this order, since MySQL assigns from left to right.
        let sql = "UPDATE partition_state \
                   SET frames_epoch = epoch + 1, epoch = epoch + 1, nonce = ?, frames = ? \
                   WHERE generation = ? AND `partition` = ?";
        let query = backend.query(sql).bind(nonce.to_vec()).bind(frames);
        let query = query.bind(generation).bind(partition);
        self.steps.run(query, CLAIM).await?;
        self.steps.commit().await?;
        Ok(Some(row))
    }

    /// Executes a commit atomically. Returns the outcome, and the error to be logged if there was
    /// one.
    pub(crate) async fn commit(
        &mut self,
        commit: &Commit,
        now: Wall,
    ) -> (Outcome, Option<StoreError>) {
        if let Err(error) = self.steps.begin().await {
            return (Outcome::Aborted, Some(error));
        }
        let (refused, failed) = match self.apply(commit, now).await {
            Ok(Applied::Whole { version, fresh }) => match self.steps.commit().await {
                Ok(()) => {
                    self.remember(fresh, now);
                    return (Outcome::Committed { version }, None);
                }
                // The COMMIT may have arrived, and its answer may be lost.
                Err(error) if self.steps.backend() == Backend::Mysql => {
                    return (Outcome::Unknown, Some(error));
                }
                Err(error) => (None, Some(error)),
            },
            Ok(Applied::Refused { partitions }) => (Some(partitions), None),
            Err(error) => (None, Some(error)),
        };
        match (refused, self.steps.conn.rollback().await) {
            (Some(partitions), true) => (Outcome::Refused { partitions }, None),
            (None, true) => (Outcome::Aborted, failed),
            (_, false) => (Outcome::Unknown, failed),
        }
    }

    /// The statements of a commit. The version comes last: all commits serialise on its row, and
    /// lock it only briefly.
    async fn apply(&mut self, commit: &Commit, now: Wall) -> Result<Applied> {
        let day = baseline::day_of(now);
        if self.memory.with(|facts| facts.baseline_day != Some(day)) {
            baseline::keep(&mut self.steps, day).await?;
        }
        let mark = roll_up::mark(&mut self.steps).await?;
        // All are tried, so that one answer names every part that has to leave.
        let mut partitions = Vec::new();
        for part in &commit.parts {
            if !self.swap(commit.id, part).await? {
                partitions.push(part.owner.partition);
            }
        }
        if !partitions.is_empty() {
            return Ok(Applied::Refused { partitions });
        }
        let rows = &commit.rows;
        let fresh = self.series(rows).await?;
        let upserts = Upserts::of(self.steps.backend());
        let totals: Vec<_> = rows.totals.iter().map(|(id, _, sums)| (None, id, sums)).collect();
        self.add(&upserts.total, &totals, commit.id, bind_full).await?;
        self.add(&upserts.quarter, &timed(&rows.quarters), commit.id, bind_full).await?;
        let minutes = self.kept_minutes(rows, now).await?;
        self.add(&upserts.minute, &timed(minutes), commit.id, bind_short).await?;
        self.add(&upserts.consumer, &timed(&rows.used), commit.id, bind_used).await?;
        roll_up::add_late(&mut self.steps, mark, rows, minutes).await?;
        letter::keep(&mut self.steps, commit, now).await?;
        late::keep(&mut self.steps, commit).await?;
        let version = journal::keep(&mut self.steps, commit, now).await?;
        if commit.parts.iter().any(|part| part.is_shortened) {
            baseline::replace(&mut self.steps, day, version).await?;
        }
        accepted::keep(&mut self.steps, commit, version, now).await?;
        Ok(Applied::Whole { version, fresh })
    }

    /// The minutes of a commit that are kept: late events may be older than any, and a minute of
    /// long ago would look as if all since were there.
    async fn kept_minutes<'r>(
        &mut self,
        rows: &'r CommitRows,
        now: Wall,
    ) -> Result<&'r [(i64, SeriesId, Measures)]> {
        let kept_us = self.memory.minutes_kept_us.load(Ordering::Relaxed);
        let mut first = now.as_us().saturating_sub(kept_us).div_euclid(MINUTE_US);
        if rows.minutes.first().is_some_and(|(at, ..)| *at < first) {
            let query = self.steps.backend().query("SELECT min(at) FROM minute");
            let oldest: Option<i64> =
                self.steps.one(query, "look for old minutes").await?.get(0)?;
            first = first.min(oldest.unwrap_or(first));
        }
        let n_old = rows.minutes.partition_point(|(at, ..)| *at < first);
        Ok(&rows.minutes[n_old..])
    }

    /// Updates the caches after the commit took effect.
    fn remember(&self, fresh: Vec<SeriesId>, now: Wall) {
        self.memory.with(|facts| {
            if facts.known.len() > KNOWN_MAX {
                facts.known.clear();
            }
            facts.known.extend(fresh);
            facts.baseline_day = Some(baseline::day_of(now));
        });
    }

    /// Moves the row of a partition, if offset and owner are still those of its part, and no newer
    /// program has migrated the ledger.
    async fn swap(&mut self, id: CommitId, part: &Part) -> Result<bool> {
        const SQL: &str = "UPDATE partition_state SET next = ?, floor = ?, floor_clock_us = ?, \
            clock_us = ?, last_print = ?, events = ?, counted = ?, duplicate = ?, late = ?, \
            future = ?, poison = ?, misrouted = ?, conflicts = ?, lost_frames = ?, \
            letter_hour = ?, letter_rows = ?, late_next = ?, merged = ?, late_duplicate = ?, \
            expired = ?, commit_id = ? \
            WHERE generation = ? AND `partition` = ? AND epoch = ? AND nonce = ? AND next = ? \
            AND late_next = ? AND (SELECT format FROM meta) <= ?";
        let query = bind_progress(self.steps.backend().query(SQL), &part.progress)?
            .bind(id.0.to_vec())
            .bind(part.owner.generation)
            .bind(part.owner.partition)
            .bind(part.owner.epoch)
            .bind(part.owner.nonce.to_vec())
            .bind(signed(part.base)?)
            .bind(signed(part.late.base)?)
            .bind(known_format(self.steps.backend()));
        Ok(self.steps.run(query, "move the partition on").await?.rows == 1)
    }

    /// Makes sure that every series of the commit is stored with the labels that the commit means;
    /// those that were not known before.
    async fn series(&mut self, rows: &CommitRows) -> Result<Vec<SeriesId>> {
        let (fulls, shorts, consumers) = self.memory.with(|facts| {
            let is_new = |id: &SeriesId| !facts.known.contains(id);
            let fulls = rows.totals.iter().map(|(id, labels, _)| (id, &**labels));
            let shorts = rows.shorts.iter().map(|(id, labels)| (id, &**labels));
            let consumers = rows.consumers.iter().map(|(id, labels)| (id, &**labels));
            (
                fulls.filter(|(id, _)| is_new(id)).collect::<Vec<_>>(),
                shorts.filter(|(id, _)| is_new(id)).collect::<Vec<_>>(),
                consumers.filter(|(id, _)| is_new(id)).collect::<Vec<_>>(),
            )
        });
        FULL_SERIES.store(&mut self.steps, &fulls).await?;
        SHORT_SERIES.store(&mut self.steps, &shorts).await?;
        CONSUMER_SERIES.store(&mut self.steps, &consumers).await?;
        let ids = fulls.iter().map(|(id, _)| **id).chain(shorts.iter().map(|(id, _)| **id));
        Ok(ids.chain(consumers.iter().map(|(id, _)| **id)).collect())
    }

    /// Adds rows in pieces.
    async fn add<T>(
        &mut self,
        upsert: &'static Upsert,
        rows: &[Cells<'_, T>],
        id: CommitId,
        bind: impl for<'q> Fn(Bound<'q>, &T) -> Bound<'q>,
    ) -> Result<()> {
        for (text, piece) in upsert.pieces(rows) {
            let mut query = self.steps.backend().query(text);
            for (at, series, sums) in piece {
                if let Some(at) = at {
                    query = query.bind_number(*at);
                }
                query = query.bind(&series.0[..]);
                query = bind(query, sums).bind(&id.0[..]);
            }
            self.steps.run(query, "add to the sums").await?;
        }
        Ok(())
    }
}

/// Newest format of a ledger that this program knows.
fn known_format(backend: Backend) -> i64 {
    let n_migrations = match backend {
        Backend::Sqlite => schema::MIGRATIONS.len(),
        Backend::Mysql => server_schema::MIGRATIONS.len(),
    };
    i64::try_from(n_migrations).expect("few migrations")
}

/// Refuses a ledger of this format if a newer program has made it.
pub(crate) fn check_format(backend: Backend, found: i64) -> Result<()> {
    let known = known_format(backend);
    if found > known { Err(StoreError::Newer { found, known }) } else { Ok(()) }
}

/// A row to be added: its time where the table has one, its series and its sums.
type Cells<'a, T> = (Option<i64>, &'a SeriesId, &'a T);

/// Rows of a table that has a time.
fn timed<T>(rows: &[(i64, SeriesId, T)]) -> Vec<Cells<'_, T>> {
    rows.iter().map(|(at, id, sums)| (Some(*at), id, sums)).collect()
}
