//! The wish to end early, by SIGINT or SIGTERM: every wait of the harness looks at it, so that
//! everything that was started is stopped on the way out.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

static IS_WANTED: AtomicBool = AtomicBool::new(false);

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Somebody wants the run to end.
#[derive(Clone, Copy, Debug)]
pub struct Interrupted;

impl std::error::Error for Interrupted {}

impl std::fmt::Display for Interrupted {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("interrupted")
    }
}

/// Listens to the signals from now on.
pub fn listen(runtime: &tokio::runtime::Runtime) -> std::io::Result<()> {
    let _entered = runtime.enter();
    let (mut int, mut term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    runtime.spawn(async move {
        tokio::select! { _ = int.recv() => {} _ = term.recv() => {} }
        IS_WANTED.store(true, Ordering::SeqCst);
    });
    Ok(())
}

/// Whether the run is to end.
pub fn is_wanted() -> bool {
    IS_WANTED.load(Ordering::SeqCst)
}

/// Waits until it holds, for as long as it takes.
pub fn until(mut holds: impl FnMut() -> bool) -> Result<(), Interrupted> {
    while !holds() {
        if is_wanted() {
            return Err(Interrupted);
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
    Ok(())
}

/// Waits until it holds, at most until then; whether it does.
pub fn by(end: Instant, mut holds: impl FnMut() -> bool) -> Result<bool, Interrupted> {
    let mut does_hold = false;
    until(|| {
        does_hold = holds();
        does_hold || Instant::now() >= end
    })?;
    Ok(does_hold)
}
