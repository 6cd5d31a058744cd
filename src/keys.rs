//! The keys of the two guarded ports: made once, at the first start without `--dev`.
//!
//! The key goes to a file that only its owner can read, and its hash to the store. From then on the
//! stored hash decides, so that a deleted file never leads to a second key.

use std::path::Path;

use service::auth::{Access, DevMode, Verifier};
use service::key_file::{ensure_key, misleads};
use store::Store;
use tracing::{info, warn};

/// A guarded port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarded {
    /// Ingest. All its events belong to one source until keys have sources of their own.
    Ingest,
    /// Queries, configuration and what operators decide.
    Admin,
}

impl Guarded {
    fn role(self) -> &'static str {
        match self {
            Guarded::Ingest => "ingest",
            Guarded::Admin => "admin",
        }
    }

    fn source(self) -> &'static str {
        match self {
            Guarded::Ingest => "default",
            Guarded::Admin => "admin",
        }
    }
}

/// The access check of a port. Creates its key at the first start.
///
/// # Errors
/// The store does not answer, or the file cannot be made.
pub async fn access(
    guarded: Guarded,
    dir: &Path,
    dev: DevMode,
    store: &Store,
) -> anyhow::Result<Access> {
    if dev != DevMode::Off {
        return Ok(Access::Dev);
    }
    let role = guarded.role();
    let path = dir.join(format!("{role}.key"));
    if let Some(stored) = store.keys(role).await?.first() {
        if let Some(fault) = misleads(&path, stored.sha256) {
            warn!(role, fault, "the key of the first start stays the valid one");
        }
        return Ok(Access::Key(Verifier::new(stored.sha256)));
    }
    std::fs::create_dir_all(dir)?;
    let key = ensure_key(&path)?;
    store.put_key(role, guarded.source(), key.sha256).await?;
    // If two processes start at once, the key that was stored first is valid.
    let stored = store.keys(role).await?.first().map_or(key.sha256, |stored| stored.sha256);
    if stored == key.sha256 {
        info!(role, file = %path.display(), "key for those who need it is in the file");
    } else {
        std::fs::remove_file(&path)?;
    }
    Ok(Access::Key(Verifier::new(stored)))
}
