//! Unit tests of `schema`.

use super::*;

#[test]
fn sqlite_older_than_3_51_3_is_refused() {
    for good in ["3.51.3", "3.51.4", "3.52.0", "4.0.0"] {
        check_sqlite_version(good).unwrap();
    }
    for bad in ["3.51.2", "3.50.9", "3.9.99", "2.99.99", "3.51", "", "new"] {
        let error = check_sqlite_version(bad).unwrap_err();
        assert!(matches!(error, QueueError::SqliteTooOld { .. }), "{bad}");
    }
}

#[test]
fn rows_lost_at_either_end_are_noticed() {
    let check = |low, high, min_id, max_id| Rows { low, high, min_id, max_id }.check();
    check(0, 0, None, None).unwrap();
    check(7, 7, None, None).unwrap();
    check(3, 7, Some(4), Some(7)).unwrap();
    check(3, 7, None, None).unwrap_err();
    check(3, 7, Some(5), Some(7)).unwrap_err();
    check(3, 7, Some(4), Some(6)).unwrap_err();
    check(-1, 7, Some(4), Some(7)).unwrap_err();
}
