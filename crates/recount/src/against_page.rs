//! The log against `/metrics`: every business family and series, both ways.
//!
//! The series are made from the recounted totals as docs/metrics.md defines the families, and
//! compared with the page as it was read. Only the gauge of open connections is left out, which is
//! not in the log; that of the version was checked before. The page reports how many new series it
//! still holds at zero: exactly that many may show zeros where the log has more, each as a whole.

use std::collections::BTreeMap;

use crate::differ::Differences;
use crate::labels::Row;
use crate::sums::{Sums, TOKEN_CLASSES};
use crate::tally::{Account, LATE_VERDICTS};
use crate::text::{MILLION, Page, Series};
use crate::verdict::Class;
use crate::views::HELD;

/// `le` of the duration buckets.
const DURATION_LABELS: [&str; 17] = [
    "0.01", "0.02", "0.04", "0.08", "0.16", "0.32", "0.64", "1.28", "2.56", "5.12", "10.24",
    "20.48", "40.96", "81.92", "163.84", "327.68", "+Inf",
];
/// `le` of the first-token buckets.
const TTFT_LABELS: [&str; 18] = [
    "0.001", "0.005", "0.01", "0.02", "0.04", "0.06", "0.08", "0.1", "0.25", "0.5", "0.75", "1.0",
    "2.5", "5.0", "7.5", "10.0", "30.0", "+Inf",
];
/// `le` of the per-token buckets.
const TPOT_LABELS: [&str; 18] = [
    "0.001", "0.002", "0.005", "0.01", "0.025", "0.05", "0.075", "0.1", "0.15", "0.2", "0.3",
    "0.4", "0.5", "0.75", "1.0", "2.5", "10.0", "+Inf",
];
/// Families that a recount cannot know.
const LEFT_OUT: [&str; 3] = ["active_connections", "gatemeter_ledger_version", HELD];
/// Families that are never held: what they count is not per label.
const NEVER_HELD: [&str; 3] =
    ["gatemeter_events_total", "gatemeter_conflicts_total", "gatemeter_lost_frames_total"];
const PLACE: &str = "/metrics";

/// What the page must show.
#[derive(Debug, Default)]
struct Shown {
    /// Values in millionths.
    samples: BTreeMap<Series, i128>,
}

/// Every series that a page of these totals must show, in millionths.
pub fn shown(
    totals: &BTreeMap<Row, Sums>,
    account: &Account,
    namespaces: &[String],
) -> BTreeMap<Series, i128> {
    let mut shown = Shown::default();
    for (row, sums) in totals {
        shown.row(row, sums);
    }
    shown.account(account);
    for namespace in namespaces {
        shown.namespace(namespace);
    }
    shown.samples
}

/// Compares a page with the recounted log.
pub fn compare(
    totals: &BTreeMap<Row, Sums>,
    account: &Account,
    namespaces: &[String],
    page: &Page,
) -> Differences {
    let mut expected = shown(totals, account, namespaces);
    let mut differences = Differences::default();
    let (hidden, held) = (hidden(&expected, page), held(page));
    if hidden.len() as i128 <= held {
        for series in hidden.values().flatten() {
            expected.insert(series.clone(), 0);
        }
        differences.compare(PLACE, HELD, hidden.len() as i128, held);
    }
    let is_compared = |series: &Series| !LEFT_OUT.contains(&series.name.as_str());
    let found = page.samples.iter().filter(|(series, _)| is_compared(series));
    let found = found.map(|(series, value)| (series.clone(), *value)).collect();
    differences.compare_maps(PLACE, &expected, &found, |differences, series, value, other| {
        differences.compare(PLACE, &series.to_string(), decimal(*value), decimal(*other));
    });
    differences
}

/// How many series a page holds at zero, by its own account.
pub fn held(page: &Page) -> i128 {
    page.samples.get(&Series::new(HELD, &[])).map_or(0, |value| value / MILLION)
}

/// Series that the page shows at zero although the log has more, each with its samples: a counter
/// has one, a histogram many, which are held together.
fn hidden(expected: &BTreeMap<Series, i128>, page: &Page) -> BTreeMap<Series, Vec<Series>> {
    let mut groups: BTreeMap<Series, (Vec<Series>, bool, bool)> = BTreeMap::new();
    for (series, value) in expected {
        if NEVER_HELD.contains(&series.name.as_str()) {
            continue;
        }
        let (samples, has_more, is_zero) =
            groups.entry(whole(series)).or_insert((Vec::new(), false, true));
        samples.push(series.clone());
        *has_more |= *value != 0;
        *is_zero &= page.samples.get(series) == Some(&0);
    }
    let hidden = groups.into_iter().filter(|(_, (_, has_more, is_zero))| *has_more && *is_zero);
    hidden.map(|(series, (samples, ..))| (series, samples)).collect()
}

/// The series that a sample is of: the histogram of a bucket, a sum or a count, else itself.
fn whole(sample: &Series) -> Series {
    let mut whole = sample.clone();
    for part in ["_bucket", "_sum", "_count"] {
        if let Some(name) = sample.name.strip_suffix(part) {
            whole.name = name.to_owned();
            whole.labels.remove("le");
        }
    }
    whole
}

