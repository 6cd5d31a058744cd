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
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The settings file is too large.
    #[error("the settings file {} is larger than {bytes_max} bytes", path.display())]
    ConfigTooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        bytes_max: u64,
    },
    /// The settings file is not TOML.
    #[error("the settings file {} is not valid TOML", path.display())]
    ConfigSyntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A setting that does not exist.
    #[error("unknown setting `{path}` ({origin}); {known}")]
    ConfigUnknown {
        /// Dotted path of the setting, such as `ingest.lisen`.
        path: String,
        /// Where it was set.
        origin: String,
        /// Existing settings like it.
        known: String,
    },
    /// A misspelt variable.
    #[error("the environment variable {name} sets nothing: the setting is {right}")]
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
        /// Where it was set.
        origin: String,
        /// Accepted values.
        expected: String,
        /// The given value.
        found: String,
    },
    /// A setting with a value of the right type that it does not take.
    #[error("setting `{path}` ({origin}) must be {expected}, not {found}")]
    ConfigRange {
        /// Dotted path of the setting.
        path: String,
        /// Where it was set.
        origin: String,
        /// Accepted values.
        expected: String,
        /// The given value.
        found: String,
    },
    /// The checked values do not fit the typed settings: `default.toml` and the types differ.
    #[error("the settings do not fit the types that hold them")]
    ConfigShape(#[source] Box<toml::de::Error>),
    /// A file with a secret could not be read.
    #[error("cannot read the secret in {}", path.display())]
    SecretFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file does not hold a valid key or password.
    #[error("the file {} does not hold a secret: {reason}", path.display())]
    SecretContent {
        /// The file.
        path: PathBuf,
        /// Why not.
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
        /// Why.
        #[source]
        source: prometheus::Error,
    },
    /// A listener could not be opened.
    #[error("{name} cannot listen on {address}")]
    Bind {
        /// What wanted to listen, such as `ingest`.
        name: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why, such as an address in use.
        #[source]
        source: io::Error,
    },
    /// Development mode would have been open to the network.
    #[error(
        "--dev asks for no key, so {name} listens on loopback only, not on {address}; \
         add --dev-any-address if something else keeps the network out"
    )]
    DevNotLoopback {
        /// What wanted to listen.
        name: &'static str,
        /// Where.
        address: SocketAddr,
    },
    /// A key file could not be written or read.
    #[error("cannot {act} the key file {}", path.display())]
    KeyFile {
        /// What was tried: `make` or `read`.
        act: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
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
        /// The file.
        path: PathBuf,
    },
    /// The signal handlers could not be installed.
    #[error("cannot listen to the signals that end the process")]
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
        /// Why.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// A response whose status a retry may change.
    #[error("{url} answered {status}: {text}")]
    Answered {
        /// The requested URL.
        url: String,
        /// Not 200.
        status: StatusCode,
        /// The beginning of the response.
        text: String,
    },
    /// A response whose status no retry can change.
    #[error("{url} answered {status}: {text}; {hint}")]
    Refused {
        /// The requested URL.
        url: String,
        /// Not 200.
        status: StatusCode,
        /// The beginning of the response.
        text: String,
        /// What may help.
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

/// An error with everything below it, for the one place where it is logged or printed.
pub fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        write!(text, ": {inner}").expect("a String takes every write");
        source = inner.source();
    }
    text
}
