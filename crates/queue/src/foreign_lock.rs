//! A write lock that another process holds on a file of ours: a backup tool, a shell. It is waited
//! for and reported, and never ends the process.
//!
//! Every write begins through `begin`. For `LOCK_WAIT_MAX` from the first refusal on it waits
//! for the lock; from then on each call tries once more and is refused, so that nothing piles up
//! behind a lock that lasts. `probe` looks at a file to which nobody writes. Log and ledger have
//! one each; nothing here knows what is in a file.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::sqlite::SqliteConnection;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::sqlite::SqliteClass;

/// How long one try to begin waits within SQLite: a lock that is released is noticed within it.
pub const LOCK_TRY: Duration = Duration::from_millis(250);

/// How long a lock is waited for, from the first refusal on: many tools hold one for a second or
/// two, and a client waits ten for its answer.
pub const LOCK_WAIT_MAX: Duration = Duration::from_secs(5);

/// Age from which a lock is reported: a shorter one only delays an answer.
const LOCK_REPORT_AFTER: Duration = Duration::from_secs(1);

/// How often a file is probed for a lock while nothing is written to it.
pub const LOCK_PROBE_EVERY: Duration = Duration::from_secs(1);

/// What is known of a foreign lock on one file.
#[derive(Debug)]
pub struct ForeignLock {
    /// What `/readyz` and the logs report while the lock lasts.
    message: &'static str,
    /// When it was first met; `None` while there is none.
    since: watch::Sender<Option<Instant>>,
    has_warned: AtomicBool,
}

impl ForeignLock {
    /// None is known yet; `message` is what is reported while there is one.
    #[must_use]
    pub fn new(message: &'static str) -> ForeignLock {
        ForeignLock { message, since: watch::Sender::new(None), has_warned: AtomicBool::new(false) }
    }

    /// What to report of a lock that has lasted long enough; `None` without one.
    #[must_use]
    pub fn report(&self) -> Option<&'static str> {
        (self.age()? >= LOCK_REPORT_AFTER).then_some(self.message)
    }

    /// Begins to write, waiting for the lock within the bound.
    ///
    /// # Errors
    /// SQLite's error; of the class [`SqliteClass::Locked`] if the lock lasts.
    pub async fn begin(&self, conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        loop {
            let began = Instant::now();
            let error = match self.try_begin(conn).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if self.age().is_none_or(|age| age >= LOCK_WAIT_MAX) {
                return Err(error);
            }
            // Some refusals come at once, without SQLite's own wait.
            tokio::time::sleep_until(began + LOCK_TRY).await;
        }
    }

    /// Takes the write lock and releases it, to see whether it is free; tries once.
    ///
    /// # Errors
    /// As `begin`.
    pub async fn probe(&self, conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        self.try_begin(conn).await?;
        sqlx::query("ROLLBACK").execute(conn).await?;
        Ok(())
    }

    /// Returns once a lock has outlasted the time for which it is waited for.
    pub async fn outlasts(&self) {
        let mut since = self.since.subscribe();
        loop {
            let met = *since.borrow_and_update();
            let over = async {
                match met {
                    Some(met) => tokio::time::sleep_until(met + LOCK_WAIT_MAX).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = over => return,
                _ = since.changed() => {}
            }
        }
    }

    async fn try_begin(&self, conn: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        let tried = Instant::now();
        let begun = sqlx::query("BEGIN IMMEDIATE").execute(conn).await;
        match &begun {
            Ok(_) => self.gone(),
            Err(error) if SqliteClass::of(error) == SqliteClass::Locked => self.met(tried, error),
            Err(_) => {}
        }
        begun.map(|_| ())
    }

    fn age(&self) -> Option<Duration> {
        self.since.borrow().map(|since| since.elapsed())
    }

    fn met(&self, tried: Instant, error: &sqlx::Error) {
        self.since.send_if_modified(|since| {
            let is_new = since.is_none();
            since.get_or_insert(tried);
            is_new
        });
        if self.report().is_some() && !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "{}", self.message);
        }
    }

    fn gone(&self) {
        let Some(age) = self.age() else { return };
        self.since.send_replace(None);
        if self.has_warned.swap(false, Ordering::Relaxed) {
            let held_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
            tracing::info!(held_ms, "the lock of another process was released");
        }
    }
}
