//! Unit tests of `measures`.

use super::*;

#[test]
fn sums_and_columns_keep_one_order() {
    let mut sums = [0; N_MEASURES];
    for (idx, sum) in sums.iter_mut().enumerate() {
        *sum = idx as i64;
    }
    assert_eq!(Measures::from_array(&sums).to_array(), sums);
    let columns = Measures::columns();
    assert_eq!(columns.len(), N_MEASURES);
    assert_eq!((columns[19].as_str(), columns[38].as_str()), ("ttft_us", "input_uncached"));
    assert_eq!((columns[44].as_str(), columns[62].as_str()), ("tpot_us", "tpot_17"));
    let of_minutes = columns.iter().enumerate().filter(|(idx, _)| is_in_minutes(*idx));
    let of_minutes: Vec<&str> = of_minutes.map(|(_, name)| name.as_str()).collect();
    assert_eq!(of_minutes.len(), 26);
    assert!(of_minutes.contains(&"ttft_us"), "as they have had from the first format on");
    let is_left_out = |name: &&str| name.starts_with("tpot") || name.starts_with("ttft_");
    assert_eq!(
        of_minutes.iter().filter(|name| is_left_out(name)).collect::<Vec<_>>(),
        [&"ttft_us"]
    );
}

fn streamed(duration_us: u64, ttft_us: Option<u64>, output: Option<u32>) -> Facts {
    Facts {
        key: event::Key([0; 16]),
        time_us: 0,
        duration_us,
        ttft_us,
        usage: event::Usage { output, ..event::Usage::default() },
        cost_nano: None,
        attempt: 0,
        fingerprint: 0,
    }
}

#[test]
fn a_time_per_output_token_is_that_of_the_tokens_behind_the_first_one() {
    for (duration_us, ttft_us, output, expected) in [
        (1_000_000, Some(100_000), Some(10), Some(100_000)),
        // Rounded down.
        (1_000_000, Some(0), Some(4), Some(333_333)),
        (5, Some(3), Some(4), Some(0)),
        (7, Some(7), Some(2), Some(0)),
        (8, Some(7), Some(2), Some(1)),
        (86_400_000_000, Some(0), Some(2), Some(86_400_000_000)),
        (86_400_000_000, Some(0), Some(1_000_000_000), Some(86)),
        // A single token has none behind it, and no tokens have none either.
        (1_000, Some(10), Some(1), None),
        (1_000, Some(10), Some(0), None),
        (1_000, Some(10), None, None),
        (1_000, None, Some(10), None),
        // The first token came after the end: the two clocks disagree.
        (1_000, Some(1_001), Some(10), None),
    ] {
        let facts = streamed(duration_us, ttft_us, output);
        assert_eq!(tpot_us(&facts), expected, "{facts:?}");
        let mut row = Measures::default();
        row.add_event(&facts);
        let expected_us = expected.unwrap_or(0).cast_signed();
        assert_eq!((row.n_tpot(), row.tpot_us), (expected.map_or(0, |_| 1), expected_us));
    }
}

#[test]
fn an_overflow_is_refused() {
    let mut row = Measures { n: i64::MAX, ..Measures::default() };
    assert_eq!(row.add(&Measures { n: 1, ..Measures::default() }), None);
}

#[test]
fn what_was_added_is_the_difference_and_nothing_was_taken_away() {
    let mut earlier = [0; N_MEASURES];
    let mut later = [0; N_MEASURES];
    for idx in 0..N_MEASURES {
        earlier[idx] = idx as i64;
        later[idx] = 3 * idx as i64;
    }
    let [before, after] = [earlier, later].map(|sums| Measures::from_array(&sums));
    let more = after.since(&before).expect("nothing fell");
    let mut sum = before.clone();
    sum.add(&more).expect("small numbers");
    assert_eq!(sum, after);
    assert_eq!(after.since(&after), Some(Measures::default()));
    assert_eq!(before.since(&after), None);
}
