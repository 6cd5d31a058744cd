//! Unit tests of `server_error`.

use super::*;

#[test]
fn each_number_means_one_thing() {
    let mut numbers: Vec<u16> = TABLE.iter().map(|(number, _)| *number).collect();
    numbers.sort_unstable();
    let n_numbers = numbers.len();
    numbers.dedup();
    assert_eq!(numbers.len(), n_numbers);
}

#[test]
fn an_error_says_whether_its_connection_is_used_again_and_what_it_leaves() {
    let option = "The MariaDB server is running with the --read-only option so it cannot \
                  execute this statement";
    for (number, message, meaning, is_sound) in [
        (1290, option, Meaning::Elsewhere, false),
        (1792, "Cannot execute statement in a READ ONLY transaction", Meaning::Elsewhere, false),
        (1836, "Running in read-only mode", Meaning::Elsewhere, false),
        (1053, "Server shutdown in progress", Meaning::Elsewhere, false),
        (1213, "Deadlock found when trying to get lock", Meaning::Passes, true),
        (1205, "Lock wait timeout exceeded", Meaning::Passes, true),
        (1062, "Duplicate entry '28' for key 'PRIMARY'", Meaning::Rule, true),
        (4025, "CONSTRAINT `floor` failed", Meaning::Rule, true),
        (1114, "The table 'minute' is full", Meaning::Full, true),
        (1026, "Error writing file './x' (errno: 28 \"No space left\")", Meaning::Full, true),
        (1030, "Got error 5 \"Input/output error\" from InnoDB", Meaning::Disk, true),
        (65_000, "what a later server may say", Meaning::Unknown, false),
    ] {
        let found = Meaning::of_number(number, message);
        assert_eq!((found, found.is_sound()), (meaning, is_sound), "{number} {message}");
    }
}

#[test]
fn an_error_of_the_network_is_none_of_the_servers() {
    let lost = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    assert_eq!(Meaning::of(&sqlx::Error::Io(lost)), Meaning::Unknown);
}
