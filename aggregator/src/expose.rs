//! The business families: which rows add to which series, and how a page is written.
//!
//! A full row is linked to its series once, by building their labels; from then on its sums are
//! added by number. Requests are counted by final attempts, everything that is billed or measured
//! at an upstream by all attempts. docs/metrics.md names every family.

use std::collections::HashMap;

use event::UsageSource;
use event::usage::{N_TOKEN_CLASSES, TOKEN_CLASSES};
use ledger::account::{Account, Class, LateVerdict};
use ledger::exposure::Births;
use ledger::histogram::{DURATION_LABELS, N_DURATION, N_TPOT, N_TTFT, TPOT_LABELS, TTFT_LABELS};
use ledger::measures::Measures;
use ledger::series::{FullLabels, SeriesId};

use crate::family::{Family, Histogram, Hold, Kind, LabelText};

/// Words of the label `status`.
const STATUS: [&str; 2] = ["success", "error"];

/// Indexes of the counter families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
enum Of {
    Requests,
    NamespaceRequests,
    NamespaceTokens,
    UpstreamRequests,
    Errors,
    Tokens,
    ModelRequests,
    PolicyRefusals,
}

/// Name and help of the counter families, in the order of `Of`.
const COUNTERS: [(&str, &str); 8] = [
    ("http_requests_total", "LLM requests, by final attempts."),
    ("namespace_requests_total", "LLM requests of a namespace, by final attempts."),
    ("namespace_tokens_total", "Tokens of a namespace, over all attempts."),
    ("upstream_requests_total", "Attempts at an upstream."),
    ("errors_total", "Failed attempts by kind of error."),
    ("gatemeter_tokens_total", "Tokens by model, additive class and source of the count."),
    ("gatemeter_model_requests_total", "LLM requests by model, by final attempts."),
    ("gatemeter_policy_refusals_total", "Attempts that a policy refused."),
];

/// Help of the gauge, which is rebuilt on every change: its series may disappear.
const CONNECTIONS_HELP: &str = "Open connections that gateways reported in the last 60 seconds.";

/// A series that can be held at zero: its family and its number there.
#[derive(Clone, Copy, Debug)]
enum SeriesRef {
    Counter(Of, u32),
    Duration(u32),
    Ttft(u32),
    Tpot(u32),
}

/// When a series that is new to the page was born.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Born {
    /// Before the take-over: it is shown at its value.
    Before,
    /// Now, microseconds of the publisher's clock: it begins at zero if somebody scrapes.
    Now(i64),
}

/// The series that a full row adds to.
#[derive(Clone, Debug, Default)]
struct Links {
    /// Counters that count attempts of the row.
    counts: Vec<(usize, u32)>,
    tokens_in: u32,
    tokens_out: u32,
    token_classes: Option<[u32; N_TOKEN_CLASSES]>,
    duration: Option<u32>,
    ttft: Option<u32>,
    tpot: Option<u32>,
}

/// All business families at one ledger version.
#[derive(Debug)]
pub struct Exposition {
    counters: [Family; 8],
    duration: Histogram<N_DURATION>,
    ttft: Histogram<N_TTFT>,
    tpot: Histogram<N_TPOT>,
    connections: Family,
    events: Family,
    late_events: Family,
    late_undecided: Family,
    conflicts: Family,
    lost_frames: Family,
    version: Family,
    held: Family,
    links: HashMap<SeriesId, Links>,
    /// Every series that can be held, by its number in `Births`.
    holdable: Vec<SeriesRef>,
    births: Births,
}

