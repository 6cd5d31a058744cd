//! What sums are made of: a column of rows, and which of the rows are added up.
//!
//! The condition is inside the sum instead of a GROUP BY: rows arrive in the order of time, and
//! sorting them by anything else would take far longer than adding them up. Roll-ups by namespace
//! have each term that queries ask for as a column of its own.

use event::usage::TOKEN_CLASSES;
use event::{Outcome, UsageSource};
use ledger::histogram::{N_DURATION, N_TPOT, N_TTFT};

use crate::rows::Width;

/// Stored number of the outcome `success`.
const SUCCESS: u8 = Outcome::Success.code();
/// Stored number of estimated usage.
const ESTIMATED: u8 = UsageSource::Estimated as u8;

/// Which rows are added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Only {
    /// All of them.
    Any,
    /// Final attempts.
    Final,
    /// Final attempts that failed.
    Failed,
    /// Attempts whose tokens were counted from text.
    Estimated,
}

/// A sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Term {
    pub only: Only,
    /// Column of a measure.
    pub column: String,
}

impl Only {
    /// The condition, of series `s`.
    pub(crate) fn condition(self) -> Option<String> {
        match self {
            Only::Any => None,
            Only::Final => Some("s.is_final".to_owned()),
            Only::Failed => Some(format!("s.is_final AND s.outcome <> {SUCCESS}")),
            Only::Estimated => Some(format!("s.source = {ESTIMATED}")),
        }
    }

    /// Whether rows with such labels are added up.
    pub(crate) fn holds(self, is_final: bool, outcome: Outcome, source: UsageSource) -> bool {
        match self {
            Only::Any => true,
            Only::Final => is_final,
            Only::Failed => is_final && outcome != Outcome::Success,
            Only::Estimated => source == UsageSource::Estimated,
        }
    }
}

impl Term {
    fn new(only: Only, column: impl Into<String>) -> Term {
        Term { only, column: column.into() }
    }

    /// The sum over rows `q` with series `s`.
    pub(crate) fn raw(&self) -> String {
        let column = &self.column;
        match self.only.condition() {
            None => format!("sum(q.{column})"),
            Some(condition) => format!("sum(CASE WHEN {condition} THEN q.{column} ELSE 0 END)"),
        }
    }

    /// Its column in a roll-up by namespace.
    pub(crate) fn rolled(&self) -> String {
        match (self.only, self.column.as_str()) {
            (Only::Final, "n") => "requests".to_owned(),
            (Only::Failed, "n") => "errors".to_owned(),
            (Only::Estimated, column) => format!("estimated_{column}"),
            (_, column) => column.to_owned(),
        }
    }
}

/// Final attempts, and those that failed.
pub(crate) fn requests() -> Vec<Term> {
    vec![Term::new(Only::Final, "n"), Term::new(Only::Failed, "n")]
}

/// How long final attempts took: the sum and each bucket.
pub(crate) fn durations() -> Vec<Term> {
    let buckets = (0..N_DURATION).map(|idx| Term::new(Only::Final, format!("duration_{idx}")));
    std::iter::once(Term::new(Only::Final, "duration_us")).chain(buckets).collect()
}

/// The time to first token: the sum and each bucket.
pub(crate) fn first_tokens() -> Vec<Term> {
    let buckets = (0..N_TTFT).map(|idx| Term::new(Only::Any, format!("ttft_{idx}")));
    std::iter::once(Term::new(Only::Any, "ttft_us")).chain(buckets).collect()
}

/// The time per output token: the sum and each bucket.
pub(crate) fn per_token() -> Vec<Term> {
    let buckets = (0..N_TPOT).map(|idx| Term::new(Only::Any, format!("tpot_{idx}")));
    std::iter::once(Term::new(Only::Any, "tpot_us")).chain(buckets).collect()
}

/// Tokens of each class, those of them that were estimated, and cost.
pub(crate) fn tokens() -> Vec<Term> {
    let all = TOKEN_CLASSES.iter().map(|name| Term::new(Only::Any, *name));
    let estimated = TOKEN_CLASSES.iter().map(|name| Term::new(Only::Estimated, *name));
    all.chain(estimated).chain([Term::new(Only::Any, "cost_nano")]).collect()
}

/// The columns of a roll-up by namespace.
pub(crate) fn of_namespaces(width: Width) -> Vec<Term> {
    let full = match width {
        Width::Full => [first_tokens(), per_token()].concat(),
        Width::Short => Vec::new(),
    };
    [requests(), durations(), full, tokens()].concat()
}
