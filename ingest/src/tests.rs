//! The whole role on a real log and a real ledger, asked through its router.

mod fixture;
mod bad_input;
mod encoded;
mod durable;
mod budgets;
mod pressure;
mod secrets;
mod gauges;
mod random;
mod letters;
