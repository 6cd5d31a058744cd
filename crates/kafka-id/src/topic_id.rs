//! The id of a topic, as Kafka's own tools write it.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The id of a topic: 128 bits that a broker drew when the topic was made, and never gives again.
/// All zero if the broker is too old to have ids (before Kafka 2.8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(u128);

impl TopicId {
    /// The id with these halves.
    #[must_use]
    pub fn new(high: i64, low: i64) -> TopicId {
        let half = |half: i64| u128::from(half.cast_unsigned());
        TopicId(half(high) << 64 | half(low))
    }

    /// Whether the broker reported none.
    #[must_use]
    pub fn is_unknown(self) -> bool {
        self.0 == 0
    }
}

/// 22 letters of base64url, as Kafka's tools print it; nothing for an unknown id.
impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_unknown() {
            true => Ok(()),
            false => f.write_str(&URL_SAFE_NO_PAD.encode(self.0.to_be_bytes())),
        }
    }
}

impl FromStr for TopicId {
    type Err = NoTopicId;

    fn from_str(text: &str) -> Result<TopicId, NoTopicId> {
        TopicId::try_from(text.as_bytes())
    }
}

/// From bytes that anybody may have written.
impl TryFrom<&[u8]> for TopicId {
    type Error = NoTopicId;

    fn try_from(text: &[u8]) -> Result<TopicId, NoTopicId> {
        if text.is_empty() {
            return Ok(TopicId::default());
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| NoTopicId)?;
        let bytes: [u8; 16] = bytes.try_into().map_err(|_| NoTopicId)?;
        Ok(TopicId(u128::from_be_bytes(bytes)))
    }
}

/// A text is no id of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoTopicId;

impl fmt::Display for NoTopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no id of a topic: it has 22 letters of base64url")
    }
}

impl std::error::Error for NoTopicId {}

#[cfg(test)]
mod tests;
