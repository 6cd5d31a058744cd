//! Pages of dead letters, of the log and of raw topics together: what they are and why, never what
//! they hold.
//!
//! The order is total, so that pages neither repeat nor skip a letter while none is added. Contents
//! stay in their table: only their sizes are read.

use sqlx::AssertSqlSafe;

use crate::error::Result;
use crate::read::Reader;
use crate::rows::{get, number};
use crate::sql::{Bound, Row};

/// Where letters come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetterSource {
    /// Events that were read in the log and not counted.
    Log,
    /// Messages of raw topics, or events in them, that ingest could not take.
    Raw,
}

/// Which dead letters.
#[derive(Clone, Debug)]
pub struct LetterAsk<'a> {
    /// Only those of one source.
    pub source: Option<LetterSource>,
    /// Only those of this class, or of this kind of fault in a raw topic.
    pub class: Option<&'a str>,
    /// Only those with this reason.
    pub reason: Option<&'a str>,
    /// Only those of this raw topic.
    pub topic: Option<&'a str>,
    /// Only those of this partition, of the log or of a topic.
    pub partition: Option<u32>,
    /// Only those stored at or after this, microseconds since the epoch.
    pub from_us: i64,
    /// Only those stored before this.
    pub to_us: i64,
}

/// Where a letter is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LetterPlace {
    /// In the log.
    Log {
        /// Generation of the log.
        generation: u32,
        /// Partition of the log.
        partition: u32,
        /// Offset of the frame.
        offset: u64,
        /// Index of the event in the frame.
        idx: u32,
    },
    /// In a raw topic.
    Raw {
        /// Topic of the message.
        topic: String,
        /// The id of the topic; empty if it is not known.
        topic_id: String,
        /// Partition of the topic.
        partition: u32,
        /// Offset of the message.
        offset: u64,
        /// Index of the event in the message; 0 for a message as a whole.
        idx: u32,
        /// Offset of the last message that the letter stands for.
        until: u64,
        /// Path of the field at fault; empty for the event or message as a whole.
        field: String,
    },
}

/// A letter, without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterRow {
    /// Where it is.
    pub place: LetterPlace,
    /// How many events or messages it stands for.
    pub n: i64,
    /// Class, or kind of fault in a raw topic.
    pub class: String,
    /// Why, in words.
    pub reason: String,
    /// Time of the event, microseconds, where it could be read.
    pub time_us: Option<i64>,
    /// Tenant, where it could be read.
    pub namespace: Option<String>,
    /// Id of the event, where it could be read and is kept.
    pub event_id: Option<String>,
    /// Size of the content, bytes; `None` if it was not kept here.
    pub bytes: Option<i64>,
    /// When it was stored, microseconds since the epoch.
    pub stored_us: i64,
}

/// Letters that are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterGroup {
    /// Where they come from.
    pub source: LetterSource,
    /// Class, or kind of fault in a raw topic.
    pub class: String,
    /// Why, in words.
    pub reason: String,
    /// Letters.
    pub letters: i64,
    /// Events or messages that they stand for.
    pub events: i64,
}

/// Columns of a letter, of the log and of a raw topic.
const COLUMNS: [&str; 2] = [
    "stored_us, 0 AS source, generation, '' AS topic, '' AS topic_id, `partition`, at, idx, \
     at AS until, n, class, '' AS field, reason, time_us, namespace, NULL AS event_id, \
     length(content) AS bytes",
    "stored_us, 1 AS source, 0 AS generation, topic, topic_id, `partition`, at, idx, until, n, \
     kind AS class, field, reason, NULL AS time_us, NULL AS namespace, event_id, NULL AS bytes",
];
/// The columns that letters are grouped by, and what they stand for.
const GROUPED: [&str; 2] =
    ["0 AS source, class, reason, n", "1 AS source, kind AS class, reason, n"];
/// The newest first; then by place.
const ORDER: &str = "ORDER BY stored_us DESC, source, generation DESC, topic, topic_id, \
                     `partition`, at DESC, idx";
/// The same, within the log and within raw topics.
const OWN_ORDERS: [&str; 2] = [
    "ORDER BY stored_us DESC, generation DESC, `partition`, at DESC, idx",
    "ORDER BY stored_us DESC, topic, topic_id, `partition`, at DESC, idx",
];
/// Letters that a filter lets pass: the parameters are those of [`LetterAsk::bind`].
const PASSING: [&str; 2] = [
    "FROM dead_letter WHERE stored_us >= ? AND stored_us < ? AND (? IS NULL OR class = ?) \
     AND (? IS NULL OR reason = ?) AND (? IS NULL OR `partition` = ?)",
    "FROM raw_letter WHERE stored_us >= ? AND stored_us < ? AND (? IS NULL OR kind = ?) \
     AND (? IS NULL OR reason = ?) AND (? IS NULL OR `partition` = ?) \
     AND (? IS NULL OR topic = ?)",
];

impl LetterSource {
    /// Both, in the order of the tables.
    pub const EACH: [LetterSource; 2] = [LetterSource::Log, LetterSource::Raw];

    fn of(number: i64) -> LetterSource {
        if number == 0 { LetterSource::Log } else { LetterSource::Raw }
    }
}

