//! Unit tests of `gap`.

use super::*;

#[test]
fn each_gap_is_told_once_and_none_is_no_reason() {
    assert_eq!((Gaps::default().reason(), Gaps::default().is_empty()), (None, true));
    let mut gaps = Gaps::from(Gap::Media);
    gaps.add(Gap::Media);
    gaps.add(Gap::Length);
    let reason = gaps.reason().expect("a reason");
    assert_eq!(reason.matches("; ").count(), 1, "{reason}");
    assert!(reason.contains("pictures") && reason.contains("by its length"), "{reason}");
    assert!(!gaps.has(Gap::Schema) && !gaps.is_empty());
}
