//! Unit tests of `consumer`.

use super::*;

#[test]
fn sums_and_columns_keep_one_order() {
    let sums = std::array::from_fn(|idx| idx as i64);
    assert_eq!(ConsumerSums::from_array(&sums).to_array(), sums);
    assert_eq!(ConsumerSums::columns().len(), N_CONSUMER_SUMS);
    assert_eq!(ConsumerSums::columns()[1], "input_uncached");
}

#[test]
fn an_overflow_is_refused() {
    let mut row = ConsumerSums { requests: i64::MAX, ..ConsumerSums::default() };
    assert_eq!(row.add(&ConsumerSums { requests: 1, ..ConsumerSums::default() }), None);
}
