//! Configuration and metric queries over HTTP, and the built-in page.

mod error;
mod params;
mod range;

use std::sync::Arc;

/// Lag of a partition.
#[derive(Clone, Debug)]
pub struct Lag {
    /// Partition.
    pub partition: u32,
    /// Frames behind.
    pub frames: u64,
    /// Age.
    pub commit_age_us: u64,
    /// Why halted.
    pub halted: Option<String>,
}

/// Parts.
pub struct Parts {
    /// Store.
    pub store: Arc<store::Store>,
    /// Access.
    pub access: service::auth::Access,
    /// Lag.
    pub lag: Arc<dyn Fn() -> Vec<Lag> + Send + Sync>,
    /// Zone.
    pub timezone: jiff::tz::TimeZone,
}

/// Router.
///
/// # Errors
/// None.
pub fn router(
    _parts: Parts,
    _metrics: &service::metrics::ProcessMetrics,
) -> Result<axum::Router, service::Error> {
    Ok(service::health::routes(|| service::health::Readiness::Ready))
}
