//! Who may write and who may read: one writer of a file, or several connections to a server.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use sqlx::Executor;
use sqlx::sqlite::SqlitePool;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::error::{Result, StoreError};
use crate::server::Server;
use crate::sql::Conn;
use crate::write::{Memory, Writer};

/// The way to write.
#[derive(Clone, Debug)]
pub(crate) enum Writers {
    /// The one writer of a file.
    Sqlite(Arc<Mutex<Writer>>),
    /// Connections to a server, and what they share.
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
    /// Waits for a writer. One of a server has its transaction open.
    pub(crate) async fn hold(&self) -> Result<Held> {
        match self {
            Writers::Sqlite(writer) => Ok(Held::Sqlite(Arc::clone(writer).lock_owned().await)),
            Writers::Mysql(server, memory) => {
                let link = server.begin().await.map_err(StoreError::server("begin"))?;
                Ok(Held::Mysql(Box::new(Writer::new(Conn::Mysql(link), memory.clone()))))
            }
        }
    }

    /// A writer that looks a commit up: on a server a new connection, for whatever became of the
    /// old one must not disturb the answer.
    pub(crate) async fn hold_new(&self) -> Result<Held> {
        match self {
            Writers::Sqlite(_) => self.hold().await,
            Writers::Mysql(server, memory) => {
                let link = server.connect().await.map_err(StoreError::server("connect"))?;
                Ok(Held::Mysql(Box::new(Writer::new(Conn::Mysql(link), memory.clone()))))
            }
        }
    }

    pub(crate) async fn close(&self) {
        match self {
            Writers::Sqlite(writer) => {
                let Conn::Sqlite(conn) = &mut writer.lock().await.steps.conn else { return };
                if let Err(error) = conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").await {
                    tracing::warn!(%error, "ledger was not closed cleanly");
                }
            }
            Writers::Mysql(server, _) => server.close().await,
        }
    }
}

/// The way to read.
#[derive(Debug)]
pub(crate) enum Readers {
    Sqlite(SqlitePool),
    Mysql(Server),
}

impl Readers {
    /// A connection with a read transaction begun.
    pub(crate) async fn begin(&self) -> Result<Conn> {
        const ACTION: &str = "begin to read";
        match self {
            Readers::Sqlite(pool) => {
                Ok(Conn::SqliteRead(pool.begin().await.map_err(StoreError::sql(ACTION))?))
            }
            Readers::Mysql(server) => {
                Ok(Conn::Mysql(server.begin().await.map_err(StoreError::server(ACTION))?))
            }
        }
    }

    pub(crate) async fn close(&self) {
        match self {
            Readers::Sqlite(pool) => pool.close().await,
            Readers::Mysql(server) => server.close().await,
        }
    }
}
