//! Text to token counts, for requests whose upstream reported none.
//!
//! `encoding` maps a model to its tokenizer, `piece` cuts a text where that changes no count,
//! `meter` counts pieces within limits of time and bytes, `tools` and `chat` know what a request
//! adds around its texts. Every count has whether it is exact, and if not, why (`gap`). No text
//! makes it panic, hang or take more than its limits, and no text is kept or shown in an error.
//! Counting blocks: run it on a blocking thread.

mod limits;
mod encoding;
mod piece;
mod gap;
mod length;
mod meter;
mod tools;
mod chat;

pub use chat::{Content, Counted, count};
pub use encoding::{Basis, Encoding, MODELS};
pub use gap::{Gap, Gaps};
pub use length::{by_length, by_length_of_json};
pub use limits::{COUNT_BYTES_MAX, COUNT_TIME_MAX, PIECE_BYTES_MAX};
pub use meter::Meter;
