//! Takes the rows of the store apart, field by field.

use ledger::commit;
use ledger::consumer;
use ledger::series::{FullLabels, ShortLabels};

use super::{Account, ConsumerLabels, Labels, MergedEvent, MinuteLabels, Progress, RangeLine};
use crate::journal::RangeRow;
use crate::late::MergedRow;

impl From<&commit::Progress> for Progress {
    fn from(stored: &commit::Progress) -> Progress {
        let account = &stored.account;
        Progress {
            next: stored.next,
            floor: stored.floor,
            floor_clock_us: stored.floor_clock_us,
            clock_us: stored.clock_us,
            last_print: stored.last_print,
            late_next: stored.late_next,
            account: Account {
                events: account.events,
                counted: account.counted,
                duplicate: account.duplicate,
                late: account.late,
                future: account.future,
                poison: account.poison,
                misrouted: account.misrouted,
                conflicts: account.conflicts,
                lost_frames: account.lost_frames,
                merged: account.merged,
                late_duplicate: account.late_duplicate,
                expired: account.expired,
            },
        }
    }
}

impl From<&FullLabels> for Labels {
    fn from(stored: &FullLabels) -> Labels {
        Labels {
            namespace: stored.namespace.to_string(),
            upstream: stored.upstream.to_string(),
            model: stored.model.to_string(),
            method: stored.method.word(),
            endpoint: stored.endpoint.to_string(),
            status: stored.status,
            outcome: stored.outcome.word(),
            service_tier: stored.service_tier.word(),
            source: stored.source.word(),
            is_final: stored.is_final,
            limited_by: stored.limited_by.as_ref().map(ToString::to_string),
        }
    }
}

impl From<&ShortLabels> for MinuteLabels {
    fn from(stored: &ShortLabels) -> MinuteLabels {
        MinuteLabels {
            namespace: stored.namespace.to_string(),
            upstream: stored.upstream.to_string(),
            outcome: stored.outcome.word(),
            source: stored.source.word(),
            is_final: stored.is_final,
        }
    }
}

impl From<consumer::ConsumerLabels> for ConsumerLabels {
    fn from(stored: consumer::ConsumerLabels) -> ConsumerLabels {
        ConsumerLabels {
            namespace: stored.namespace.into(),
            consumer: stored.consumer.map(String::from).unwrap_or_default(),
            model: stored.model.into(),
        }
    }
}

impl From<&RangeRow> for RangeLine {
    fn from(stored: &RangeRow) -> RangeLine {
        let sums = &stored.sums;
        RangeLine {
            partition: stored.partition,
            base: stored.base,
            next: stored.next,
            events: sums.events,
            counted: sums.counted,
            input_tokens: sums.input_tokens,
            output_tokens: sums.output_tokens,
            digest: sums.digest,
            first_clock_us: sums.first_clock_us,
            last_clock_us: sums.last_clock_us,
            late: sums.late,
        }
    }
}

impl From<&MergedRow> for MergedEvent {
    fn from(stored: &MergedRow) -> MergedEvent {
        let MergedRow { partition, key, time_us, offset } = *stored;
        MergedEvent { partition, offset, key, time_us }
    }
}
