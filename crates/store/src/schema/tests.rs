//! Unit tests of `schema`.

use super::*;

#[test]
fn an_old_sqlite_is_refused() {
    for (found, is_new_enough) in
        [("3.51.3", true), ("3.52.0", true), ("4.0.0", true), ("3.51.2", false), ("x", false)]
    {
        assert_eq!(check_version(found).is_ok(), is_new_enough, "{found}");
    }
}
