//! What is counted: classes, dedup, series, histograms, rollups, invariants and queries.
//!
//! Frames of one partition go into `core`, a state machine that classifies every event once, adds
//! what counts to `state`, and asks its shell to claim, read and commit. `committer` decides which
//! partitions of a process commit together, and what each outcome means. What is shown is decided
//! by `exposure`, and by which process by `lease`. Nothing here does I/O, reads a clock, draws a
//! random number or adds up a float: the same inputs always give the same effects.

#![deny(clippy::float_arithmetic)]

pub mod safeguard;
pub mod window;
pub mod histogram;
pub mod measures;
pub mod series;
pub mod consumer;
pub mod account;
pub mod commit;
pub mod invariants;
pub mod dedup;
pub mod classify;
pub mod state;
pub mod late;
pub mod core;
pub mod committer;
pub mod exposure;
pub mod lease;
pub mod query;
