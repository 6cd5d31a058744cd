//! Losses of halted partitions that an operator accepted. Kept forever; nothing that counts reads
//! them.

use clock::Wall;
use ledger::commit::{AcceptedLoss, Commit};

use crate::error::Result;
use crate::read::Reader;
use crate::rows::{get, number, signed};
use crate::steps::Steps;

/// A loss that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedRow {
    /// The version that the commit created.
    pub version: i64,
    /// Generation of the log.
    pub generation: u32,
    /// Partition.
    pub partition: u32,
    /// Offset at which counting resumed. Frames below it cannot be identified as the ones that were
    /// counted.
    pub next: u64,
    /// Frames that the loss covers.
    pub frames: i64,
    /// Why the partition was halted.
    pub reason: String,
    /// When it was accepted, microseconds since the epoch.
    pub accepted_us: i64,
}

/// Records the loss that a commit accepts, in the commit's transaction.
pub(crate) async fn keep(
    steps: &mut Steps,
    commit: &Commit,
    loss: &AcceptedLoss,
    version: i64,
    now: Wall,
) -> Result<()> {
    let query = steps
        .backend()
        .query(
            "INSERT INTO accepted_loss (version, generation, `partition`, next, frames, reason, \
             accepted_us) VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(version)
        .bind(commit.owner.generation)
        .bind(commit.owner.partition)
        .bind(signed(commit.progress.next)?)
        .bind(loss.frames)
        .bind(loss.reason.as_str())
        .bind(now.as_us());
    steps.run(query, "note an accepted loss").await?;
    Ok(())
}

impl Reader {
    /// Every loss that was accepted, oldest first.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn accepted_losses(&mut self) -> Result<Vec<AcceptedRow>> {
        let sql = "SELECT version, generation, `partition`, next, frames, reason, accepted_us \
                   FROM accepted_loss ORDER BY version";
        let rows = self.rows(self.conn.query(sql)).await?;
        rows.iter()
            .map(|row| {
                Ok(AcceptedRow {
                    version: get(row, 0)?,
                    generation: number(row, 1, "generation")?,
                    partition: number(row, 2, "partition")?,
                    next: number(row, 3, "next offset")?,
                    frames: get(row, 4)?,
                    reason: get(row, 5)?,
                    accepted_us: get(row, 6)?,
                })
            })
            .collect()
    }
}
