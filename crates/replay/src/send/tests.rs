//! Unit tests of `send`.

use super::*;

#[test]
fn trouble_names_batch_reason_and_end_of_patience() {
    let text = trouble(7, "connection refused", 1_700_000_000_000_000, TRY_MAX);
    assert_eq!(text, "batch 7: connection refused; trying again until 22:13:50Z");
}
