//! What a replay reports as sent, against the growth of the log since an earlier recount.
//!
//! The replay knows its totals on its own; together with the comparison of every view with the log
//! this closes the chain from the producer to the page. Another producer that sends meanwhile shows
//! as a difference.

use std::collections::BTreeMap;

use anyhow::bail;
use serde::Deserialize;

use crate::differ::Differences;
use crate::figures::Figures;
use crate::report::{Column, Report, column};

const PLACE: &str = "sent";

/// The part of a replay's report that is compared.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Sent {
    exact: bool,
    complete: bool,
    events: Events,
    requests: i128,
    tokens: Tokens,
    namespaces: BTreeMap<String, Namespace>,
    status: BTreeMap<u16, i128>,
    extra_at_most: Events,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct Events {
    counted: i128,
    duplicate: i128,
    late: i128,
    future: i128,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct Tokens {
    input: i128,
    output: i128,
    cache_read: i128,
    cache_write: i128,
    reasoning: i128,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct Namespace {
    requests: i128,
    success: i128,
    error: i128,
    input: i128,
    output: i128,
}

impl Sent {
    /// Refuses a replay whose totals are uncertain.
    ///
    /// # Errors
    /// The error names the totals that are uncertain.
    pub fn check(&self) -> anyhow::Result<()> {
        if !self.complete {
            bail!("the replay did not complete, so its totals are partial");
        }
        if !self.exact {
            bail!("the replay's totals are not certain and cannot be compared");
        }
        Ok(())
    }

    /// What was sent, as a column of the table.
    pub fn column(&self) -> Column {
        let success = self.namespaces.values().map(|own| own.success).sum();
        let figures = Figures {
            requests: self.requests,
            success,
            error: self.requests - success,
            input: self.tokens.input,
            output: self.tokens.output,
            ..Figures::default()
        };
        column(&figures, |name| match name {
            "counted" => Some(self.events.counted),
            "duplicate" => Some(self.events.duplicate),
            "late" => Some(self.events.late),
            "future" => Some(self.events.future),
            _ => None,
        })
    }

    /// Compares the growth from `before` to `now` with what was sent.
    pub fn compare(&self, before: &Report, now: &Report) -> Differences {
        let mut differences = Differences::default();
        let class = |report: &Report, name: &str| report.classes.get(name).copied().unwrap_or(0);
        let grown = |name: &str| class(now, name) - class(before, name);
        differences.compare(PLACE, "counted", grown("counted"), self.events.counted);
        let extra = &self.extra_at_most;
        for (name, sent, extra) in [
            ("duplicate", self.events.duplicate, extra.duplicate),
            ("late", self.events.late, extra.late),
            ("future", self.events.future, extra.future),
        ] {
            // Answers that were lost on the way leave it open how many copies arrived.
            if !(sent..=sent + extra).contains(&grown(name)) {
                let sent = match extra {
                    0 => sent.to_string(),
                    extra => format!("{sent} to {}", sent + extra),
                };
                differences.add(PLACE, name, &grown(name).to_string(), &sent);
            }
        }
        let (was, is) = (&before.totals, &now.totals);
        for (what, grown, sent) in [
            ("requests", is.requests - was.requests, self.requests),
            ("input_tokens", is.input - was.input, self.tokens.input),
            ("output_tokens", is.output - was.output, self.tokens.output),
            ("cache_read_tokens", is.cache_read - was.cache_read, self.tokens.cache_read),
            ("cache_write_tokens", is.cache_write - was.cache_write, self.tokens.cache_write),
            ("reasoning_tokens", is.reasoning - was.reasoning, self.tokens.reasoning),
        ] {
            differences.compare(PLACE, what, grown, sent);
        }
        self.compare_namespaces(&mut differences, before, now);
        let statuses = now.status.keys().chain(self.status.keys());
        for status in statuses.collect::<std::collections::BTreeSet<_>>() {
            let of = |counts: &BTreeMap<u16, i128>| counts.get(status).copied().unwrap_or(0);
            let grown = of(&now.status) - of(&before.status);
            differences.compare(PLACE, &format!("status={status}"), grown, of(&self.status));
        }
        differences
    }

    fn compare_namespaces(&self, differences: &mut Differences, before: &Report, now: &Report) {
        let names = now.namespaces.keys().chain(self.namespaces.keys());
        for name in names.collect::<std::collections::BTreeSet<_>>() {
            let of = |report: &Report| report.namespaces.get(name).copied().unwrap_or_default();
            let (was, is) = (of(before), of(now));
            let sent = self.namespaces.get(name).copied().unwrap_or_default();
            for (what, grown, sent) in [
                ("requests", is.requests - was.requests, sent.requests),
                ("success", is.success - was.success, sent.success),
                ("error", is.error - was.error, sent.error),
                ("input_tokens", is.input - was.input, sent.input),
                ("output_tokens", is.output - was.output, sent.output),
            ] {
                differences.compare(PLACE, &format!("namespace={name} {what}"), grown, sent);
            }
        }
    }
}
