//! `/api/dead-letters`: what was not counted, and why; never what it holds.
//!
//! Letters of the log and of raw topics are listed together, the newest first. Prompts and answers
//! are not stored anywhere; a record that could not be read is, and is shown nowhere here: only
//! sizes are read.

use axum::extract::State;
use http::Uri;
use serde::Serialize;
use service::answer::{ApiError, Success};
use service::letters::LetterAddress;
use service::query::quoted;
use store::{LetterAsk, LetterGroup, LetterPlace, LetterRow, LetterSource};
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::{IntoParams, ToSchema};

use crate::answers::{About, Answers, Known, Question};
use crate::error::Error;
use crate::params::{Params, described, described_number, text};
use crate::range::{described_moment, moment as parsed_moment};
use crate::snapshot::{Scope, Snapshot};
use crate::view::{AsOfView, moment};

/// Default and largest number of letters on a page.
const PAGE_SIZE: (i64, i64) = (100, 1_000);
/// Highest page number: beyond the end of any list.
const PAGE_MAX: i64 = 1_000_000;
/// Most groups of an answer: far more than there are reasons.
const GROUPS_MAX: i64 = 200;
/// Longest class, reason and topic that is looked for, characters: no column holds more.
const TEXT_CHARS_MAX: usize = 255;
/// Values of `source`.
const SOURCES: [(&str, LetterSource); 2] = [("log", LetterSource::Log), ("raw", LetterSource::Raw)];
/// Names of the parameters.
const PARAMS: [&str; 9] =
    ["source", "class", "reason", "topic", "partition", "from", "to", "page", "size"];
/// Classes that ingest takes again: the others would end as they did before.
const REPLAYABLE: [&str; 2] = ["misrouted", "future"];

/// A message of a raw topic.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RawMessage)]
struct MessageView {
    topic: String,
    /// Id of the topic; null if it is not known.
    #[schema(required)]
    topic_id: Option<String>,
    partition: u32,
    offset: u64,
    /// Offset of the last message that the letter stands for.
    until: u64,
    /// Index of the event in the message; 0 for a message as a whole.
    index: u32,
    /// Path of the field at fault; null for the event or message as a whole.
    #[schema(required)]
    field: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetter)]
struct LetterView {
    #[schema(schema_with = source_words)]
    source: &'static str,
    /// Class in the log, or kind of fault in a raw topic.
    class: String,
    /// Why, in words.
    reason: String,
    /// Events or messages that it stands for: more than one beyond the cap of an hour.
    events: i64,
    #[schema(format = DateTime)]
    stored_at: String,
    /// Time of the event; null where it could not be read.
    #[schema(required, format = DateTime)]
    time: Option<String>,
    /// Null where it could not be read.
    #[schema(required)]
    namespace: Option<String>,
    /// Id of the event; null where it could not be read or is not kept.
    #[schema(required)]
    event_id: Option<String>,
    /// Size of what is kept of it; null if nothing is.
    #[schema(required)]
    bytes: Option<i64>,
    /// Whether it may be sent again.
    replayable: bool,
    /// Its address in the log, as `POST /api/dead-letters/replay` takes it; null for raw ones.
    #[schema(required)]
    letter: Option<LetterAddress>,
    /// Its address in a raw topic; null for those of the log.
    #[schema(required)]
    message: Option<MessageView>,
}

/// Letters that are alike.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetterGroup)]
struct GroupView {
    #[schema(schema_with = source_words)]
    source: &'static str,
    class: String,
    reason: String,
    letters: i64,
    /// Events or messages that they stand for.
    events: i64,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeadLetterPage)]
pub(crate) struct PageView {
    items: Vec<LetterView>,
    /// Letters on all pages.
    total: i64,
    /// Events or messages that all of them stand for.
    events: i64,
    page: i64,
    size: i64,
    pages: i64,
    /// Letters of all pages by class and reason, those of the most events first; 200 at most.
    groups: Vec<GroupView>,
    as_of: AsOfView,
}

fn source_words() -> ObjectBuilder {
    text().enum_values(Some(SOURCES.map(|(word, _)| word)))
}

/// The word of a source.
fn word(source: LetterSource) -> &'static str {
    SOURCES[source as usize].0
}

impl LetterView {
    fn of(row: LetterRow) -> LetterView {
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let is_kept = row.bytes.is_some() && REPLAYABLE.contains(&row.class.as_str());
        let (source, letter, message) = match row.place {
            LetterPlace::Log { generation, partition, offset, idx } => {
                let address = LetterAddress { generation, partition, offset, index: idx };
                (LetterSource::Log, Some(address), None)
            }
            LetterPlace::Raw { topic, topic_id, partition, offset, idx, until, field } => {
                let (topic_id, field) = (some(topic_id), some(field));
                let message =
                    MessageView { topic, topic_id, partition, offset, until, index: idx, field };
                (LetterSource::Raw, None, Some(message))
            }
        };
        LetterView {
            source: word(source),
            class: row.class,
            reason: row.reason,
            events: row.n,
            stored_at: moment(row.stored_us),
            time: row.time_us.map(moment),
            namespace: row.namespace,
            event_id: row.event_id,
            bytes: row.bytes,
            replayable: is_kept && letter.is_some(),
            letter,
            message,
        }
    }
}

