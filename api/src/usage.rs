//! `/api/usage`: tokens by consumer, model or namespace, from the consumer rows.

use axum::extract::State;
use http::Uri;
use ledger::consumer::ConsumerSums;
use ledger::window::QUARTER_US;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use service::answer::ApiError;
use service::query::quoted;
use store::{UsageAsk, UsageBy};

use crate::answers::{Answers, Known, Question};
use crate::error::Error;
use crate::params::Params;
use crate::range::{Ask, Cover, Name, RANGE_PARAMS, Retained};
use crate::snapshot::{Scope, Snapshot};
use crate::view::{AsOfView, dollars, moment};

/// Default and largest number of groups on a page.
const PAGE_SIZE: (i64, i64) = (100, 1_000);
/// Highest page number: beyond the end of any list.
const PAGE_MAX: i64 = 1_000_000;
/// Values of `group_by`.
const GROUPS: [(&str, UsageBy); 3] =
    [("namespace", UsageBy::Namespace), ("consumer", UsageBy::Consumer), ("model", UsageBy::Model)];

#[derive(Debug, Serialize)]
struct SumsView {
    requests: i64,
    input: i64,
    output: i64,
    cache_read: i64,
    cache_write: i64,
    reasoning: i64,
    cost_usd: Box<RawValue>,
}

#[derive(Debug, Serialize)]
struct ItemView {
    /// Those of `namespace`, `consumer` and `model` that are grouped by; a consumer may be null.
    #[serde(flatten)]
    group: Map<String, Value>,
    #[serde(flatten)]
    sums: SumsView,
}

#[derive(Debug, Serialize)]
pub(crate) struct UsageView {
    namespace: String,
    group_by: Vec<&'static str>,
    items: Vec<ItemView>,
    /// Number of groups on all pages.
    total: i64,
    page: i64,
    size: i64,
    pages: i64,
    /// Sums over all pages.
    totals: SumsView,
    range: Cover,
    /// Usage before this is not retained; null while there are no rows.
    kept_since: Option<String>,
    as_of: AsOfView,
}

impl SumsView {
    fn of(sums: &ConsumerSums) -> SumsView {
        let [_, cache_read, cache_write, _, reasoning] = sums.tokens;
        SumsView {
            requests: sums.requests,
            input: sums.input(),
            output: sums.output(),
            cache_read,
            cache_write,
            reasoning,
            cost_usd: dollars(sums.cost_nano),
        }
    }
}

/// Requests and tokens by consumer, model or namespace, those with the most tokens first.
pub(crate) async fn usage(State(answers): State<Answers>, uri: Uri) -> Result<Known, ApiError> {
    let [range, from, to, tz] = RANGE_PARAMS;
    let names = ["group_by", "namespace", "page", "size", range, from, to, tz];
    let params = Params::of(&uri, &names)?;
    let (size, size_max) = PAGE_SIZE;
    let question = Usage {
        scope: params.get("namespace").unwrap_or("all").to_owned(),
        by: groups(params.get("group_by").unwrap_or("consumer"))?,
        ask: Ask::of(&params, Name::Today, &answers.parts.timezone)?,
        page: params.number("page", 1, PAGE_MAX)?,
        size: params.number("size", size, size_max)?,
    };
    answers.answer(params.key("usage", &[answers.parts.zone()]), &question).await
}

struct Usage {
    scope: String,
    by: Vec<(&'static str, UsageBy)>,
    ask: Ask,
    page: i64,
    size: i64,
}

/// Parses the comma-separated list of `group_by`. Consumers are scoped to a namespace, so grouping
/// by consumer implies grouping by namespace.
fn groups(text: &str) -> Result<Vec<(&'static str, UsageBy)>, Error> {
    let given: Vec<&str> = text.split(',').map(str::trim).collect();
    if let Some(bad) = given.iter().find(|word| !GROUPS.iter().any(|(known, _)| known == *word)) {
        let bad = quoted(bad);
        let message = format!("group_by must be some of namespace, consumer, model, not {bad}");
        return Err(Error::Request(message));
    }
    if let Some(twice) = (1..given.len()).find(|idx| given[..*idx].contains(&given[*idx])) {
        return Err(Error::Request(format!("group_by has {} twice", given[twice])));
    }
    let is_by =
        |word: &str| given.contains(&word) || (word == "namespace" && given.contains(&"consumer"));
    Ok(GROUPS.into_iter().filter(|(word, _)| is_by(word)).collect())
}

impl Question for Usage {
    type Data = UsageView;

    async fn answer(&self, snapshot: &mut Snapshot) -> Result<(Scope, UsageView), Error> {
        let Usage { page, size, .. } = *self;
        let scope = snapshot.scope(&self.scope).await?;
        let oldest = snapshot.reader.oldest_usage().await?;
        let retained = Retained { oldest_minute: None, oldest_quarter: oldest };
        let window = self.ask.window(snapshot.now_us, retained)?.in_quarters(oldest)?;
        let by: Vec<UsageBy> = self.by.iter().map(|(_, by)| *by).collect();
        let quarters = window.buckets().whole();
        let ask = UsageAsk { quarters, namespace: scope.code(), by: &by };
        let (total, totals) = snapshot.reader.usage_total(&ask).await?;
        let found = snapshot.reader.usage(&ask, size, (page - 1) * size).await?;
        let item = |(texts, sums): (Vec<String>, ConsumerSums)| ItemView {
            group: self.by.iter().zip(texts).map(group).collect(),
            sums: SumsView::of(&sums),
        };
        let view = UsageView {
            namespace: scope.label().to_owned(),
            group_by: self.by.iter().map(|(word, _)| *word).collect(),
            items: found.into_iter().map(item).collect(),
            total,
            page,
            size,
            pages: (total + size - 1) / size,
            totals: SumsView::of(&totals),
            range: window.cover(),
            kept_since: oldest.map(|quarter| moment(quarter.saturating_mul(QUARTER_US))),
            as_of: snapshot.as_of(),
        };
        Ok((scope, view))
    }
}

/// A field of a group; an empty consumer is null.
fn group(((word, _), text): (&(&'static str, UsageBy), String)) -> (String, Value) {
    let value = if text.is_empty() { Value::Null } else { Value::String(text) };
    ((*word).to_owned(), value)
}
