//! What one LLM request is: its types, limits, native JSON and frame form.
//!
//! Text comes in through `native`, becomes a checked `Event`, is settled into `Labels` and `Facts`
//! by the ingest, and travels through the log inside a `frame`. Nothing here does I/O, reads a
//! clock, draws a random number or adds up a float: the same input always gives the same bytes.

#![deny(clippy::float_arithmetic)]

pub mod limits;
pub mod name;
pub mod time;
pub mod code;
mod joined;
pub mod key;
pub mod usage;
pub mod text;
pub mod event;
pub mod labels;
pub mod reject;
pub mod native;
pub mod frame;

pub use code::{ErrorType, Method, Outcome, ServiceTier, UsageSource};
pub use event::{Connections, Event};
pub use key::{Key, Secret};
pub use labels::{Facts, Labels};
pub use name::{Label, Namespace};
pub use reject::Reject;
pub use text::{Part, Text};
pub use usage::Usage;