impl<'a> LetterAsk<'a> {
    /// The sources that may have such letters. A topic has only raw ones.
    fn sources(&self) -> Vec<LetterSource> {
        let is_meant = |source: &LetterSource| {
            self.source.is_none_or(|only| only == *source)
                && (self.topic.is_none() || *source == LetterSource::Raw)
        };
        LetterSource::EACH.into_iter().filter(is_meant).collect()
    }

    /// Binds the parameters of `PASSING`.
    fn bind<'q>(&self, source: LetterSource, query: Bound<'q>) -> Bound<'q>
    where
        'a: 'q,
    {
        let partition = self.partition.map(i64::from);
        let query = query.bind(self.from_us).bind(self.to_us).bind(self.class).bind(self.class);
        let query = query.bind(self.reason).bind(self.reason).bind(partition).bind(partition);
        match source {
            LetterSource::Log => query,
            LetterSource::Raw => query.bind(self.topic).bind(self.topic),
        }
    }

    /// Columns of the letters of all sources together, as a table; `None` if there can be none.
    fn table(&self, columns: [&str; 2]) -> Option<String> {
        let each: Vec<String> = self
            .sources()
            .into_iter()
            .map(|source| {
                format!("SELECT {} {}", columns[source as usize], PASSING[source as usize])
            })
            .collect();
        (!each.is_empty()).then(|| each.join(" UNION ALL "))
    }
}

impl Reader {
    /// A page of letters, the newest first: `n` of them after `skip`.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn letter_page(
        &mut self,
        ask: &LetterAsk<'_>,
        n: i64,
        skip: i64,
    ) -> Result<Vec<LetterRow>> {
        // Each table sorts only as many as can be on the page, which its index helps with.
        let each: Vec<String> = ask
            .sources()
            .into_iter()
            .map(|source| {
                let at = source as usize;
                let (columns, passing, order) = (COLUMNS[at], PASSING[at], OWN_ORDERS[at]);
                format!("SELECT * FROM (SELECT {columns} {passing} {order} LIMIT ?) t{at}")
            })
            .collect();
        if each.is_empty() {
            return Ok(Vec::new());
        }
        let sql =
            format!("SELECT * FROM ({}) g {ORDER} LIMIT ? OFFSET ?", each.join(" UNION ALL "));
        let mut query = self.conn.query(AssertSqlSafe(sql));
        for source in ask.sources() {
            query = ask.bind(source, query).bind(skip.saturating_add(n));
        }
        self.rows(query.bind(n).bind(skip)).await?.iter().map(letter).collect()
    }

    /// Number of letters, and of the events that they stand for.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn letter_total(&mut self, ask: &LetterAsk<'_>) -> Result<(i64, i64)> {
        let Some(table) = ask.table(GROUPED) else { return Ok((0, 0)) };
        let sql = format!("SELECT count(*), sum(n) FROM ({table}) g");
        let mut query = self.conn.query(AssertSqlSafe(sql));
        for source in ask.sources() {
            query = ask.bind(source, query);
        }
        let rows = self.rows(query).await?;
        rows.first().map_or(Ok((0, 0)), |row| Ok((get(row, 0)?, row.sum(1)?)))
    }

    /// Letters by source, class and reason, `n` groups at most, those of the most events first.
    ///
    /// # Errors
    /// See [`Reader`].
    pub async fn letter_groups(&mut self, ask: &LetterAsk<'_>, n: i64) -> Result<Vec<LetterGroup>> {
        let Some(table) = ask.table(GROUPED) else { return Ok(Vec::new()) };
        let sql = format!(
            "SELECT source, class, reason, count(*), sum(n) FROM ({table}) g \
             GROUP BY source, class, reason ORDER BY sum(n) DESC, source, class, reason LIMIT ?"
        );
        let mut query = self.conn.query(AssertSqlSafe(sql));
        for source in ask.sources() {
            query = ask.bind(source, query);
        }
        let rows = self.rows(query.bind(n)).await?;
        rows.iter()
            .map(|row| {
                Ok(LetterGroup {
                    source: LetterSource::of(get(row, 0)?),
                    class: get(row, 1)?,
                    reason: get(row, 2)?,
                    letters: get(row, 3)?,
                    events: row.sum(4)?,
                })
            })
            .collect()
    }
}

/// Reads `COLUMNS`.
fn letter(row: &Row) -> Result<LetterRow> {
    let partition = number(row, 5, "partition")?;
    let (offset, idx) = (number(row, 6, "offset")?, number(row, 7, "index")?);
    let place = match LetterSource::of(get(row, 1)?) {
        LetterSource::Log => {
            LetterPlace::Log { generation: number(row, 2, "generation")?, partition, offset, idx }
        }
        LetterSource::Raw => LetterPlace::Raw {
            topic: get(row, 3)?,
            topic_id: get(row, 4)?,
            partition,
            offset,
            idx,
            until: number(row, 8, "offset")?,
            field: get(row, 11)?,
        },
    };
    Ok(LetterRow {
        place,
        stored_us: get(row, 0)?,
        n: get(row, 9)?,
        class: get(row, 10)?,
        reason: get(row, 12)?,
        time_us: get(row, 13)?,
        namespace: get(row, 14)?,
        event_id: get(row, 15)?,
        bytes: get(row, 16)?,
    })
}
