//! `/api/usage`: tokens by consumer, model or namespace, from the consumer rows.

use axum::extract::State;
use http::Uri;
use ledger::consumer::ConsumerSums;
use ledger::window::QUARTER_US;
use serde::Serialize;
use serde_json::value::RawValue;
use service::answer::{ApiError, Failure, Success};
use service::query::quoted;
use store::{UsageAsk, UsageBy};
use utoipa::openapi::path::{Parameter, ParameterIn, ParameterStyle};
use utoipa::openapi::schema::ArrayBuilder;
use utoipa::{IntoParams, ToSchema};

use crate::answers::{Answers, Known, Question};
use crate::error::Error;
use crate::params::{Params, described, described_number, described_scope, text};
use crate::range::{Ask, Cover, Name, RANGE_PARAMS, RangeQuery, Retained};
use crate::snapshot::{Scope, Snapshot};
use crate::view::{AsOfView, dollars, moment};

/// Default and largest number of groups on a page.
const PAGE_SIZE: (i64, i64) = (100, 1_000);
/// Highest page number: beyond the end of any list.
const PAGE_MAX: i64 = 1_000_000;
/// Values of `group_by`.
const GROUPS: [(&str, UsageBy); 3] =
    [("namespace", UsageBy::Namespace), ("consumer", UsageBy::Consumer), ("model", UsageBy::Model)];

/// Requests are final attempts; tokens and cost are of all attempts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageSums)]
struct SumsView {
    requests: i64,
    /// Input, the cache included.
    input: i64,
    /// Output, reasoning included.
    output: i64,
    /// Part of the input that was read from a cache.
    cache_read: i64,
    /// Part of the input that was written to a cache.
    cache_write: i64,
    /// Part of the output.
    reasoning: i64,
    /// US dollars; null until there are prices.
    #[schema(value_type = Option<f64>, required)]
    cost_usd: Box<RawValue>,
}

/// What the items are grouped by; the other fields are left out.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = UsageGroup)]
struct GroupView {
    /// Null for events without a consumer; `other` beyond the budget of a namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    consumer: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    model: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    namespace: Option<Option<String>>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageItem)]
struct ItemView {
    #[serde(flatten)]
    group: GroupView,
    #[serde(flatten)]
    sums: SumsView,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Usage)]
pub(crate) struct UsageView {
    /// Code of the namespace, or `all`.
    namespace: String,
    /// Some of `namespace`, `consumer` and `model`.
    group_by: Vec<&'static str>,
    /// The groups of the page, those with the most tokens first.
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
    #[schema(required, format = DateTime)]
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

/// The parameters, as they are described.
pub(crate) struct UsageQuery;

impl IntoParams for UsageQuery {
    fn into_params(place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let (size, size_max) = PAGE_SIZE;
        let words = text().enum_values(Some(GROUPS.map(|(word, _)| word)));
        let groups = ArrayBuilder::new().items(words).min_items(Some(1)).unique_items(true);
        let own = [
            described(
                "group_by",
                "What to group by, comma-separated. A consumer belongs to a namespace, so \
                 `consumer` implies `namespace`. Default: `consumer`.",
                groups,
            )
            .style(Some(ParameterStyle::Form))
            .explode(Some(false))
            .build(),
            described_scope(),
            described_number("page", "Page of groups. Empty: the first.", 1, PAGE_MAX),
            described_number("size", "Groups of a page. Empty: the default.", size, size_max),
        ];
        own.into_iter().chain(RangeQuery::into_params(place)).collect()
    }
}

/// Requests and tokens by consumer, model or namespace, those with the most tokens first.
///
/// The range is aligned outward to 15 minutes. Default range: `today`.
#[utoipa::path(
    get, path = "/api/usage", tag = "Usage", params(UsageQuery),
    responses(
        (status = 200, description = "A page of groups.", body = Success<UsageView>),
        (status = 404, description = "There is no such namespace.", body = Failure),
    ),
)]
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
            group: GroupView::of(self.by.iter().map(|(_, by)| *by).zip(texts)),
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

impl GroupView {
    /// The fields that are grouped by; an empty consumer is null.
    fn of(fields: impl Iterator<Item = (UsageBy, String)>) -> GroupView {
        let mut group = GroupView::default();
        for (by, text) in fields {
            let field = match by {
                UsageBy::Namespace => &mut group.namespace,
                UsageBy::Consumer => &mut group.consumer,
                UsageBy::Model => &mut group.model,
            };
            *field = Some(Some(text).filter(|text| !text.is_empty()));
        }
        group
    }
}
