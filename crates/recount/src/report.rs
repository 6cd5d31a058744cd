//! Report of a recount: a table and a list of differences for people, JSON for scripts.
//!
//! The names of the JSON are a promise: `--before` reads them again, and fields may be added, none
//! renamed. Nothing is compared here.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::answers::{ALL, Answers};
use crate::differ::{Difference, Differences};
use crate::figures::Figures;
use crate::labels::Row;
use crate::sums::Sums;
use crate::tally::Account;
use crate::text::{MILLION, Page};
use crate::verdict::Class;

/// What `--json` prints, and what `--before` reads.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Whether everything agrees.
    pub agree: bool,
    /// Recounted frames.
    pub frames: u64,
    /// Events that the log has had, those that were deleted among them.
    pub events: i128,
    /// Events by class.
    pub classes: BTreeMap<String, i128>,
    /// Late events by verdict of the second pass, and those without one.
    #[serde(default)]
    pub late: BTreeMap<String, i128>,
    /// Duplicates whose facts contradict the copy before.
    pub conflicts: i128,
    /// Frames that left the log before they were counted.
    pub lost_frames: i128,
    /// Requests and tokens.
    pub totals: Figures,
    /// Requests and tokens by namespace.
    pub namespaces: BTreeMap<String, Figures>,
    /// Requests by HTTP status.
    pub status: BTreeMap<u16, i128>,
    /// Ledger version of each view that was compared.
    pub versions: BTreeMap<String, i64>,
    /// How many differences there are.
    pub n_differences: u64,
    /// The first thousand differences.
    #[serde(skip_deserializing)]
    pub differences: Vec<Difference>,
}

impl Report {
    /// Values according to the log.
    pub fn of(totals: &BTreeMap<Row, Sums>, account: &Account, frames: u64) -> Report {
        let classes = Class::EACH.map(|class| (class.word().to_owned(), account.of(class)));
        Report {
            frames,
            events: account.events,
            classes: classes.into(),
            late: account.late_by_verdict().map(|(name, n)| (name.to_owned(), n)).collect(),
            conflicts: account.conflicts,
            lost_frames: account.lost_frames,
            totals: Figures::of(totals),
            namespaces: Figures::by_namespace(totals),
            status: Figures::by_status(totals),
            ..Report::default()
        }
    }

    /// Sets the verdict from the differences.
    pub fn conclude(&mut self, differences: Differences) {
        self.agree = differences.n == 0;
        self.n_differences = differences.n;
        self.differences = differences.kept;
    }

    /// The differences, one per line, and how many are not shown.
    pub fn lines(&self) -> String {
        let mut text = String::new();
        for difference in &self.differences {
            let _ = writeln!(text, "{difference}");
        }
        let more = self.n_differences - self.differences.len() as u64;
        if more > 0 {
            let _ = writeln!(text, "and {more} more");
        }
        text
    }
}

/// Verdict of a line about late events, as `Account::late_by_verdict` names it.
fn verdict_of(line: &str) -> Option<&str> {
    line.strip_prefix("late, ")
}

/// One column of the table: the numbers of a view, by the names of the lines.
pub type Column = BTreeMap<&'static str, i128>;

/// The lines of the table, in their order.
const LINES: [&str; 16] = [
    "requests",
    "success",
    "error",
    "input tokens",
    "output tokens",
    "counted",
    "duplicate",
    "late",
    "future",
    "poison",
    "misrouted",
    "conflicts",
    "late, merged",
    "late, duplicate",
    "late, expired",
    "late, undecided",
];

/// Column of a report.
pub fn column(figures: &Figures, account: impl Fn(&str) -> Option<i128>) -> Column {
    let mut column = Column::from([
        ("requests", figures.requests),
        ("success", figures.success),
        ("error", figures.error),
        ("input tokens", figures.input),
        ("output tokens", figures.output),
    ]);
    column.extend(LINES[5..].iter().filter_map(|line| Some((*line, account(line)?))));
    column
}

