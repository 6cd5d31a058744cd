//! Unit tests of `sqlite`.

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
fn operations_has_the_class_of_every_code() {
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