impl Shown {
    /// Adds to a counter, which exists from then on even if it is zero.
    fn count(&mut self, name: &str, labels: &[(&str, &str)], n: i128) {
        *self.samples.entry(Series::new(name, labels)).or_default() += n * MILLION;
    }

    /// The series that a configured namespace has from the start.
    fn namespace(&mut self, namespace: &str) {
        for status in ["success", "error"] {
            let labels = [("namespace", namespace), ("status", status)];
            self.count("namespace_requests_total", &labels, 0);
        }
        for token_type in ["input", "output"] {
            let labels = [("namespace", namespace), ("token_type", token_type)];
            self.count("namespace_tokens_total", &labels, 0);
        }
    }

    fn row(&mut self, row: &Row, sums: &Sums) {
        let (namespace, upstream) = (row.namespace.as_str(), row.upstream.as_str());
        let n = sums.n();
        self.namespace(namespace);
        for (token_type, tokens) in [("input", sums.input()), ("output", sums.output())] {
            let labels = [("namespace", namespace), ("token_type", token_type)];
            self.count("namespace_tokens_total", &labels, tokens);
        }
        for status in ["success", "error"] {
            let labels = [("upstream", upstream), ("status", status)];
            let n = if status == row.status_word() { n } else { 0 };
            self.count("upstream_requests_total", &labels, n);
        }
        if row.outcome != "success" {
            let labels =
                [("error_type", row.outcome), ("namespace", namespace), ("upstream", upstream)];
            self.count("errors_total", &labels, n);
        }
        if let Some(policy) = &row.limited_by {
            let labels = [("namespace", namespace), ("policy", policy.as_str())];
            self.count("gatemeter_policy_refusals_total", &labels, n);
        }
        if row.source != "none" {
            self.tokens(row, sums);
        }
        if row.is_final {
            self.requests(row, sums);
        }
        let labels =
            [("namespace", namespace), ("upstream", upstream), ("model", row.model.as_str())];
        if sums.ttft().iter().any(|n| *n != 0) {
            let name = "gatemeter_time_to_first_token_seconds";
            self.histogram(name, &labels, sums.ttft_us(), sums.ttft(), &TTFT_LABELS);
        }
        if sums.tpot().iter().any(|n| *n != 0) {
            let name = "gatemeter_time_per_output_token_seconds";
            self.histogram(name, &labels, sums.tpot_us(), sums.tpot(), &TPOT_LABELS);
        }
    }

    fn tokens(&mut self, row: &Row, sums: &Sums) {
        for (class, tokens) in TOKEN_CLASSES.iter().zip(sums.tokens()) {
            let labels = [
                ("namespace", row.namespace.as_str()),
                ("upstream", &row.upstream),
                ("model", &row.model),
                ("class", class),
                ("source", row.source),
            ];
            self.count("gatemeter_tokens_total", &labels, *tokens);
        }
    }

    /// What final attempts add to.
    fn requests(&mut self, row: &Row, sums: &Sums) {
        let code = row.status.to_string();
        let labels = [
            ("method", row.method),
            ("endpoint", row.endpoint.as_str()),
            ("namespace", &row.namespace),
            ("upstream", &row.upstream),
        ];
        let name = "http_request_duration_seconds";
        self.histogram(name, &labels, sums.duration_us(), sums.duration(), &DURATION_LABELS);
        let labels: Vec<_> = labels.into_iter().chain([("status_code", code.as_str())]).collect();
        self.count("http_requests_total", &labels, sums.n());
        for status in ["success", "error"] {
            let n = if status == row.status_word() { sums.n() } else { 0 };
            let labels = [("namespace", row.namespace.as_str()), ("status", status)];
            self.count("namespace_requests_total", &labels, n);
            let model =
                [("namespace", row.namespace.as_str()), ("model", &row.model), ("status", status)];
            self.count("gatemeter_model_requests_total", &model, n);
        }
    }

    fn histogram(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        sum_us: i128,
        buckets: &[i128],
        bounds: &[&str],
    ) {
        let mut below = 0;
        for (n, bound) in buckets.iter().zip(bounds) {
            below += n;
            let labels: Vec<_> = labels.iter().copied().chain([("le", *bound)]).collect();
            self.count(&format!("{name}_bucket"), &labels, below);
        }
        self.count(&format!("{name}_count"), labels, below);
        let sum = Series::new(&format!("{name}_sum"), labels);
        *self.samples.entry(sum).or_default() += sum_us;
    }

    fn account(&mut self, account: &Account) {
        for class in Class::EACH {
            self.count("gatemeter_events_total", &[("class", class.word())], account.of(class));
        }
        for (verdict, n) in LATE_VERDICTS.into_iter().zip(account.late) {
            self.count("gatemeter_late_events_total", &[("verdict", verdict)], n);
        }
        self.count("gatemeter_late_events_undecided", &[], account.undecided());
        self.count("gatemeter_conflicts_total", &[], account.conflicts);
        self.count("gatemeter_lost_frames_total", &[], account.lost_frames);
    }
}

/// Millionths as a decimal number.
fn decimal(millionths: i128) -> String {
    let text = format!("{}.{:06}", millionths / MILLION, (millionths % MILLION).abs());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
