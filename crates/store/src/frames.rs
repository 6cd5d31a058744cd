//! The frame version that ingest writes, and what the owners of the partitions know of it.
//!
//! A frame of a version that the owner of its partition does not know halts the partition. So each
//! claim tells the highest version that its program knows, and the version to write is raised only
//! once every owner knows it. It is never lowered: the log keeps the frames.

use std::collections::BTreeSet;

use crate::error::{Result, StoreError};
use crate::read::Reader;
use crate::rows::{get, number};
use crate::sql::Row;
use crate::steps::Steps;
use crate::write::check_format;

const ACTION: &str = "raise the frame version";

/// The number of partitions of a generation beside each partition whose owner knows a version, or
/// beside NULL where none does. The second condition finds the owners that did not tell.
const READY: &str = "SELECT g.partitions, p.`partition` FROM generation g \
    LEFT JOIN partition_state p ON p.generation = g.generation \
    AND p.frames_epoch = p.epoch AND p.frames >= ? WHERE g.generation = ?";

/// Who may own partitions of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owners {
    /// Nobody but this process, which knows the version: it has locked the folder of the log.
    Own,
    /// Any process; each owner must have told that it knows the version.
    Any,
}

/// What came of raising the frame version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Raised {
    /// It is raised.
    Done,
    /// It was that high before; nothing was changed.
    Already {
        /// The frame version of the ledger.
        version: u8,
    },
    /// Nothing was changed: some owners are not known to know the version.
    NotYet {
        /// Their partitions, and those that nobody has ever claimed.
        partitions: Vec<u32>,
    },
}

/// Raises the frame version, if every owner knows it.
pub(crate) async fn raise(
    steps: &mut Steps,
    generation: u32,
    to: u8,
    owners: Owners,
) -> Result<Raised> {
    let backend = steps.backend();
    // A claim on a server holds this row in share mode: none is under way from here on.
    let sql = backend.text(
        "SELECT format, frame_version FROM meta",
        "SELECT format, frame_version FROM meta FOR UPDATE",
    );
    let row = steps.one(backend.query(sql), ACTION).await?;
    check_format(backend, get(&row, 0)?)?;
    let version = number(&row, 1, "frame version")?;
    if version >= to {
        return Ok(Raised::Already { version });
    }
    if owners == Owners::Any {
        let query = backend.query(READY).bind(to).bind(generation);
        let partitions = unready(&steps.all(query, ACTION).await?, generation)?;
        if !partitions.is_empty() {
            return Ok(Raised::NotYet { partitions });
        }
    }
    steps.run(backend.query("UPDATE meta SET frame_version = ?").bind(to), ACTION).await?;
    Ok(Raised::Done)
}

/// The partitions that the rows of `READY` lack.
fn unready(rows: &[Row], generation: u32) -> Result<Vec<u32>> {
    let Some(first) = rows.first() else {
        let reason = format!("generation {generation} of the log is gone");
        return Err(StoreError::Fatal { reason });
    };
    let n_partitions: u32 = number(first, 0, "number of partitions")?;
    let ready: BTreeSet<Option<i64>> = rows.iter().map(|row| get(row, 1)).collect::<Result<_>>()?;
    Ok((0..n_partitions).filter(|number| !ready.contains(&Some(i64::from(*number)))).collect())
}

impl Reader {
    /// The frame version that ingest writes.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn frame_version(&mut self) -> Result<u8> {
        let rows = self.rows(self.conn.query("SELECT frame_version FROM meta")).await?;
        let missing = || StoreError::Fatal { reason: "its frame version is gone".to_owned() };
        number(rows.first().ok_or_else(missing)?, 0, "frame version")
    }

    /// The format of the ledger.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn format(&mut self) -> Result<i64> {
        let rows = self.rows(self.conn.query("SELECT format FROM meta")).await?;
        let missing = || StoreError::Fatal { reason: "its format is gone".to_owned() };
        get(rows.first().ok_or_else(missing)?, 0)
    }

    /// The partitions of a generation whose owner is not known to know a frame version, and those
    /// that nobody has ever claimed.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn unready_partitions(&mut self, generation: u32, version: u8) -> Result<Vec<u32>> {
        let rows = self.rows(self.conn.query(READY).bind(version).bind(generation)).await?;
        unready(&rows, generation)
    }
}
