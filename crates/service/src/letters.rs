//! Sending dead letters again: what is asked and answered, the same at ingest's port and the api's.
//!
//! Ingest answers `POST /v1/dead-letters/replay`; the api passes the same request on to it, and the
//! command line asks for it. Only the wire format is here.

use serde::{Deserialize, Deserializer, Serialize, de};
use utoipa::ToSchema;

/// Most letters of one request: as many as a batch has events, so that they fit a frame.
pub const REPLAY_LETTERS_MAX: usize = 2_000;
/// Largest body of a request, bytes: ten times what as many letters take.
pub const REPLAY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The address of a dead letter of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LetterAddress {
    /// Generation of the log.
    #[schema(value_type = u64, minimum = 0, maximum = 4_294_967_295_i64)]
    pub generation: u32,
    /// Partition of the log.
    #[schema(value_type = u64, minimum = 0, maximum = 4_294_967_295_i64)]
    pub partition: u32,
    /// Offset of the frame.
    #[serde(deserialize_with = "offset")]
    #[schema(maximum = 9_223_372_036_854_775_807_i64)]
    pub offset: u64,
    /// Index of the event in the frame.
    #[schema(value_type = u64, minimum = 0, maximum = 4_294_967_295_i64)]
    pub index: u32,
}

/// An offset: no log is longer than a signed number of 64 bits, and no database has more.
fn offset<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let offset = u64::deserialize(deserializer)?;
    let message = "offset must be at most 9223372036854775807";
    i64::try_from(offset).map(|_| offset).map_err(|_| de::Error::custom(message))
}

/// Which dead letters to send again.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayRequest {
    /// At most 2,000.
    #[schema(max_items = 2000)]
    pub letters: Vec<LetterAddress>,
}

/// What became of the letters of a request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct ReplayResult {
    /// Letters that are in the log again.
    pub accepted: usize,
    /// The others, by ascending index.
    pub rejected: Vec<RejectedLetter>,
}

/// A letter that was not appended again.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct RejectedLetter {
    /// Position in the request.
    pub index: usize,
    /// Why, for people.
    pub reason: String,
}
