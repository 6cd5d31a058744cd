//! How far groups of readers have come in raw topics, and in which topic: so that one that was
//! deleted and made anew is noticed whoever was down meanwhile, and what was not read of the old
//! one is told by one process alone.
//!
//! A place only grows while its topic is the same. Whoever finds that the name stands for another
//! topic settles the place: the first one who does hears what the place was, and everybody else
//! hears nothing. Nothing here says where reading goes on: that is Kafka's. Of the log's own topic
//! the aggregator keeps the id alone.

use crate::error::Result;
use crate::read::Reader;
use crate::rows::{get, number, signed};
use crate::sql::{Conn, Row};

/// How far a partition of a raw topic was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawPlace {
    /// Its topic.
    pub topic: String,
    /// The id of the topic, as Kafka's tools write it; empty if it is not known.
    pub topic_id: String,
    /// Its partition.
    pub partition: u32,
    /// Offset before which everything is done with.
    pub next: u64,
    /// The next offset to be written, as last seen; not below `next`.
    pub high: u64,
}

impl RawPlace {
    /// Messages that were there and are not done with.
    #[must_use]
    pub fn unread(&self) -> u64 {
        self.high.saturating_sub(self.next)
    }
}

/// What a process knows of a place in a topic that is no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// It read the partition to its end.
    Read(RawPlace),
    /// It has only seen the partition, or read it once: another may know better.
    Seen(RawPlace),
}

/// A place of a topic that is no more, as it was last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The place.
    pub place: RawPlace,
}

impl Reader {
    /// The id of the topic that a group of readers has read a partition of, if that is known.
    ///
    /// # Errors
    /// As every read.
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

/// Keeps places. One of another topic than the row has changes nothing: it must be settled first.
pub(crate) async fn put(
    conn: &mut Conn,
    reader: &str,
    places: &[RawPlace],
    now_us: i64,
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
            .bind(now_us);
        conn.execute(query, ACTION).await?;
    }
    Ok(())
}

/// Keeps places of which the ledger knows the same topic already: one of another topic, or that is
/// new, may have to be settled first.
pub(crate) async fn put_known(
    conn: &mut Conn,
    reader: &str,
    places: &[RawPlace],
    now_us: i64,
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
            .bind(now_us)
            .bind(reader)
            .bind(&place.topic)
            .bind(place.partition)
            .bind(&place.topic_id);
        conn.execute(query, "keep a place in a raw topic").await?;
    }
    Ok(())
}

/// Keeps places, and those of which the ledger knows the same topic.
pub(crate) async fn put_all(
    conn: &mut Conn,
    reader: &str,
    places: &[RawPlace],
    known: &[RawPlace],
    now_us: i64,
) -> Result<()> {
    put(conn, reader, places, now_us).await?;
    put_known(conn, reader, known, now_us).await
}

/// Settles the place of one partition: the name stands for `topic_id` now. Gives what the place
/// was, if nobody has settled it before.
pub(crate) async fn settle(
    conn: &mut Conn,
    reader: &str,
    known: &Known,
    topic_id: &str,
    now_us: i64,
) -> Result<Option<Settled>> {
    let (Known::Read(own) | Known::Seen(own)) = known;
    let Some(row) = row_of(conn, reader, own).await? else {
        let is_first = begun(conn, reader, own, topic_id, now_us).await?;
        return Ok(is_first.then(|| Settled { place: own.clone() }));
    };
    if matches!(known, Known::Seen(_)) && row.topic_id != own.topic_id {
        // Somebody has told of it, or will tell of what the ledger has.
        return Ok(None);
    }
    if row.topic_id == topic_id || !taken(conn, reader, &row, topic_id, now_us).await? {
        return Ok(None);
    }
    let mut place = own.clone();
    if row.topic_id == own.topic_id {
        place.next = place.next.max(row.next);
        place.high = place.high.max(row.high);
    } else {
        // A topic that came and went while nobody could settle it.
        place.high += row.unread();
    }
    Ok(Some(Settled { place }))
}

/// What the ledger knows of the partition of a place.
async fn row_of(conn: &mut Conn, reader: &str, known: &RawPlace) -> Result<Option<RawPlace>> {
    let sql = "SELECT topic, topic_id, `partition`, next, high FROM raw_place \
               WHERE reader = ? AND topic = ? AND `partition` = ?";
    let query = conn.query(sql).bind(reader).bind(&known.topic).bind(known.partition);
    let row = conn.fetch_optional(query, "read a place in a raw topic").await?;
    row.as_ref().map(place).transpose()
}

/// Begins the place of a partition of which the ledger knows nothing; false if somebody was faster.
async fn begun(
    conn: &mut Conn,
    reader: &str,
    known: &RawPlace,
    topic_id: &str,
    now_us: i64,
) -> Result<bool> {
    // One that is there must not count as a row that was changed.
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
        .bind(now_us);
    Ok(conn.execute(query, "begin a place in a raw topic").await?.rows == 1)
}

/// Settles every place of a topic of which nobody has told: the name stands for `topic_id` now.
pub(crate) async fn settle_rest(
    conn: &mut Conn,
    reader: &str,
    topic: &str,
    topic_id: &str,
    now_us: i64,
) -> Result<Vec<Settled>> {
    const ACTION: &str = "settle the places in a raw topic";
    let backend = conn.backend();
    let sql = "SELECT topic, topic_id, `partition`, next, high FROM raw_place \
               WHERE reader = ? AND topic = ? AND topic_id <> ?";
    let query = backend.query(sql).bind(reader).bind(topic).bind(topic_id);
    let mut settled = Vec::new();
    for row in conn.fetch_all(query, ACTION).await? {
        let place = place(&row)?;
        if taken(conn, reader, &place, topic_id, now_us).await? && !place.topic_id.is_empty() {
            settled.push(Settled { place });
        }
    }
    Ok(settled)
}

/// Begins the place anew in another topic; false if somebody was faster.
async fn taken(
    conn: &mut Conn,
    reader: &str,
    old: &RawPlace,
    topic_id: &str,
    now_us: i64,
) -> Result<bool> {
    let sql = "UPDATE raw_place SET topic_id = ?, next = 0, high = 0, seen_us = ? \
               WHERE reader = ? AND topic = ? AND `partition` = ? AND topic_id = ?";
    let query = conn
        .query(sql)
        .bind(topic_id)
        .bind(now_us)
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
