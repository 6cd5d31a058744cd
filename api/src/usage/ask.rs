//! Parameters of a question about usage, and what they mean at one version of the ledger.

use event::Outcome;
use http::Uri;
use jiff::tz::TimeZone;
use ledger::query::distribution::SHOWN;
use service::query::quoted;
use store::folded;
use store::usage::{Run, UsageAsk, UsageBy, UsageGroup, UsageRank, UsageRows, UsageValue};
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterIn, ParameterStyle};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Type};

use crate::error::Error;
use crate::params::{Params, described, described_number, described_scope, text};
use crate::range::{Ask, Name, Piece, RANGE_PARAMS, RangeQuery, Retained, Window};
use crate::snapshot::{Scope, Snapshot};

/// Default and largest number of groups on a page.
const PAGE_SIZE: (i64, i64) = (100, 1_000);
/// Highest page number: beyond the end of any list.
const PAGE_MAX: i64 = 1_000_000;
/// Longest text to search for, in characters: no label is longer.
const SEARCH_CHARS_MAX: usize = 128;
/// Statuses, as events have them.
const STATUS: (i64, i64) = (100, 599);

/// What items can be grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Label(UsageBy),
    Time(Piece),
}

/// Values of `group_by`, in the order in which ties are broken.
pub(super) const GROUPS: [(&str, Group); 10] = [
    ("namespace", Group::Label(UsageBy::Namespace)),
    ("consumer", Group::Label(UsageBy::Consumer)),
    ("model", Group::Label(UsageBy::Model)),
    ("upstream", Group::Label(UsageBy::Upstream)),
    ("endpoint", Group::Label(UsageBy::Endpoint)),
    ("status", Group::Label(UsageBy::Status)),
    ("outcome", Group::Label(UsageBy::Outcome)),
    ("hour", Group::Time(Piece::Hour)),
    ("day", Group::Time(Piece::Day)),
    ("month", Group::Time(Piece::Month)),
];

/// Filters by a text, which are called as the groups.
const FILTERS: [(&str, UsageBy, &str); 4] = [
    ("consumer", UsageBy::Consumer, "Only this consumer, exactly."),
    ("model", UsageBy::Model, "Only this model, exactly."),
    ("upstream", UsageBy::Upstream, "Only this upstream, exactly. Not together with a consumer."),
    ("endpoint", UsageBy::Endpoint, "Only this endpoint, exactly. Not together with a consumer."),
];

/// Numbers to sort by.
const RANKS: [(&str, UsageRank); 15] = [
    ("tokens", UsageRank::Tokens),
    ("requests", UsageRank::Requests),
    ("input", UsageRank::Input),
    ("output", UsageRank::Output),
    ("cache_read", UsageRank::CacheRead),
    ("cache_write", UsageRank::CacheWrite),
    ("reasoning", UsageRank::Reasoning),
    ("cost_usd", UsageRank::Cost),
    ("errors", UsageRank::Errors),
    ("reported", UsageRank::Reported),
    ("estimated", UsageRank::Estimated),
    ("estimated_input", UsageRank::EstimatedInput),
    ("estimated_output", UsageRank::EstimatedOutput),
    ("duration_sum_ms", UsageRank::Duration),
    ("avg_response_time_ms", UsageRank::MeanDuration),
];
/// How many of them rows of consumers have.
const N_CONSUMER_RANKS: usize = 8;

/// Why consumers are not combined with everything.
const CONSUMER_ROWS: &str = "rows of consumers have namespace, consumer, model and time only";

/// The parameters of the list and of its export, as they are described.
pub(crate) struct UsageQuery;

/// The parameters of pages, as they are described.
pub(crate) struct PageQuery;

