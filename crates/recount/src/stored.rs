//! Plain rows of the store in the recount's own types.

use store::plain;

use crate::labels::{Consumer, Row, Short};
use crate::sums::Sums;

/// Sums of a row of the ledger.
pub fn wide(sums: &plain::Sums) -> Sums {
    Sums(sums.map(i128::from))
}

/// Labels of totals and quarter-hours.
pub fn row(labels: plain::Labels) -> Row {
    Row {
        namespace: labels.namespace,
        upstream: labels.upstream,
        model: labels.model,
        method: labels.method,
        endpoint: labels.endpoint,
        status: labels.status,
        outcome: labels.outcome,
        tier: labels.service_tier,
        source: labels.source,
        is_final: labels.is_final,
        limited_by: labels.limited_by,
    }
}

/// Labels of minutes.
pub fn short(labels: plain::MinuteLabels) -> Short {
    let plain::MinuteLabels { namespace, upstream, outcome, source, is_final } = labels;
    Short { namespace, upstream, outcome, source, is_final }
}

/// Labels of consumers.
pub fn consumer(labels: plain::ConsumerLabels) -> Consumer {
    let plain::ConsumerLabels { namespace, consumer, model } = labels;
    Consumer { namespace, consumer, model }
}
