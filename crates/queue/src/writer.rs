//! The one writer of the embedded log.
//!
//! Commands come through a bounded channel. Appends that wait are gathered into one transaction
//! (group commit); each caller is answered after its COMMIT, or gets an error if nothing was
//! written. The writer runs as a task of its own, so that a caller
//! that goes away never cuts a transaction in two. After a failed write or sync it never writes
//! again: what the disk holds is uncertain then, and only a restart finds out. A failure that is
//! known to have changed nothing, a foreign lock above all, is only an error to the callers.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection};
use tokio::sync::{mpsc, watch};

use crate::checkpoint::Checkpointer;
use crate::clock::{ClockGuard, ClockSource, Refusal, Verdict};
use crate::command::{Command, Waiting, gather};
use crate::disk::DiskReserve;
use crate::error::QueueError;
use crate::foreign_lock::{ForeignLock, LOCK_PROBE_EVERY};
use crate::limits::INSERT_ROWS_MAX;
use crate::reader::Reader;
use crate::record::{Append, Position, RetainReport, offset_after, row_crc32c};
use crate::retain::{self, Plan, Retention};
use crate::schema::{self, Head};
use crate::sqlite::SqliteClass;

const INSERT: &str = "INSERT INTO log (append_time_us, crc32c, bytes) VALUES ";
const ROW: &str = "(?, ?, ?)";
/// Sent together: each message to the thread of the client costs two switches of threads.
const AFTER_APPEND: &str = "UPDATE meta SET bytes = ?, last_append_us = ? WHERE one = 1; COMMIT";
const DELETE: &str = "DELETE FROM log WHERE id <= ?";
const AFTER_DELETE: &str = "UPDATE meta SET low = ?, bytes = ? WHERE one = 1";

/// What the writer shows to the rest of the process.
pub(crate) struct Shown {
    /// Next offset to be written, after each commit.
    pub high: watch::Sender<u64>,
    /// True once the writer has stopped after a failure.
    pub fatal: watch::Sender<bool>,
    /// Log bytes held.
    pub bytes: Arc<AtomicU64>,
    /// Why appends are refused at present, although the writer works.
    pub refusing: watch::Sender<Option<&'static str>>,
}

/// What is shown while the wall clock is not trusted.
pub(crate) const CLOCK_JUMPED: &str = "the wall clock jumped, appends are refused";

/// What is shown while another process holds the file's write lock.
pub(crate) const LOCKED: &str = "the log is locked by another process, appends are refused";

/// What is shown while the file cannot be written for lack of a permission or a readable page.
const UNWRITABLE: &str = "the log cannot be written now, appends are refused";

/// Why a commit did not happen.
enum CommitError {
    /// The database refused or failed.
    Sql(sqlx::Error),
    /// It gave a record another offset than the next one: another process writes to the file.
    Offset {
        /// Offset that the record should have had.
        expected: u64,
        /// Offset after the one that it got.
        end: u64,
    },
}

impl From<sqlx::Error> for CommitError {
    fn from(error: sqlx::Error) -> CommitError {
        CommitError::Sql(error)
    }
}

/// How the writer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was asked to, and everything that waited was answered.
    Closed,
    /// A write or sync failed.
    Fatal,
}

/// The writer must stop: what the disk holds is uncertain.
struct Stop;

/// The writer's state. It owns the only connection that writes records.
pub(crate) struct Writer {
    /// The database file, for messages.
    pub path: PathBuf,
    pub conn: SqliteConnection,
    /// The readers' connections, to close them before its own.
    pub reader: Reader,
    /// What the file holds as of the last commit.
    pub head: Head,
    pub retention: Retention,
    pub clock: ClockSource,
    pub guard: ClockGuard,
    pub disk: DiskReserve,
    pub checkpointer: Checkpointer,
    pub shown: Shown,
    /// Set while appends are refused for lack of space, so that it is logged once and not for
    /// every call.
    pub short_of_space: bool,
    /// Set while the file cannot be written although it is not locked.
    pub unwritable: bool,
    pub lock: Arc<ForeignLock>,
    /// Set while a transaction has failed and the file could not be asked whether it took effect.
    pub unsettled: bool,
}

