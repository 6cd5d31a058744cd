//! Claims and commits: the only statements that change what is counted.
//!
//! A commit is one transaction with compare-and-swap on owner and offset. Whatever fails before
//! COMMIT is rolled back; what fails in COMMIT is looked at once more, and if even that fails the
//! outcome is unknown, which the core resolves before it does anything else.

use std::collections::HashSet;

use ledger::commit::{Claim, Commit, CommitId, Outcome, Owner, Resolution};
use ledger::measures::Measures;
use ledger::series::SeriesId;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Executor};

use crate::error::{Result, StoreError};
use crate::rows::{
    Bound, CHUNK, FULL, MINUTE, PROGRESS, QUARTER, SHORT, TOTAL, Upsert, Width, bind,
    bind_progress, bytes, full_labels, get, number, progress, selected, short_labels, signed,
};

/// Series whose stored labels were seen to be ours; beyond this the memory starts anew.
const KNOWN_MAX: usize = 1_000_000;
/// Width of a baseline's day in microseconds.
const DAY_US: i64 = 24 * 3_600 * 1_000_000;

/// The connection that writes, and what it remembers.
#[derive(Debug)]
pub(crate) struct Writer {
    pub conn: SqliteConnection,
    known: HashSet<SeriesId>,
    baseline_day: Option<i64>,
    /// Statements that may still be carried out before one fails; tests set it.
    pub fail_after: Option<u32>,
}

impl Writer {
    pub(crate) fn new(conn: SqliteConnection) -> Writer {
        Writer { conn, known: HashSet::new(), baseline_day: None, fail_after: None }
    }

    /// Counts a statement down; only tests ever let one fail.
    fn step(&mut self) -> Result<()> {
        match &mut self.fail_after {
            None => Ok(()),
            Some(0) => Err(StoreError::of("work: a test says so", sqlx::Error::WorkerCrashed)),
            Some(n) => {
                *n -= 1;
                Ok(())
            }
        }
    }

    async fn plain(&mut self, sql: &'static str) -> Result<()> {
        self.step()?;
        self.conn.execute(sql).await.map_err(StoreError::sql(sql))?;
        Ok(())
    }

    async fn run(&mut self, query: Bound<'_>, action: &'static str) -> Result<u64> {
        self.step()?;
        let done = query.execute(&mut self.conn).await.map_err(StoreError::sql(action))?;
        Ok(done.rows_affected())
    }

    /// Takes the partition: epoch + 1 and a fresh nonce.
    pub(crate) async fn claim(
        &mut self,
        generation: u32,
        partition: u32,
        nonce: [u8; 16],
    ) -> Result<Claim> {
        let sql = format!(
            "INSERT INTO partition_state (generation, partition, epoch, nonce, {PROGRESS}) \
             VALUES (?1, ?2, 1, ?3, 0, 0, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) \
             ON CONFLICT (generation, partition) DO UPDATE \
             SET epoch = epoch + 1, nonce = excluded.nonce \
             RETURNING epoch, {PROGRESS}"
        );
        self.step()?;
        let row = sqlx::query(AssertSqlSafe(sql))
            .bind(generation)
            .bind(partition)
            .bind(nonce.as_slice())
            .fetch_one(&mut self.conn)
            .await
            .map_err(StoreError::sql("claim a partition"))?;
        let owner = Owner { generation, partition, epoch: get(&row, 0)?, nonce };
        Ok(Claim { owner, progress: progress(&row, 1)? })
    }

    /// Carries out a commit, or leaves no trace of it. Beside the outcome the error, if there was
    /// one, for the log.
    pub(crate) async fn commit(
        &mut self,
        commit: &Commit,
        now_us: i64,
    ) -> (Outcome, Option<StoreError>) {
        if let Err(error) = self.plain("BEGIN IMMEDIATE").await {
            return (Outcome::Aborted, Some(error));
        }
        let failed = match self.apply(commit, now_us).await {
            Ok(Some(version)) => match self.plain("COMMIT").await {
                Ok(()) => return (Outcome::Committed { version }, None),
                Err(error) => Some(error),
            },
            Ok(None) => None,
            Err(error) => Some(error),
        };
        // What this commit made known may be gone with it.
        self.known.clear();
        self.baseline_day = None;
        let is_gone = self.conn.execute("ROLLBACK").await.is_ok();
        match (failed, is_gone) {
            (None, true) => (Outcome::Refused, None),
            (failed, true) => (Outcome::Aborted, failed),
            (failed, false) => (Outcome::Unknown, failed),
        }
    }

