//! Unit tests of `budget`.

use super::*;

#[test]
fn partitions_share_the_budget_and_give_it_back() {
    let pressure = Arc::new(AtomicBool::new(false));
    let budget = Budget::new(1_000, 3, Arc::clone(&pressure));
    let after = |partition, bytes| {
        budget.note(partition, bytes);
        (budget.has_warned.load(Ordering::Relaxed), pressure.load(Ordering::Relaxed))
    };
    assert_eq!(after(0, 400), (false, false));
    assert_eq!(after(1, 399), (false, false));
    assert_eq!(after(2, 1), (true, false));
    assert_eq!(after(2, 201), (true, true));
    assert_eq!(after(1, 399), (true, true));
    assert_eq!(after(3, 0), (true, true));
    assert_eq!(after(0, 0), (false, false));
}