impl Exposition {
    /// Families without rows. Event accounting starts at zero.
    #[must_use]
    pub fn new(births: Births) -> Exposition {
        let counter = |name, help| Family::new(Kind::Counter, name, help);
        let gauge = |name, help| Family::new(Kind::Gauge, name, help);
        Exposition {
            counters: COUNTERS.map(|(name, help)| counter(name, help)),
            duration: Histogram::new(
                "http_request_duration_seconds",
                "Duration of LLM requests, by final attempts.",
                DURATION_LABELS,
            ),
            ttft: Histogram::new(
                "gatemeter_time_to_first_token_seconds",
                "Time to first token of attempts that reported it.",
                TTFT_LABELS,
            ),
            tpot: Histogram::new(
                "gatemeter_time_per_output_token_seconds",
                "Time per output token after the first one, of attempts that reported that one.",
                TPOT_LABELS,
            ),
            connections: gauge("active_connections", CONNECTIONS_HELP),
            events: counter("gatemeter_events_total", "Events read from the log, by class."),
            late_events: counter(
                "gatemeter_late_events_total",
                "Late events that the second pass has decided, by verdict.",
            ),
            late_undecided: gauge(
                "gatemeter_late_events_undecided",
                "Late events that the second pass has not decided yet.",
            ),
            conflicts: counter(
                "gatemeter_conflicts_total",
                "Duplicates whose facts differ from those of the copy before.",
            ),
            lost_frames: counter(
                "gatemeter_lost_frames_total",
                "Frames that left the log before they were counted.",
            ),
            version: gauge("gatemeter_ledger_version", "Version of the ledger on this page."),
            held: gauge(
                "gatemeter_series_held",
                "New series that are shown at zero until two scrapes have fetched that.",
            ),
            links: HashMap::new(),
            holdable: Vec::new(),
            births,
        }
    }

    /// Adds a row's sums. Series that the row is the first of are born.
    pub fn add(&mut self, id: SeriesId, labels: &FullLabels, sums: &Measures, born: Born) {
        if !self.links.contains_key(&id) {
            let links = self.link(labels, born);
            self.links.insert(id, links);
        }
        let links = &self.links[&id];
        for (family, series) in &links.counts {
            self.counters[*family].add(*series, sums.n);
        }
        self.counters[Of::NamespaceTokens as usize].add(links.tokens_in, sums.input());
        self.counters[Of::NamespaceTokens as usize].add(links.tokens_out, sums.output());
        if let Some(classes) = links.token_classes {
            for (series, tokens) in classes.iter().zip(sums.tokens) {
                self.counters[Of::Tokens as usize].add(*series, tokens);
            }
        }
        if let Some(series) = links.duration {
            self.duration.add(series, sums.duration_us, &sums.duration);
        }
        if sums.n_ttft() > 0 {
            let series = match links.ttft {
                Some(series) => series,
                None => self.link_ttft(id, labels, born),
            };
            self.ttft.add(series, sums.ttft_us, &sums.ttft);
        }
        if sums.n_tpot() > 0 {
            let series = match self.links[&id].tpot {
                Some(series) => series,
                None => self.link_tpot(id, labels, born),
            };
            self.tpot.add(series, sums.tpot_us, &sums.tpot);
        }
    }

    /// Makes the series of a configured namespace, at zero.
    pub fn configure(&mut self, namespace: &str, born: Born) {
        for status in STATUS {
            self.born(Of::NamespaceRequests, namespace_status(namespace, status), born);
        }
        for token_type in ["input", "output"] {
            self.born(Of::NamespaceTokens, namespace_token(namespace, token_type), born);
        }
    }

    /// Shows the accounting of all partitions and the ledger's version.
    pub fn account(&mut self, account: &Account, version: i64) {
        for class in Class::EACH {
            let (series, _) = self.events.series(LabelText::default().with("class", class.word()));
            self.events.set(series, account.of(class));
        }
        for verdict in LateVerdict::EACH {
            let labels = LabelText::default().with("verdict", verdict.word());
            let (series, _) = self.late_events.series(labels);
            self.late_events.set(series, account.of_late(verdict));
        }
        for (family, n) in [
            (&mut self.late_undecided, account.undecided()),
            (&mut self.conflicts, account.conflicts),
            (&mut self.lost_frames, account.lost_frames),
            (&mut self.version, version),
        ] {
            let (series, _) = family.series(LabelText::default());
            family.set(series, n);
        }
    }

