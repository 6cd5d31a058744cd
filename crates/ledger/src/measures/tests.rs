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
}

#[test]
fn an_overflow_is_refused() {
    let mut row = Measures { n: i64::MAX, ..Measures::default() };
    assert_eq!(row.add(&Measures { n: 1, ..Measures::default() }), None);
}
