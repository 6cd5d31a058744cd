//! Claims and commits: the only statements that change what is counted.
//!
//! A commit is one transaction with compare-and-swap on owner and offset. Whatever fails before
//! COMMIT is rolled back. A COMMIT that fails is checked again in SQLite; on a server, where the
//! answer may be lost, the outcome is unknown, and the core resolves it before anything else.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use clock::Wall;
use ledger::commit::{Claim, Commit, CommitId, Outcome, Owner, Resolution};
use ledger::series::SeriesId;
use sqlx::AssertSqlSafe;

use crate::dictionary::{CONSUMER_SERIES, FULL_SERIES, SHORT_SERIES};
use crate::error::{Result, StoreError};
use crate::rows::{
    NO_PROGRESS, PROGRESS, Upsert, Upserts, bind_full, bind_progress, bind_short, bind_used, bytes,
    get, number, progress, signed,
};
use crate::sql::{Backend, Bound, Conn, Row};
use crate::steps::{FailAfter, Steps};
use crate::{accepted, baseline, schema, server_schema};

/// Series whose stored labels are known to match; beyond this the cache starts over.
const KNOWN_MAX: usize = 1_000_000;

const CLAIM: &str = "claim a partition";

/// What all writers of a store cache of committed transactions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    facts: Arc<Mutex<Facts>>,
    /// Statements left before one fails; set by tests only.
    pub fail_after: FailAfter,
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

