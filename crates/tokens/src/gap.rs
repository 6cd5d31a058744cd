//! Why a count is not exact: content that was not counted as the upstream counts it.
//!
//! `meter` collects them while a request is counted; the caller gets each once, as a sentence. A
//! gap never contains any text.

/// A reason why a count is inexact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// A limit of time or bytes was reached.
    Length,
    /// A word had to be cut.
    Cut,
    /// An image, audio, video or a file.
    Media,
    /// A schema beyond what the published formula covers.
    Schema,
    /// A required format of the answer, other than plain text.
    Format,
    /// A shape for which no vendor publishes the framing of texts.
    Dialect,
    /// An unknown shape.
    Unknown,
}

impl Gap {
    /// Every kind, in the order of their bits.
    const EACH: [Gap; 7] =
        [Gap::Length, Gap::Cut, Gap::Media, Gap::Schema, Gap::Format, Gap::Dialect, Gap::Unknown];

    fn sentence(self) -> &'static str {
        match self {
            Gap::Length => "text beyond the limit of time or bytes is estimated by its length",
            Gap::Cut => "a word of more than 4 KiB was cut",
            Gap::Media => "pictures, sounds and files are not counted",
            Gap::Schema => {
                "schemas beyond type, description and enum of properties have no published framing"
            }
            Gap::Format => "formats of the answer have no published framing",
            Gap::Dialect => {
                "tools, calls, reasoning or parts of this dialect have no published framing"
            }
            Gap::Unknown => "a part of unknown shape is not counted",
        }
    }
}

/// A set of gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gaps(u8);

impl Gaps {
    /// Adds a gap.
    pub fn add(&mut self, gap: Gap) {
        self.0 |= 1 << (gap as u8);
    }

    /// Whether the set has this gap.
    #[must_use]
    pub fn has(self, gap: Gap) -> bool {
        self.0 & (1 << (gap as u8)) != 0
    }

    /// Whether the set is empty: the count is exact.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Human-readable list; `None` if it is empty.
    #[must_use]
    pub fn reason(self) -> Option<String> {
        let sentences: Vec<&str> =
            Gap::EACH.into_iter().filter(|gap| self.has(*gap)).map(Gap::sentence).collect();
        (!sentences.is_empty()).then(|| sentences.join("; "))
    }
}

impl From<Gap> for Gaps {
    fn from(gap: Gap) -> Gaps {
        let mut gaps = Gaps::default();
        gaps.add(gap);
        gaps
    }
}

#[cfg(test)]
mod tests;
