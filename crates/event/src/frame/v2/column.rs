//! One column of whole numbers: a base and the distances from it, in the fewest bytes that fit.
//!
//! As in version 1, but with any whole number of bytes a value, a base of as many bytes as it
//! needs, and no bytes for values that are absent.

/// Calls a function for the width of a column.
macro_rules! for_width {
    ($width:expr, $function:ident($($argument:expr),*)) => {
        match $width {
            0 => {}
            1 => $function::<1>($($argument),*),
            2 => $function::<2>($($argument),*),
            3 => $function::<3>($($argument),*),
            4 => $function::<4>($($argument),*),
            5 => $function::<5>($($argument),*),
            6 => $function::<6>($($argument),*),
            7 => $function::<7>($($argument),*),
            _ => $function::<8>($($argument),*),
        }
    };
}

/// Appends a column of these values: widths, base, distances.
pub fn put(bytes: &mut Vec<u8>, values: impl Iterator<Item = u64> + Clone) {
    let (mut n, mut least, mut most) = (0, u64::MAX, 0);
    for value in values.clone() {
        n += 1;
        least = least.min(value);
        most = most.max(value);
    }
    let base = if least > most { 0 } else { least };
    let width = n_bytes(most.saturating_sub(base));
    let base_bytes = n_bytes(base);
    bytes.push(u8::try_from(width | base_bytes << 4).expect("both are at most 8"));
    bytes.extend_from_slice(&base.to_le_bytes()[..base_bytes]);
    let at = bytes.len();
    bytes.resize(at + n * width, 0);
    let to = &mut bytes[at..];
    for_width!(width, write(to, base, values));
}

/// Fewest bytes that hold a number.
fn n_bytes(number: u64) -> usize {
    (u64::BITS - number.leading_zeros()).div_ceil(8) as usize
}

/// Writes the distances in `W` bytes each.
fn write<const W: usize>(to: &mut [u8], base: u64, values: impl Iterator<Item = u64>) {
    for (to, value) in to.as_chunks_mut::<W>().0.iter_mut().zip(values) {
        to.copy_from_slice(&(value - base).to_le_bytes()[..W]);
    }
}

/// Head of a column: bytes of a value and the base. `None` if the bytes end early or a width is
/// above 8.
fn take_head(rest: &mut &[u8]) -> Option<(usize, u64)> {
    let (head, tail) = rest.split_first()?;
    let (width, base_bytes) = (usize::from(head & 15), usize::from(head >> 4));
    let (base, tail) = tail.split_at_checked(base_bytes)?;
    let mut word = [0; 8];
    word.get_mut(..base_bytes)?.copy_from_slice(base);
    *rest = tail;
    (width <= 8).then_some((width, u64::from_le_bytes(word)))
}

/// Reads a column of `n` values and moves `rest` past it. `None` if the bytes end early or a width
/// is above 8.
pub fn take(rest: &mut &[u8], n: usize, values: &mut Vec<u64>) -> Option<()> {
    let (width, base) = take_head(rest)?;
    let (data, tail) = rest.split_at_checked(width.checked_mul(n)?)?;
    *rest = tail;
    values.clear();
    if width == 0 {
        values.resize(n, base);
    }
    for_width!(width, read(data, base, values));
    Some(())
}

fn read<const W: usize>(data: &[u8], base: u64, values: &mut Vec<u64>) {
    values.extend(data.as_chunks::<W>().0.iter().map(|chunk| base.wrapping_add(number(chunk))));
}

/// As `take`, of the values that only the events have of which `bits` has one of the bits of
/// `mask`. The others get 0.
pub fn take_sparse(
    rest: &mut &[u8],
    (bits, mask): (&[u64], u64),
    values: &mut Vec<u64>,
) -> Option<()> {
    let (width, base) = take_head(rest)?;
    let n_present = bits.iter().filter(|bits| *bits & mask != 0).count();
    let (data, tail) = rest.split_at_checked(width.checked_mul(n_present)?)?;
    *rest = tail;
    values.clear();
    match (n_present, width) {
        (0, _) => values.resize(bits.len(), 0),
        (_, 0) => values.extend(bits.iter().map(|bits| if bits & mask == 0 { 0 } else { base })),
        _ => for_width!(width, spread(data, base, (bits, mask), values)),
    }
    Some(())
}

fn spread<const W: usize>(
    data: &[u8],
    base: u64,
    (bits, mask): (&[u64], u64),
    values: &mut Vec<u64>,
) {
    let chunks = data.as_chunks::<W>().0;
    let mut next = 0;
    values.extend(bits.iter().map(|bits| {
        let is_present = bits & mask != 0;
        let chunk = chunks.get(next).unwrap_or(&[0; W]);
        next += usize::from(is_present);
        if is_present { base.wrapping_add(number(chunk)) } else { 0 }
    }));
}

#[inline]
fn number<const W: usize>(chunk: &[u8; W]) -> u64 {
    let mut word = [0; 8];
    word[..W].copy_from_slice(chunk);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests;
