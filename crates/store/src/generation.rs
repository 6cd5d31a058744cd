//! Generations of the log: created once, by the process that starts first, and read by all.

use event::Secret;
use ledger::window::Window;

use crate::error::{Result, StoreError};
use crate::rows::{bytes, get, number};
use crate::sql::Conn;

/// A generation of the log: created once, never changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Number of the generation.
    pub generation: u32,
    /// Partitions of the log.
    pub partitions: u32,
    /// Keys the hash of ids.
    pub secret: Secret,
    /// Admission and memory.
    pub window: Window,
}

/// Reads a generation, or creates it. If another process creates it first, that one wins.
pub(crate) async fn make(conn: &mut Conn, generation: u32, partitions: u32) -> Result<Generation> {
    if let Some(found) = read(conn, generation).await? {
        return Ok(found);
    }
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| StoreError::Fatal {
        reason: format!("no random numbers for the secret of the log: {error}"),
    })?;
    let window = Window::default();
    let backend = conn.backend();
    let sql = backend.text(
        "INSERT INTO generation (generation, partitions, secret, past_us, ahead_us, keep_us) \
         VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        "INSERT INTO generation (generation, partitions, secret, past_us, ahead_us, keep_us) \
         VALUES (?, ?, ?, ?, ?, ?) \
         ON DUPLICATE KEY UPDATE generation = generation",
    );
    let query = backend
        .query(sql)
        .bind(generation)
        .bind(partitions)
        .bind(secret.to_vec())
        .bind(window.past_us)
        .bind(window.ahead_us)
        .bind(window.keep_us);
    conn.execute(query, "make a generation").await?;
    read(conn, generation)
        .await?
        .ok_or_else(|| StoreError::Fatal { reason: "a new generation has no row".to_owned() })
}

/// Reads a generation; `None` if it does not exist.
pub(crate) async fn read(conn: &mut Conn, generation: u32) -> Result<Option<Generation>> {
    let sql = "SELECT partitions, secret, past_us, ahead_us, keep_us FROM generation \
               WHERE generation = ?";
    let query = conn.query(sql).bind(generation);
    let Some(row) = conn.fetch_optional(query, "read a generation").await? else {
        return Ok(None);
    };
    let window = Window { past_us: get(&row, 2)?, ahead_us: get(&row, 3)?, keep_us: get(&row, 4)? };
    if !window.is_sound() {
        return Err(StoreError::Fatal { reason: "the window of the log is not sound".to_owned() });
    }
    Ok(Some(Generation {
        generation,
        partitions: number(&row, 0, "number of partitions")?,
        secret: Secret(bytes(&row, 1)?),
        window,
    }))
}