impl GroupView {
    fn of(group: LetterGroup) -> GroupView {
        let LetterGroup { source, class, reason, letters, events } = group;
        GroupView { source: word(source), class, reason, letters, events }
    }
}

/// The parameters, as they are described.
pub(crate) struct LettersQuery;

impl IntoParams for LettersQuery {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let (size, size_max) = PAGE_SIZE;
        let some = || text().max_length(Some(TEXT_CHARS_MAX));
        let partition = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(0))
            .maximum(Some(u32::MAX));
        let plain = [
            ("source", "`log`: events of the log. `raw`: of raw topics.", source_words()),
            (
                "class",
                "Only those of this class (late, future, poison, misrouted, duplicate), or of \
                 this kind of fault in a raw topic.",
                some(),
            ),
            ("reason", "Only those with this reason, as an answer has it.", some()),
            ("topic", "Only those of this raw topic.", some()),
            ("partition", "Only those of this partition, of the log or of a topic.", partition),
        ];
        let moments = [
            (
                "from",
                "Only those stored at or after this: RFC 3339, or seconds, ms or us since \
                      the epoch by size. Before `to`.",
            ),
            ("to", "Only those stored before this."),
        ];
        let plain = plain.into_iter().map(|(name, text, schema)| described(name, text, schema));
        let moments =
            moments.into_iter().map(|(name, text)| described(name, text, described_moment()));
        let pages = [
            described_number("page", "Page of the list. Empty: the first.", 1, PAGE_MAX),
            described_number("size", "Letters of a page. Empty: the default.", size, size_max),
        ];
        plain.chain(moments).map(|each| each.build()).chain(pages).collect()
    }
}

/// What was not counted, and why: the newest first, without contents.
#[utoipa::path(
    get, path = "/api/dead-letters", operation_id = "listDeadLetters", tag = "Dead letters",
    params(LettersQuery),
    responses((status = 200, description = "A page.", body = Success<PageView>)),
)]
pub(crate) async fn list(State(answers): State<Answers>, uri: Uri) -> Result<Known, ApiError> {
    let params = Params::of(&uri, &PARAMS)?;
    let question = List::of(&params)?;
    answers.answer(params.key("dead-letters", &[]), &question).await
}

struct List {
    source: Option<LetterSource>,
    class: Option<String>,
    reason: Option<String>,
    topic: Option<String>,
    partition: Option<u32>,
    from_us: i64,
    to_us: i64,
    page: i64,
    size: i64,
}

impl List {
    fn of(params: &Params) -> Result<List, Error> {
        let (size, size_max) = PAGE_SIZE;
        let text = |name| params.short(name, TEXT_CHARS_MAX);
        let time = |name| params.get(name).map(|text| parsed_moment(name, text)).transpose();
        let (from_us, to_us) = (time("from")?.unwrap_or(0), time("to")?.unwrap_or(i64::MAX));
        if from_us >= to_us {
            return Err(Error::Request("from must be before to".to_owned()));
        }
        let partition = params.within("partition", 0, u32::MAX.into())?;
        Ok(List {
            source: params.get("source").map(source).transpose()?,
            class: text("class")?,
            reason: text("reason")?,
            topic: text("topic")?,
            partition: partition.and_then(|number| u32::try_from(number).ok()),
            from_us,
            to_us,
            page: params.number("page", 1, PAGE_MAX)?,
            size: params.number("size", size, size_max)?,
        })
    }
}

fn source(word: &str) -> Result<LetterSource, Error> {
    let found = SOURCES.iter().find(|(known, _)| *known == word);
    found
        .map(|(_, source)| *source)
        .ok_or_else(|| Error::Request(format!("source must be log or raw, not {}", quoted(word))))
}

impl Question for List {
    type Data = PageView;
    // Ingest and retention change the list without a new version of the ledger.
    const ABOUT: About = About::Config;

    async fn answer(&self, snapshot: &mut Snapshot) -> Result<(Scope, PageView), Error> {
        let List { page, size, .. } = *self;
        let ask = LetterAsk {
            source: self.source,
            class: self.class.as_deref(),
            reason: self.reason.as_deref(),
            topic: self.topic.as_deref(),
            partition: self.partition,
            from_us: self.from_us,
            to_us: self.to_us,
        };
        let (total, events) = snapshot.reader.letter_total(&ask).await?;
        let found = snapshot.reader.letter_page(&ask, size, (page - 1) * size).await?;
        let groups = snapshot.reader.letter_groups(&ask, GROUPS_MAX).await?;
        let view = PageView {
            items: found.into_iter().map(LetterView::of).collect(),
            total,
            events,
            page,
            size,
            pages: (total + size - 1) / size,
            groups: groups.into_iter().map(GroupView::of).collect(),
            as_of: snapshot.as_of(),
        };
        Ok((Scope::All, view))
    }
}