    /// Shows the open connections of each namespace.
    pub fn connections(&mut self, rows: &[(String, i64)]) {
        self.connections = Family::new(Kind::Gauge, "active_connections", CONNECTIONS_HELP);
        for (namespace, n) in rows {
            let labels = LabelText::default().with("namespace", namespace);
            let (series, _) = self.connections.series(labels);
            self.connections.set(series, *n);
        }
    }

    /// A scrape got a page that has the first `n_series` series; 0 if it got none.
    pub fn scraped(&mut self, scraper: u64, n_series: u32, now_us: i64) {
        self.births.scraped(scraper, n_series, now_us);
    }

    /// Releases the series whose zero was fetched often enough. Gives whether any was.
    pub fn release(&mut self, now_us: i64) -> bool {
        let due = self.births.release(now_us);
        for series in &due {
            self.hold(*series, Hold::No);
        }
        !due.is_empty()
    }

    /// Number of series that can be held.
    #[must_use]
    pub fn n_series(&self) -> u32 {
        u32::try_from(self.holdable.len()).expect("series are bounded by label budgets")
    }

    /// Writes the business section.
    pub fn write(&mut self, page: &mut Vec<u8>) {
        let n_held = self.births.held().filter(|series| self.hides(*series)).count();
        let (series, _) = self.held.series(LabelText::default());
        self.held.set(series, i64::try_from(n_held).unwrap_or(i64::MAX));
        for family in &self.counters {
            family.write(page);
        }
        self.duration.write(page);
        self.ttft.write(page);
        self.tpot.write(page);
        for family in [
            &self.connections,
            &self.events,
            &self.late_events,
            &self.late_undecided,
            &self.conflicts,
            &self.lost_frames,
            &self.version,
            &self.held,
        ] {
            family.write(page);
        }
    }

    /// Finds or makes the series of a row.
    fn link(&mut self, labels: &FullLabels, born: Born) -> Links {
        let (namespace, upstream) = (labels.namespace.as_ref(), labels.upstream.as_ref());
        let model = labels.model.as_ref();
        let status = STATUS[usize::from(labels.error_type().is_some())];
        self.configure(namespace, born);
        let mut counts = Vec::new();
        let text = || LabelText::default();
        for word in STATUS {
            let pair = text().with("upstream", upstream).with("status", word);
            let series = self.born(Of::UpstreamRequests, pair, born);
            if word == status {
                counts.push((Of::UpstreamRequests as usize, series));
            }
        }
        if let Some(error_type) = labels.error_type() {
            let series = text()
                .with("error_type", error_type.word())
                .with("namespace", namespace)
                .with("upstream", upstream);
            counts.push((Of::Errors as usize, self.born(Of::Errors, series, born)));
        }
        if let Some(policy) = &labels.limited_by {
            let series = text().with("namespace", namespace).with("policy", policy);
            let series = self.born(Of::PolicyRefusals, series, born);
            counts.push((Of::PolicyRefusals as usize, series));
        }
        let duration = labels.is_final.then(|| {
            self.link_requests(labels, &mut counts, born);
            self.born_duration(labels, born)
        });
        Links {
            counts,
            tokens_in: self.born(Of::NamespaceTokens, namespace_token(namespace, "input"), born),
            tokens_out: self.born(Of::NamespaceTokens, namespace_token(namespace, "output"), born),
            token_classes: (labels.source != UsageSource::None).then(|| {
                TOKEN_CLASSES.map(|class| {
                    let series = text()
                        .with("namespace", namespace)
                        .with("upstream", upstream)
                        .with("model", model)
                        .with("class", class)
                        .with("source", labels.source.word());
                    self.born(Of::Tokens, series, born)
                })
            }),
            duration,
            ttft: None,
            tpot: None,
        }
    }

