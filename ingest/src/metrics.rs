//! Metrics of an ingest process: they may reset, and must never be labelled by event.

use event::Reject;
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};
use service::Error;
use service::metrics::ProcessMetrics;

/// Upper bounds of the buckets, seconds.
const DURABLE_SECONDS: [f64; 12] =
    [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 10.0];

/// Every status of a response to a body.
const STATUSES: [&str; 8] = ["200", "400", "408", "413", "415", "422", "500", "503"];

/// Outcomes of a raw message.
pub const RAW_RESULTS: [&str; 3] = ["taken", "rejected", "unreadable"];

/// The metrics of ingest.
#[derive(Clone, Debug)]
pub struct IngestMetrics {
    /// Answers by status code.
    pub requests: IntCounterVec,
    /// Events that were accepted.
    pub accepted: IntCounter,
    /// Events that were not accepted, by reason.
    pub rejected: IntCounterVec,
    /// Events whose tokens were counted from their text, by basis.
    pub estimated: IntCounterVec,
    /// Events of numbering producers that the log does not name.
    pub unnumbered: IntCounter,
    /// Bytes of bodies as received.
    pub bytes: IntCounter,
    /// Bytes of the same bodies once decompressed.
    pub plain_bytes: IntCounter,
    /// Frames appended to the log.
    pub frames: IntCounter,
    /// Events in flight.
    pub waiting: IntGauge,
    /// Time from the parsed body to durable.
    pub durable: Histogram,
    /// Those of raw topics.
    pub raw: RawMetrics,
}

/// The metrics of raw topics.
#[derive(Clone, Debug)]
pub struct RawMetrics {
    /// Processed messages, by topic and result.
    pub messages: IntCounterVec,
    /// Unprocessed messages, by topic.
    pub lag: IntGaugeVec,
    /// Messages that were deleted before they were read.
    pub lost: IntCounter,
    /// Partitions deleted with their topic, by topic and whether all losses are known.
    pub remade: IntCounterVec,
    /// Stalled partitions, by topic.
    pub stalled: IntGaugeVec,
}

impl IngestMetrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// If a name is taken in the registry.
    pub fn new(metrics: &ProcessMetrics) -> Result<IngestMetrics, Error> {
        let ingest = IngestMetrics {
            requests: metrics.counter_vec(
                "gatemeter_ingest_requests_total",
                "Bodies that were answered, by status code.",
                &["status_code"],
            )?,
            accepted: metrics.counter(
                "gatemeter_ingest_events_total",
                "Events that were accepted, each delivery counted.",
            )?,
            rejected: metrics.counter_vec(
                "gatemeter_rejected_total",
                "Events that ingest did not accept, by reason.",
                &["reason"],
            )?,
            estimated: metrics.counter_vec(
                "gatemeter_estimated_events_total",
                "Events whose tokens were counted from their text, by basis: the tokenizer for all \
                 of it, or the length for some.",
                &["basis"],
            )?,
            unnumbered: metrics.counter(
                "gatemeter_unnumbered_total",
                "Events whose producer and number the log does not keep: too many producers sent \
                 lately, or the name is too long. Each delivery is counted.",
            )?,
            bytes: metrics
                .counter("gatemeter_ingest_bytes_total", "Bytes of bodies as they came.")?,
            plain_bytes: metrics.counter(
                "gatemeter_ingest_plain_bytes_total",
                "Bytes of bodies as they were parsed: the same, but for compressed ones.",
            )?,
            frames: metrics
                .counter("gatemeter_ingest_frames_total", "Frames appended to the log.")?,
            waiting: metrics
                .gauge("gatemeter_ingest_waiting_events", "Events that wait to be durable.")?,
            durable: metrics.histogram(
                "gatemeter_ingest_durable_seconds",
                "Time from a parsed body to its events being durable.",
                &DURABLE_SECONDS,
            )?,
            raw: RawMetrics::new(metrics)?,
        };
        ingest.begin();
        Ok(ingest)
    }

    /// Initialises series at zero: an alert on an increase misses the first event of a series that
    /// begins with it.
    fn begin(&self) {
        for reason in event::reject::REASONS {
            self.rejected.with_label_values(&[reason]).inc_by(0);
        }
        for status in STATUSES {
            self.requests.with_label_values(&[status]).inc_by(0);
        }
    }

    /// Counts accepted events and rejects.
    pub fn note_taken<'r>(&self, n_events: usize, rejects: impl Iterator<Item = &'r Reject>) {
        self.accepted.inc_by(n_events as u64);
        for reject in rejects {
            self.rejected.with_label_values(&[reject.kind]).inc();
        }
    }
}

impl RawMetrics {
    fn new(metrics: &ProcessMetrics) -> Result<RawMetrics, Error> {
        Ok(RawMetrics {
            messages: metrics.counter_vec(
                "gatemeter_raw_messages_total",
                "Messages of raw topics that are durable in the log or kept as dead letters, by \
                 result: taken, rejected (an event of it was not accepted), unreadable.",
                &["topic", "result"],
            )?,
            lag: metrics.gauge_vec(
                "gatemeter_raw_lag_messages",
                "Messages of raw topics, in the partitions of this process, that are not yet \
                 processed.",
                &["topic"],
            )?,
            lost: metrics.counter(
                "gatemeter_raw_lost_messages_total",
                "Messages of raw topics that the brokers deleted before they were read.",
            )?,
            remade: metrics.counter_vec(
                "gatemeter_raw_remade_partitions_total",
                "Partitions of raw topics that were deleted with their topic, by unread: told \
                 (what was not read is among the lost), unknown (it was being written, or nobody \
                 read it: more may be lost).",
                &["topic", "unread"],
            )?,
            stalled: metrics.gauge_vec(
                "gatemeter_raw_stalled_partitions",
                "Partitions of raw topics that have messages and have not moved for 60 s.",
                &["topic"],
            )?,
        })
    }

    /// Initialises the series of a topic at zero.
    pub fn begin(&self, topic: &str) {
        for result in RAW_RESULTS {
            self.messages.with_label_values(&[topic, result]).inc_by(0);
        }
    }
}