/// What a transaction learned, to be cached once it is committed.
struct Applied {
    version: i64,
    fresh: Vec<SeriesId>,
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
        let failed = match self.apply(commit, now).await {
            Ok(Some(Applied { version, fresh })) => match self.steps.commit().await {
                Ok(()) => {
                    self.remember(fresh, now);
                    return (Outcome::Committed { version }, None);
                }
                // The COMMIT may have arrived, and its answer may be lost.
                Err(error) if self.steps.backend() == Backend::Mysql => {
                    return (Outcome::Unknown, Some(error));
                }
                Err(error) => Some(error),
            },
            Ok(None) => None,
            Err(error) => Some(error),
        };
        match (failed, self.steps.conn.rollback().await) {
            (None, true) => (Outcome::Refused, None),
            (failed, true) => (Outcome::Aborted, failed),
            (failed, false) => (Outcome::Unknown, failed),
        }
    }

    /// The statements of a commit; `None` if the compare-and-swap found another owner or offset.
    /// The version comes last: all commits serialise on its row, and lock it only briefly.
    async fn apply(&mut self, commit: &Commit, now: Wall) -> Result<Option<Applied>> {
        let day = baseline::day_of(now);
        if self.memory.with(|facts| facts.baseline_day != Some(day)) {
            baseline::keep(&mut self.steps, day).await?;
        }
        if !self.swap(commit).await? {
            return Ok(None);
        }
        let fresh = self.series(commit).await?;
        let upserts = Upserts::of(self.steps.backend());
        let totals: Vec<_> = commit.totals.iter().map(|(id, _, sums)| (None, id, sums)).collect();
        self.add(&upserts.total, &totals, commit.id, bind_full).await?;
        self.add(&upserts.quarter, &timed(&commit.quarters), commit.id, bind_full).await?;
        self.add(&upserts.minute, &timed(&commit.minutes), commit.id, bind_short).await?;
        self.add(&upserts.consumer, &timed(&commit.used), commit.id, bind_used).await?;
        self.letters(commit, now).await?;
        let version = self.journal(commit, now).await?;
        if commit.is_shortened {
            baseline::replace(&mut self.steps, day, version).await?;
        }
        if let Some(loss) = &commit.accepted {
            accepted::keep(&mut self.steps, commit, loss, version, now).await?;
        }
        Ok(Some(Applied { version, fresh }))
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

    /// Moves the partition's row, if offset and owner are still those of the commit, and no newer
    /// program has migrated the ledger.
    async fn swap(&mut self, commit: &Commit) -> Result<bool> {
        const SQL: &str = "UPDATE partition_state SET next = ?, floor = ?, floor_clock_us = ?, \
            clock_us = ?, last_print = ?, events = ?, counted = ?, duplicate = ?, late = ?, \
            future = ?, poison = ?, misrouted = ?, conflicts = ?, lost_frames = ?, \
            letter_hour = ?, letter_rows = ?, commit_id = ? \
            WHERE generation = ? AND `partition` = ? AND epoch = ? AND nonce = ? AND next = ? \
            AND (SELECT format FROM meta) <= ?";
        let query = bind_progress(self.steps.backend().query(SQL), &commit.progress)?
            .bind(commit.id.0.to_vec())
            .bind(commit.owner.generation)
            .bind(commit.owner.partition)
            .bind(commit.owner.epoch)
            .bind(commit.owner.nonce.to_vec())
            .bind(signed(commit.base)?)
            .bind(known_format(self.steps.backend()));
        Ok(self.steps.run(query, "move the partition on").await?.rows == 1)
    }

    /// Makes sure that every series of the commit is stored with the labels that the commit means;
    /// those that were not known before.
    async fn series(&mut self, commit: &Commit) -> Result<Vec<SeriesId>> {
        let (fulls, shorts, consumers) = self.memory.with(|facts| {
            let is_new = |id: &SeriesId| !facts.known.contains(id);
            let fulls: Vec<_> =
                commit.totals.iter().map(|(id, labels, _)| (id, &**labels)).collect();
            let shorts: Vec<_> = commit.shorts.iter().map(|(id, labels)| (id, labels)).collect();
            let consumers = commit.consumers.iter().map(|(id, labels)| (id, &**labels));
            (
                fulls.into_iter().filter(|(id, _)| is_new(id)).collect::<Vec<_>>(),
                shorts.into_iter().filter(|(id, _)| is_new(id)).collect::<Vec<_>>(),
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
                    query = query.bind(*at);
                }
                query = query.bind(&series.0[..]);
                query = bind(query, sums).bind(&id.0[..]);
            }
            self.steps.run(query, "add to the sums").await?;
        }
        Ok(())
    }

    async fn letters(&mut self, commit: &Commit, now: Wall) -> Result<()> {
        const SQL: &str = "INSERT INTO dead_letter (generation, `partition`, at, idx, n, class, \
            reason, time_us, namespace, content, clock_us, stored_us, commit_id) \
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        for letter in &commit.letters {
            let query = self
                .steps
                .backend()
                .query(SQL)
                .bind(commit.owner.generation)
                .bind(commit.owner.partition)
                .bind(signed(letter.offset)?)
                .bind(letter.idx)
                .bind(letter.n)
                .bind(letter.class.word())
                .bind(letter.reason)
                .bind(letter.time_us)
                .bind(letter.namespace.as_deref())
                .bind(letter.content.as_deref())
                .bind(letter.clock_us)
                .bind(now.as_us())
                .bind(commit.id.0.to_vec());
            self.steps.run(query, "keep a dead letter").await?;
        }
        Ok(())
    }

    /// The last statements: the ledger's version and the line of the journal.
    async fn journal(&mut self, commit: &Commit, now: Wall) -> Result<i64> {
        const ACTION: &str = "raise the version";
        let backend = self.steps.backend();
        let sql = backend.text(
            "UPDATE ledger_version SET v = v + 1, committed_us = ? RETURNING v",
            // The number comes back with the answer: one way there and back less while all wait.
            "UPDATE ledger_version SET v = LAST_INSERT_ID(v + 1), committed_us = ?",
        );
        let query = backend.query(sql).bind(now.as_us());
        let version = match backend {
            Backend::Sqlite => self.steps.one(query, ACTION).await?.get(0)?,
            Backend::Mysql => self.steps.run(query, ACTION).await?.last_id.cast_signed(),
        };
        let journal = &commit.journal;
        let query = backend
            .query(
                "INSERT INTO commit_journal (version, commit_id, generation, `partition`, base, \
                 next, events, counted, input_tokens, output_tokens, digest, first_clock_us, \
                 last_clock_us, committed_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(version)
            .bind(commit.id.0.to_vec())
            .bind(commit.owner.generation)
            .bind(commit.owner.partition)
            .bind(signed(commit.base)?)
            .bind(signed(commit.progress.next)?)
            .bind(journal.events)
            .bind(journal.counted)
            .bind(journal.input_tokens)
            .bind(journal.output_tokens)
            .bind(journal.digest)
            .bind(journal.first_clock_us)
            .bind(journal.last_clock_us)
            .bind(now.as_us());
        self.steps.run(query, "write the journal").await?;
        Ok(version)
    }

    /// Resolves a commit whose outcome is unknown. On a server this uses a new connection, which
    /// waits for the row lock until the transaction that holds it has ended.
    pub(crate) async fn resolve(&mut self, commit: &Commit) -> Result<Resolution> {
        let backend = self.steps.backend();
        match backend {
            // An open transaction of the lost commit would hide what is durable.
            Backend::Sqlite => {
                self.steps.conn.rollback().await;
            }
            Backend::Mysql => self.steps.begin().await?,
        }
        let sql = backend.text(
            "SELECT epoch, nonce, next, commit_id FROM partition_state \
             WHERE generation = ? AND `partition` = ?",
            "SELECT epoch, nonce, next, commit_id FROM partition_state \
             WHERE generation = ? AND `partition` = ? FOR UPDATE",
        );
        let query = backend.query(sql).bind(commit.owner.generation).bind(commit.owner.partition);
        let resolution = match self.steps.all(query, LOOK).await?.first() {
            Some(row) => self.compare(row, commit).await?,
            // A restored ledger may not know the partition yet.
            None => Resolution::Fenced,
        };
        if backend == Backend::Mysql {
            self.steps.conn.rollback().await;
        }
        Ok(resolution)
    }

    /// Outcome of a commit according to the partition's row.
    async fn compare(&mut self, row: &Row, commit: &Commit) -> Result<Resolution> {
        let next: u64 = number(row, 2, "next offset")?;
        let is_mine =
            get::<i64>(row, 0)? == commit.owner.epoch && bytes::<16>(row, 1)? == commit.owner.nonce;
        if !is_mine {
            return Ok(Resolution::Fenced);
        }
        let last: Option<Vec<u8>> = get(row, 3)?;
        if next == commit.progress.next && last.as_deref() == Some(commit.id.0.as_slice()) {
            let sql = "SELECT version FROM commit_journal WHERE commit_id = ?";
            let query = self.steps.backend().query(sql).bind(commit.id.0.to_vec());
            let version = self.steps.one(query, LOOK).await?.get(0)?;
            return Ok(Resolution::Committed { version });
        }
        Ok(if next == commit.base { Resolution::Base } else { Resolution::Fenced })
    }
}

const LOOK: &str = "look a commit up";

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