    /// Links a row of final attempts to the families that count requests.
    fn link_requests(&mut self, labels: &FullLabels, counts: &mut Vec<(usize, u32)>, born: Born) {
        let namespace = labels.namespace.as_ref();
        let status = STATUS[usize::from(labels.error_type().is_some())];
        let requests = LabelText::default()
            .with("method", labels.method.word())
            .with("endpoint", &labels.endpoint)
            .with("status_code", &labels.status.to_string())
            .with("namespace", namespace)
            .with("upstream", &labels.upstream);
        counts.push((Of::Requests as usize, self.born(Of::Requests, requests, born)));
        let series = self.born(Of::NamespaceRequests, namespace_status(namespace, status), born);
        counts.push((Of::NamespaceRequests as usize, series));
        for word in STATUS {
            let pair = LabelText::default()
                .with("namespace", namespace)
                .with("model", &labels.model)
                .with("status", word);
            let series = self.born(Of::ModelRequests, pair, born);
            if word == status {
                counts.push((Of::ModelRequests as usize, series));
            }
        }
    }

    /// The duration histogram of a row.
    fn born_duration(&mut self, labels: &FullLabels, born: Born) -> u32 {
        let text = LabelText::default()
            .with("method", labels.method.word())
            .with("endpoint", &labels.endpoint)
            .with("namespace", &labels.namespace)
            .with("upstream", &labels.upstream);
        let (series, is_new) = self.duration.series(text);
        if is_new {
            self.enroll(SeriesRef::Duration(series), born);
        }
        series
    }

    /// The first-token histogram of a row, made when the row first has one.
    fn link_ttft(&mut self, id: SeriesId, labels: &FullLabels, born: Born) -> u32 {
        let (series, is_new) = self.ttft.series(of_model(labels));
        if is_new {
            self.enroll(SeriesRef::Ttft(series), born);
        }
        if let Some(links) = self.links.get_mut(&id) {
            links.ttft = Some(series);
        }
        series
    }

    /// The per-token histogram of a row, made when the row first has one.
    fn link_tpot(&mut self, id: SeriesId, labels: &FullLabels, born: Born) -> u32 {
        let (series, is_new) = self.tpot.series(of_model(labels));
        if is_new {
            self.enroll(SeriesRef::Tpot(series), born);
        }
        if let Some(links) = self.links.get_mut(&id) {
            links.tpot = Some(series);
        }
        series
    }

    /// Number of a counter, made at zero if it is new.
    fn born(&mut self, family: Of, labels: LabelText, born: Born) -> u32 {
        let (series, is_new) = self.counters[family as usize].series(labels);
        if is_new {
            self.enroll(SeriesRef::Counter(family, series), born);
        }
        series
    }

    /// Gives a new series its number for `Births`, and holds it if somebody scrapes.
    fn enroll(&mut self, series: SeriesRef, born: Born) {
        let number = self.n_series();
        self.holdable.push(series);
        if let Born::Now(now_us) = born {
            self.births.born(number, now_us);
        }
        if self.births.is_held(number) {
            self.hold(number, Hold::AtZero);
        }
    }

    fn hold(&mut self, number: u32, hold: Hold) {
        match self.holdable[number as usize] {
            SeriesRef::Counter(family, series) => self.counters[family as usize].hold(series, hold),
            SeriesRef::Duration(series) => self.duration.hold(series, hold),
            SeriesRef::Ttft(series) => self.ttft.hold(series, hold),
            SeriesRef::Tpot(series) => self.tpot.hold(series, hold),
        }
    }

    fn hides(&self, number: u32) -> bool {
        match self.holdable[number as usize] {
            SeriesRef::Counter(family, series) => self.counters[family as usize].hides(series),
            SeriesRef::Duration(series) => self.duration.hides(series),
            SeriesRef::Ttft(series) => self.ttft.hides(series),
            SeriesRef::Tpot(series) => self.tpot.hides(series),
        }
    }
}

/// Labels of `namespace_requests_total`.
fn namespace_status(namespace: &str, status: &str) -> LabelText {
    LabelText::default().with("namespace", namespace).with("status", status)
}

/// Labels of what is measured of a model at an upstream.
fn of_model(labels: &FullLabels) -> LabelText {
    LabelText::default()
        .with("namespace", &labels.namespace)
        .with("upstream", &labels.upstream)
        .with("model", &labels.model)
}

/// Labels of `namespace_tokens_total`.
fn namespace_token(namespace: &str, token_type: &str) -> LabelText {
    LabelText::default().with("namespace", namespace).with("token_type", token_type)
}
