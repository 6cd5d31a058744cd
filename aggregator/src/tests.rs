//! The whole role on a real log and a real ledger, asked through its router.

#[path = "../../crates/queue/src/tests/broker.rs"]
#[expect(dead_code, reason = "the tests of the log use more of it")]
mod broker;
mod on_kafka;
mod publishing;
pub(crate) mod running;
mod accepting;
mod committing;
mod frames;
