//! Unit tests of `report`.

use super::*;

#[test]
fn digits_are_grouped_in_threes() {
    for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (40_421_844, "40,421,844")] {
        assert_eq!(grouped(number), text);
    }
}
