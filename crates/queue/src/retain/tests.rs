//! Unit tests of `retain`.

use super::*;

const RETENTION: Retention = Retention { age_us: 1_000, bytes_max: 800 };

/// Rows of 100 log bytes each, by append time.
fn check(times: &[i64], held_bytes: u64, now_us: i64, expected_rows: u64) {
    let payload_bytes = 100 - row_bytes(0) as usize;
    let rows = times.iter().map(|&t| Oldest { append_time_us: t, payload_bytes });
    let plan = choose(rows, held_bytes, RETENTION, now_us);
    let expected = Plan { n_rows: expected_rows, bytes: expected_rows * 100, more: false };
    assert_eq!(plan, expected);
}

#[test]
fn only_what_is_too_old_or_too_much_goes() {
    check(&[], 0, 5_000, 0);
    check(&[0, 1, 2], 300, 1_000, 0);
    check(&[0, 1, 2], 300, 1_002, 2);
    check(&[0, 1, 2], 700, 500, 0);
    check(&[0, 1, 2], 800, 500, 1);
    check(&[0, 1, 2], 5_000, 500, 3);
    check(&[0, 9_000, 2], 300, 1_500, 1);
}

#[test]
fn plan_that_ends_at_its_bound_is_marked() {
    let big = Oldest { append_time_us: 0, payload_bytes: RETAIN_CHUNK_BYTES_MAX as usize };
    let plan = choose([big; 3].into_iter(), 0, RETENTION, 5_000);
    assert_eq!((plan.n_rows, plan.more), (1, true));
    let n_rows = RETAIN_ROWS_MAX as usize;
    let small = Oldest { append_time_us: 0, payload_bytes: 1 };
    let plan = choose(std::iter::repeat_n(small, n_rows), 0, RETENTION, 5_000);
    assert_eq!((plan.n_rows, plan.more), (n_rows as u64, true));
}
