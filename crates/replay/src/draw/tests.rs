//! Unit tests of `draw`.

use super::*;

#[test]
fn status_weights_add_up() {
    let sum: u32 = STATUSES.iter().map(|(_, weight)| weight).sum();
    assert_eq!(sum, STATUS_WEIGHT_SUM);
}

#[test]
fn namespaces_follow_zipf_and_never_leave_the_list() {
    let mut draw = Draw::new(3, 20);
    let mut counts = std::collections::BTreeMap::new();
    for _ in 0..20_000 {
        *counts.entry(draw.namespace()).or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 20);
    // The first of 20 has 1 / H(20) = 27.8 % of the weight, the second half of that.
    assert!((5_200..5_900).contains(&counts["wechat"]), "{counts:?}");
    assert!((2_500..3_050).contains(&counts["search"]), "{counts:?}");
    assert!(counts.contains_key("tenant-0020"));
}
