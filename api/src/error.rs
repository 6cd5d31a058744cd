//! Errors of queries and changes, and the responses that they become.
//!
//! A client error is explained to the client in full. An internal error is logged here, once, and
//! the client learns only whether to retry.

use std::num::NonZeroU32;

use http::StatusCode;
use ledger::query::QueryError;
use service::answer::ApiError;
use store::StoreError;

/// Why a query or change failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The request is invalid; the message names parameter, value and rule.
    #[error("{0}")]
    Request(String),
    #[error("there is no namespace {0}")]
    NoNamespace(String),
    /// The ledger could not be read or written.
    #[error("ledger failed")]
    Store(#[from] StoreError),
    /// The ledger does not answer, and there is no cached answer.
    #[error("the ledger does not answer")]
    LedgerDown,
    /// A client left, or took too long for an answer that is read while it is sent.
    #[error("the client did not take the answer in time")]
    NotTaken,
    /// Rows could not be written as a table.
    #[error("rows could not be written as CSV")]
    Table(#[source] std::io::Error),
    /// A sum of rows overflows, or exceeds the totals.
    #[error("rows of the ledger could not be added up")]
    Query(#[from] QueryError),
    /// An answer could not be encoded, or a cached one could not be decoded.
    #[error("answer could not be encoded or decoded")]
    Json(#[from] serde_json::Error),
}

impl Error {
    /// Whether the ledger became unavailable during a read: a cached answer is then better than
    /// none.
    pub fn is_outage(&self) -> bool {
        matches!(self, Error::Store(StoreError::Sql { .. } | StoreError::Locked { .. }))
    }
}

/// `Retry-After`, seconds: the next commit is one second away.
const RETRY_SECONDS: NonZeroU32 = NonZeroU32::new(1).expect("one is not zero");

impl From<Error> for ApiError {
    fn from(error: Error) -> ApiError {
        match error {
            Error::Request(message) => ApiError::bad_request(message),
            Error::NoNamespace(_) => ApiError::not_found(error.to_string()),
            Error::Store(StoreError::Exists(_)) => {
                let message = service::chain(&error).replace("ledger failed: ", "");
                ApiError::new(StatusCode::CONFLICT, message)
            }
            Error::Store(error @ StoreError::Locked { .. }) => {
                tracing::warn!(error = %service::chain(&error), "ledger is locked");
                ApiError::unavailable(format!("{}, nothing was changed", error.reason()))
                    .retry_after(RETRY_SECONDS)
            }
            Error::Store(StoreError::DiskFull) => {
                tracing::warn!(error = %service::chain(&error), "change was not stored");
                ApiError::unavailable("the disk is full, nothing was changed")
                    .retry_after(RETRY_SECONDS)
            }
            Error::Store(StoreError::Sql { .. }) => {
                tracing::warn!(error = %service::chain(&error), "ledger is not available");
                ApiError::unavailable("the ledger is not available now").retry_after(RETRY_SECONDS)
            }
            Error::LedgerDown => {
                ApiError::unavailable("the ledger is not available now").retry_after(RETRY_SECONDS)
            }
            Error::NotTaken => {
                ApiError::unavailable("the answer took too long").retry_after(RETRY_SECONDS)
            }
            Error::Store(_) | Error::Query(_) | Error::Json(_) | Error::Table(_) => {
                tracing::error!(error = %service::chain(&error), "query failed");
                ApiError::internal()
            }
        }
    }
}
