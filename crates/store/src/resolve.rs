//! Looks a commit up whose outcome is unknown.
//!
//! A commit locks the rows of its partitions before it writes anything else, and the journal tells
//! of all its parts at once. So the rows are locked first: whatever still holds one of them has
//! ended by then, and what the journal does not have will never take effect.

use ledger::commit::{Commit, CommitId, Part, Resolution};

use crate::error::Result;
use crate::rows::{bytes, get, number};
use crate::sql::Backend;
use crate::write::Writer;

const LOOK: &str = "look a commit up";

impl Writer {
    /// Resolves a commit whose outcome is unknown. On a server this uses a new connection, which
    /// waits for the row locks until the transaction that holds them has ended.
    pub(crate) async fn resolve(&mut self, commit: &Commit) -> Result<Resolution> {
        let backend = self.steps.backend();
        match backend {
            // An open transaction of the lost commit would hide what is durable.
            Backend::Sqlite => {
                self.steps.conn.rollback().await;
            }
            Backend::Mysql => self.steps.begin().await?,
        }
        let mut at_base = Vec::new();
        for part in &commit.parts {
            if self.is_at_base(commit.id, part).await? {
                at_base.push(part.owner.partition);
            }
        }
        let sql = "SELECT version FROM commit_journal WHERE commit_id = ?";
        let query = backend.query(sql).bind(commit.id.0.to_vec());
        let resolution = match self.steps.all(query, LOOK).await?.first() {
            Some(row) => Resolution::Committed { version: get(row, 0)? },
            None => Resolution::Absent { at_base },
        };
        if backend == Backend::Mysql {
            self.steps.conn.rollback().await;
        }
        Ok(resolution)
    }

    /// Locks the row of a partition; whether it still has the owner and the base of this part. A
    /// restored ledger may not know the partition yet.
    async fn is_at_base(&mut self, id: CommitId, part: &Part) -> Result<bool> {
        let backend = self.steps.backend();
        let sql = backend.text(
            "SELECT epoch, nonce, next, commit_id, late_next FROM partition_state \
             WHERE generation = ? AND `partition` = ?",
            "SELECT epoch, nonce, next, commit_id, late_next FROM partition_state \
             WHERE generation = ? AND `partition` = ? FOR UPDATE",
        );
        let query = backend.query(sql).bind(part.owner.generation).bind(part.owner.partition);
        let rows = self.steps.all(query, LOOK).await?;
        let Some(row) = rows.first() else { return Ok(false) };
        let is_mine =
            get::<i64>(row, 0)? == part.owner.epoch && bytes::<16>(row, 1)? == part.owner.nonce;
        // A part that accepts a loss may leave the offsets where they are.
        let last: Option<Vec<u8>> = get(row, 3)?;
        let took_effect = last.as_deref() == Some(id.0.as_slice());
        let is_base = number::<u64>(row, 2, "next offset")? == part.base
            && number::<u64>(row, 4, "offset")? == part.late.base;
        Ok(is_mine && is_base && !took_effect)
    }
}
