//! Unit tests of `live`.

use std::time::Duration;

use super::*;

#[test]
fn rates_are_per_second_and_never_negative() {
    let before = Live { requests: 10, input_tokens: 5, ..Live::default() };
    let now = Live { requests: 30, input_tokens: 3, ..Live::default() };
    let since = Instant::now();
    let found = rates((before, since), (now, since + Duration::from_secs(4)));
    assert_eq!((found.requests, found.input_tokens, found.errors), (5.0, 0.0, 0.0));
}
