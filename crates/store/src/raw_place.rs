//! Progress of consumer groups in raw topics, with the topic id: a topic that was deleted and
//! recreated is detected even if ingest was down meanwhile, and exactly one process reports what
//! was not read of the old one.
//!
//! Progress only grows while the topic id stays the same. A process that finds another id under the
//! name settles the old progress: the first one gets the last known offsets, every later one gets
//! nothing. Where reading resumes is not decided here, but by the offset commit in Kafka. Of the
//! log's own topic the aggregator stores only the id.

use clock::Wall;

use crate::error::Result;
use crate::read::Reader;
use crate::rows::{get, number, signed};
use crate::sql::{Conn, Row};

/// Progress in one partition of a raw topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawPlace {
    /// Topic.
    pub topic: String,
    /// The id of the topic, as Kafka's tools write it; empty if it is not known.
    pub topic_id: String,
    /// Partition.
    pub partition: u32,
    /// Offset below which every message is done.
    pub next: u64,
    /// The next offset to be written, as last seen; not below `next`.
    pub high: u64,
}

impl RawPlace {
    /// Messages that existed and are not done.
    #[must_use]
    pub fn unread(&self) -> u64 {
        self.high.saturating_sub(self.next)
    }
}

/// What a process knows of the progress in a topic that no longer exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// It read the partition to its end.
    Read(RawPlace),
    /// It has only seen the partition, or read it once: another may know better.
    Seen(RawPlace),
}

/// Last known progress in a topic that no longer exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Last known progress.
    pub place: RawPlace,
}

impl Reader {
    /// The topic id under which a consumer group has read a partition, if known.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn topic_id(
        &mut self,
        reader: &str,
        topic: &str,
        partition: u32,
    ) -> Result<Option<String>> {
        let sql = "SELECT topic_id FROM raw_place \
                   WHERE reader = ? AND topic = ? AND `partition` = ?";
        let query = self.conn.query(sql).bind(reader).bind(topic).bind(partition);
        let row = self.conn.fetch_optional(query, "read the id of a topic").await?;
        row.as_ref().map(|row| get(row, 0)).transpose()
    }
}

/// Stores progress. A row with another topic id is left unchanged: it must be settled first.
pub(crate) async fn put(
    conn: &mut Conn,
    reader: &str,
    places: &[RawPlace],
    now: Wall,
) -> Result<()> {
    const ACTION: &str = "keep a place in a raw topic";
    let backend = conn.backend();
    let sql = backend.text(
        "INSERT INTO raw_place (reader, topic, `partition`, topic_id, next, high, seen_us) \
         VALUES (?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (reader, topic, partition) DO UPDATE SET \
         high = max(high, excluded.high), next = max(next, excluded.next), \
         seen_us = excluded.seen_us WHERE topic_id = excluded.topic_id",
        "INSERT INTO raw_place (reader, topic, `partition`, topic_id, next, high, seen_us) \
         VALUES (?, ?, ?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE \
         high = IF(topic_id = VALUES(topic_id), GREATEST(high, VALUES(high)), high), \
         next = IF(topic_id = VALUES(topic_id), GREATEST(next, VALUES(next)), next), \
         seen_us = IF(topic_id = VALUES(topic_id), VALUES(seen_us), seen_us)",
    );
    for place in places {
        let query = backend
            .query(sql)
            .bind(reader)
            .bind(&place.topic)
            .bind(place.partition)
            .bind(&place.topic_id)
            .bind(signed(place.next)?)
            .bind(signed(place.high.max(place.next))?)
            .bind(now.as_us());
        conn.execute(query, ACTION).await?;
    }
    Ok(())
}

/// Stores progress where the row has the same topic id: for another id, or without a row, something
/// may have to be settled first.
pub(crate) async fn put_known(
    conn: &mut Conn,
    reader: &str,
    places: &[RawPlace],
    now: Wall,
) -> Result<()> {
    let sql = conn.backend().text(
        "UPDATE raw_place SET high = max(high, ?), next = max(next, ?), seen_us = ? \
         WHERE reader = ? AND topic = ? AND partition = ? AND topic_id = ?",
        "UPDATE raw_place SET high = GREATEST(high, ?), next = GREATEST(next, ?), seen_us = ? \
         WHERE reader = ? AND topic = ? AND `partition` = ? AND topic_id = ?",
    );
    for place in places {
        let query = conn
            .query(sql)
            .bind(signed(place.high.max(place.next))?)
            .bind(signed(place.next)?)
            .bind(now.as_us())
            .bind(reader)
            .bind(&place.topic)
            .bind(place.partition)
            .bind(&place.topic_id);
        conn.execute(query, "keep a place in a raw topic").await?;
    }
    Ok(())
}

