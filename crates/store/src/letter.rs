//! Dead letters: those of the log for inspection, and those of raw topics as ingest reports them.
//!
//! The aggregator writes the events that it read and did not count, in the commit that moves past
//! them. A message of a raw topic that ingest rejected has no offset in the log: its address is its
//! own topic, partition and offset, and its content stays in the topic. Both kinds are capped per
//! hour; beyond the cap only addresses and counts are kept.

use clock::Wall;
use ledger::commit::{Commit, DeadLetter, Owner};
use sqlx::AssertSqlSafe;

use crate::error::Result;
use crate::many::{marks, pieces, rows_max};
use crate::read::Reader;
use crate::rows::{get, number, signed};
use crate::sql::{Conn, Row};
use crate::steps::Steps;

/// Longest reason that is kept, in bytes.
const REASON_BYTES_MAX: usize = 255;
const HOUR_US: i64 = 3_600 * 1_000_000;
/// Most letters of a commit in one statement: if each has the longest content, that is 2 MiB, and a
/// server may refuse a statement of more than 16.
const LETTERS_MAX: usize = 32;

/// A message of a raw topic, or an event in it, that was rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawLetter {
    /// Topic of the message.
    pub topic: String,
    /// The id of the topic, as Kafka's tools write it; empty if it is not known.
    pub topic_id: String,
    /// Partition of the topic.
    pub partition: u32,
    /// Offset of the message.
    pub offset: u64,
    /// Index of the event in the message; 0 for a message as a whole.
    pub idx: u32,
    /// Offset of the last message that this row stands for: the same but beyond the hour's cap.
    pub until: u64,
    /// How many events or messages this row stands for: 1 but beyond the hour's cap.
    pub n: u32,
    /// Kind of the fault, a stable identifier.
    pub kind: String,
    /// Path of the field at fault; empty for the event or message as a whole.
    pub field: String,
    /// Description of the fault, human-readable.
    pub reason: String,
    /// Id of the event, if one could be read.
    pub event_id: Option<String>,
    /// When it was stored, microseconds since the epoch; set by the store.
    pub stored_us: i64,
}

/// An event of the log that was not counted, or a copy that contradicts the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLetter {
    /// Generation of the log.
    pub generation: u32,
    /// Partition of the log.
    pub partition: u32,
    /// Offset of the frame.
    pub offset: u64,
    /// Index of the event in the frame.
    pub idx: u32,
    /// How many events this row stands for.
    pub n: u32,
    /// Verdict, as `gatemeter_events_total` names it; `duplicate` for a conflict.
    pub class: String,
    /// Reason: a word or a short sentence.
    pub reason: String,
    /// Time of the event, microseconds, where it could be read.
    pub time_us: Option<i64>,
    /// Tenant, where it could be read.
    pub namespace: Option<String>,
    /// The event as a frame of its own, or the record that could not be read, cut.
    pub content: Option<Vec<u8>>,
    /// When it was stored, microseconds since the epoch.
    pub stored_us: i64,
}

/// Which dead letters are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LetterFilter {
    /// Only those of this class, or of this kind.
    pub word: Option<String>,
    /// Only those stored at or after this, microseconds since the epoch.
    pub since_us: i64,
    /// At most `n`, the newest first.
    pub limit: i64,
}

