//! Backpressure: the dedup set of an aggregator is full.

use clock::Wall;

use crate::Store;
use crate::error::Result;
use crate::sql::Conn;

/// How long an aggregator's report of a full dedup set is valid, microseconds: it is renewed every
/// second, and the clocks of two machines may differ by some seconds.
const PRESSURE_US: i64 = 10 * 1_000_000;

/// Records that the dedup set of an aggregator is full.
pub(crate) async fn put(conn: &mut Conn, now: Wall) -> Result<()> {
    let backend = conn.backend();
    let sql = backend.text(
        "INSERT INTO pressure (one, seen_us) VALUES (1, ?) ON CONFLICT (one) \
         DO UPDATE SET seen_us = max(seen_us, excluded.seen_us)",
        "INSERT INTO pressure (one, seen_us) VALUES (1, ?) ON DUPLICATE KEY UPDATE \
         seen_us = GREATEST(seen_us, VALUES(seen_us))",
    );
    conn.execute(backend.query(sql).bind(now.as_us()), "note that memory is short")
        .await
        .map(|_| ())
}

impl Store {
    /// Whether an aggregator reported a full dedup set within the last seconds.
    ///
    /// # Errors
    /// See [`crate::Reader`].
    pub async fn under_pressure(&self, now: Wall) -> Result<bool> {
        let seen_us = self.read().await?.pressure_seen_us().await?;
        Ok(seen_us.is_some_and(|seen_us| now.as_us() - seen_us < PRESSURE_US))
    }
}
