//! Tells the kinds of failed writes apart by SQLite's result code.
//! The writer asks it what a failure means; it decides nothing itself.

/// SQLITE_IOERR: a read, write, sync or truncate failed.
const IOERR: i32 = 10;
/// SQLITE_CORRUPT: the file contradicts itself.
const CORRUPT: i32 = 11;
/// SQLITE_FULL: no space, or the page limit is reached. The transaction has not happened.
const FULL: i32 = 13;
/// SQLITE_NOTADB: not a database any more.
const NOTADB: i32 = 26;
/// SQLITE_IOERR_SHMSIZE: the shared index of the write-ahead log cannot grow, which only a full
/// disk causes. The commit is not visible to anyone, and its frames are overwritten by the next.
const IOERR_SHMSIZE: i32 = IOERR | (19 << 8);

/// What a failed database call means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The disk is full; nothing happened; it may work later.
    DiskFull,
    /// The storage failed: what it holds is uncertain.
    Storage,
    /// Anything else, such as a lock that a stranger holds.
    Other,
}

impl Fault {
    pub(crate) fn of(error: &sqlx::Error) -> Fault {
        match error {
            sqlx::Error::Database(e) => {
                Fault::of_code(e.code().and_then(|code| code.parse().ok()).unwrap_or(0))
            }
            sqlx::Error::Io(_) => Fault::Storage,
            _ => Fault::Other,
        }
    }

    fn of_code(extended: i32) -> Fault {
        match (extended, extended & 0xff) {
            (IOERR_SHMSIZE, _) | (_, FULL) => Fault::DiskFull,
            (_, IOERR | CORRUPT | NOTADB) => Fault::Storage,
            _ => Fault::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_sync_is_a_storage_fault_and_full_disk_is_not() {
        let fsync = IOERR | (4 << 8);
        let write = IOERR | (3 << 8);
        assert_eq!(Fault::of_code(fsync), Fault::Storage);
        assert_eq!(Fault::of_code(write), Fault::Storage);
        assert_eq!(Fault::of_code(FULL), Fault::DiskFull);
        assert_eq!(Fault::of_code(IOERR_SHMSIZE), Fault::DiskFull);
        assert_eq!(Fault::of_code(5), Fault::Other);
        assert_eq!(Fault::of(&sqlx::Error::PoolClosed), Fault::Other);
    }
}