    /// The statements of a commit; nothing if the compare-and-swap found another owner or offset.
    async fn apply(&mut self, commit: &Commit, now_us: i64) -> Result<Option<i64>> {
        self.baseline(now_us).await?;
        if !self.swap(commit).await? {
            return Ok(None);
        }
        self.series(commit).await?;
        let totals: Vec<Cells<'_>> =
            commit.totals.iter().map(|(id, _, sums)| (None, id, sums)).collect();
        self.add(&TOTAL, &totals, commit.id, Width::Full).await?;
        let quarters: Vec<Cells<'_>> =
            commit.quarters.iter().map(|(at, id, sums)| (Some(*at), id, sums)).collect();
        self.add(&QUARTER, &quarters, commit.id, Width::Full).await?;
        let minutes: Vec<Cells<'_>> =
            commit.minutes.iter().map(|(at, id, sums)| (Some(*at), id, sums)).collect();
        self.add(&MINUTE, &minutes, commit.id, Width::Short).await?;
        self.letters(commit, now_us).await?;
        self.journal(commit, now_us).await.map(Some)
    }

    /// Moves the partition's row, if it is still where and whose the commit says.
    async fn swap(&mut self, commit: &Commit) -> Result<bool> {
        const SQL: &str = "UPDATE partition_state SET next = ?, floor = ?, floor_clock_us = ?, \
            clock_us = ?, last_print = ?, events = ?, counted = ?, duplicate = ?, late = ?, \
            future = ?, poison = ?, misrouted = ?, conflicts = ?, lost_frames = ?, \
            letter_hour = ?, letter_rows = ?, commit_id = ? \
            WHERE generation = ? AND partition = ? AND epoch = ? AND nonce = ? AND next = ?";
        let query = bind_progress(sqlx::query(SQL), &commit.progress)?
            .bind(commit.id.0.as_slice())
            .bind(commit.owner.generation)
            .bind(commit.owner.partition)
            .bind(commit.owner.epoch)
            .bind(commit.owner.nonce.as_slice())
            .bind(signed(commit.base)?);
        Ok(self.run(query, "move the partition on").await? == 1)
    }

    /// Makes sure that every series of the commit is stored with the labels that the commit means.
    async fn series(&mut self, commit: &Commit) -> Result<()> {
        if self.known.len() > KNOWN_MAX {
            self.known.clear();
        }
        for (id, labels, _) in &commit.totals {
            if self.known.contains(id) {
                continue;
            }
            let sql = format!(
                "INSERT INTO series (id, {FULL}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
                 ON CONFLICT (id) DO UPDATE SET id = id RETURNING {FULL}"
            );
            self.step()?;
            let row = sqlx::query(AssertSqlSafe(sql))
                .bind(id.0.as_slice())
                .bind(labels.namespace.as_ref())
                .bind(labels.upstream.as_ref())
                .bind(labels.model.as_ref())
                .bind(labels.method.code())
                .bind(labels.endpoint.as_ref())
                .bind(labels.status)
                .bind(labels.outcome.code())
                .bind(labels.service_tier.code())
                .bind(labels.source.code())
                .bind(labels.is_final)
                .bind(labels.limited_by.as_deref())
                .fetch_one(&mut self.conn)
                .await
                .map_err(StoreError::sql("store a series"))?;
            check_same(full_labels(&row, 0)? == *labels)?;
            self.known.insert(*id);
        }
        for (id, labels) in &commit.shorts {
            if self.known.contains(id) {
                continue;
            }
            let sql = format!(
                "INSERT INTO series_short (id, {SHORT}) VALUES (?, ?, ?, ?, ?, ?) \
                 ON CONFLICT (id) DO UPDATE SET id = id RETURNING {SHORT}"
            );
            self.step()?;
            let row = sqlx::query(AssertSqlSafe(sql))
                .bind(id.0.as_slice())
                .bind(labels.namespace.as_ref())
                .bind(labels.upstream.as_ref())
                .bind(labels.outcome.code())
                .bind(labels.source.code())
                .bind(labels.is_final)
                .fetch_one(&mut self.conn)
                .await
                .map_err(StoreError::sql("store a series"))?;
            check_same(short_labels(&row, 0)? == *labels)?;
            self.known.insert(*id);
        }
        Ok(())
    }

