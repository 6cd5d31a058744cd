//! Backpressure: the dedup set of an aggregator is full.

use clock::Wall;

use crate::error::Result;
use crate::sql::Conn;

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
