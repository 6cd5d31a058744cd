//! Baselines: totals and partitions as they stood before the first commit of a day, from which a
//! recount still works after retention has shortened the log.

use clock::Wall;
use sqlx::AssertSqlSafe;

use crate::error::Result;
use crate::rows::{PROGRESS, Width, selected};
use crate::sql::Backend;
use crate::steps::Steps;

/// Width of a day in microseconds.
const DAY_US: i64 = 24 * 3_600 * 1_000_000;
const ACTION: &str = "keep a baseline";

/// Number of the day of a time, since the epoch.
pub(crate) fn day_of(now: Wall) -> i64 {
    now.as_us().div_euclid(DAY_US)
}

/// Stores the baseline of a day unless it exists, in a transaction that has changed nothing yet.
///
/// In SQLite it becomes durable with the caller's commit. On a server other commits run
/// concurrently: locking the version row blocks them, so that both copies show one version. The
/// copies are committed at once, and the caller continues in a new transaction.
pub(crate) async fn keep(steps: &mut Steps, day: i64) -> Result<()> {
    if has(steps, day).await? {
        return Ok(());
    }
    let backend = steps.backend();
    let sql =
        backend.text("SELECT v FROM ledger_version", "SELECT v FROM ledger_version FOR UPDATE");
    let version: i64 = steps.one(backend.query(sql), ACTION).await?.get(0)?;
    if backend == Backend::Mysql && has(steps, day).await? {
        steps.commit().await?;
        return steps.begin().await;
    }
    copy(steps, day, version).await?;
    if backend == Backend::Mysql {
        steps.commit().await?;
        steps.begin().await?;
    }
    Ok(())
}

/// Replaces the baseline of a day with the current state, at the end of a commit that found
/// uncounted frames missing: a recount cannot begin before it.
///
/// The commit has raised the version, so that on a server no other one ends in between.
pub(crate) async fn replace(steps: &mut Steps, day: i64, version: i64) -> Result<()> {
    for sql in ["DELETE FROM baseline_total WHERE day = ?", "DELETE FROM baseline WHERE day = ?"] {
        steps.run(steps.backend().query(sql).bind(day), ACTION).await?;
    }
    copy(steps, day, version).await
}

async fn copy(steps: &mut Steps, day: i64, version: i64) -> Result<()> {
    let backend = steps.backend();
    let sql = format!(
        "INSERT INTO baseline (day, version, generation, `partition`, {PROGRESS}) \
         SELECT ?, ?, generation, `partition`, {PROGRESS} FROM partition_state"
    );
    let query = backend.query(AssertSqlSafe(sql)).bind(day).bind(version);
    steps.run(query, ACTION).await?;
    let names = selected("", Width::Full);
    let sql = format!(
        "INSERT INTO baseline_total (day, series, {names}) SELECT ?, series, {names} FROM total"
    );
    steps.run(backend.query(AssertSqlSafe(sql)).bind(day), ACTION).await?;
    Ok(())
}

async fn has(steps: &mut Steps, day: i64) -> Result<bool> {
    let query = steps.backend().query("SELECT count(*) FROM baseline WHERE day = ?").bind(day);
    Ok(steps.one(query, ACTION).await?.get::<i64>(0)? > 0)
}
