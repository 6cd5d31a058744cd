//! Identity of what is counted: the labels of a row and the hash of their content.
//!
//! A full row has every label that a metric family or a question needs; a short row is its shadow
//! for minutes. Ids are hashes of the labels, so that a restored ledger and a running process can
//! never mean different rows by one number.

use event::{ErrorType, Labels, Method, Outcome, ServiceTier, UsageSource};

/// First 128 bits of BLAKE3 over kind and length-prefixed labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesId(pub [u8; 16]);

/// Labels of a full row: totals and quarter-hours.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FullLabels {
    /// Tenant.
    pub namespace: Box<str>,
    /// Provider.
    pub upstream: Box<str>,
    /// Model that answered, or `none`.
    pub model: Box<str>,
    /// HTTP method.
    pub method: Method,
    /// Route template.
    pub endpoint: Box<str>,
    /// HTTP status.
    pub status: u16,
    /// Success or kind of error.
    pub outcome: Outcome,
    /// Price tier.
    pub service_tier: ServiceTier,
    /// Where token counts come from.
    pub source: UsageSource,
    /// Whether the rows are of final attempts, which are what requests are counted by.
    pub is_final: bool,
    /// Policy that refused the requests, if one did.
    pub limited_by: Option<Box<str>>,
}

/// Labels of a minute row.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShortLabels {
    /// Tenant.
    pub namespace: Box<str>,
    /// Provider.
    pub upstream: Box<str>,
    /// Success or kind of error.
    pub outcome: Outcome,
    /// Where token counts come from.
    pub source: UsageSource,
    /// Whether the rows are of final attempts.
    pub is_final: bool,
}

/// Leads the hash of a full row, so that it never equals one of a short row.
const KIND_FULL: u8 = 1;
/// Leads the hash of a short row.
const KIND_SHORT: u8 = 2;

impl FullLabels {
    /// The row of an event's labels.
    #[must_use]
    pub fn of(labels: &Labels<'_>) -> FullLabels {
        FullLabels {
            namespace: labels.namespace.into(),
            upstream: labels.upstream.into(),
            model: labels.model.into(),
            method: labels.method,
            endpoint: labels.endpoint.into(),
            status: labels.status,
            outcome: labels.outcome,
            service_tier: labels.service_tier,
            source: labels.source,
            is_final: labels.is_final,
            limited_by: labels.limited_by.map(Into::into),
        }
    }

    /// The labels as an event has them.
    #[must_use]
    pub fn labels(&self) -> Labels<'_> {
        Labels {
            status: self.status,
            method: self.method,
            outcome: self.outcome,
            service_tier: self.service_tier,
            source: self.source,
            is_final: self.is_final,
            namespace: &self.namespace,
            upstream: &self.upstream,
            model: &self.model,
            endpoint: &self.endpoint,
            limited_by: self.limited_by.as_deref(),
            stream: false,
            requested_model: None,
            consumer: None,
        }
    }

    /// Identity of the row.
    #[must_use]
    pub fn id(&self) -> SeriesId {
        let mut bytes = vec![KIND_FULL];
        self.labels().encode_row(&mut bytes);
        hash(&bytes)
    }

    /// The minute row that this row is part of.
    #[must_use]
    pub fn short(&self) -> ShortLabels {
        ShortLabels {
            namespace: self.namespace.clone(),
            upstream: self.upstream.clone(),
            outcome: self.outcome,
            source: self.source,
            is_final: self.is_final,
        }
    }

    /// Kind of error, if it is one.
    #[must_use]
    pub fn error_type(&self) -> Option<ErrorType> {
        self.outcome.error_type()
    }
}

impl ShortLabels {
    /// Identity of the row.
    #[must_use]
    pub fn id(&self) -> SeriesId {
        let mut bytes =
            vec![KIND_SHORT, self.outcome.code(), self.source.code(), u8::from(self.is_final)];
        for text in [&self.namespace, &self.upstream] {
            bytes.push(u8::try_from(text.len()).expect("labels are at most 128 bytes"));
            bytes.extend_from_slice(text.as_bytes());
        }
        hash(&bytes)
    }
}

/// First 128 bits of BLAKE3.
pub(crate) fn hash(bytes: &[u8]) -> SeriesId {
    let mut id = [0; 16];
    id.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
    SeriesId(id)
}
