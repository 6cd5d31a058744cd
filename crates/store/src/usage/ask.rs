//! A question about usage, and the SQL that answers it.
//!
//! Where a UTC day is rolled up and no piece of time cuts it, the day is read in place of its
//! quarter-hours. Rows of a series are added up first, and their labels looked up then.
//!
//! Groups are named `k0`, `k1`, .. and their sums `n0`, `n1`, ..; those of the period before are
//! `m0`, `m1`, ... Names of columns come from enums, and every value is bound.

use std::ops::Range;

use event::usage::{N_INPUT_CLASSES, TOKEN_CLASSES};
use ledger::consumer::{ConsumerSums, N_CONSUMER_SUMS};

use crate::rolled::{DAY_QUARTERS, Rolled, Split};
use crate::sql::{Backend, Bound};
use crate::term::Only;

/// Rows that usage is read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UsageRows {
    /// Consumers: they have namespace, consumer and model, and no details.
    #[default]
    Consumers,
    /// Quarter-hours, which have everything but the consumer.
    Full,
}

/// What rows can be grouped by and selected by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageBy {
    /// Tenant.
    Namespace,
    /// Alias of a key or user; an empty text for none.
    Consumer,
    /// Model that answered.
    Model,
    /// Provider.
    Upstream,
    /// Route template.
    Endpoint,
    /// HTTP status, a number.
    Status,
    /// How attempts ended: the number of the outcome.
    Outcome,
}

/// A value of a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UsageValue {
    /// A label.
    Text(String),
    /// A status, an outcome, or the quarter-hour that a piece of time begins with.
    Number(i64),
}

/// Pieces of time of one length, in quarter-hours since the epoch, up to the next run. The last
/// piece may be cut off by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Start of the first piece.
    pub from: i64,
    /// Length of a piece.
    pub step: i64,
}

/// What groups are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UsageRank {
    /// Input and output.
    #[default]
    Tokens,
    /// Final attempts.
    Requests,
    /// Input, with that of the cache.
    Input,
    /// Output, with reasoning.
    Output,
    /// Input that a cache served.
    CacheRead,
    /// Input that was written to a cache.
    CacheWrite,
    /// Output that was reasoning.
    Reasoning,
    /// Cost.
    Cost,
    /// Failed requests; like the following ones, of full rows only.
    Errors,
    /// Tokens that the upstream reported.
    Reported,
    /// Tokens that were counted from text.
    Estimated,
    /// Input that was counted from text.
    EstimatedInput,
    /// Output that was counted from text.
    EstimatedOutput,
    /// Sum of durations.
    Duration,
    /// Mean duration; groups without requests come before all others.
    MeanDuration,
    /// A value of the group, by its place.
    Key(usize),
}

/// A usage query.
#[derive(Clone, Debug, Default)]
pub struct UsageAsk<'a> {
    /// Which rows are read.
    pub rows: UsageRows,
    /// Quarter-hours since the epoch.
    pub quarters: Range<i64>,
    /// Rows before this quarter-hour are of a period before, and are summed apart.
    pub since: Option<i64>,
    /// Values that rows must have.
    pub only: &'a [(UsageBy, UsageValue)],
    /// What the rows are grouped by, then `times`; at least one of both.
    pub by: &'a [UsageBy],
    /// Pieces of time to group by; the first run of each begins with the range or before it.
    pub times: &'a [Vec<Run>],
    /// What groups are sorted by; groups that are equal there go by their values.
    pub rank: UsageRank,
    /// Whether the smallest comes first.
    pub is_rising: bool,
}

/// Sums of full rows beyond those of consumers: errors, duration, estimated input and output.
pub(super) const N_DETAIL: usize = 4;

/// Parts joined by `between`.
fn joined<T>(
    parts: impl IntoIterator<Item = T>,
    between: &str,
    write: impl Fn(T) -> String,
) -> String {
    parts.into_iter().map(write).collect::<Vec<_>>().join(between)
}

