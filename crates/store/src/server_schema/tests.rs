//! Unit tests of `server_schema`.

use super::*;

#[test]
fn a_server_that_holds_no_checks_is_refused() {
    for (version, expected) in [
        ("10.11.19-MariaDB-0+deb12u1", true),
        ("11.8.2-MariaDB", true),
        ("10.4.34-MariaDB", false),
        ("8.0.16", true),
        ("8.4.3-0ubuntu1", true),
        ("8.0.15", false),
        ("5.7.44-log", false),
        ("unknown", false),
    ] {
        assert_eq!(is_new_enough(version), expected, "{version}");
    }
}