/// Column of log or ledger.
pub fn account_column(totals: &BTreeMap<Row, Sums>, account: &Account) -> Column {
    let of = |name: &str| {
        if let Some(verdict) = verdict_of(name) {
            let mut late = account.late_by_verdict();
            return late.find(|(other, _)| *other == verdict).map(|(_, n)| n);
        }
        let class = Class::EACH.into_iter().find(|class| class.word() == name);
        Some(class.map_or(account.conflicts, |class| account.of(class)))
    };
    column(&Figures::of(totals), of)
}

/// Column of a page.
pub fn page_column(page: &Page) -> Column {
    let sum = |name: &str, label: &str, value: &str| -> i128 {
        let is_meant = |labels: &BTreeMap<String, String>| {
            label.is_empty() || labels.get(label).is_some_and(|other| other == value)
        };
        let samples = page.samples.iter();
        let meant = samples.filter(|(series, _)| series.name == name && is_meant(&series.labels));
        meant.map(|(_, millionths)| millionths / MILLION).sum()
    };
    let requests = |status: &str| sum("namespace_requests_total", "status", status);
    let tokens = |kind: &str| sum("namespace_tokens_total", "token_type", kind);
    let figures = Figures {
        requests: requests("success") + requests("error"),
        success: requests("success"),
        error: requests("error"),
        input: tokens("input"),
        output: tokens("output"),
        ..Figures::default()
    };
    column(&figures, |name| match name {
        "conflicts" => Some(sum("gatemeter_conflicts_total", "", "")),
        "late, undecided" => Some(sum("gatemeter_late_events_undecided", "", "")),
        name => Some(match verdict_of(name) {
            Some(verdict) => sum("gatemeter_late_events_total", "verdict", verdict),
            None => sum("gatemeter_events_total", "class", name),
        }),
    })
}

/// Column of the API's answers.
pub fn api_column(answers: &Answers) -> Column {
    let requests = i128::from(answers.distribution.requests);
    let success = answers.distribution.totals.get("success").copied().unwrap_or(0);
    let tokens = answers.tokens.get(ALL).map(|tokens| &tokens.totals);
    let figures = Figures {
        requests,
        success: i128::from(success),
        error: requests - i128::from(success),
        input: tokens.map_or(0, |totals| i128::from(totals.input)),
        output: tokens.map_or(0, |totals| i128::from(totals.output)),
        ..Figures::default()
    };
    column(&figures, |name| {
        let late = verdict_of(name).map(|verdict| format!("late_{verdict}"));
        let n = answers.system.events.get(late.as_deref().unwrap_or(name));
        n.map(|n| i128::from(*n))
    })
}

/// Subtracts an earlier recount.
pub fn subtract(column: &mut Column, before: &Report) {
    let earlier = self::column(&before.totals, |name| match (name, verdict_of(name)) {
        ("conflicts", _) => Some(before.conflicts),
        (_, Some(verdict)) => before.late.get(verdict).copied(),
        (class, None) => before.classes.get(class).copied(),
    });
    for (line, n) in column {
        *n -= earlier.get(line).copied().unwrap_or(0);
    }
}

/// The columns side by side.
pub fn table(columns: &[(&str, Column)]) -> String {
    let mut text = format!("{:<16}", "");
    for (name, _) in columns {
        let _ = write!(text, " {name:>16}");
    }
    text.push('\n');
    for line in LINES {
        let _ = write!(text, "{line:<16}");
        for (_, column) in columns {
            let n = column.get(line).map_or_else(|| "-".to_owned(), |n| grouped(*n));
            let _ = write!(text, " {n:>16}");
        }
        text.push('\n');
    }
    text
}

/// 40421844 as `40,421,844`.
fn grouped(number: i128) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = if number < 0 { "-".to_owned() } else { String::new() };
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