impl UsageRows {
    /// Table of the rows, of their days, and of their series.
    fn tables(self) -> [&'static str; 3] {
        match self {
            UsageRows::Consumers => ["consumer_quarter", "consumer_day", "consumer_series"],
            UsageRows::Full => ["quarter", "day", "series"],
        }
    }

    /// The columns that are read.
    fn columns(self) -> Vec<String> {
        let own = ConsumerSums::columns();
        match self {
            UsageRows::Consumers => own,
            UsageRows::Full => {
                let more = ["n", "duration_us"].map(str::to_owned);
                more.into_iter().chain(own.into_iter().skip(1)).collect()
            }
        }
    }

    /// How many sums a group has.
    pub(super) fn n_sums(self) -> usize {
        match self {
            UsageRows::Consumers => N_CONSUMER_SUMS,
            UsageRows::Full => N_CONSUMER_SUMS + N_DETAIL,
        }
    }

    /// What is summed, in the order of `ConsumerSums` and then of the details: which rows, and
    /// their value.
    fn terms(self) -> Vec<(Option<String>, String)> {
        let own = ConsumerSums::columns().into_iter().map(|name| (None, format!("q.{name}")));
        if self == UsageRows::Consumers {
            return own.collect();
        }
        let classes = |names: &[&str]| joined(names, " + ", |name| format!("q.{name}"));
        let (input, output) = TOKEN_CLASSES.split_at(N_INPUT_CLASSES);
        let detail = [
            (Only::Failed, "q.n".to_owned()),
            (Only::Final, "q.duration_us".to_owned()),
            (Only::Estimated, classes(input)),
            (Only::Estimated, classes(output)),
        ];
        let requests = (Only::Final.condition(), "q.n".to_owned());
        let detail = detail.into_iter().map(|(only, value)| (only.condition(), value));
        std::iter::once(requests).chain(own.skip(1)).chain(detail).collect()
    }
}

impl UsageBy {
    /// Whether its values are numbers.
    #[must_use]
    pub fn is_number(self) -> bool {
        matches!(self, UsageBy::Status | UsageBy::Outcome)
    }

    fn column(self) -> &'static str {
        match self {
            UsageBy::Namespace => "s.namespace",
            UsageBy::Consumer => "s.consumer",
            UsageBy::Model => "s.model",
            UsageBy::Upstream => "s.upstream",
            UsageBy::Endpoint => "s.endpoint",
            UsageBy::Status => "s.status",
            UsageBy::Outcome => "s.outcome",
        }
    }
}

impl UsageRank {
    /// What is compared, of groups with their sums; `None` for a value of the group.
    fn expression(self, backend: Backend) -> String {
        let all = |range: Range<usize>| joined(range, " + ", |idx| format!("g.n{idx}"));
        match self {
            UsageRank::Tokens => all(1..6),
            UsageRank::Requests => all(0..1),
            UsageRank::Input => all(1..4),
            UsageRank::Output => all(4..6),
            UsageRank::CacheRead => all(2..3),
            UsageRank::CacheWrite => all(3..4),
            UsageRank::Reasoning => all(5..6),
            UsageRank::Cost => all(6..7),
            UsageRank::Errors => all(7..8),
            UsageRank::Duration => all(8..9),
            UsageRank::MeanDuration => backend.text("g.n8 / g.n0", "g.n8 DIV g.n0").to_owned(),
            UsageRank::EstimatedInput => all(9..10),
            UsageRank::EstimatedOutput => all(10..11),
            UsageRank::Estimated => all(9..11),
            UsageRank::Reported => format!("{} - g.n9 - g.n10", all(1..6)),
            UsageRank::Key(idx) => format!("g.k{idx}"),
        }
    }
}

