//! Open connections, as gateways report them.

use crate::error::Result;
use crate::sql::Conn;

/// A gateway's report of its open connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionsRow {
    /// Id of the reporting gateway.
    pub gateway: String,
    /// Code of the namespace.
    pub namespace: String,
    /// Number of open connections.
    pub active: i64,
    /// When it was measured, microseconds since the epoch.
    pub seen_us: i64,
}

/// Stores the newest report of each gateway and namespace.
pub(crate) async fn put_connections(conn: &mut Conn, rows: &[ConnectionsRow]) -> Result<()> {
    let backend = conn.backend();
    // A server assigns from left to right: the time comes last, because the rest depends on it.
    let sql = backend.text(
        "INSERT INTO connections (gateway, namespace, active, seen_us) VALUES (?, ?, ?, ?) \
         ON CONFLICT (gateway, namespace) \
         DO UPDATE SET active = excluded.active, seen_us = excluded.seen_us \
         WHERE excluded.seen_us >= seen_us",
        "INSERT INTO connections (gateway, namespace, active, seen_us) VALUES (?, ?, ?, ?) \
         ON DUPLICATE KEY UPDATE \
         active = IF(VALUES(seen_us) >= seen_us, VALUES(active), active), \
         seen_us = GREATEST(seen_us, VALUES(seen_us))",
    );
    let mut sorted: Vec<&ConnectionsRow> = rows.iter().collect();
    sorted.sort_by_key(|row| (&row.gateway, &row.namespace));
    for row in sorted {
        let query = backend.query(sql).bind(&row.gateway).bind(&row.namespace);
        conn.execute(query.bind(row.active).bind(row.seen_us), "keep connections").await?;
    }
    Ok(())
}
