//! How much room is left for appends.
//! The ledger lives on the same disk and must be able to commit what the log already holds; so
//! appends stop while there is still a reserve. Nothing here allocates or deletes anything.

use std::path::{Path, PathBuf};

use sqlx::sqlite::SqliteConnection;

/// The reserve of one disk.
#[derive(Debug)]
pub(crate) struct DiskReserve {
    dir: PathBuf,
    reserve_bytes: u64,
    page_bytes: u64,
}

impl DiskReserve {
    /// `page_bytes` is the page size of the file.
    pub(crate) fn new(dir: &Path, reserve_bytes: u64, page_bytes: u64) -> DiskReserve {
        DiskReserve { dir: dir.to_path_buf(), reserve_bytes, page_bytes }
    }

    /// True if `bytes` more can be appended without touching the reserve. Pages that retention
    /// has freed inside the file count as room: they are used again before the file grows. A
    /// file system that does not report its free space has no reserve.
    pub(crate) async fn has_room(&self, conn: &mut SqliteConnection, bytes: u64) -> bool {
        let needed = self.reserve_bytes.saturating_add(bytes);
        let Ok(disk) = rustix::fs::statvfs(&self.dir) else { return true };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free >= needed {
            return true;
        }
        let pages: i64 =
            sqlx::query_scalar("PRAGMA freelist_count").fetch_one(conn).await.unwrap_or(0);
        free.saturating_add(u64::try_from(pages).unwrap_or(0) * self.page_bytes) >= needed
    }
}