/// Rows of one table that are of one period.
struct Branch {
    is_day: bool,
    /// Whether they are not of the period before.
    is_now: bool,
    /// In the unit of the table.
    range: Range<i64>,
}

impl UsageAsk<'_> {
    /// Whether no piece of time cuts a UTC day.
    fn is_of_days(&self) -> bool {
        let is_whole = |number: i64| number % DAY_QUARTERS == 0;
        self.times.iter().flatten().all(|run| is_whole(run.from) && is_whole(run.step))
    }

    /// What is read.
    fn branches(&self, rolled: &Rolled) -> Vec<Branch> {
        let Range { start, end } = self.quarters;
        let periods = match self.since {
            None => vec![(true, start..end)],
            Some(since) => vec![(false, start..since), (true, since..end)],
        };
        let each = periods.into_iter().flat_map(|(is_now, range)| {
            let split = match self.rows {
                UsageRows::Consumers => rolled.used_days(&range),
                UsageRows::Full => rolled.days(&range),
            };
            let branches = match self.is_of_days() {
                true => {
                    let Split { raw: [before, after], rolled } = split;
                    vec![(false, before), (false, after), (true, rolled)]
                }
                false => vec![(false, range)],
            };
            branches.into_iter().map(move |(is_day, range)| Branch { is_day, is_now, range })
        });
        each.collect()
    }

    /// Their rows `q`: `series`, the columns, `at` with pieces of time, and `is_now` with a period
    /// before.
    fn source(&self, branches: &[Branch]) -> String {
        let [quarters, days, _] = self.rows.tables();
        let columns = self.rows.columns();
        joined(branches, " UNION ALL ", |Branch { is_day, is_now, .. }| {
            let table = if *is_day { days } else { quarters };
            let is_now = match self.since {
                None => String::new(),
                Some(_) => format!(", {} AS is_now", u8::from(*is_now)),
            };
            let during = format!("FROM {table} WHERE at >= ? AND at < ?");
            if self.times.is_empty() {
                let sums = joined(&columns, ", ", |name| format!("sum({name}) AS {name}"));
                return format!("SELECT series{is_now}, {sums} {during} GROUP BY series");
            }
            let at = if *is_day { format!("at * {DAY_QUARTERS}") } else { "at".to_owned() };
            format!("SELECT {at} AS at, series{is_now}, {} {during}", columns.join(", "))
        })
    }

    /// How many values a group has.
    pub(super) fn n_keys(&self) -> usize {
        self.by.len() + self.times.len()
    }

    /// How many sums: once more with a period before.
    fn n_sums(&self) -> usize {
        self.rows.n_sums() * if self.since.is_some() { 2 } else { 1 }
    }

    /// Names of the sums, those of the period before last.
    fn names(&self) -> impl Iterator<Item = String> {
        let n = self.rows.n_sums();
        let name = move |idx| if idx < n { format!("n{idx}") } else { format!("m{}", idx - n) };
        (0..self.n_sums()).map(name)
    }

    /// Every sum with its name.
    fn sums(&self) -> String {
        let periods: &[Option<&str>] = match self.since {
            None => &[None],
            Some(_) => &[Some("q.is_now = 1"), Some("q.is_now = 0")],
        };
        let terms = self.rows.terms();
        let each = periods.iter().flat_map(|period| terms.iter().map(move |term| (*period, term)));
        let sum = |(period, (condition, value)): (Option<&str>, &(Option<String>, String))| {
            let conditions = [condition.as_deref(), period];
            let conditions = joined(conditions.into_iter().flatten(), " AND ", str::to_owned);
            match conditions.as_str() {
                "" => format!("sum({value})"),
                _ => format!("sum(CASE WHEN {conditions} THEN {value} ELSE 0 END)"),
            }
        };
        let named = each.map(sum).zip(self.names());
        joined(named, ", ", |(sum, name)| format!("{sum} AS {name}"))
    }

    /// The groups with their sums, in no order.
    fn grouped(&self, rolled: &Rolled) -> String {
        let start = "q.at - (q.at - ?) % ?";
        // Without the cast a server may take the number of a parameter for a decimal one.
        let piece = |runs: &Vec<Run>| match runs.len() {
            0 | 1 => format!("CAST({start} AS SIGNED)"),
            n => {
                let each = format!("WHEN q.at < ? THEN {start}");
                let each = vec![each; n - 1].join(" ");
                format!("CAST(CASE {each} ELSE {start} END AS SIGNED)")
            }
        };
        let keys = self.by.iter().map(|by| by.column().to_owned());
        let keys = keys.chain(self.times.iter().map(piece)).enumerate();
        let keys = joined(keys, ", ", |(idx, key)| format!("{key} AS k{idx}"));
        let names = joined(0..self.n_keys(), ", ", |idx| format!("k{idx}"));
        let [.., series] = self.rows.tables();
        let only = joined(self.only, " AND ", |(by, _)| format!("{} = ?", by.column()));
        let only = if only.is_empty() { only } else { format!("WHERE {only} ") };
        format!(
            "SELECT {keys}, {} FROM ({}) q JOIN {series} s ON s.id = q.series \
             {only}GROUP BY {names}",
            self.sums(),
            self.source(&self.branches(rolled)),
        )
    }

    /// The groups in their order.
    pub(super) fn sorted(&self, backend: Backend, rolled: &Rolled) -> String {
        let keys = joined(0..self.n_keys(), ", ", |idx| format!("g.k{idx}"));
        let sums = joined(self.names(), ", ", |name| format!("g.{name}"));
        let direction = if self.is_rising { "ASC" } else { "DESC" };
        let rank = self.rank.expression(backend);
        let grouped = self.grouped(rolled);
        format!("SELECT {keys}, {sums} FROM ({grouped}) g ORDER BY {rank} {direction}, {keys}")
    }

    /// A page of the groups in their order, from column 2 on, and before them a row with the number
    /// of all groups, in column 0, and their sums. Groups are made once for both.
    pub(super) fn page(&self, backend: Backend, rolled: &Rolled) -> String {
        let keys = joined(0..self.n_keys(), ", ", |idx| format!("g.k{idx}"));
        let sums = joined(self.names(), ", ", |name| format!("g.{name}"));
        let totals = joined(self.names(), ", ", |name| format!("sum(g.{name})"));
        let nothing = joined(0..self.n_keys(), ", ", |_| "NULL".to_owned());
        let direction = if self.is_rising { "ASC" } else { "DESC" };
        let order = format!("ORDER BY {} {direction}, {keys}", self.rank.expression(backend));
        format!(
            "WITH grouped AS ({}) SELECT NULL AS n, row_number() OVER ({order}) AS place, \
             {keys}, {sums} FROM (SELECT * FROM grouped g {order} LIMIT ? OFFSET ?) g \
             UNION ALL SELECT count(*), 0, {nothing}, {totals} FROM grouped g ORDER BY place",
            self.grouped(rolled),
        )
    }

    /// Binds what `grouped` leaves open.
    pub(super) fn bind<'q>(&'q self, mut query: Bound<'q>, rolled: &Rolled) -> Bound<'q> {
        for runs in self.times {
            for (idx, run) in runs.iter().enumerate() {
                if let Some(next) = runs.get(idx + 1) {
                    query = query.bind(next.from);
                }
                query = query.bind(run.from).bind(run.step);
            }
            if runs.is_empty() {
                query = query.bind(self.quarters.start).bind(i64::MAX);
            }
        }
        for Branch { range, .. } in self.branches(rolled) {
            query = query.bind(range.start).bind(range.end);
        }
        for (_, value) in self.only {
            query = match value {
                UsageValue::Text(text) => query.bind(text),
                UsageValue::Number(number) => query.bind(*number),
            };
        }
        query
    }
}
