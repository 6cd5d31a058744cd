//! What a publisher starts from.

use ledger::commit::CommitId;
use ledger::measures::Measures;
use ledger::series::FullLabels;

use crate::Store;
use crate::error::Result;
use crate::namespace::NamespaceRow;
use crate::read::{AsOf, PartitionRow};

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
        })
    }
}
