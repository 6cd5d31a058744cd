//! `GET /v1/frames` and `POST /v1/frames`: the frame version that ingest writes, and an operator's
//! request to raise it.
//!
//! The ledger decides in one transaction: the version is raised only if the owner of every partition
//! has told, with its claim, that it knows it.

/// The highest frame version that this program counts. Each claim tells it, and an operator cannot
/// raise the version beyond it.
pub const FRAMES_KNOWN: u8 = 2;
