//! The house rules that a reader of text can check; CONTRIBUTING.md lists them.
//!
//! Each test collects every breach and then fails once, so that one run shows all there is to mend.

mod tree;
mod crates;
mod docs;
mod text;
