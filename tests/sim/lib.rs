//! The seeded world in which the exactly-once claim is tried.
//!
//! A seed draws producers, clocks, crashes, zombies, unknown commits, restored ledgers and broken
//! logs; the real `ledger::core`, `ledger::committer`, `ledger::lease` and `ledger::exposure`
//! count, commit and show what comes of it. A second, plain account of the same log says what must
//! be counted. Every safeguard can be switched off: then some seed has to notice.

pub mod mutation;
pub mod producer;
pub mod reference;
pub mod log;
pub mod books;
pub mod sql;
pub mod publisher;
pub mod scraper;
pub mod seat;
pub mod shell;
pub mod process;
pub mod watch;
pub mod world;
pub mod late;
pub mod check;
pub mod faults;
pub mod upgrade;
pub mod quiesce;
pub mod accept;
pub mod kind;
pub mod run;
