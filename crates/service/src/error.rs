//! The one error type of this crate.
//!
//! Every variant names what failed (setting, file, address) so that a person can act on the text
//! alone; the inner error follows as the source and is not repeated. It never holds a key.

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use http::StatusCode;
use http::header::InvalidHeaderValue;
use http::uri::InvalidUri;

/// Errors of a start, or of a request to another process. None of them is a response to a client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The settings file could not be read.
    #[error("cannot read the settings file {}", path.display())]
    ConfigRead {
        /// Path of the file.
        path: PathBuf,
        /// Cause of the failure.
        #[source]
        source: io::Error,
    },
    /// The settings file is too large.
    #[error("the settings file {} is larger than {bytes_max} bytes", path.display())]
    ConfigTooLarge {
        /// Path of the file.
        path: PathBuf,
        /// Largest accepted size, bytes.
        bytes_max: u64,
    },
    /// The settings file is not TOML.
    #[error("the settings file {} is not valid TOML", path.display())]
    ConfigSyntax {
        /// Path of the file.
        path: PathBuf,
        /// Position and cause.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A setting that does not exist.
    #[error("unknown setting `{path}` ({origin}); {known}")]
    ConfigUnknown {
        /// Dotted path of the setting, such as `ingest.lisen`.
        path: String,
        /// Origin of the value: a file or a variable.
        origin: String,
        /// Existing settings like it.
        known: String,
    },
    /// A misspelt variable.
    #[error("the environment variable {name} has no effect: the setting is {right}")]
    ConfigVariable {
        /// Name of the variable.
        name: String,
        /// The correct spelling.
        right: String,
    },
    /// A setting with a value of the wrong type.
    #[error("setting `{path}` ({origin}) must be {expected}, not {found}")]
    ConfigType {
        /// Dotted path of the setting.
        path: String,
        /// Origin of the value: a file or a variable.
        origin: String,
        /// Description of the accepted values.
        expected: String,
        /// The given value.
        found: String,
    },
    /// A setting with a value of the right type that is out of range.
    #[error("setting `{path}` ({origin}) must be {expected}, not {found}")]
    ConfigRange {
        /// Dotted path of the setting.
        path: String,
        /// Origin of the value: a file or a variable.
        origin: String,
        /// Description of the accepted values.
        expected: String,
        /// The given value.
        found: String,
    },
    /// The checked values do not fit the typed settings: `default.toml` and the types differ.
    #[error("the checked settings do not match their types")]
    ConfigShape(#[source] Box<toml::de::Error>),
    /// A file with a secret could not be read.
    #[error("cannot read the secret in {}", path.display())]
    SecretFile {
        /// Path of the file.
        path: PathBuf,
        /// Cause of the failure.
        #[source]
        source: io::Error,
    },
    /// A file does not hold a valid key or password.
    #[error("the file {} does not hold a secret: {reason}", path.display())]
    SecretContent {
        /// Path of the file.
        path: PathBuf,
        /// Why its content is invalid.
        reason: &'static str,
    },
    /// A second set-up of the logs in one process.
    #[error("the logs are set up already")]
    TelemetryTwice(#[source] tracing::subscriber::SetGlobalDefaultError),
    /// A process metric whose name or labels are taken or not valid.
    #[error("cannot register the metric {name}")]
    Metric {
        /// Name of the metric.
        name: String,
        /// Cause of the failure.
        #[source]
        source: prometheus::Error,
    },
    /// A listener could not be opened.
    #[error("{name} cannot listen on {address}")]
    Bind {
        /// Name of the listener, such as `ingest`.
        name: &'static str,
        /// Address to listen on.
        address: SocketAddr,
        /// Why, such as an address in use.
        #[source]
        source: io::Error,
    },
    /// Development mode would have been open to the network.
    #[error(
        "--dev requires no key, so {name} listens on loopback only, not on {address}; \
         add --dev-any-address if the port is protected by other means"
    )]
    DevNotLoopback {
        /// Name of the listener.
        name: &'static str,
        /// Address to listen on.
        address: SocketAddr,
    },
    /// A key file could not be written or read.
    #[error("cannot {act} the key file {}", path.display())]
    KeyFile {
        /// The operation: `make` or `read`.
        act: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// Cause of the failure.
        #[source]
        source: io::Error,
    },
    /// A key file does not hold a valid key.
    #[error(
        "the key file {} does not hold a key (43 letters of base64url); \
         delete it to have a new one made",
        path.display()
    )]
    KeyFileContent {
        /// Path of the file.
        path: PathBuf,
    },
    /// The signal handlers could not be installed.
    #[error("cannot install the handlers of termination signals")]
    Signals(#[source] io::Error),
    /// A key that is not a valid header value.
    #[error("the key has characters that are not allowed in a header")]
    ClientKey(#[source] InvalidHeaderValue),
    /// A URL that is not supported.
    #[error(transparent)]
    ClientUrl(#[from] InvalidUri),
    /// No response in time, or one that was truncated, too large or not text.
    #[error("{url}")]
    NoAnswer {
        /// The requested URL.
        url: String,
        /// Cause of the failure.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// A response whose status a retry may change.
    #[error("{url} answered {status}: {text}")]
    Answered {
        /// The requested URL.
        url: String,
        /// Status of the response.
        status: StatusCode,
        /// The beginning of the response.
        text: String,
    },
    /// A response whose status no retry can change.
    #[error("{url} answered {status}: {text}; {hint}")]
    Refused {
        /// The requested URL.
        url: String,
        /// Status of the response.
        status: StatusCode,
        /// The beginning of the response.
        text: String,
        /// Advice for the operator.
        hint: &'static str,
    },
    /// An answer that is not in the envelope of ours, or holds other data.
    #[error("the answer of {url} is not one of Gatemeter's")]
    NotOurs {
        /// What was asked.
        url: String,
        /// Where the answer differs.
        #[source]
        source: serde_json::Error,
    },
}

/// An error with its whole chain of sources, for the one place where it is logged or printed.
pub fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        write!(text, ": {inner}").expect("a String takes every write");
        source = inner.source();
    }
    text
}
