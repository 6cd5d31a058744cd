//! Access keys, as hashes.

use clock::Wall;

use crate::error::Result;
use crate::read::Reader;
use crate::rows::{bytes, get};
use crate::sql::Conn;

/// A stored key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// The source that its events belong to.
    pub source: String,
    /// SHA-256 of the key.
    pub sha256: [u8; 32],
}

/// Stores the hash of a key.
pub(crate) async fn put_key(
    conn: &mut Conn,
    role: &str,
    source: &str,
    sha256: [u8; 32],
    now: Wall,
) -> Result<()> {
    let backend = conn.backend();
    let sql = backend.text(
        "INSERT INTO access_key (role, source, sha256, created_us) VALUES (?, ?, ?, ?) \
         ON CONFLICT DO NOTHING",
        "INSERT INTO access_key (role, source, sha256, created_us) VALUES (?, ?, ?, ?) \
         ON DUPLICATE KEY UPDATE source = source",
    );
    let query = backend.query(sql).bind(role).bind(source).bind(sha256.to_vec()).bind(now.as_us());
    conn.execute(query, "store a key").await.map(|_| ())
}

impl Reader {
    /// Keys of a role, oldest first: if several processes created one at the first start, all use
    /// the oldest.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn keys(&mut self, role: &str) -> Result<Vec<KeyRow>> {
        let sql =
            "SELECT source, sha256 FROM access_key WHERE role = ? ORDER BY created_us, sha256";
        let rows = self.rows(self.conn.query(sql).bind(role)).await?;
        rows.iter().map(|row| Ok(KeyRow { source: get(row, 0)?, sha256: bytes(row, 1)? })).collect()
    }
}
