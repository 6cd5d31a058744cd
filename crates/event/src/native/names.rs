//! The names of the known fields in a table, so that a name is found in the same time whatever the
//! order of an object.
//!
//! A name of less than 16 bytes is two words; the first word chooses its slot, and the table is
//! laid out at compile time such that no two names share one. A name is found only if it is the
//! same.

/// A name of less than 16 bytes, in two little-endian words with zeros behind its end, and its
/// length: a name that ends in zeros is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ShortName {
    /// The bytes.
    pub words: [u64; 2],
    /// How many bytes it has.
    pub len: usize,
}

/// How many slots a table has.
const N_SLOTS: usize = 64;

/// Names and what each stands for.
pub(super) struct Names<T: Copy> {
    multiplier: u64,
    slots: [(ShortName, Option<T>); N_SLOTS],
}

impl<T: Copy> Names<T> {
    /// A table of the names that are short enough; the others are left out. No two of them may have
    /// the same first eight bytes: it would not compile.
    pub const fn of(names: &[(&str, T)]) -> Names<T> {
        let mut multiplier = 0x9e37_79b9_7f4a_7c15;
        loop {
            if let Some(table) = Self::laid_out(names, multiplier) {
                return table;
            }
            multiplier = multiplier.wrapping_mul(0xd134_2543_de82_ef95) | 1;
        }
    }

    const fn laid_out(names: &[(&str, T)], multiplier: u64) -> Option<Names<T>> {
        let nobody = (ShortName { words: [0; 2], len: 0 }, None);
        let mut table = Names { multiplier, slots: [nobody; N_SLOTS] };
        let mut i = 0;
        while i < names.len() {
            let (name, value) = names[i];
            if let Some(name) = ShortName::of(name.as_bytes()) {
                let slot = table.slot(name);
                if table.slots[slot].1.is_some() {
                    return None;
                }
                table.slots[slot] = (name, Some(value));
            }
            i += 1;
        }
        Some(table)
    }

    const fn slot(&self, name: ShortName) -> usize {
        (name.words[0].wrapping_mul(self.multiplier) >> (u64::BITS - N_SLOTS.ilog2())) as usize
    }

    /// What a name stands for, if it is in the table.
    #[inline(always)]
    pub fn get(&self, name: ShortName) -> Option<T> {
        let (known, value) = self.slots[self.slot(name)];
        let [low, high] = [known.words[0] ^ name.words[0], known.words[1] ^ name.words[1]];
        if low | high == 0 && known.len == name.len { value } else { None }
    }
}

impl ShortName {
    /// A name; `None` if it is too long.
    pub const fn of(name: &[u8]) -> Option<ShortName> {
        if name.len() >= 16 {
            return None;
        }
        let mut bytes = [0; 16];
        let mut i = 0;
        while i < name.len() {
            bytes[i] = name[i];
            i += 1;
        }
        let both = u128::from_le_bytes(bytes);
        Some(ShortName { words: [both as u64, (both >> 64) as u64], len: name.len() })
    }
}

#[cfg(test)]
mod tests;