/// Stores the letters of all parts of a commit, in the commit's transaction.
pub(crate) async fn keep(steps: &mut Steps, commit: &Commit, now: Wall) -> Result<()> {
    const COLUMNS: &str = "generation, `partition`, at, idx, n, class, reason, time_us, \
        namespace, content, clock_us, stored_us, commit_id";
    const N_COLUMNS: usize = 13;
    let of_part = commit.parts.iter().map(|part| (&part.owner, &part.letters));
    let letters: Vec<(&Owner, &DeadLetter)> = of_part
        .flat_map(|(owner, letters)| letters.iter().map(move |letter| (owner, letter)))
        .collect();
    let backend = steps.backend();
    for piece in pieces(&letters, rows_max(backend, N_COLUMNS).min(LETTERS_MAX)) {
        let marks = marks(piece.len(), N_COLUMNS);
        let sql = format!("INSERT INTO dead_letter ({COLUMNS}) VALUES {marks}");
        let mut query = backend.query(AssertSqlSafe(sql));
        for (owner, letter) in piece {
            query = query
                .bind(owner.generation)
                .bind(owner.partition)
                .bind(signed(letter.offset)?)
                .bind(letter.idx)
                .bind(letter.n)
                .bind(letter.class.word())
                .bind(letter.reason)
                .bind(letter.time_us)
                .bind(letter.namespace.as_deref())
                .bind(letter.content.as_deref())
                .bind(letter.clock_us)
                .bind(now.as_us())
                .bind(commit.id.0.to_vec());
        }
        steps.run(query, "keep a dead letter").await?;
    }
    Ok(())
}

/// Stores letters of raw topics; existing rows are left unchanged. Beyond `hour_max` rows an hour,
/// letters of the same topic, partition and kind become one row.
pub(crate) async fn put_raw(
    conn: &mut Conn,
    letters: &[RawLetter],
    hour_max: i64,
    now: Wall,
) -> Result<()> {
    const ACTION: &str = "keep a dead letter";
    let hour_us = now.as_us().div_euclid(HOUR_US) * HOUR_US;
    let sql = "SELECT count(*) FROM raw_letter WHERE stored_us >= ?";
    let row = conn.fetch_one(conn.query(sql).bind(hour_us), ACTION).await?;
    let room = usize::try_from(hour_max.saturating_sub(get(&row, 0)?)).unwrap_or(0);
    let (whole, rest) = letters.split_at(room.min(letters.len()));
    let backend = conn.backend();
    let sql = backend.text(
        "INSERT INTO raw_letter (topic, topic_id, `partition`, at, idx, until, n, kind, field, \
         reason, event_id, stored_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT DO NOTHING",
        "INSERT INTO raw_letter (topic, topic_id, `partition`, at, idx, until, n, kind, field, \
         reason, event_id, stored_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
         ON DUPLICATE KEY UPDATE n = n",
    );
    for letter in whole.iter().chain(&merged(rest)) {
        let query = backend
            .query(sql)
            .bind(&letter.topic)
            .bind(&letter.topic_id)
            .bind(letter.partition)
            .bind(signed(letter.offset)?)
            .bind(letter.idx)
            .bind(signed(letter.until)?)
            .bind(letter.n)
            .bind(&letter.kind)
            .bind(&letter.field)
            .bind(cut(&letter.reason))
            .bind(letter.event_id.as_deref())
            .bind(now.as_us());
        conn.execute(query, ACTION).await?;
    }
    Ok(())
}

/// Merges letters into addresses and counts.
fn merged(letters: &[RawLetter]) -> Vec<RawLetter> {
    let mut merged: Vec<RawLetter> = Vec::new();
    for letter in letters {
        let same = merged.iter_mut().find(|other| {
            (&other.topic, &other.topic_id, other.partition, &other.kind)
                == (&letter.topic, &letter.topic_id, letter.partition, &letter.kind)
        });
        match same {
            Some(other) => {
                other.until = other.until.max(letter.until);
                other.n = other.n.saturating_add(letter.n);
            }
            None => merged.push(RawLetter {
                field: String::new(),
                reason: String::new(),
                event_id: None,
                ..letter.clone()
            }),
        }
    }
    merged
}

/// A text, truncated to the stored length.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(REASON_BYTES_MAX)]
}

