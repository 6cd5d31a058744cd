//! What the errors of a MySQL or MariaDB server mean: one table for the whole crate.
//!
//! An error number determines two things: whether the connection may be reused, and what the
//! statement has changed. A number that is not in the table determines neither, so its connection
//! is closed and the statement may be retried.

use sqlx::mysql::MySqlDatabaseError;

/// What an error means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The statement was refused for now, by a lock for instance; the connection is usable.
    Passes,
    /// The disk is full; the connection is usable.
    Full,
    /// The server's operating system failed; the disk is full, depending on `errno`.
    Disk,
    /// A row violated a constraint; the connection is usable.
    Rule,
    /// The server turned read-only or is shutting down: another one may have its address by now,
    /// and only a new connection reaches it.
    Elsewhere,
    /// Anything else; the connection is in doubt.
    Unknown,
}

/// `errno` of a full disk.
const NO_SPACE: &str = "28";

/// Numbers of both servers, but where one is named. They are those of `mysqld_error.h`.
const TABLE: [(u16, Meaning); 40] = [
    // Another transaction holds the row, or won the deadlock.
    (1205, Meaning::Passes),
    (1213, Meaning::Passes),
    // A lock that must not be waited for.
    (3572, Meaning::Passes),
    // A table was changed below a snapshot: the step to a newer format.
    (1412, Meaning::Passes),
    // No such table, or no right to it: a new connection would get the same error.
    (1142, Meaning::Passes),
    (1146, Meaning::Passes),
    // Temporary files, and a table that cannot grow.
    (1021, Meaning::Full),
    (1114, Meaning::Full),
    // They carry the error of the operating system.
    (3, Meaning::Disk),
    (1026, Meaning::Disk),
    (1030, Meaning::Disk),
    (1180, Meaning::Disk),
    // Absent, doubled, too large, out of range, without its series, against a CHECK.
    (1022, Meaning::Rule),
    (1048, Meaning::Rule),
    (1062, Meaning::Rule),
    (1216, Meaning::Rule),
    (1217, Meaning::Rule),
    (1264, Meaning::Rule),
    (1265, Meaning::Rule),
    (1364, Meaning::Rule),
    (1366, Meaning::Rule),
    (1406, Meaning::Rule),
    (1451, Meaning::Rule),
    (1452, Meaning::Rule),
    (1586, Meaning::Rule),
    (1690, Meaning::Rule),
    (3819, Meaning::Rule),
    // The same against a CHECK of MariaDB.
    (4025, Meaning::Rule),
    // --read-only or --super-read-only; a transaction that may only read; InnoDB that may.
    (1290, Meaning::Elsewhere),
    (1792, Meaning::Elsewhere),
    (1836, Meaning::Elsewhere),
    // It shuts down, is offline, not available, or a Galera node out of its cluster.
    (1053, Meaning::Elsewhere),
    (3032, Meaning::Elsewhere),
    (3168, Meaning::Elsewhere),
    (1047, Meaning::Elsewhere),
    // A group that has lost its majority, or has put this member out.
    (3100, Meaning::Elsewhere),
    // Somebody ended the statement or the connection: as a switch of the primary does.
    (1317, Meaning::Elsewhere),
    (1927, Meaning::Elsewhere),
    (3169, Meaning::Elsewhere),
    (4031, Meaning::Elsewhere),
];

impl Meaning {
    /// What a server's error means. Errors of the client mean nothing here.
    pub(crate) fn of(error: &sqlx::Error) -> Meaning {
        let sqlx::Error::Database(error) = error else { return Meaning::Unknown };
        let Some(error) = error.try_downcast_ref::<MySqlDatabaseError>() else {
            return Meaning::Unknown;
        };
        Meaning::of_number(error.number(), error.message())
    }

    fn of_number(number: u16, message: &str) -> Meaning {
        let found = TABLE.iter().find(|(known, _)| *known == number);
        match found.map_or(Meaning::Unknown, |(_, meaning)| *meaning) {
            Meaning::Disk if has_word(message, NO_SPACE) => Meaning::Full,
            meaning => meaning,
        }
    }

    /// Whether the connection may be used again.
    pub(crate) fn is_sound(self) -> bool {
        !matches!(self, Meaning::Elsewhere | Meaning::Unknown)
    }
}

/// Whether a message contains this number as a separate word.
fn has_word(message: &str, number: &str) -> bool {
    message.split(|c: char| !c.is_ascii_digit()).any(|word| word == number)
}

#[cfg(test)]
mod tests;
