//! Unit tests of `rolled`.

use super::*;

#[test]
fn every_row_of_a_range_is_read_once() {
    let rolled = |quarter, oldest| Rolled {
        quarter,
        oldest_minute: oldest,
        oldest_quarter: oldest,
        oldest_used: oldest,
    };
    for (mark, oldest) in [(0, None), (0, Some(5)), (300, Some(0)), (288, Some(95)), (500, Some(3))]
    {
        for start in (-5..400).step_by(7).chain([95, 96, 97, 191, 192, 288]) {
            for end in [start, start + 1, start + 95, start + 96, start + 200, 288, 299, 300, 301] {
                if end < start {
                    continue;
                }
                let Split { raw: [before, after], rolled } =
                    rolled(mark, oldest).days(&(start..end));
                // A day holds what is before the mark.
                let days = rolled.clone().flat_map(|day| day * 96..(day * 96 + 96).min(mark));
                let read: Vec<i64> = before.clone().chain(days).chain(after.clone()).collect();
                let wanted: Vec<i64> = (start..end).collect();
                assert_eq!(read, wanted, "{mark} {oldest:?} {before:?} {rolled:?} {after:?}");
                let first = rolled.start * 96;
                assert!(rolled.is_empty() || oldest.is_some_and(|oldest| first > oldest));
            }
        }
    }
}

#[test]
fn long_ranges_are_read_from_roll_ups() {
    let rolled = Rolled {
        quarter: 1_000,
        oldest_minute: Some(14_000),
        oldest_quarter: Some(10),
        oldest_used: Some(900),
    };
    assert_eq!(rolled.days(&(0..2_000)), Split { raw: [0..96, 1_000..2_000], rolled: 1..11 });
    assert_eq!(rolled.days(&(100..700)), Split { raw: [100..192, 672..700], rolled: 2..7 });
    assert_eq!(rolled.quarters(&(100..700)), Split { raw: [100..100, 700..700], rolled: 100..700 });
    assert_eq!(
        rolled.used_days(&(0..2_000)),
        Split { raw: [0..960, 1_000..2_000], rolled: 10..11 }
    );
    let minutes = Split { raw: [13_000..14_001, 15_000..15_020], rolled: 14_001..15_000 };
    assert_eq!(rolled.minutes(&(13_000..15_020)), minutes);
    assert_eq!(rolled.days(&(100..190)), Split::raw(&(100..190)));
}