    /// Adds rows, a chunk at a time.
    async fn add(
        &mut self,
        upsert: &'static Upsert,
        rows: &[Cells<'_>],
        id: CommitId,
        width: Width,
    ) -> Result<()> {
        let (chunks, rest) = rows.as_chunks::<CHUNK>();
        let pieces = chunks.iter().map(<[_; CHUNK]>::as_slice).chain(rest.chunks(1));
        for piece in pieces {
            let mut query = sqlx::query(upsert.text(piece.len()));
            for (at, series, sums) in piece {
                if let Some(at) = at {
                    query = query.bind(*at);
                }
                query = query.bind(series.0.to_vec());
                query = bind(query, sums, width).bind(id.0.to_vec());
            }
            self.run(query, "add to the sums").await?;
        }
        Ok(())
    }

    async fn letters(&mut self, commit: &Commit, now_us: i64) -> Result<()> {
        const SQL: &str = "INSERT INTO dead_letter (generation, partition, at, idx, n, class, \
            reason, time_us, namespace, content, clock_us, stored_us, commit_id) \
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        for letter in &commit.letters {
            let query = sqlx::query(SQL)
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
                .bind(now_us)
                .bind(commit.id.0.as_slice());
            self.run(query, "keep a dead letter").await?;
        }
        Ok(())
    }

    /// The last statements: the ledger's version and the line of the journal.
    async fn journal(&mut self, commit: &Commit, now_us: i64) -> Result<i64> {
        self.step()?;
        let version: i64 =
            sqlx::query_scalar("UPDATE ledger_version SET v = v + 1, committed_us = ? RETURNING v")
                .bind(now_us)
                .fetch_one(&mut self.conn)
                .await
                .map_err(StoreError::sql("raise the version"))?;
        let journal = &commit.journal;
        let query = sqlx::query(
            "INSERT INTO commit_journal VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(version)
        .bind(commit.id.0.as_slice())
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
        .bind(now_us);
        self.run(query, "write the journal").await?;
        Ok(version)
    }

    /// Copies totals and partitions as they stand, before the first commit of a day.
    async fn baseline(&mut self, now_us: i64) -> Result<()> {
        let day = now_us.div_euclid(DAY_US);
        if self.baseline_day == Some(day) {
            return Ok(());
        }
        let sql = format!(
            "INSERT INTO baseline (day, version, generation, partition, {PROGRESS}) \
             SELECT ?1, (SELECT v FROM ledger_version), generation, partition, {PROGRESS} \
             FROM partition_state WHERE NOT EXISTS (SELECT 1 FROM baseline WHERE day = ?1)"
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(day);
        if self.run(query, "keep a baseline").await? > 0 {
            let names = selected("", Width::Full);
            let sql = format!(
                "INSERT INTO baseline_total (day, series, {names}) \
                 SELECT ?1, series, {names} FROM total"
            );
            let query = sqlx::query(AssertSqlSafe(sql)).bind(day);
            self.run(query, "keep a baseline").await?;
        }
        self.baseline_day = Some(day);
        Ok(())
    }

    /// What became of a commit whose outcome is unknown.
    pub(crate) async fn resolve(&mut self, commit: &Commit) -> Result<Resolution> {
        // An open transaction of the lost commit would hide what is durable.
        let _ = self.conn.execute("ROLLBACK").await;
        self.step()?;
        let row = sqlx::query(
            "SELECT epoch, nonce, next, commit_id FROM partition_state \
             WHERE generation = ? AND partition = ?",
        )
        .bind(commit.owner.generation)
        .bind(commit.owner.partition)
        .fetch_one(&mut self.conn)
        .await
        .map_err(StoreError::sql("look a commit up"))?;
        let next: u64 = number(&row, 2, "next offset")?;
        let is_mine = get::<i64>(&row, 0)? == commit.owner.epoch
            && bytes::<16>(&row, 1)? == commit.owner.nonce;
        if !is_mine {
            return Ok(Resolution::Fenced);
        }
        let last: Option<Vec<u8>> = get(&row, 3)?;
        if next == commit.progress.next && last.as_deref() == Some(commit.id.0.as_slice()) {
            let version =
                sqlx::query_scalar("SELECT version FROM commit_journal WHERE commit_id = ?")
                    .bind(commit.id.0.as_slice())
                    .fetch_one(&mut self.conn)
                    .await
                    .map_err(StoreError::sql("look a commit up"))?;
            return Ok(Resolution::Committed { version });
        }
        Ok(if next == commit.base { Resolution::Base } else { Resolution::Fenced })
    }
}

/// A row to be added: its time where the table has one, its series and its sums.
type Cells<'a> = (Option<i64>, &'a SeriesId, &'a Measures);

/// Two rows under one id would add up what does not belong together.
fn check_same(is_same: bool) -> Result<()> {
    if is_same {
        return Ok(());
    }
    Err(StoreError::Fatal { reason: "a series id stands for other labels".to_owned() })
}