impl Reader {
    /// Letters of raw topics, the newest first.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn raw_letters(&mut self, filter: &LetterFilter) -> Result<Vec<RawLetter>> {
        let sql = "SELECT topic, topic_id, `partition`, at, idx, until, n, kind, field, reason, \
                   event_id, stored_us FROM raw_letter \
                   WHERE stored_us >= ? AND (? IS NULL OR kind = ?) \
                   ORDER BY stored_us DESC, topic, `partition`, at DESC, idx LIMIT ?";
        let word = filter.word.as_deref();
        let query = self.conn.query(sql).bind(filter.since_us).bind(word).bind(word);
        self.rows(query.bind(filter.limit)).await?.iter().map(raw_letter).collect()
    }

    /// Letters of the log, the newest first; without their content.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn log_letters(&mut self, filter: &LetterFilter) -> Result<Vec<LogLetter>> {
        let sql = "SELECT generation, `partition`, at, idx, n, class, reason, time_us, namespace, \
                   NULL, stored_us FROM dead_letter WHERE stored_us >= ? \
                   AND (? IS NULL OR class = ?) \
                   ORDER BY stored_us DESC, `partition`, at DESC, idx LIMIT ?";
        let word = filter.word.as_deref();
        let query = self.conn.query(sql).bind(filter.since_us).bind(word).bind(word);
        self.rows(query.bind(filter.limit)).await?.iter().map(log_letter).collect()
    }

    /// The letter of an event of the log, with its content.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn log_letter(
        &mut self,
        generation: u32,
        partition: u32,
        offset: u64,
        idx: u32,
    ) -> Result<Option<LogLetter>> {
        let sql = "SELECT generation, `partition`, at, idx, n, class, reason, time_us, namespace, \
                   content, stored_us FROM dead_letter \
                   WHERE generation = ? AND `partition` = ? AND at = ? AND idx = ?";
        let query = self.conn.query(sql).bind(generation).bind(partition);
        let rows = self.rows(query.bind(signed(offset)?).bind(idx)).await?;
        rows.first().map(log_letter).transpose()
    }

    /// The letters of a message of a raw topic, by index. Without the id of the topic, those of
    /// every topic that had the name, the newest first.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn raw_letters_at(
        &mut self,
        topic: &str,
        topic_id: Option<&str>,
        partition: u32,
        offset: u64,
    ) -> Result<Vec<RawLetter>> {
        let sql = "SELECT topic, topic_id, `partition`, at, idx, until, n, kind, field, reason, \
                   event_id, stored_us FROM raw_letter WHERE topic = ? AND `partition` = ? \
                   AND at = ? AND (? IS NULL OR topic_id = ?) ORDER BY stored_us DESC, idx";
        let query = self.conn.query(sql).bind(topic).bind(partition).bind(signed(offset)?);
        let query = query.bind(topic_id).bind(topic_id);
        self.rows(query).await?.iter().map(raw_letter).collect()
    }
}

fn raw_letter(row: &Row) -> Result<RawLetter> {
    Ok(RawLetter {
        topic: get(row, 0)?,
        topic_id: get(row, 1)?,
        partition: number(row, 2, "partition")?,
        offset: number(row, 3, "offset")?,
        idx: number(row, 4, "index")?,
        until: number(row, 5, "offset")?,
        n: number(row, 6, "count")?,
        kind: get(row, 7)?,
        field: get(row, 8)?,
        reason: get(row, 9)?,
        event_id: get(row, 10)?,
        stored_us: get(row, 11)?,
    })
}

fn log_letter(row: &Row) -> Result<LogLetter> {
    Ok(LogLetter {
        generation: number(row, 0, "generation")?,
        partition: number(row, 1, "partition")?,
        offset: number(row, 2, "offset")?,
        idx: number(row, 3, "index")?,
        n: number(row, 4, "count")?,
        class: get(row, 5)?,
        reason: get(row, 6)?,
        time_us: get(row, 7)?,
        namespace: get(row, 8)?,
        content: get(row, 9)?,
        stored_us: get(row, 10)?,
    })
}
