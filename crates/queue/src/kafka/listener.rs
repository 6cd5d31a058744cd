//! Log lines and global errors of the client library.
//!
//! Warnings and errors go to our own log; a fatal error turns `fatal` true, and the process must
//! exit then. Nothing here decides about records.

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::sync::watch;

/// Context of a client that has no other callbacks.
#[derive(Debug, Clone)]
pub(super) struct Listener {
    fatal: watch::Sender<bool>,
}

impl Listener {
    pub(super) fn new(fatal: watch::Sender<bool>) -> Listener {
        Listener { fatal }
    }

    /// Logs a line of the client: warnings and errors as warnings, all else at debug.
    pub(super) fn line(level: RDKafkaLogLevel, facility: &str, line: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => {
                tracing::warn!(facility, line, "kafka client");
            }
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::debug!(facility, line, "kafka client");
            }
        }
    }

    /// Handles a global error: the client recovers from all but fatal ones by itself.
    pub(super) fn global(&self, error: &KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.fail(reason);
        } else {
            tracing::debug!(%error, reason, "kafka client recovers from an error");
        }
    }

    /// The client can do nothing more.
    pub(super) fn fail(&self, reason: &str) {
        if !self.fatal.send_replace(true) {
            tracing::error!(reason, "the kafka client failed for good, the process must exit");
        }
    }
}

impl ClientContext for Listener {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        Listener::line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.global(&error, reason);
    }
}

impl ConsumerContext for Listener {}