impl IntoParams for UsageQuery {
    fn into_params(place: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let words = text().enum_values(Some(GROUPS.map(|(word, _)| word)));
        let groups = ArrayBuilder::new().items(words).min_items(Some(1)).unique_items(true);
        let (status_min, status_max) = STATUS;
        let status = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(status_min))
            .maximum(Some(status_max));
        let filter = |(word, _, about)| described(word, about, text()).build();
        let first = [
            described(
                "group_by",
                "What to group by, comma-separated. A consumer belongs to a namespace, so \
                 `consumer` implies `namespace`; it cannot be combined with `upstream`, \
                 `endpoint`, `status` and `outcome`. Hours, days and months are those of `tz`. \
                 Default: `consumer`, or `namespace` with a filter by upstream, endpoint, status \
                 or outcome.",
                groups,
            )
            .style(Some(ParameterStyle::Form))
            .explode(Some(false))
            .build(),
            described_scope(),
        ];
        let last = [
            described(
                "status",
                "Only this HTTP status. Not together with a consumer. Empty: all.",
                status,
            )
            .build(),
            described(
                "outcome",
                "Only attempts that ended so. Not together with a consumer. Empty: all.",
                text().enum_values(Some(SHOWN.map(Outcome::word))),
            )
            .build(),
            described(
                "search",
                "Only groups with this text in a name that they are grouped by, in any case.",
                text().max_length(Some(SEARCH_CHARS_MAX)),
            )
            .build(),
            described(
                "order",
                "A number of the items, `tokens` (input and output), or one of `group_by`; with a \
                 leading `-` the largest comes first. Default: `-tokens`.",
                text(),
            )
            .example(Some("-requests".into()))
            .build(),
            described(
                "compare",
                "Adds the numbers of the period before. Not together with `hour`, `day`, `month` \
                 and `timeRange=all`.",
                text().enum_values(Some([PREVIOUS])),
            )
            .build(),
        ];
        let own = first.into_iter().chain(FILTERS.map(filter)).chain(last);
        own.chain(RangeQuery::into_params(place)).collect()
    }
}

impl IntoParams for PageQuery {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let (size, size_max) = PAGE_SIZE;
        vec![
            described_number("page", "Page of groups. Empty: the first.", 1, PAGE_MAX),
            described_number("size", "Groups of a page. Empty: the default.", size, size_max),
        ]
    }
}

/// The value of `compare`.
const PREVIOUS: &str = "previous";

/// A question.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    scope: String,
    /// Words and groups, in the order of `GROUPS`.
    pub by: Vec<(&'static str, Group)>,
    only: Vec<(UsageBy, UsageValue)>,
    search: Option<String>,
    rank: UsageRank,
    is_rising: bool,
    is_compared: bool,
    rows: UsageRows,
    ask: Ask,
}

/// The parameters that a call takes: these, and some of its own.
pub(super) fn params(uri: &Uri, own: &[&str]) -> Result<Params, Error> {
    let first = ["group_by", "namespace"];
    let filters = FILTERS.map(|(word, _, _)| word);
    let last = ["status", "outcome", "search", "order", "compare"];
    let names = [&first[..], &filters, &last, own, &RANGE_PARAMS].concat();
    Params::of(uri, &names)
}

/// The page that is asked for, and its size.
pub(super) fn page(params: &Params) -> Result<(i64, i64), Error> {
    let (size, size_max) = PAGE_SIZE;
    Ok((params.number("page", 1, PAGE_MAX)?, params.number("size", size, size_max)?))
}

impl Asked {
    pub fn of(params: &Params, zone: &TimeZone) -> Result<Asked, Error> {
        let only = filters(params)?;
        // What rows of consumers do not have.
        let is_full =
            |by: &UsageBy| !matches!(by, UsageBy::Namespace | UsageBy::Consumer | UsageBy::Model);
        let default = match only.iter().any(|(by, _)| is_full(by)) {
            true => "namespace",
            false => "consumer",
        };
        let by = groups(params.get("group_by").unwrap_or(default))?;
        let labels = labels(&by);
        let used = || labels.iter().chain(only.iter().map(|(by, _)| by));
        let is_of_consumers = used().any(|by| *by == UsageBy::Consumer);
        if let Some(full) = used().find(|by| is_full(by)).filter(|_| is_of_consumers) {
            let word = word(*full);
            return Err(Error::Request(format!(
                "consumer cannot be combined with {word}: {CONSUMER_ROWS}"
            )));
        }
        let rows = if is_of_consumers { UsageRows::Consumers } else { UsageRows::Full };
        let (rank, is_rising) = order(params.get("order").unwrap_or("-tokens"), &by, rows)?;
        let search = params.get("search").map(|text| search(text, &labels)).transpose()?;
        let ask = Ask::of(params, Name::Today, zone)?;
        let is_compared = is_compared(params.get("compare"), &by, &ask)?;
        let scope = params.get("namespace").unwrap_or("all").to_owned();
        Ok(Asked { scope, by, only, search, rank, is_rising, is_compared, rows, ask })
    }

