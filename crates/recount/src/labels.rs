//! The labels of an event, and the rows that events add to.
//!
//! Numbers and texts of a frame go in, a `Row` of plain texts and words comes out, or `None` if
//! they break a rule of docs/format.md; where they stand in a frame is known to `frame` alone. The
//! rules and lists are deliberately duplicated: a recount that shared them with the ledger would
//! share its bugs.

use std::fmt;

/// Longest namespace in bytes.
const NAMESPACE_BYTES_MAX: usize = 64;
/// Longest other text in bytes.
const LABEL_BYTES_MAX: usize = 128;
/// Words that no tenant may have as its code.
const RESERVED: [&str; 3] = ["all", "none", "other"];
/// Methods; number 1 is the first.
const METHODS: [&str; 8] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "other"];
/// The outcome of an attempt whose producer does not know how it ended.
pub const UNCONFIRMED: &str = "unconfirmed";
/// Outcomes; number 0 is the first.
pub const OUTCOMES: [&str; 10] = [
    "success",
    "timeout",
    "rate_limited",
    "client_closed",
    "client_error",
    "upstream_unreachable",
    "server_error",
    "content_filter",
    "policy",
    UNCONFIRMED,
];
/// Price tiers; number 1 is the first.
const TIERS: [&str; 4] = ["standard", "batch", "flex", "priority"];
/// Where token counts come from; number 0 is the first.
const SOURCES: [&str; 3] = ["none", "reported", "estimated"];

/// Labels of totals and quarter-hours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row {
    /// Tenant.
    pub namespace: String,
    /// Provider.
    pub upstream: String,
    /// Model that answered, or `none`.
    pub model: String,
    /// HTTP method.
    pub method: &'static str,
    /// Route template.
    pub endpoint: String,
    /// HTTP status.
    pub status: u16,
    /// `success` or the kind of error.
    pub outcome: &'static str,
    /// Price tier.
    pub tier: &'static str,
    /// Where token counts come from.
    pub source: &'static str,
    /// Whether the row is of final attempts.
    pub is_final: bool,
    /// Policy that refused the requests.
    pub limited_by: Option<String>,
}

/// What a frame says of a row: numbers that may be on no list, texts that may break a rule.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// HTTP status.
    pub status: u64,
    /// Number of the method.
    pub method: u64,
    /// Number of the outcome.
    pub outcome: u64,
    /// Number of the price tier.
    pub tier: u64,
    /// Number of the source of token counts.
    pub source: u64,
    /// 1 for final attempts.
    pub is_final: u64,
    /// Tenant.
    pub namespace: &'a str,
    /// Provider.
    pub upstream: &'a str,
    /// Model that answered, or `none`.
    pub model: &'a str,
    /// Route template.
    pub endpoint: &'a str,
    /// Policy that refused the requests; empty for none.
    pub limited_by: &'a str,
}

/// Labels of minutes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Short {
    /// Tenant.
    pub namespace: String,
    /// Provider.
    pub upstream: String,
    /// `success` or the kind of error.
    pub outcome: &'static str,
    /// Where token counts come from.
    pub source: &'static str,
    /// Whether the row is of final attempts.
    pub is_final: bool,
}

/// Labels of a consumer row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Consumer {
    /// Tenant.
    pub namespace: String,
    /// Alias of a key or user; empty for none.
    pub consumer: String,
    /// Model that answered, or `none`.
    pub model: String,
}

impl Row {
    /// The minute row that this row is part of.
    pub fn short(&self) -> Short {
        Short {
            namespace: self.namespace.clone(),
            upstream: self.upstream.clone(),
            outcome: self.outcome,
            source: self.source,
            is_final: self.is_final,
        }
    }

    /// `success` or `error`, as families name it.
    pub fn status_word(&self) -> &'static str {
        if self.outcome == "success" { "success" } else { "error" }
    }

    /// The row of these parts, or `None` if one of them breaks a rule.
    pub fn of(parts: &Parts<'_>) -> Option<Row> {
        let status = u16::try_from(parts.status).ok()?;
        let row = Row {
            namespace: parts.namespace.to_owned(),
            upstream: parts.upstream.to_owned(),
            model: parts.model.to_owned(),
            method: word(&METHODS, parts.method.checked_sub(1)?)?,
            endpoint: parts.endpoint.to_owned(),
            status,
            outcome: word(&OUTCOMES, parts.outcome)?,
            tier: word(&TIERS, parts.tier.checked_sub(1)?)?,
            source: word(&SOURCES, parts.source)?,
            is_final: flag(parts.is_final)?,
            limited_by: Some(parts.limited_by.to_owned()).filter(|text| !text.is_empty()),
        };
        let texts = [&row.upstream, &row.model, &row.endpoint];
        let is_sound = (100..=599).contains(&status)
            && (status < 400 || row.outcome != "success")
            && is_namespace(&row.namespace)
            && texts.into_iter().all(|text| is_label(text))
            && row.limited_by.as_deref().is_none_or(is_label);
        is_sound.then_some(row)
    }
}

impl Consumer {
    /// The consumer row beside a row, or `None` if the text is no consumer; empty is none.
    pub fn of(row: &Row, consumer: &str) -> Option<Consumer> {
        (consumer.is_empty() || is_consumer(consumer)).then(|| Consumer {
            namespace: row.namespace.clone(),
            consumer: consumer.to_owned(),
            model: row.model.clone(),
        })
    }
}

/// Whether a text may stand for the model that was asked for; empty is none.
pub fn is_requested_model(text: &str) -> bool {
    text.is_empty() || is_label(text)
}

/// What a boolean's number says.
pub fn flag(number: u64) -> Option<bool> {
    match number {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

impl fmt::Display for Row {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{{namespace={} upstream={} model={} method={} endpoint={} status={} outcome={} \
             tier={} source={} final={} limited_by={}}}",
            self.namespace,
            self.upstream,
            self.model,
            self.method,
            self.endpoint,
            self.status,
            self.outcome,
            self.tier,
            self.source,
            self.is_final,
            self.limited_by.as_deref().unwrap_or("-"),
        )
    }
}

impl fmt::Display for Short {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{{namespace={} upstream={} outcome={} source={} final={}}}",
            self.namespace, self.upstream, self.outcome, self.source, self.is_final,
        )
    }
}

impl fmt::Display for Consumer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Consumer { namespace, consumer, model } = self;
        write!(out, "{{namespace={namespace} consumer={consumer:?} model={model}}}")
    }
}

/// The word at a place of a list.
fn word(words: &[&'static str], place: u64) -> Option<&'static str> {
    words.get(usize::try_from(place).ok()?).copied()
}

fn is_namespace(text: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
    text.len() <= NAMESPACE_BYTES_MAX
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(is_letter)
        && !RESERVED.contains(&text)
}

fn is_label(text: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || "-_.:/@+{}*~#=,()[]".contains(c);
    !text.is_empty() && text.len() <= LABEL_BYTES_MAX && text.chars().all(is_letter)
}

fn is_consumer(text: &str) -> bool {
    !text.is_empty() && text.len() <= LABEL_BYTES_MAX && !text.chars().any(char::is_control)
}
