//! Dependencies of the API, and views of the state of other roles.
//!
//! The API does not know the other roles: its caller passes in views of their state, and the way of
//! dead letters to ingest. A view is called for each query and must neither block nor fail.

use std::pin::Pin;
use std::sync::Arc;

use cache::Cache;
use jiff::tz::TimeZone;
use service::answer::ApiError;
use service::auth::Access;
use service::letters::{LetterAddress, ReplayResult};
use service::shutdown::Shutdown;
use service::status::{Lag, Live};
use store::Store;

/// Something that the process needs, and how it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// Name, such as `ledger`.
    pub name: &'static str,
    /// Why it is unavailable; `None` if it is available.
    pub fault: Option<&'static str>,
}

/// A view of the newest totals; `None` if none were published within the last seconds.
pub type LiveView = Arc<dyn Fn() -> Option<Live> + Send + Sync>;
/// A view of the lag of every partition.
pub type LagView = Arc<dyn Fn() -> Vec<Lag> + Send + Sync>;
/// A view of every dependency.
pub type DependencyView = Arc<dyn Fn() -> Vec<Dependency> + Send + Sync>;

/// Letters that are being sent again.
pub type Resending = Pin<Box<dyn Future<Output = Result<ReplayResult, ApiError>> + Send>>;
/// Has ingest append dead letters again. It may take as long as it needs: its caller waits for a
/// bounded time, and then drops it.
pub type Resend = Arc<dyn Fn(Vec<LetterAddress>) -> Resending + Send + Sync>;

/// Dependencies of the API.
#[derive(Clone)]
pub struct Parts {
    /// The ledger and the configuration.
    pub store: Arc<Store>,
    /// Who may send queries.
    pub access: Access,
    /// How far the counting lags behind the log.
    pub lag: LagView,
    /// State of the services that the process depends on.
    pub dependencies: DependencyView,
    /// Time zone of queries that name none.
    pub timezone: TimeZone,
    /// Version of the program.
    pub version: &'static str,
    /// Cached answers, and messages between processes.
    pub cache: Arc<Cache>,
    /// The newest totals, if an aggregator publishes them.
    pub live: LiveView,
    /// The way of dead letters to ingest, if there is one.
    pub resend: Option<Resend>,
    /// Ends live streams.
    pub shutdown: Shutdown,
}

impl Parts {
    /// Name of the default time zone. Part of cache keys, as processes may have different ones.
    pub(crate) fn zone(&self) -> &str {
        self.timezone.iana_name().unwrap_or_default()
    }

    /// Whether the ledger is known to be down, so that no query has to wait to find out.
    pub(crate) fn is_ledger_down(&self) -> bool {
        let dependencies = (self.dependencies)();
        dependencies.iter().any(|each| each.name == "ledger" && each.fault.is_some())
    }
}
