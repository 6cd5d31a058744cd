//! Write and read access: the single writer of a file, or several connections to a server.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Weak};

use queue::LOCK_PROBE_EVERY;
use sqlx::Executor;
use sqlx::sqlite::SqlitePool;
use tokio::sync::{Mutex, OwnedMutexGuard, watch};

use crate::error::{Result, StoreError};
use crate::file::FileState;
use crate::server::Server;
use crate::sql::{Boxed, Conn};
use crate::write::{Memory, Writer};

/// Runs statements in one transaction, in a task of its own, so that a cancelled caller cannot
/// leave it unfinished.
macro_rules! transact {
    ($store:expr, |$conn:ident| $body:expr) => {
        $crate::access::transact!($store, steps => {
            let $conn: &mut $crate::sql::Conn = &mut steps.conn;
            $body
        })
    };
    ($store:expr, $steps:ident => $body:expr) => {{
        let writers = $store.writers()?;
        let task = tokio::spawn(async move {
            let mut held = writers.hold().await?;
            let $steps: &mut $crate::steps::Steps = &mut held.steps;
            $steps.begin().await?;
            let done = match $body.await {
                Ok(done) => $steps.commit().await.map(|()| done),
                Err(error) => Err(error),
            };
            if done.is_err() {
                $steps.conn.rollback().await;
            }
            done
        });
        $store.noted(task.await.unwrap_or_else(|error| Err($crate::defect(&error))))
    }};
}
pub(crate) use transact;

/// Write access.
#[derive(Clone, Debug)]
pub(crate) enum Writers {
    /// The single writer of a file, and what it caches.
    Sqlite(Arc<Mutex<Writer>>, Arc<FileState>, Memory),
    /// Connections to a server, and what its writers cache.
    Mysql(Server, Memory),
}

/// A writer, for one write.
pub(crate) enum Held {
    Sqlite(OwnedMutexGuard<Writer>),
    Mysql(Box<Writer>),
}

impl Deref for Held {
    type Target = Writer;

    fn deref(&self) -> &Writer {
        match self {
            Held::Sqlite(writer) => writer,
            Held::Mysql(writer) => writer,
        }
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut Writer {
        match self {
            Held::Sqlite(writer) => writer,
            Held::Mysql(writer) => writer,
        }
    }
}

impl Writers {
    /// What all writers cache.
    pub(crate) fn memory(&self) -> &Memory {
        match self {
            Writers::Sqlite(.., memory) | Writers::Mysql(_, memory) => memory,
        }
    }

    /// Waits for a writer. On a server its transaction is already open.
    pub(crate) fn hold(&self) -> Boxed<'_, Result<Held>> {
        Box::pin(async move {
            match self {
                Writers::Sqlite(writer, file, _) => {
                    // A caller queued behind one that waits for a lock waits no longer than it.
                    tokio::select! {
                        biased;
                        held = Arc::clone(writer).lock_owned() => Ok(Held::Sqlite(held)),
                        () = file.lock.outlasts() => Err(StoreError::held()),
                    }
                }
                Writers::Mysql(server, memory) => {
                    let link = server.begin().await.map_err(StoreError::server("begin"))?;
                    Ok(Held::Mysql(Box::new(Writer::new(Conn::Mysql(link), memory.clone()))))
                }
            }
        })
    }

    /// A writer that resolves a commit. On a server it is a new connection, so that the state of
    /// the old one cannot affect the answer.
    pub(crate) fn hold_new(&self) -> Boxed<'_, Result<Held>> {
        Box::pin(async move {
            match self {
                Writers::Sqlite(..) => self.hold().await,
                Writers::Mysql(server, memory) => {
                    let link = server.connect().await.map_err(StoreError::server("connect"))?;
                    Ok(Held::Mysql(Box::new(Writer::new(Conn::Mysql(link), memory.clone()))))
                }
            }
        })
    }

    /// Why a server refuses writes at present; `None` for a file.
    pub(crate) fn takes_no_writes(&self) -> Option<&'static str> {
        match self {
            Writers::Sqlite(..) => None,
            Writers::Mysql(server, _) => {
                server.is_read_only().then_some("the server of the ledger is read-only")
            }
        }
    }

    pub(crate) async fn close(&self) {
        match self {
            Writers::Sqlite(writer, ..) => {
                let Conn::Sqlite(file) = &mut writer.lock().await.steps.conn else { return };
                if let Err(error) = file.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").await {
                    tracing::warn!(%error, "ledger was not closed cleanly");
                }
            }
            Writers::Mysql(server, _) => server.close().await,
        }
    }
}

/// Probes the ledger's file every second until its writer is dropped, so that a foreign lock is
/// known before the next write.
pub(crate) async fn watch_file(writer: Weak<Mutex<Writer>>, fatal: watch::Sender<bool>) {
    loop {
        tokio::time::sleep(LOCK_PROBE_EVERY).await;
        let Some(writer) = writer.upgrade() else { return };
        // A write in progress notices by itself.
        let Ok(mut held) = writer.try_lock() else { continue };
        let Conn::Sqlite(file) = &mut held.steps.conn else { return };
        match file.probe().await {
            Err(error) if error.is_fatal() && !fatal.send_replace(true) => {
                tracing::error!(%error, "ledger failed");
            }
            _ => {}
        }
    }
}

/// Read access.
#[derive(Debug)]
pub(crate) enum Readers {
    Sqlite(SqlitePool),
    Mysql(Server),
}

impl Readers {
    /// A connection with a read transaction begun.
    pub(crate) fn begin(&self) -> Boxed<'_, Result<Conn>> {
        Box::pin(async move {
            const ACTION: &str = "begin to read";
            match self {
                Readers::Sqlite(pool) => {
                    Ok(Conn::SqliteRead(pool.begin().await.map_err(StoreError::sql(ACTION))?))
                }
                Readers::Mysql(server) => {
                    Ok(Conn::Mysql(server.begin().await.map_err(StoreError::server(ACTION))?))
                }
            }
        })
    }

    pub(crate) async fn close(&self) {
        match self {
            Readers::Sqlite(pool) => pool.close().await,
            Readers::Mysql(server) => server.close().await,
        }
    }
}
