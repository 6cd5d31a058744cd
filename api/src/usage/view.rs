//! Items and totals of usage, as JSON and as cells of a table.

use event::Outcome;
use ledger::window::QUARTER_US;
use serde::Serialize;
use serde_json::Number;
use serde_json::value::RawValue;
use store::usage::{UsageBy, UsageGroup, UsageSums, UsageTotal, UsageValue};
use utoipa::ToSchema;

use super::ask::{Group, Meant};
use crate::range::{Cover, Piece};
use crate::view::{dollars, milliseconds, moment, share};

/// Requests are final attempts; tokens and cost are of all attempts. What rows of consumers do not
/// tell is null.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageSums)]
pub(super) struct SumsView {
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
    /// Requests that failed.
    #[schema(required)]
    errors: Option<i64>,
    /// Tokens, of input and output, that the upstream reported.
    #[schema(required)]
    reported: Option<i64>,
    /// Tokens, of input and output, that no upstream reported, counted from the text.
    #[schema(required)]
    estimated: Option<i64>,
    /// Part of the input that was counted from the text.
    #[schema(required)]
    estimated_input: Option<i64>,
    /// Part of the output that was counted from the text.
    #[schema(required)]
    estimated_output: Option<i64>,
    /// Share of the tokens that were counted from the text, 0 to 1; null without tokens.
    #[schema(required, minimum = 0, maximum = 1)]
    estimated_share: Option<f64>,
    /// Sum of the durations of requests, exact milliseconds.
    #[schema(value_type = Option<f64>, required)]
    duration_sum_ms: Option<Box<RawValue>>,
    /// Mean duration of requests, milliseconds; null without requests.
    #[schema(value_type = Option<f64>, required)]
    avg_response_time_ms: Option<Box<RawValue>>,
}

/// Names of the sums, in the order of `cells`.
const SUMS: [&str; 15] = [
    "requests",
    "input",
    "output",
    "cache_read",
    "cache_write",
    "reasoning",
    "cost_usd",
    "errors",
    "reported",
    "estimated",
    "estimated_input",
    "estimated_output",
    "estimated_share",
    "duration_sum_ms",
    "avg_response_time_ms",
];

/// What the items are grouped by; the other fields are left out.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = UsageGroup)]
pub(super) struct GroupView {
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
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    upstream: Option<Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    endpoint: Option<Option<String>>,
    /// HTTP status.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<i64>,
    /// `success`, or the kind of error.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<String>,
    /// When the hour begins: RFC 3339, with the offset of the zone at that time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    hour: Option<String>,
    /// Local date, as `2026-03-05`.
    #[serde(skip_serializing_if = "Option::is_none")]
    day: Option<String>,
    /// Local month, as `2026-03`.
    #[serde(skip_serializing_if = "Option::is_none")]
    month: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageItem)]
pub(super) struct ItemView {
    #[serde(flatten)]
    group: GroupView,
    #[serde(flatten)]
    sums: SumsView,
    /// The same group in the period before; only with `compare`.
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<SumsView>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UsageTotals)]
pub(super) struct TotalsView {
    #[serde(flatten)]
    sums: SumsView,
    /// All groups in the period before; only with `compare`.
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<SumsView>,
}

impl SumsView {
    fn of(sums: &UsageSums) -> SumsView {
        let (used, detail) = (&sums.used, sums.detail.as_ref());
        let [_, cache_read, cache_write, _, reasoning] = used.tokens;
        let tokens = used.input().saturating_add(used.output());
        let estimated =
            detail.map(|detail| detail.estimated_input.saturating_add(detail.estimated_output));
        let duration_us = detail.and_then(|detail| u64::try_from(detail.duration_us).ok());
        let mean_us =
            duration_us.and_then(|sum| sum.checked_div(u64::try_from(used.requests).unwrap_or(0)));
        SumsView {
            requests: used.requests,
            input: used.input(),
            output: used.output(),
            cache_read,
            cache_write,
            reasoning,
            cost_usd: dollars(used.cost_nano),
            errors: detail.map(|detail| detail.errors),
            reported: estimated.map(|estimated| tokens - estimated),
            estimated,
            estimated_input: detail.map(|detail| detail.estimated_input),
            estimated_output: detail.map(|detail| detail.estimated_output),
            estimated_share: estimated.filter(|_| tokens > 0).map(|part| share(part, tokens)),
            duration_sum_ms: duration_us.map(milliseconds),
            avg_response_time_ms: mean_us.map(milliseconds),
        }
    }

