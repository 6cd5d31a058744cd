//! What every result code of SQLite means for a file of ours: one table, for log and ledger.
//!
//! A failed statement comes in, its class goes out; who asked decides what follows. Nothing here
//! touches a file. docs/operations.md has the same table, and a test holds the two together.

use libsqlite3_sys as ffi;

/// What a failed statement means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqliteClass {
    /// Somebody else holds a lock. Nothing happened: wait, and refuse what comes in meanwhile.
    Locked,
    /// No space. Nothing happened: as `Locked`, until there is some.
    Full,
    /// A right, memory or a file is lacking, or a page cannot be read now. Nothing happened: as
    /// `Locked` while the process runs, and a reason not to start.
    Unable,
    /// What the disk holds is uncertain, or contradicts itself: the process ends.
    Ends,
    /// A defect of ours, or a schema that a foreign hand has changed. The call fails; the writer
    /// of the log ends, for what it believes of its file is wrong.
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

/// Every result code that may be told as an error: name, number, class.
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
mod tests {
    use super::*;

    #[test]
    fn every_result_code_has_one_class() {
        // 27 and 28 are notes for SQLite's own log, 100 and 101 are rows and the end of them.
        for primary in 1..27 {
            assert!(SQLITE_CODES.iter().any(|(_, code, _)| *code == primary), "{primary}");
        }
        for (at, (name, code, class)) in SQLITE_CODES.iter().enumerate() {
            assert_eq!(SqliteClass::of_code(*code), *class, "{name}");
            let is_twice = SQLITE_CODES[..at].iter().any(|(_, earlier, _)| earlier == code);
            assert!(!is_twice, "{name} stands twice");
        }
    }

    #[test]
    fn codes_of_later_versions_are_what_their_primary_code_is() {
        for (primary, class) in [
            (ffi::SQLITE_BUSY, Locked),
            (ffi::SQLITE_FULL, Full),
            (ffi::SQLITE_READONLY, Unable),
            (ffi::SQLITE_IOERR, Ends),
            (ffi::SQLITE_CORRUPT, Ends),
            (ffi::SQLITE_MISUSE, Defect),
            (77, Defect),
        ] {
            assert_eq!(SqliteClass::of_code(primary | (99 << 8)), class, "{primary}");
        }
    }

    #[test]
    fn operations_tells_the_class_of_every_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md");
        let text = std::fs::read_to_string(path).unwrap();
        let words = [(Locked, "lock"), (Full, "full"), (Unable, "unable"), (Ends, "end")];
        for (name, _, class) in SQLITE_CODES {
            let word = words.iter().find(|(of, _)| of == class).map_or("defect", |(_, word)| word);
            let row = text.lines().find(|line| line.starts_with(&format!("| {word} |")));
            let row = row.unwrap_or_else(|| panic!("no row for {word}"));
            let short = name.trim_start_matches("SQLITE_");
            assert!(row.contains(&format!("`{short}`")), "{short} is not in the row of {word}");
        }
    }

    #[test]
    fn errors_that_are_none_of_sqlite_are_sorted_too() {
        let io = sqlx::Error::Io(std::io::Error::other("torn"));
        assert_eq!(SqliteClass::of(&io), Ends);
        assert_eq!(SqliteClass::of(&sqlx::Error::PoolClosed), Unable);
        assert_eq!(SqliteClass::of(&sqlx::Error::WorkerCrashed), Defect);
    }
}