impl Writer {
    /// Works until it is closed, or until a write fails.
    pub(crate) async fn run(mut self, mut commands: mpsc::Receiver<Command>) -> Ended {
        loop {
            let done = tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(command) => {
                        let (batch, after) = gather(command, &mut commands);
                        self.work(batch, after, &mut commands).await
                    }
                    None => break,
                },
                () = tokio::time::sleep(LOCK_PROBE_EVERY) => self.probe().await,
            };
            if let Err(Stop) = done {
                self.shown.fatal.send_replace(true);
                commands.close();
                while let Some(command) = commands.recv().await {
                    command.refuse(QueueError::Fatal);
                }
                return Ended::Fatal;
            }
        }
        self.checkpointer.finish().await;
        // The last connection to leave copies the write-ahead log back; a reader could not.
        self.reader.close().await;
        if let Err(error) = self.conn.close().await {
            tracing::warn!(%error, "cannot close the queue's file cleanly");
        }
        Ended::Closed
    }

    async fn work(
        &mut self,
        batch: Vec<Waiting>,
        after: Option<Command>,
        commands: &mut mpsc::Receiver<Command>,
    ) -> Result<(), Stop> {
        if let Err(stop) = self.commit(batch).await {
            if let Some(command) = after {
                command.refuse(QueueError::Fatal);
            }
            return Err(stop);
        }
        match after {
            Some(Command::Retain { floor, now_us, answer }) => {
                let report = self.retain(floor, now_us).await;
                let stop = matches!(report, Err(QueueError::Fatal));
                let _ = answer.send(report);
                if stop {
                    return Err(Stop);
                }
            }
            Some(Command::Close) => commands.close(),
            Some(Command::Append(_)) | None => {}
        }
        self.checkpoint().await
    }

    /// Writes a batch in one transaction and answers its callers.
    async fn commit(&mut self, batch: Vec<Waiting>) -> Result<(), Stop> {
        if batch.is_empty() {
            return Ok(());
        }
        let append_time_us = match self.trusted_wall_us() {
            Ok(wall_us) => wall_us,
            Err(refusal) => {
                batch.into_iter().for_each(|waiting| waiting.answer(Err(refusal.clone())));
                return Ok(());
            }
        };
        let batch = self.admit(batch).await;
        if batch.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.write(&batch, append_time_us).await {
            let stop = matches!(error, QueueError::Fatal);
            batch.into_iter().for_each(|waiting| waiting.answer(Err(error.clone())));
            return if stop { Err(Stop) } else { Ok(()) };
        }
        self.goes_on();
        let mut offset = self.head.high;
        let mut answers = Vec::with_capacity(batch.len());
        for waiting in batch {
            let positions = positions(&waiting, self.head.generation, offset, append_time_us);
            offset += positions.len() as u64;
            self.head.bytes += waiting.row_bytes();
            self.checkpointer.wrote(waiting.row_bytes());
            answers.push((waiting, positions));
        }
        self.head.high = offset;
        self.head.last_append_us = Some(append_time_us);
        self.show();
        for (waiting, positions) in answers {
            waiting.answer(Ok(positions));
        }
        Ok(())
    }

    /// The wall time, if the guard trusts it.
    fn trusted_wall_us(&mut self) -> Result<i64, QueueError> {
        let now = self.clock.read();
        let was_refused = self.guard.refusal().is_some();
        match self.guard.check(now) {
            Verdict::Steady => Ok(now.wall_us),
            Verdict::Alarm { step_us } => {
                tracing::warn!(step_us, "the wall clock was set");
                Ok(now.wall_us)
            }
            Verdict::Refused(refusal) => {
                let Refusal { wall_us, expected_us } = refusal;
                if !was_refused {
                    tracing::error!(wall_us, expected_us, "{CLOCK_JUMPED}");
                }
                self.shown.refusing.send_replace(Some(CLOCK_JUMPED));
                Err(QueueError::Clock { wall_us, expected_us })
            }
        }
    }

    /// Answers those for whom there is no room and keeps the others. A caller who has gone away
    /// is left out: nothing of its call is written.
    async fn admit(&mut self, batch: Vec<Waiting>) -> Vec<Waiting> {
        let mut admitted = Vec::with_capacity(batch.len());
        let mut admitted_bytes = 0;
        for waiting in batch {
            let bytes = admitted_bytes + waiting.row_bytes();
            if waiting.answer.is_closed() {
                continue;
            }
            if self.head.bytes.saturating_add(bytes) > self.retention.bytes_max {
                self.short_of_space("the log has reached bytes_max, appends are refused");
                waiting.answer(Err(QueueError::Full));
                continue;
            }
            if !self.disk.has_room(&mut self.conn, bytes).await {
                self.short_of_space("the disk is down to its reserve, appends are refused");
                waiting.answer(Err(QueueError::DiskFull));
                continue;
            }
            admitted_bytes = bytes;
            admitted.push(waiting);
        }
        admitted
    }

    /// Writes a batch, or returns why nothing of it was written.
    async fn write(&mut self, batch: &[Waiting], append_time_us: i64) -> Result<(), QueueError> {
        self.check_settled().await?;
        match self.insert(batch, append_time_us).await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.failed(error).await),
        }
    }

    async fn insert(&mut self, batch: &[Waiting], append_time_us: i64) -> Result<(), CommitError> {
        self.lock.begin(&mut self.conn).await?;
        let mut next = self.head.high;
        let records: Vec<&Append> = batch.iter().flat_map(|waiting| &waiting.records).collect();
        for records in records.chunks(INSERT_ROWS_MAX) {
            let rows = vec![ROW; records.len()].join(", ");
            let mut query = sqlx::query(AssertSqlSafe(format!("{INSERT}{rows}")));
            for record in records {
                let crc32c = row_crc32c(next, append_time_us, &record.bytes);
                query = query.bind(append_time_us).bind(i64::from(crc32c)).bind(&record.bytes[..]);
                next += 1;
            }
            let end = offset_after(query.execute(&mut self.conn).await?.last_insert_rowid());
            if end != next {
                return Err(CommitError::Offset { expected: next - 1, end });
            }
        }
        let bytes = batch.iter().map(Waiting::row_bytes).sum::<u64>() + self.head.bytes;
        sqlx::query(AFTER_APPEND)
            .bind(sql_count(bytes))
            .bind(append_time_us)
            .execute(&mut self.conn)
            .await?;
        Ok(())
    }

    async fn retain(&mut self, floor: u64, now_us: i64) -> Result<RetainReport, QueueError> {
        // A clock that is not trusted must not age the log.
        self.trusted_wall_us()?;
        self.check_settled().await?;
        let plan =
            match retain::plan(&mut self.conn, &self.head, self.retention, floor, now_us).await {
                Ok(plan) => plan,
                Err(error) => return Err(self.failed(error.into()).await),
            };
        if plan.n_rows > 0 {
            if let Err(error) = self.delete(plan).await {
                return Err(self.failed(error.into()).await);
            }
            self.head.low += plan.n_rows;
            self.head.bytes = self.head.bytes.saturating_sub(plan.bytes);
            self.checkpointer.wrote(plan.bytes);
            self.show();
        }
        // Callers do not append while the process reports that it cannot, so it is probed here.
        let may_grow = self.head.bytes < self.retention.bytes_max;
        if self.short_of_space && may_grow && self.disk.has_room(&mut self.conn, 0).await {
            self.goes_on();
        }
        Ok(RetainReport {
            deleted: plan.n_rows,
            deleted_bytes: plan.bytes,
            low: self.head.low,
            more: plan.more,
        })
    }

    async fn delete(&mut self, plan: Plan) -> Result<(), sqlx::Error> {
        let low = self.head.low + plan.n_rows;
        assert!(low <= self.head.high, "retention may not pass the end of the log");
        self.lock.begin(&mut self.conn).await?;
        sqlx::query(DELETE).bind(sql_count(low)).execute(&mut self.conn).await?;
        sqlx::query(AFTER_DELETE)
            .bind(sql_count(low))
            .bind(sql_count(self.head.bytes.saturating_sub(plan.bytes)))
            .execute(&mut self.conn)
            .await?;
        execute(&mut self.conn, "COMMIT").await
    }

    /// Probes a file to which nothing is written, so that it is known before the next append
    /// whether it can be written.
    async fn probe(&mut self) -> Result<(), Stop> {
        let Err(error) = self.lock.probe(&mut self.conn).await else {
            if self.unwritable {
                self.goes_on();
            }
            return Ok(());
        };
        match self.failed(error.into()).await {
            QueueError::Fatal => Err(Stop),
            _ => Ok(()),
        }
    }

    /// Decides what a failed transaction means. The writer goes on after failures that pass, and
    /// only if the file shows that nothing was written.
    async fn failed(&mut self, error: CommitError) -> QueueError {
        let class = match &error {
            CommitError::Sql(error) => SqliteClass::of(error),
            CommitError::Offset { .. } => SqliteClass::Ends,
        };
        let passes = matches!(class, SqliteClass::Locked | SqliteClass::Full | SqliteClass::Unable);
        if passes && self.nothing_happened().await {
            return match class {
                SqliteClass::Full => {
                    self.short_of_space("the disk is full, appends are refused");
                    QueueError::DiskFull
                }
                SqliteClass::Unable => {
                    self.unwritable(&error);
                    QueueError::Unwritable
                }
                _ => QueueError::Locked,
            };
        }
        match error {
            CommitError::Sql(error) => {
                tracing::error!(%error, "cannot write to the queue, the process must exit");
            }
            CommitError::Offset { expected, end } => {
                let found = end.saturating_sub(1);
                tracing::error!(expected, found, "another writer uses the queue's file");
            }
        }
        // Before any caller gets the error, because it may check the flag.
        self.shown.fatal.send_replace(true);
        QueueError::Fatal
    }

    /// Whether the file holds what it held before. If it cannot be asked now, nothing is written
    /// before it can.
    async fn nothing_happened(&mut self) -> bool {
        // SQLite may have rolled back by itself; then this fails, and the head shows the outcome.
        let _ = execute(&mut self.conn, "ROLLBACK").await;
        match schema::load_head(&mut self.conn, &self.path).await {
            Ok(head) => {
                self.unsettled = false;
                head == self.head
            }
            Err(error) => {
                let class = match &error {
                    QueueError::Sql { source, .. } => SqliteClass::of(source),
                    _ => SqliteClass::Ends,
                };
                self.unsettled = matches!(class, SqliteClass::Locked | SqliteClass::Unable);
                self.unsettled
            }
        }
    }

    /// Finds out whether a transaction of unknown outcome took effect.
    async fn check_settled(&mut self) -> Result<(), QueueError> {
        if !self.unsettled {
            return Ok(());
        }
        if !self.nothing_happened().await {
            tracing::error!("a write took effect after all, the process must exit");
            self.shown.fatal.send_replace(true);
            return Err(QueueError::Fatal);
        }
        if self.unsettled { Err(QueueError::Unwritable) } else { Ok(()) }
    }

    async fn checkpoint(&mut self) -> Result<(), Stop> {
        let Err(error) = self.checkpointer.step(&mut self.conn).await else { return Ok(()) };
        if SqliteClass::of(&error) == SqliteClass::Ends {
            tracing::error!(%error, "wal checkpoint failed, the process must exit");
            return Err(Stop);
        }
        tracing::warn!(%error, "wal checkpoint failed, trying again later");
        Ok(())
    }

    fn show(&self) {
        self.shown.bytes.store(self.head.bytes, Ordering::Relaxed);
        self.shown.high.send_if_modified(|high| {
            let grew = *high != self.head.high;
            *high = self.head.high;
            grew
        });
    }

    fn short_of_space(&mut self, why: &'static str) {
        if !self.short_of_space {
            tracing::error!(bytes = self.head.bytes, "{why}");
        }
        self.short_of_space = true;
        self.shown.refusing.send_replace(Some(why));
    }

    fn unwritable(&mut self, error: &CommitError) {
        if let CommitError::Sql(error) = error
            && !self.unwritable
        {
            tracing::error!(%error, "{UNWRITABLE}");
        }
        self.unwritable = true;
        self.shown.refusing.send_replace(Some(UNWRITABLE));
    }

    /// Notes that appends work, or may be tried again.
    fn goes_on(&mut self) {
        if self.short_of_space || self.unwritable {
            tracing::info!(bytes = self.head.bytes, "appends are accepted again");
            let clock = self.guard.refusal().map(|_| CLOCK_JUMPED);
            self.shown.refusing.send_replace(clock);
        }
        self.short_of_space = false;
        self.unwritable = false;
    }
}

fn positions(
    waiting: &Waiting,
    generation: u32,
    first_offset: u64,
    append_time_us: i64,
) -> Vec<Position> {
    let place = |(record, offset): (&Append, u64)| Position {
        generation,
        partition: record.partition,
        offset,
        append_time_us,
    };
    waiting.records.iter().zip(first_offset..).map(place).collect()
}

/// A count as SQL holds it.
fn sql_count(count: u64) -> i64 {
    i64::try_from(count).expect("offsets and log bytes stay below 2^63")
}

async fn execute(conn: &mut SqliteConnection, sql: &'static str) -> Result<(), sqlx::Error> {
    sqlx::query(sql).execute(conn).await?;
    Ok(())
}