    /// What it means at this version of the ledger.
    pub async fn meant(&self, snapshot: &mut Snapshot) -> Result<Meant, Error> {
        let scope = snapshot.scope(&self.scope).await?;
        let oldest = match self.rows {
            UsageRows::Consumers => snapshot.reader.oldest_usage().await?,
            UsageRows::Full => snapshot.stamp.oldest_quarter,
        };
        let retained = Retained { oldest_minute: None, oldest_quarter: oldest };
        let window = self.ask.window(snapshot.now_us, retained)?.in_quarters(oldest)?;
        let before = self.is_compared.then(|| self.ask.before(&window)).transpose()?;
        let pieces = self.by.iter().filter_map(|(_, group)| match group {
            Group::Label(_) => None,
            Group::Time(piece) => Some(piece.runs(&window, oldest, snapshot.now_us)),
        });
        let namespace = scope.code().map(|code| UsageValue::Text(code.to_owned()));
        let namespace = namespace.map(|code| (UsageBy::Namespace, code));
        Ok(Meant {
            only: namespace.into_iter().chain(self.only.iter().cloned()).collect(),
            labels: labels(&self.by),
            times: pieces.collect::<Result<_, _>>()?,
            rows: self.rows,
            rank: self.rank,
            is_rising: self.is_rising,
            search: self.search.clone(),
            zone: self.ask.zone().clone(),
            scope,
            window,
            before,
            oldest,
        })
    }
}

/// A question at one version of the ledger.
#[derive(Debug)]
pub(super) struct Meant {
    pub scope: Scope,
    pub window: Window,
    pub before: Option<Window>,
    /// The oldest quarter-hour that has such rows.
    pub oldest: Option<i64>,
    pub zone: TimeZone,
    rows: UsageRows,
    only: Vec<(UsageBy, UsageValue)>,
    labels: Vec<UsageBy>,
    times: Vec<Vec<Run>>,
    rank: UsageRank,
    is_rising: bool,
    search: Option<String>,
}

impl Meant {
    /// The question to the store.
    pub fn ask(&self) -> UsageAsk<'_> {
        let whole = self.window.buckets().whole();
        let before = self.before.as_ref().map(|before| before.buckets().whole().start);
        UsageAsk {
            rows: self.rows,
            quarters: before.unwrap_or(whole.start)..whole.end,
            since: before.map(|_| whole.start),
            only: &self.only,
            by: &self.labels,
            times: &self.times,
            rank: self.rank,
            is_rising: self.is_rising,
        }
    }

    /// Whether some groups are left out by their names, which the store does not do: databases fold
    /// case differently.
    pub fn is_search(&self) -> bool {
        self.search.is_some()
    }

    /// Whether a group is searched for.
    pub fn lets_pass(&self, group: &UsageGroup) -> bool {
        self.search.as_ref().is_none_or(|search| {
            group.values.iter().any(|value| match value {
                UsageValue::Text(text) => folded(text).contains(search),
                UsageValue::Number(_) => false,
            })
        })
    }
}

fn labels(by: &[(&str, Group)]) -> Vec<UsageBy> {
    let label = |(_, group): &(&str, Group)| match group {
        Group::Label(by) => Some(*by),
        Group::Time(_) => None,
    };
    by.iter().filter_map(label).collect()
}

fn word(by: UsageBy) -> &'static str {
    let found = GROUPS.iter().find(|(_, group)| *group == Group::Label(by));
    found.map_or("", |(word, _)| word)
}

