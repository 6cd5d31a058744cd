//! What the API works on, and what other roles tell it about themselves.
//!
//! The API does not know the roles beside it: whoever starts it hands in views of their state. A
//! view is looked at for each question and must neither wait nor fail.

use std::sync::Arc;

use cache::Cache;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use service::auth::Access;
use service::shutdown::Shutdown;
use store::Store;

/// How far the counting of one partition is behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lag {
    /// Partition of the log.
    pub partition: u32,
    /// Frames in the log that are not committed.
    pub frames: u64,
    /// Microseconds since something waits to be committed, 0 if nothing does.
    pub commit_age_us: u64,
    /// Why the partition is halted, if it is.
    pub halted: Option<String>,
}

/// Something that the process needs, and how it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// What it is, such as `ledger`.
    pub name: &'static str,
    /// Why it cannot be used, if it cannot.
    pub fault: Option<&'static str>,
}

/// Totals of the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    /// Ledger version.
    pub version: i64,
    /// Requests: final attempts.
    pub requests: i64,
    /// Those of them that failed.
    pub errors: i64,
    /// Input tokens of all attempts.
    pub input_tokens: i64,
    /// Output tokens of all attempts.
    pub output_tokens: i64,
}

/// A view of the newest totals; `None` if none were published within the last seconds.
pub type LiveView = Arc<dyn Fn() -> Option<Live> + Send + Sync>;
/// A view of the lag of every partition.
pub type LagView = Arc<dyn Fn() -> Vec<Lag> + Send + Sync>;
/// A view of every dependency.
pub type DependencyView = Arc<dyn Fn() -> Vec<Dependency> + Send + Sync>;

/// What the API works on.
#[derive(Clone)]
pub struct Parts {
    /// The ledger and the configuration.
    pub store: Arc<Store>,
    /// Who may ask.
    pub access: Access,
    /// How far the counting is behind.
    pub lag: LagView,
    /// How the dependencies are.
    pub dependencies: DependencyView,
    /// The zone of questions that name none.
    pub timezone: TimeZone,
    /// Version of the program.
    pub version: &'static str,
    /// What was answered before, and word from other processes.
    pub cache: Arc<Cache>,
    /// The newest totals, where somebody tells them.
    pub live: LiveView,
    /// Ends streams.
    pub shutdown: Shutdown,
}

impl Parts {
    /// The name of the zone of questions that name none: two processes may have other ones.
    pub(crate) fn zone(&self) -> &str {
        self.timezone.iana_name().unwrap_or_default()
    }

    /// Whether the ledger is known not to answer: then nobody need wait to find out.
    pub(crate) fn is_ledger_down(&self) -> bool {
        let dependencies = (self.dependencies)();
        dependencies.iter().any(|each| each.name == "ledger" && each.fault.is_some())
    }
}

/// The clock that ranges are laid over, microseconds since the epoch.
pub(crate) fn now_us() -> i64 {
    Timestamp::now().as_microsecond()
}
