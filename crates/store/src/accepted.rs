//! Losses of halted partitions that an operator accepted. Kept forever; nothing that counts reads
//! them.

use clock::Wall;
use ledger::commit::Commit;
use sqlx::AssertSqlSafe;

use crate::error::Result;
use crate::many::{marks, pieces, rows_max};
use crate::read::Reader;
use crate::rows::{get, number, signed};
use crate::steps::Steps;

const COLUMNS: &str = "version, generation, `partition`, next, frames, reason, accepted_us";
const N_COLUMNS: usize = 7;

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

/// Records the losses that a commit accepts, in the commit's transaction.
pub(crate) async fn keep(
    steps: &mut Steps,
    commit: &Commit,
    version: i64,
    now: Wall,
) -> Result<()> {
    let losses = commit.parts.iter().filter_map(|part| Some((part, part.accepted.as_ref()?)));
    let losses: Vec<_> = losses.collect();
    let backend = steps.backend();
    for piece in pieces(&losses, rows_max(backend, N_COLUMNS)) {
        let marks = marks(piece.len(), N_COLUMNS);
        let sql = format!("INSERT INTO accepted_loss ({COLUMNS}) VALUES {marks}");
        let mut query = backend.query(AssertSqlSafe(sql));
        for (part, loss) in piece {
            query = query
                .bind(version)
                .bind(part.owner.generation)
                .bind(part.owner.partition)
                .bind(signed(part.progress.next)?)
                .bind(loss.frames)
                .bind(loss.reason.as_str())
                .bind(now.as_us());
        }
        steps.run(query, "note an accepted loss").await?;
    }
    Ok(())
}

impl Reader {
    /// Every loss that was accepted, oldest first.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn accepted_losses(&mut self) -> Result<Vec<AcceptedRow>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM accepted_loss ORDER BY version, generation, `partition`"
        );
        let rows = self.rows(self.conn.query(AssertSqlSafe(sql))).await?;
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