/// Stores progress, and `known` where the row has the same topic id.
pub(crate) async fn put_all(
    conn: &mut Conn,
    reader: &str,
    places: &[RawPlace],
    known: &[RawPlace],
    now: Wall,
) -> Result<()> {
    put(conn, reader, places, now).await?;
    put_known(conn, reader, known, now).await
}

/// Settles one partition, whose topic name now belongs to `topic_id`. Returns the last known
/// progress, unless it was settled before.
pub(crate) async fn settle(
    conn: &mut Conn,
    reader: &str,
    known: &Known,
    topic_id: &str,
    now: Wall,
) -> Result<Option<Settled>> {
    let (Known::Read(own) | Known::Seen(own)) = known;
    let Some(row) = row_of(conn, reader, own).await? else {
        let is_first = begun(conn, reader, own, topic_id, now).await?;
        return Ok(is_first.then(|| Settled { place: own.clone() }));
    };
    if matches!(known, Known::Seen(_)) && row.topic_id != own.topic_id {
        // Another process has reported it, or will report what the ledger has.
        return Ok(None);
    }
    if row.topic_id == topic_id || !taken(conn, reader, &row, topic_id, now).await? {
        return Ok(None);
    }
    let mut place = own.clone();
    if row.topic_id == own.topic_id {
        place.next = place.next.max(row.next);
        place.high = place.high.max(row.high);
    } else {
        // A topic that was created and deleted before any process could settle it.
        place.high += row.unread();
    }
    Ok(Some(Settled { place }))
}

/// The stored progress of a partition.
async fn row_of(conn: &mut Conn, reader: &str, known: &RawPlace) -> Result<Option<RawPlace>> {
    let sql = "SELECT topic, topic_id, `partition`, next, high FROM raw_place \
               WHERE reader = ? AND topic = ? AND `partition` = ?";
    let query = conn.query(sql).bind(reader).bind(&known.topic).bind(known.partition);
    let row = conn.fetch_optional(query, "read a place in a raw topic").await?;
    row.as_ref().map(place).transpose()
}

/// Inserts the first progress of a partition; false if another process was faster.
async fn begun(
    conn: &mut Conn,
    reader: &str,
    known: &RawPlace,
    topic_id: &str,
    now: Wall,
) -> Result<bool> {
    // An existing row must not count as changed.
    let sql = conn.backend().text(
        "INSERT INTO raw_place (reader, topic, `partition`, topic_id, next, high, seen_us) \
         VALUES (?, ?, ?, ?, 0, 0, ?) ON CONFLICT DO NOTHING",
        "INSERT IGNORE INTO raw_place (reader, topic, `partition`, topic_id, next, high, seen_us) \
         VALUES (?, ?, ?, ?, 0, 0, ?)",
    );
    let query = conn
        .query(sql)
        .bind(reader)
        .bind(&known.topic)
        .bind(known.partition)
        .bind(topic_id)
        .bind(now.as_us());
    Ok(conn.execute(query, "begin a place in a raw topic").await?.rows == 1)
}

/// Settles every unreported partition of a topic name that now belongs to `topic_id`.
pub(crate) async fn settle_rest(
    conn: &mut Conn,
    reader: &str,
    topic: &str,
    topic_id: &str,
    now: Wall,
) -> Result<Vec<Settled>> {
    const ACTION: &str = "settle the places in a raw topic";
    let backend = conn.backend();
    let sql = "SELECT topic, topic_id, `partition`, next, high FROM raw_place \
               WHERE reader = ? AND topic = ? AND topic_id <> ?";
    let query = backend.query(sql).bind(reader).bind(topic).bind(topic_id);
    let mut settled = Vec::new();
    for row in conn.fetch_all(query, ACTION).await? {
        let place = place(&row)?;
        if taken(conn, reader, &place, topic_id, now).await? && !place.topic_id.is_empty() {
            settled.push(Settled { place });
        }
    }
    Ok(settled)
}

/// Restarts the progress under another topic id; false if another process was faster.
async fn taken(
    conn: &mut Conn,
    reader: &str,
    old: &RawPlace,
    topic_id: &str,
    now: Wall,
) -> Result<bool> {
    let sql = "UPDATE raw_place SET topic_id = ?, next = 0, high = 0, seen_us = ? \
               WHERE reader = ? AND topic = ? AND `partition` = ? AND topic_id = ?";
    let query = conn
        .query(sql)
        .bind(topic_id)
        .bind(now.as_us())
        .bind(reader)
        .bind(&old.topic)
        .bind(old.partition)
        .bind(&old.topic_id);
    Ok(conn.execute(query, "settle a place in a raw topic").await?.rows == 1)
}

fn place(row: &Row) -> Result<RawPlace> {
    Ok(RawPlace {
        topic: get(row, 0)?,
        topic_id: get(row, 1)?,
        partition: number(row, 2, "partition")?,
        next: number(row, 3, "offset")?,
        high: number(row, 4, "offset")?,
    })
}
