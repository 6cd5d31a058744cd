//! Short parts put together on the stack, so that they are hashed in one call.

/// At most `N` bytes.
pub(crate) struct Joined<const N: usize> {
    bytes: [u8; N],
    /// Bytes of all parts, also of those that had no room.
    n_bytes: usize,
}

impl<const N: usize> Joined<N> {
    pub(crate) fn new() -> Joined<N> {
        Joined { bytes: [0; N], n_bytes: 0 }
    }

    /// Adds a part.
    #[inline]
    pub(crate) fn put(&mut self, part: &[u8]) {
        let end = self.n_bytes.saturating_add(part.len());
        if let Some(room) = self.bytes.get_mut(self.n_bytes..end) {
            room.copy_from_slice(part);
        }
        self.n_bytes = end;
    }

    /// All parts; `None` if there was no room for one.
    #[inline]
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        self.bytes.get(..self.n_bytes)
    }
}
