//! Properties of columns: every width comes back, and nothing is read beyond the end.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Values that need any number of bytes.
fn value() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..64u32).prop_map(|(value, shift)| value >> shift)
}

proptest! {
    #[test]
    fn columns_come_back_and_leave_what_follows(
        base in value(), distances in vec(value(), 0..80), bits in vec(0..4u64, 80),
    ) {
        let values: Vec<u64> = distances.iter().map(|far| base.saturating_add(*far)).collect();
        let bits = &bits[..values.len()];
        let is_present = |idx: usize| bits[idx] & 2 != 0;
        let present = (0..values.len()).filter(|idx| is_present(*idx)).map(|idx| values[idx]);
        let mut bytes = Vec::new();
        put(&mut bytes, values.iter().copied());
        put(&mut bytes, present);
        let whole = bytes.len();
        bytes.extend_from_slice(b"rest");
        let (mut dense, mut sparse) = (vec![7], vec![8, 9]);
        let mut rest = bytes.as_slice();
        prop_assert_eq!(take(&mut rest, values.len(), &mut dense), Some(()));
        prop_assert_eq!(take_sparse(&mut rest, (bits, 2), &mut sparse), Some(()));
        prop_assert_eq!(rest, b"rest");
        prop_assert_eq!(&dense, &values);
        let kept = |idx| if is_present(idx) { values[idx] } else { 0 };
        prop_assert_eq!(sparse, (0..values.len()).map(kept).collect::<Vec<_>>());
        for cut in 0..whole {
            let mut rest = &bytes[..cut];
            let both = take(&mut rest, values.len(), &mut dense)
                .and_then(|()| take_sparse(&mut rest, (bits, 2), &mut dense));
            prop_assert_eq!(both, None);
        }
    }

    #[test]
    fn bytes_of_any_kind_are_read_or_refused(bytes in vec(any::<u8>(), 0..60), n in 0..9usize) {
        let mut values = Vec::new();
        if take(&mut bytes.as_slice(), n, &mut values).is_some() {
            prop_assert_eq!(values.len(), n);
        }
        let bits = vec![1; n];
        if take_sparse(&mut bytes.as_slice(), (&bits, 1), &mut values).is_some() {
            prop_assert_eq!(values.len(), n);
        }
    }
}

#[test]
fn each_width_takes_its_bytes() {
    for width in 0..=8_u32 {
        for base_bytes in 0..=8_u32 {
            let largest = |bytes: u32| u64::MAX.checked_shr(64 - 8 * bytes).unwrap_or(0);
            let base = largest(base_bytes);
            let far = base.wrapping_add(largest(width));
            if far < base {
                continue;
            }
            let mut bytes = Vec::new();
            put(&mut bytes, [base, far].into_iter());
            assert_eq!(bytes.len() as u32, 1 + base_bytes + 2 * width);
            assert_eq!(u32::from(bytes[0]), width | base_bytes << 4);
        }
    }
    for head in [9_u8, 0x90, 0x0f, 0xff] {
        let bytes = [&[head][..], &[0; 64]].concat();
        assert_eq!(take(&mut bytes.as_slice(), 1, &mut Vec::new()), None, "{head}");
    }
}
