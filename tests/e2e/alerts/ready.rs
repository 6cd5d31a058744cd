//! What a role says of its readiness, and how soon.

use std::time::{Duration, Instant};

use crate::gatemeter::{Answer, get, wait_for};

/// Longest time until readiness follows what became of a service.
const FOLLOW_MAX: Duration = Duration::from_secs(20);

/// Waits until the role on this port is not ready for this reason.
pub fn not_ready(port: u16, reason: &str) {
    follows(port, &format!("not ready: {reason}"), |answer| {
        answer.status == 503 && answer.body.contains(reason)
    });
}

/// Waits until the role on this port is ready.
pub fn ready(port: u16) {
    follows(port, "ready", |answer| answer.status == 200);
}

fn follows(port: u16, what: &str, holds: impl Fn(&Answer) -> bool) {
    let (began, mut last) = (Instant::now(), None);
    wait_for(what, || {
        last = get(port, "/readyz", &[]);
        assert!(began.elapsed() < FOLLOW_MAX, "{what}, but it says {last:?}");
        last.as_ref().is_some_and(&holds)
    });
}
