//! What a publisher starts from.

use ledger::commit::CommitId;
use ledger::measures::Measures;
use ledger::series::FullLabels;
use sqlx::AssertSqlSafe;

use crate::Store;
use crate::error::Result;
use crate::many::{look_max, padded};
use crate::namespace::NamespaceRow;
use crate::read::{AsOf, PartitionRow, Reader};
use crate::rows::{FULL, N_FULL, Width, bytes, full_labels, measures, selected};

/// The committed version that a publisher starts from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Ledger version.
    pub version: i64,
    /// When it was committed, microseconds since the epoch.
    pub committed_us: i64,
    /// The commit that created it; `None` before the first one.
    pub commit: Option<CommitId>,
    /// Counter totals.
    pub totals: Vec<(FullLabels, Measures)>,
    /// State of the partitions.
    pub partitions: Vec<PartitionRow>,
    /// Namespaces as configured.
    pub namespaces: Vec<NamespaceRow>,
    /// Whether the ledger was put back, and what was shown before may not be counted again yet.
    pub is_restored: bool,
}

/// Most commits in between whose series are looked for; beyond that all totals are read instead.
const COMMITS_MAX: usize = 512;

impl Reader {
    /// Totals, as they are now, of every series that was added to after a version. `None` if the
    /// journal does not have all commits in between: nobody can tell which series.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn totals_after(
        &mut self,
        version: i64,
    ) -> Result<Option<Vec<(FullLabels, Measures)>>> {
        let newest = self.as_of().version;
        let n_commits = usize::try_from(newest.saturating_sub(version)).unwrap_or(0);
        if n_commits > COMMITS_MAX {
            return Ok(None);
        }
        let sql = "SELECT commit_id FROM commit_journal WHERE version > ?";
        let rows = self.rows(self.conn.query(sql).bind(version)).await?;
        let commits = rows.iter().map(|row| bytes::<16>(row, 0)).collect::<Result<Vec<_>>>()?;
        if commits.len() != n_commits {
            return Ok(None);
        }
        let mut totals = Vec::new();
        for commits in commits.chunks(look_max(self.conn.backend(), 1)) {
            totals.extend(self.totals_of(commits).await?);
        }
        Ok(Some(totals))
    }

    /// Totals of the series that one of these commits was the last to add to. An index would cost
    /// each commit more than this costs: it reads all totals, of which there are few.
    async fn totals_of(&mut self, commits: &[[u8; 16]]) -> Result<Vec<(FullLabels, Measures)>> {
        let padded = padded(commits);
        let marks = vec!["?"; padded.len()].join(", ");
        let sql = format!(
            "SELECT {FULL}, {} FROM total t JOIN series s ON s.id = t.series \
             WHERE t.commit_id IN ({marks})",
            selected("t.", Width::Full)
        );
        let mut query = self.conn.query(AssertSqlSafe(sql));
        for commit in padded {
            query = query.bind(commit.to_vec());
        }
        let rows = self.rows(query).await?;
        rows.iter()
            .map(|row| Ok((full_labels(row, 0)?, measures(row, N_FULL, Width::Full)?)))
            .collect()
    }
}

impl Store {
    /// Everything that a publisher starts from.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn snapshot(&self) -> Result<Snapshot> {
        let mut reader = self.read().await?;
        let AsOf { version, committed_us } = reader.as_of();
        Ok(Snapshot {
            version,
            committed_us,
            commit: reader.commit_of(version).await?,
            totals: reader.total_rows(None).await?,
            partitions: reader.partitions().await?,
            namespaces: reader.namespaces_after(0).await?,
            is_restored: reader.is_restored().await?,
        })
    }
}
