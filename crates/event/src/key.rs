//! The identity of an event in the log: 128 bits that no two events share by accident or by intent.
//!
//! The key is a keyed BLAKE3 over (authenticated source, id). The secret keeps a producer from
//! choosing ids that collide; it belongs to a generation of the log and never changes within it.

use crate::joined::Joined;

/// Bytes of source and id that are hashed in one call, which saves the set-up of a hasher: an id
/// has at most 128.
const JOINED_BYTES: usize = 256;

/// The 32 bytes that key the hash of one generation. Never logged.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub [u8; 32]);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The first 128 bits of the keyed hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub [u8; 16]);

impl Key {
    /// The key of an id that came in through `source`. Both are length-prefixed, so that no two
    /// pairs share a text.
    #[must_use]
    pub fn of(secret: &Secret, source: &str, id: &str) -> Key {
        let prefix = u32::try_from(source.len()).unwrap_or(u32::MAX).to_le_bytes();
        let parts = [&prefix[..], source.as_bytes(), id.as_bytes()];
        let mut joined = Joined::<JOINED_BYTES>::new();
        parts.iter().for_each(|part| joined.put(part));
        let hash = match joined.bytes() {
            Some(bytes) => blake3::keyed_hash(&secret.0, bytes),
            None => {
                let mut hasher = blake3::Hasher::new_keyed(&secret.0);
                parts.iter().for_each(|part| _ = hasher.update(part));
                hasher.finalize()
            }
        };
        let mut key = [0; 16];
        key.copy_from_slice(&hash.as_bytes()[..16]);
        Key(key)
    }

    /// The partition of this key among `n_partitions`: the high half of a 64-bit product, so that
    /// every partition has the same share. `n_partitions` is at least 1.
    #[must_use]
    #[inline]
    pub fn partition(self, n_partitions: u32) -> u32 {
        let share = (u128::from(self.high()) * u128::from(n_partitions)) >> 64;
        u32::try_from(share).expect("below the number of partitions")
    }

    /// The first eight bytes, which choose the partition.
    #[must_use]
    #[inline]
    pub fn high(self) -> u64 {
        u64::from_le_bytes(self.0[..8].try_into().expect("eight bytes"))
    }

    /// The last eight bytes, which choose the place in a table.
    #[must_use]
    #[inline]
    pub fn low(self) -> u64 {
        u64::from_le_bytes(self.0[8..].try_into().expect("eight bytes"))
    }
}

#[cfg(test)]
mod tests;
