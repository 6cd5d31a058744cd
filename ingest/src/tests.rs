//! Tests of the whole role through its router, on a real log and a real ledger.

mod allocations;
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
