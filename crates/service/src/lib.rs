//! What every process needs: configuration, logs, process metrics, server, shutdown, keys; and the
//! client of those that ask another.
//!
//! Data passes through it once at the start (settings, keys, logs) and then with every request
//! (server, access, answer, metrics). It knows nothing of events and never counts one.

mod error;

pub mod secret_file;

pub mod client;

pub mod config;
pub mod shutdown;
pub mod telemetry;

pub mod answer;
pub mod describe;
pub mod query;
pub mod health;
pub mod status;
pub mod letters;
pub mod opening;
pub mod metrics;

pub mod auth;
pub mod key_file;

pub mod http_metrics;
pub mod server;
pub mod token_count;

pub use error::{Error, chain};
