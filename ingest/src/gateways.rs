//! How many gateways may report open connections for a namespace.
//!
//! Every pair of gateway and namespace is a row and a part of a gauge, so that names made up
//! without end must be refused. A gateway that falls silent gives its place back. Per process: the
//! bound keeps a flood out, it is no quota.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Most gateways of one namespace that report at a time: a fleet of that size still fits on a page
/// of people, and a thousand namespaces of it stay below 100 MB.
pub const GATEWAYS_PER_NAMESPACE_MAX: usize = 1_000;
/// How long a gateway keeps its place after its last report: twice the time that one is shown.
const KEPT_FOR: Duration = Duration::from_secs(120);

/// The gateways that were heard of lately, by namespace.
#[derive(Debug, Default)]
pub struct Gateways {
    seen: Mutex<HashMap<Box<str>, Reports>>,
}

/// When each gateway reported last.
type Reports = HashMap<Box<str>, Instant>;

impl Gateways {
    /// Whether a gateway may report for a namespace; if so, it has a place from now on.
    pub fn admit(&self, namespace: &str, gateway: &str, now: Instant) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.contains_key(namespace) {
            seen.insert(namespace.into(), Reports::new());
        }
        let gateways = seen.get_mut(namespace).expect("it was just inserted");
        if let Some(last) = gateways.get_mut(gateway) {
            *last = now;
            return true;
        }
        if gateways.len() >= GATEWAYS_PER_NAMESPACE_MAX {
            gateways.retain(|_, last| now.duration_since(*last) < KEPT_FOR);
        }
        let has_room = gateways.len() < GATEWAYS_PER_NAMESPACE_MAX;
        if has_room {
            gateways.insert(gateway.into(), now);
        }
        has_room
    }
}

#[cfg(test)]
mod tests;
