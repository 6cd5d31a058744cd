//! Unit tests of `view`.

use super::*;

#[test]
fn dollars_and_milliseconds_keep_every_digit() {
    for (nano, shown) in [
        (0, "null"),
        (1, "0.000000001"),
        (1_500_000_000, "1.5"),
        (-20_000_000_001, "-20.000000001"),
        (i64::MAX, "9223372036.854775807"),
        (i64::MIN, "-9223372036.854775808"),
    ] {
        assert_eq!(dollars(nano).get(), shown);
    }
    for (us, shown) in [(0, "0"), (812_500, "812.5"), (1_001, "1.001"), (2_000, "2")] {
        assert_eq!(milliseconds(us).get(), shown);
    }
}