    /// The numbers as a table has them; what is null is empty.
    fn cells(&self) -> [String; SUMS.len()] {
        let optional = |n: Option<i64>| n.map(|n| n.to_string()).unwrap_or_default();
        let raw = |n: Option<&RawValue>| match n.map(RawValue::get) {
            None | Some("null") => String::new(),
            Some(digits) => digits.to_owned(),
        };
        let share = self.estimated_share.and_then(Number::from_f64);
        [
            self.requests.to_string(),
            self.input.to_string(),
            self.output.to_string(),
            self.cache_read.to_string(),
            self.cache_write.to_string(),
            self.reasoning.to_string(),
            raw(Some(&self.cost_usd)),
            optional(self.errors),
            optional(self.reported),
            optional(self.estimated),
            optional(self.estimated_input),
            optional(self.estimated_output),
            share.map(|share| share.to_string()).unwrap_or_default(),
            raw(self.duration_sum_ms.as_deref()),
            raw(self.avg_response_time_ms.as_deref()),
        ]
    }
}

/// The values of a group with what they are, as clients see them; no consumer is an empty text.
fn values<'a>(
    by: &'a [(&'static str, Group)],
    meant: &'a Meant,
    group: &'a UsageGroup,
) -> impl Iterator<Item = (Group, String)> {
    by.iter().zip(&group.values).map(|((_, by), value)| {
        let text = match (by, value) {
            (Group::Time(piece), UsageValue::Number(quarter)) => piece.name(&meant.zone, *quarter),
            (Group::Label(UsageBy::Outcome), UsageValue::Number(number)) => outcome(*number),
            (_, UsageValue::Number(number)) => number.to_string(),
            (_, UsageValue::Text(text)) => text.clone(),
        };
        (*by, text)
    })
}

/// The word of a stored outcome; the number itself if a newer program has stored it.
fn outcome(number: i64) -> String {
    let known = u8::try_from(number).ok().and_then(Outcome::from_code);
    known.map_or_else(|| number.to_string(), |known| known.word().to_owned())
}

impl ItemView {
    pub fn of(by: &[(&'static str, Group)], meant: &Meant, group: &UsageGroup) -> ItemView {
        let mut view = GroupView::default();
        for (by, text) in values(by, meant, group) {
            let label = match by {
                Group::Label(UsageBy::Namespace) => &mut view.namespace,
                Group::Label(UsageBy::Consumer) => &mut view.consumer,
                Group::Label(UsageBy::Model) => &mut view.model,
                Group::Label(UsageBy::Upstream) => &mut view.upstream,
                Group::Label(UsageBy::Endpoint) => &mut view.endpoint,
                Group::Label(UsageBy::Status) => {
                    view.status = text.parse().ok();
                    continue;
                }
                Group::Label(UsageBy::Outcome) => {
                    view.outcome = Some(text);
                    continue;
                }
                Group::Time(piece) => {
                    let place = match piece {
                        Piece::Hour => &mut view.hour,
                        Piece::Day => &mut view.day,
                        Piece::Month => &mut view.month,
                    };
                    *place = Some(text);
                    continue;
                }
            };
            *label = Some(Some(text).filter(|text| !text.is_empty()));
        }
        let previous = group.before.as_ref().map(SumsView::of);
        ItemView { group: view, sums: SumsView::of(&group.sums), previous }
    }
}

/// A row of a table: the values of a group, its sums, and those of the period before.
pub(super) fn cells(
    by: &[(&'static str, Group)],
    meant: &Meant,
    group: &UsageGroup,
) -> Vec<String> {
    let names = values(by, meant, group).map(|(_, text)| harmless(text));
    let sums = std::iter::once(&group.sums).chain(&group.before);
    names.chain(sums.flat_map(|sums| SumsView::of(sums).cells())).collect()
}

/// The names of these cells.
pub(super) fn header(words: impl Iterator<Item = &'static str>, is_compared: bool) -> Vec<String> {
    let previous = SUMS.iter().filter(|_| is_compared).map(|name| format!("previous_{name}"));
    words.chain(SUMS).map(str::to_owned).chain(previous).collect()
}

/// A text that no spreadsheet takes for a formula. What begins with the mark itself gets another,
/// so that two names never become one.
fn harmless(text: String) -> String {
    match text.starts_with(['=', '+', '-', '@', '\t', '\r', '\'']) {
        true => format!("'{text}"),
        false => text,
    }
}

impl TotalsView {
    pub fn of(total: &UsageTotal) -> TotalsView {
        let previous = total.before.as_ref().map(SumsView::of);
        TotalsView { sums: SumsView::of(&total.sums), previous }
    }
}

/// When the rows of a question begin.
pub(super) fn kept_since(meant: &Meant) -> Option<String> {
    meant.oldest.map(|quarter| moment(quarter.saturating_mul(QUARTER_US)))
}

/// The range of the period before.
pub(super) fn previous_range(meant: &Meant) -> Option<Cover> {
    meant.before.as_ref().map(|before| before.cover())
}
