//! One column of whole numbers: a base and the distances from it, in the fewest bytes that fit.
//!
//! Times, durations and token counts of a frame lie close together, so that one to four bytes hold
//! them; a column whose values are all equal has no bytes but its base. The width is the same for
//! all values, so that decoding is one plain loop.

/// Appends a column: width (0, 1, 2, 4 or 8), base, distances. Values that according to
/// `is_present` are absent are written as distance 0 and do not widen the column.
pub fn put(bytes: &mut Vec<u8>, values: &[u64], is_present: impl Fn(usize) -> bool) {
    let mut least = u64::MAX;
    let mut most = 0;
    for (idx, value) in values.iter().enumerate() {
        if is_present(idx) {
            least = least.min(*value);
            most = most.max(*value);
        }
    }
    let base = if least > most { 0 } else { least };
    let width = match most.saturating_sub(base) {
        0 => 0u8,
        1..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xffff_ffff => 4,
        _ => 8,
    };
    bytes.push(width);
    bytes.extend_from_slice(&base.to_le_bytes());
    let at = bytes.len();
    bytes.resize(at + values.len() * usize::from(width), 0);
    let to = &mut bytes[at..];
    let distance = |idx: usize, value: u64| if is_present(idx) { value - base } else { 0 };
    match width {
        0 => {}
        1 => write::<1>(to, values, distance),
        2 => write::<2>(to, values, distance),
        4 => write::<4>(to, values, distance),
        _ => write::<8>(to, values, distance),
    }
}

/// Writes distances of `W` bytes each.
fn write<const W: usize>(to: &mut [u8], values: &[u64], distance: impl Fn(usize, u64) -> u64) {
    for (idx, (to, value)) in to.as_chunks_mut::<W>().0.iter_mut().zip(values).enumerate() {
        to.copy_from_slice(&distance(idx, *value).to_le_bytes()[..W]);
    }
}

/// Reads a column of `n` values into `values` and moves `rest` past it. `None` if the bytes end
/// early or the width is not one of these.
pub fn take(rest: &mut &[u8], n: usize, values: &mut Vec<u64>) -> Option<()> {
    let (head, tail) = rest.split_at_checked(9)?;
    let width = usize::from(head[0]);
    let base = u64::from_le_bytes(head[1..].try_into().expect("eight bytes"));
    values.clear();
    let (data, tail) = tail.split_at_checked(width.checked_mul(n)?)?;
    *rest = tail;
    match width {
        0 => values.resize(n, base),
        1 => values.extend(data.iter().map(|byte| base.wrapping_add(u64::from(*byte)))),
        2 => values.extend(
            data.as_chunks::<2>()
                .0
                .iter()
                .map(|chunk| base.wrapping_add(u64::from(u16::from_le_bytes(*chunk)))),
        ),
        4 => values.extend(
            data.as_chunks::<4>()
                .0
                .iter()
                .map(|chunk| base.wrapping_add(u64::from(u32::from_le_bytes(*chunk)))),
        ),
        8 => values.extend(
            data.as_chunks::<8>()
                .0
                .iter()
                .map(|chunk| base.wrapping_add(u64::from_le_bytes(*chunk))),
        ),
        _ => return None,
    }
    Some(())
}
