//! Label tuples of a frame, read from their bytes, and the rows that events add to.
//!
//! Bytes of a dictionary go in, a `Row` of plain texts and words comes out, or `None` if the tuple
//! breaks a rule of docs/format.md. The rules and lists are deliberately duplicated: a recount that
//! shared them with the ledger would share its bugs.

use std::fmt;

/// Longest namespace in bytes.
const NAMESPACE_BYTES_MAX: usize = 64;
/// Longest other text in bytes.
const LABEL_BYTES_MAX: usize = 128;
/// Words that no tenant may have as its code.
const RESERVED: [&str; 3] = ["all", "none", "other"];
/// Methods; number 1 is the first.
const METHODS: [&str; 8] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "other"];
/// Outcomes; number 0 is the first.
pub const OUTCOMES: [&str; 9] = [
    "success",
    "timeout",
    "rate_limited",
    "client_closed",
    "client_error",
    "upstream_unreachable",
    "server_error",
    "content_filter",
    "policy",
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

    /// Reads a tuple and its consumer, or `None` if it breaks a rule.
    pub fn read(tuple: &[u8]) -> Option<(Row, Consumer)> {
        let mut bytes = Bytes { rest: tuple };
        let status = u16::from_le_bytes([bytes.byte()?, bytes.byte()?]);
        let method = METHODS.get(usize::from(bytes.byte()?.checked_sub(1)?))?;
        let outcome = OUTCOMES.get(usize::from(bytes.byte()?))?;
        let tier = TIERS.get(usize::from(bytes.byte()?.checked_sub(1)?))?;
        let source = SOURCES.get(usize::from(bytes.byte()?))?;
        let is_final = bytes.flag()?;
        let row = Row {
            namespace: bytes.text()?,
            upstream: bytes.text()?,
            model: bytes.text()?,
            method,
            endpoint: bytes.text()?,
            status,
            outcome,
            tier,
            source,
            is_final,
            limited_by: Some(bytes.text()?).filter(|text| !text.is_empty()),
        };
        bytes.flag()?;
        let requested_model = bytes.text()?;
        let consumer = bytes.text()?;
        let texts = [&row.upstream, &row.model, &row.endpoint];
        let is_sound = bytes.rest.is_empty()
            && (100..=599).contains(&status)
            && (status < 400 || *outcome != "success")
            && is_namespace(&row.namespace)
            && texts.into_iter().all(|text| is_label(text))
            && row.limited_by.as_deref().is_none_or(is_label)
            && (requested_model.is_empty() || is_label(&requested_model))
            && (consumer.is_empty() || is_consumer(&consumer));
        is_sound.then(|| {
            let (namespace, model) = (row.namespace.clone(), row.model.clone());
            (row, Consumer { namespace, consumer, model })
        })
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

/// Bytes that are taken from the front.
struct Bytes<'a> {
    rest: &'a [u8],
}

impl Bytes<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::from(self.byte()?);
        let (text, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        String::from_utf8(text.to_vec()).ok()
    }
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
