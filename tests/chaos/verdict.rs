//! What must hold at the end, one line each with the number found and the number expected.

use std::fmt;

use serde_json::Value;

/// One thing that must hold.
#[derive(Debug)]
pub struct Check {
    /// Of docs/counting.md.
    invariant: u8,
    what: String,
    found: String,
    expected: String,
    holds: bool,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Verdict {
    pub checks: Vec<Check>,
}

impl Verdict {
    /// In the order of the invariants.
    pub fn sort(&mut self) {
        self.checks.sort_by_key(|check| check.invariant);
    }

    pub fn holds(&self) -> bool {
        self.checks.iter().all(|check| check.holds)
    }

    pub fn equal(&mut self, invariant: u8, what: &str, found: i64, expected: i64) {
        self.within(invariant, what, found, [expected, expected]);
    }

    /// Both bounds are allowed.
    pub fn within(&mut self, invariant: u8, what: &str, found: i64, bounds: [i64; 2]) {
        let [least, most] = bounds;
        let expected = if least == most { least.to_string() } else { format!("{least} to {most}") };
        let holds = (least..=most).contains(&found);
        let (what, found) = (what.to_owned(), found.to_string());
        self.checks.push(Check { invariant, what, found, expected, holds });
    }

    pub fn at_least(&mut self, invariant: u8, what: &str, found: i64, least: i64) {
        let (what, holds) = (what.to_owned(), found >= least);
        let (found, expected) = (found.to_string(), format!("{least} or more"));
        self.checks.push(Check { invariant, what, found, expected, holds });
    }

    /// Nothing may be found.
    pub fn none(&mut self, invariant: u8, what: &str, found: &[String]) {
        let words = match found {
            [] => "none".to_owned(),
            all => format!("{}: {}", all.len(), all.join("; ")),
        };
        let (what, expected) = (what.to_owned(), "none".to_owned());
        let holds = found.is_empty();
        self.checks.push(Check { invariant, what, found: words, expected, holds });
    }

    /// The differences that a recount found, by what they are about.
    pub fn recount(&mut self, report: &Value) {
        let (mut log, mut shown, mut sent) = (Vec::new(), Vec::new(), Vec::new());
        for one in report["differences"].as_array().into_iter().flatten() {
            let field = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
            let place = field("place");
            let words = format!(
                "{place}: {}: expected {}, found {}",
                field("what"),
                field("expected"),
                field("found")
            );
            match place.as_str() {
                "sent" => sent.push(words),
                ledger if ledger.starts_with("ledger") => log.push(words),
                _ => shown.push(words),
            }
        }
        self.none(1, "differences between ledger and log, counted again", &log);
        self.none(3, "differences between log and what was sent", &sent);
        self.none(7, "differences between log and /metrics or API", &shown);
        let n = report["n_differences"].as_i64().unwrap_or(-1);
        self.equal(7, "differences of the recount in all", n, 0);
    }
}

impl fmt::Display for Check {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.holds { "ok" } else { "BREACH" };
        let Check { invariant, what, found, expected, .. } = self;
        let invariant = format!("I{invariant}");
        write!(out, "{word:6}  {invariant:3}  {what}: {found} (expected {expected})")
    }
}
