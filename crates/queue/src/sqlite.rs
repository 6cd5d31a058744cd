//! What every result code of SQLite means for a file of ours: one table, for log and ledger.
//!
//! A failed statement comes in, its class goes out; the caller decides what follows. Nothing here
//! touches a file. docs/operations.md has the same table, and a test holds the two together.

use libsqlite3_sys as ffi;

/// What a failed statement means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqliteClass {
    /// Another process holds a lock. Nothing happened: wait, and refuse what comes in meanwhile.
    Locked,
    /// No space. Nothing happened: as `Locked`, until there is some.
    Full,
    /// A permission, memory or a file is lacking, or a page cannot be read now. Nothing happened:
    /// as `Locked` while the process runs, and a reason not to start.
    Unable,
    /// What the disk holds is uncertain, or contradicts itself: the process ends.
    Ends,
    /// A defect of ours, or a schema that was changed by hand. The call fails; the writer of the
    /// log ends, because its assumptions about the file are wrong.
    Defect,
}

use SqliteClass::{Defect, Ends, Full, Locked, Unable};

impl SqliteClass {
    /// Sorts an error of a statement on SQLite.
    #[must_use]
    pub fn of(error: &sqlx::Error) -> SqliteClass {
        match error {
            sqlx::Error::Database(error) => {
                SqliteClass::of_code(error.code().and_then(|code| code.parse().ok()).unwrap_or(1))
            }
            sqlx::Error::Io(_) => Ends,
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => Unable,
            _ => Defect,
        }
    }

    /// Sorts an extended result code; one that is not in the table is what its primary code is.
    #[must_use]
    pub fn of_code(extended: i32) -> SqliteClass {
        let class = |wanted: i32| {
            SQLITE_CODES.iter().find(|(_, code, _)| *code == wanted).map(|(_, _, class)| *class)
        };
        class(extended).or_else(|| class(extended & 0xff)).unwrap_or(Defect)
    }
}

/// Names the codes of a class with their numbers.
macro_rules! codes {
    ($($class:ident: $($name:ident)+;)+) => {
        &[$($((stringify!($name), ffi::$name, $class)),+),+]
    };
}

/// Every result code that may be reported as an error: name, number, class.
///
/// Locks: in write-ahead mode one is met when a transaction begins, before anything is written.
/// I/O errors: a write, a sync, a truncation and whatever belongs to a commit leave it open what
/// is on the disk; so does one of which nothing more is known. The index of the write-ahead log
/// fails to grow (SHMSIZE) only on a full disk: the commit is not visible, and its frames are
/// overwritten by the next.
pub const SQLITE_CODES: &[(&str, i32, SqliteClass)] = codes! {
    Locked: SQLITE_BUSY SQLITE_BUSY_RECOVERY SQLITE_BUSY_SNAPSHOT SQLITE_BUSY_TIMEOUT
        SQLITE_LOCKED SQLITE_LOCKED_SHAREDCACHE SQLITE_LOCKED_VTAB SQLITE_PROTOCOL SQLITE_SCHEMA
        SQLITE_IOERR_BLOCKED SQLITE_IOERR_LOCK SQLITE_IOERR_RDLOCK SQLITE_IOERR_UNLOCK
        SQLITE_IOERR_SHMLOCK SQLITE_IOERR_CHECKRESERVEDLOCK
        SQLITE_ERROR_RETRY SQLITE_ERROR_SNAPSHOT;
    Full: SQLITE_FULL SQLITE_IOERR_SHMSIZE;
    Unable: SQLITE_PERM SQLITE_AUTH SQLITE_AUTH_USER SQLITE_NOMEM SQLITE_IOERR_NOMEM
        SQLITE_INTERRUPT SQLITE_ABORT SQLITE_ABORT_ROLLBACK SQLITE_NOLFS
        SQLITE_READONLY SQLITE_READONLY_RECOVERY SQLITE_READONLY_CANTLOCK
        SQLITE_READONLY_ROLLBACK SQLITE_READONLY_DBMOVED SQLITE_READONLY_CANTINIT
        SQLITE_READONLY_DIRECTORY
        SQLITE_CANTOPEN SQLITE_CANTOPEN_NOTEMPDIR SQLITE_CANTOPEN_ISDIR SQLITE_CANTOPEN_FULLPATH
        SQLITE_CANTOPEN_CONVPATH SQLITE_CANTOPEN_DIRTYWAL SQLITE_CANTOPEN_SYMLINK
        SQLITE_IOERR_READ SQLITE_IOERR_IN_PAGE SQLITE_IOERR_ACCESS SQLITE_IOERR_AUTH
        SQLITE_IOERR_SHMOPEN SQLITE_IOERR_MMAP SQLITE_IOERR_GETTEMPPATH SQLITE_IOERR_CONVPATH
        SQLITE_IOERR_BADKEY SQLITE_IOERR_CODEC;
    Ends: SQLITE_IOERR SQLITE_IOERR_WRITE SQLITE_IOERR_FSYNC SQLITE_IOERR_DIR_FSYNC
        SQLITE_IOERR_TRUNCATE SQLITE_IOERR_FSTAT SQLITE_IOERR_SEEK SQLITE_IOERR_SHMMAP
        SQLITE_IOERR_SHORT_READ SQLITE_IOERR_DATA SQLITE_IOERR_CORRUPTFS SQLITE_IOERR_VNODE
        SQLITE_IOERR_DELETE SQLITE_IOERR_DELETE_NOENT SQLITE_IOERR_CLOSE SQLITE_IOERR_DIR_CLOSE
        SQLITE_IOERR_BEGIN_ATOMIC SQLITE_IOERR_COMMIT_ATOMIC SQLITE_IOERR_ROLLBACK_ATOMIC
        SQLITE_CORRUPT SQLITE_CORRUPT_VTAB SQLITE_CORRUPT_SEQUENCE SQLITE_CORRUPT_INDEX
        SQLITE_NOTADB
        SQLITE_CONSTRAINT SQLITE_CONSTRAINT_CHECK SQLITE_CONSTRAINT_COMMITHOOK
        SQLITE_CONSTRAINT_FOREIGNKEY SQLITE_CONSTRAINT_FUNCTION SQLITE_CONSTRAINT_NOTNULL
        SQLITE_CONSTRAINT_PRIMARYKEY SQLITE_CONSTRAINT_TRIGGER SQLITE_CONSTRAINT_UNIQUE
        SQLITE_CONSTRAINT_VTAB SQLITE_CONSTRAINT_ROWID SQLITE_CONSTRAINT_PINNED
        SQLITE_CONSTRAINT_DATATYPE;
    Defect: SQLITE_ERROR SQLITE_ERROR_MISSING_COLLSEQ SQLITE_ERROR_RESERVESIZE SQLITE_ERROR_KEY
        SQLITE_ERROR_UNABLE SQLITE_INTERNAL SQLITE_NOTFOUND SQLITE_EMPTY SQLITE_TOOBIG
        SQLITE_MISMATCH SQLITE_MISUSE SQLITE_FORMAT SQLITE_RANGE;
};

#[cfg(test)]
mod tests;