fn filters(params: &Params) -> Result<Vec<(UsageBy, UsageValue)>, Error> {
    let texts = FILTERS.iter().filter_map(|(word, by, _)| {
        params.get(word).map(|value| (*by, UsageValue::Text(value.to_owned())))
    });
    let mut only: Vec<_> = texts.collect();
    if let Some(given) = params.get("status") {
        let (min, max) = STATUS;
        let found = given.parse().ok().filter(|status| (min..=max).contains(status));
        let status = found.ok_or_else(|| {
            let given = quoted(given);
            Error::Request(format!("status must be a number from {min} to {max}, not {given}"))
        })?;
        only.push((UsageBy::Status, UsageValue::Number(status)));
    }
    if let Some(given) = params.get("outcome") {
        let outcome = Outcome::from_word(given).ok_or_else(|| {
            let words = SHOWN.map(Outcome::word).join(", ");
            Error::Request(format!("outcome must be one of {words}, not {}", quoted(given)))
        })?;
        only.push((UsageBy::Outcome, UsageValue::Number(outcome.code().into())));
    }
    Ok(only)
}

/// Parses the comma-separated list of `group_by`. Consumers are scoped to a namespace, so grouping
/// by consumer implies grouping by namespace.
fn groups(text: &str) -> Result<Vec<(&'static str, Group)>, Error> {
    let given: Vec<&str> = text.split(',').map(str::trim).collect();
    if let Some(bad) = given.iter().find(|word| !GROUPS.iter().any(|(known, _)| known == *word)) {
        let words = GROUPS.map(|(word, _)| word).join(", ");
        let bad = quoted(bad);
        return Err(Error::Request(format!("group_by must be some of {words}, not {bad}")));
    }
    if let Some(twice) = (1..given.len()).find(|idx| given[..*idx].contains(&given[*idx])) {
        return Err(Error::Request(format!("group_by has {} twice", given[twice])));
    }
    let is_by =
        |word: &str| given.contains(&word) || (word == "namespace" && given.contains(&"consumer"));
    Ok(GROUPS.into_iter().filter(|(word, _)| is_by(word)).collect())
}

/// Parses `order`: by what, and whether the smallest comes first.
fn order(given: &str, by: &[(&str, Group)], rows: UsageRows) -> Result<(UsageRank, bool), Error> {
    let (word, is_rising) = given.strip_prefix('-').map_or((given, true), |word| (word, false));
    if let Some(idx) = by.iter().position(|(group, _)| *group == word) {
        return Ok((UsageRank::Key(idx), is_rising));
    }
    let known = match rows {
        UsageRows::Consumers => &RANKS[..N_CONSUMER_RANKS],
        UsageRows::Full => &RANKS[..],
    };
    if let Some((_, rank)) = known.iter().find(|(known, _)| *known == word) {
        return Ok((*rank, is_rising));
    }
    let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
    let groups: Vec<&str> = by.iter().map(|(word, _)| *word).collect();
    let why = match RANKS.iter().any(|(known, _)| *known == word) {
        true => format!(": {CONSUMER_ROWS}"),
        false => String::new(),
    };
    Err(Error::Request(format!(
        "order must be one of {}, or of group_by ({}), with - for the largest first, not {}{why}",
        words.join(", "),
        groups.join(", "),
        quoted(given)
    )))
}

fn search(text: &str, labels: &[UsageBy]) -> Result<String, Error> {
    if text.chars().count() > SEARCH_CHARS_MAX {
        let message = format!("search must have at most {SEARCH_CHARS_MAX} characters");
        return Err(Error::Request(message));
    }
    if labels.iter().all(|by| by.is_number()) {
        let message = "search needs one of namespace, consumer, model, upstream, endpoint in \
                       group_by: it looks for names of the groups";
        return Err(Error::Request(message.to_owned()));
    }
    Ok(folded(text))
}

fn is_compared(given: Option<&str>, by: &[(&str, Group)], ask: &Ask) -> Result<bool, Error> {
    let refused = match given {
        None => return Ok(false),
        Some(PREVIOUS) => {
            if let Some((word, _)) = by.iter().find(|(_, group)| matches!(group, Group::Time(_))) {
                format!(
                    "compare={PREVIOUS} cannot be combined with {word}: a period has none in \
                     common with the one before; ask for each of both"
                )
            } else if ask.is_all() {
                format!("compare={PREVIOUS} needs a range with a beginning, not timeRange=all")
            } else {
                return Ok(true);
            }
        }
        Some(other) => format!("compare must be {PREVIOUS}, not {}", quoted(other)),
    };
    Err(Error::Request(refused))
}
