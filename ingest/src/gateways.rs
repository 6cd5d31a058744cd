//! Limits how many gateways may report open connections for a namespace.
//!
//! Every pair of gateway and namespace is a row and contributes to a gauge, so an endless stream of
//! made-up names must be refused. A gateway that stops reporting loses its slot. The limit is per
//! process: it keeps a flood out, it is not a quota.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Most gateways of a namespace that report at a time: a fleet of that size can still be read on a
/// dashboard, and a thousand namespaces of it stay below 100 MB.
pub const GATEWAYS_PER_NAMESPACE_MAX: usize = 1_000;
/// How long a gateway keeps its slot after its last report: twice as long as a report is shown.
const SLOT_TTL: Duration = Duration::from_secs(120);

/// Gateways that reported recently, by namespace.
#[derive(Debug, Default)]
pub struct Gateways {
    seen: Mutex<HashMap<Box<str>, Reports>>,
}

/// Last report of each gateway.
type Reports = HashMap<Box<str>, Instant>;

impl Gateways {
    /// Whether a gateway may report for a namespace. If so, this takes or renews its slot.
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
            gateways.retain(|_, last| now.duration_since(*last) < SLOT_TTL);
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
