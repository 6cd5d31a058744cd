//! Checks I1 to I8 of docs/counting.md, and that counting went on, from what stands outside of each
//! other: tapes, log, ledger, pages that were scraped, Prometheus and API.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::gatemeter::get;
use crate::ground::Ground;
use crate::queries::rows;
use crate::referee::{Report, Version};
use crate::stop;
use crate::tape::Tapes;
use crate::verdict::Verdict;

/// Longest wait until everything is counted, after the last fault is undone.
pub const LAG_MAX: Duration = Duration::from_secs(120);
/// Longest wait until Prometheus has scraped a number.
pub const SCRAPED_MAX: Duration = Duration::from_secs(90);
/// Fewer pages would say little about counters.
const PAGES_MIN: i64 = 5;
/// Of monitoring/prometheus.yml.
const SCRAPE_SECONDS: f64 = 10.0;
/// What Prometheus has of the counters.
const REQUESTS: &str = "namespace_requests_total{job=\"gatemeter-aggregator\"}";
/// Counters that must have no reset.
const COUNTERS: [&str; 6] = [
    "namespace_requests_total",
    "namespace_tokens_total",
    "upstream_requests_total",
    "gatemeter_events_total",
    "errors_total",
    "http_request_duration_seconds_bucket",
];
/// Partitions whose ranges do not follow each other.
const TORN: &str = "SELECT COUNT(*) FROM (SELECT next, LEAD(base) OVER (PARTITION BY generation, \
    `partition` ORDER BY version) AS following FROM commit_range) AS ranges \
    WHERE following IS NOT NULL AND following <> next";
/// Ranges that took effect twice.
const TWICE: &str = "SELECT COUNT(*) FROM (SELECT base FROM commit_range WHERE next > base \
    GROUP BY generation, `partition`, base HAVING COUNT(*) > 1) AS twice";
const STATE: &str = "SELECT SUM(events), SUM(counted), SUM(duplicate), SUM(late), SUM(future), \
    SUM(poison), SUM(misrouted), SUM(next) FROM partition_state";
const UNBALANCED: &str = "SELECT COUNT(*) FROM partition_state WHERE events <> \
    counted + duplicate + late + future + poison + misrouted";
const RANGES: &str = "SELECT SUM(events), SUM(counted), SUM(next - base) FROM commit_range";
/// Events counted by each version of the ledger.
const BY_VERSION: &str = "SELECT version, SUM(SUM(counted)) OVER (ORDER BY version) \
    FROM commit_range GROUP BY version ORDER BY version";

/// How everything stood, by a recount and by Prometheus.
#[derive(Debug)]
pub struct Stand {
    pub recount: Value,
    /// When Prometheus took the sample that shows it, seconds since 1970.
    scraped_at: Option<f64>,
}

/// Waits until everything is counted and shown; whether it is in time.
pub fn is_counted(ground: &Ground<'_>, counted: i64) -> anyhow::Result<bool> {
    let shown = "gatemeter_events_total{class=\"counted\"}";
    let is_there = stop::by(Instant::now() + LAG_MAX, || {
        let Some(name) = ground.publisher() else { return false };
        let page = ground.page(&name).unwrap_or_default();
        crate::gatemeter::sum(&page, shown) >= counted
            && page.contains("\ngatemeter_late_events_undecided 0\n")
            && ground.lag(&name) == Some(0)
    })?;
    Ok(is_there)
}

impl Stand {
    /// Counts the log again, and waits until Prometheus shows the same. Report and page are kept in
    /// a file and one beside it.
    pub fn take(ground: &Ground<'_>, file: &Path, more: &[&str]) -> anyhow::Result<Stand> {
        let publisher = ground.publisher().unwrap_or_else(|| ground.aggregators[0].clone());
        let (metrics, api) = (ground.stack.url(&publisher), ground.stack.url("api"));
        let args = ["recount", "--json", "--metrics", &metrics, "--api", &api];
        let output = ground.stack.run(&[&args[..], more].concat());
        std::fs::write(file, &output.stdout)?;
        let page = ground.page(&publisher).unwrap_or_default();
        std::fs::write(file.with_extension("metrics.txt"), page)?;
        let Ok(recount) = serde_json::from_slice::<Value>(&output.stdout) else {
            let why = String::from_utf8_lossy(&output.stderr);
            bail!("the recount could not compare anything: {}", why.trim());
        };
        let requests = recount["totals"]["requests"].as_i64().context("no requests")?;
        let is_scraped = stop::by(Instant::now() + SCRAPED_MAX, || {
            value(ground, &format!("sum({REQUESTS})")) == Some(requests as f64)
        })?;
        let scraped_at = value(ground, &format!("max(timestamp({REQUESTS}))"));
        Ok(Stand { recount, scraped_at: scraped_at.filter(|_| is_scraped) })
    }

    fn number(&self, pointer: &str) -> i64 {
        self.recount.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
    }

    fn grown(&self, before: &Stand, pointer: &str) -> i64 {
        self.number(pointer) - before.number(pointer)
    }
}

/// The only value of a query.
fn value(ground: &Ground<'_>, query: &str) -> Option<f64> {
    let rows = rows(ground.stack, query);
    rows.first()?["value"][1].as_str()?.parse().ok()
}

/// Everything but what the run itself found on its way.
pub fn all(
    ground: &Ground<'_>,
    tapes: &Tapes,
    sent: &Value,
    [before, after]: [&Stand; 2],
    seen: &(Report, Vec<String>, Vec<Version>),
) -> anyhow::Result<Verdict> {
    let mut verdict = Verdict::default();
    verdict.recount(&after.recount);
    conserved(&mut verdict, ground, after)?;
    once(&mut verdict, tapes, [before, after]);
    nothing_lost(&mut verdict, tapes, sent, [before, after]);
    monotone(&mut verdict, &seen.0, &seen.1);
    committed_only(&mut verdict, ground, &seen.2)?;
    alike(&mut verdict, ground, after)?;
    prometheus(&mut verdict, ground, tapes, [before, after]);
    verdict.equal(8, "commits of a range that was counted", number(ground, TWICE)?, 0);
    verdict.equal(8, "gaps or overlaps of commits", number(ground, TORN)?, 0);
    let halted = "SELECT COUNT(*) FROM partition_owner WHERE halted IS NOT NULL";
    verdict.equal(10, "halted partitions", number(ground, halted)?, 0);
    Ok(verdict)
}

fn number(ground: &Ground<'_>, statement: &str) -> anyhow::Result<i64> {
    let text = ground.stack.sql(statement);
    text.parse().with_context(|| format!("{statement}: {text}"))
}

fn numbers(ground: &Ground<'_>, statement: &str) -> anyhow::Result<Vec<i64>> {
    let text = ground.stack.sql(statement);
    let parsed = text.split_whitespace().map(str::parse).collect::<Result<_, _>>();
    parsed.with_context(|| format!("{statement}: {text}"))
}

fn conserved(verdict: &mut Verdict, ground: &Ground<'_>, after: &Stand) -> anyhow::Result<()> {
    let state = numbers(ground, STATE)?;
    let ranges = numbers(ground, RANGES)?;
    let (&[events, counted, .., next], &[of_ranges, counted_by, span]) = (&state[..], &ranges[..])
    else {
        bail!("the ledger has no partition");
    };
    let classes: i64 = state[1..7].iter().sum();
    verdict.equal(2, "events of the ledger, by class", classes, events);
    verdict.equal(2, "events of the ledger and of the log", events, after.number("/events"));
    verdict.equal(2, "partitions out of balance", number(ground, UNBALANCED)?, 0);
    verdict.equal(2, "events of all commits", of_ranges, events);
    verdict.equal(2, "counted events of all commits", counted_by, counted);
    verdict.equal(8, "frames that the commits span", span, next);
    Ok(())
}

fn once(verdict: &mut Verdict, tapes: &Tapes, [before, after]: [&Stand; 2]) {
    for (what, pointer, expected) in [
        ("events counted", "/classes/counted", tapes.counted),
        ("late events merged", "/late/merged", tapes.late),
        ("requests", "/totals/requests", tapes.requests),
        ("input tokens", "/totals/input_tokens", tapes.input),
        ("output tokens", "/totals/output_tokens", tapes.output),
    ] {
        let what = format!("{what}, of those on the tapes");
        verdict.equal(3, &what, after.grown(before, pointer), expected);
    }
}

fn nothing_lost(verdict: &mut Verdict, tapes: &Tapes, sent: &Value, [before, after]: [&Stand; 2]) {
    let unanswered = i64::try_from(tapes.unanswered).unwrap_or(i64::MAX);
    let what = format!("batches without an answer, of {}", tapes.batches);
    verdict.equal(4, &what, unanswered, 0);
    // A delivery whose answer was lost may be in the log as well.
    let extra = |class: &str| sent["extra_at_most"][class].as_i64().unwrap_or(0);
    let copies: i64 = ["duplicate", "late", "future"].map(extra).iter().sum();
    let bounds = [tapes.accepted, tapes.accepted + copies];
    verdict.within(
        4,
        "events in the log, of those accepted",
        after.grown(before, "/events"),
        bounds,
    );
    for (class, n) in [("late", tapes.late), ("future", tapes.future)] {
        let grown = after.grown(before, &format!("/classes/{class}"));
        verdict.within(4, &format!("{class} events"), grown, [n, n + extra(class)]);
    }
    for class in ["poison", "misrouted"] {
        verdict.equal(4, &format!("{class} events"), after.number(&format!("/classes/{class}")), 0);
    }
    verdict.equal(4, "lost frames", after.number("/lost_frames"), 0);
}

fn monotone(verdict: &mut Verdict, report: &Report, faults: &[String]) {
    let what = format!(
        "counters that fell or vanished, in {} pages of {} scrapes, {} of them without a page",
        report.good, report.scrapes, report.gaps
    );
    verdict.none(5, &what, faults);
    verdict.at_least(5, "pages seen", i64::try_from(report.good).unwrap_or(0), PAGES_MIN);
}

/// What a page showed at a version of the ledger is what was committed by then.
fn committed_only(
    verdict: &mut Verdict,
    ground: &Ground<'_>,
    seen: &[Version],
) -> anyhow::Result<()> {
    let all = numbers(ground, BY_VERSION)?;
    let committed: BTreeMap<i128, i128> =
        all.chunks_exact(2).map(|two| (two[0].into(), two[1].into())).collect();
    let wrong = |(version, counted): &&Version| {
        let by_then = committed.range(..=version).next_back().map_or(0, |(_, counted)| *counted);
        by_then != *counted
    };
    let wrong = seen
        .iter()
        .filter(wrong)
        .map(|(version, counted)| format!("version {version} showed {counted}"));
    let what = format!("pages that show what was not committed, of {}", seen.len());
    verdict.none(6, &what, &wrong.collect::<Vec<_>>());
    Ok(())
}

/// The same number, however it is asked for.
fn alike(verdict: &mut Verdict, ground: &Ground<'_>, after: &Stand) -> anyhow::Result<()> {
    let expected = after.number("/totals/requests");
    let path = "/api/metrics/namespaces/status-distribution?timeRange=all";
    let answer = get(ground.stack.port("api"), path, &[]).context("the API does not answer")?;
    let answer: Value = serde_json::from_str(&answer.body)?;
    let sets = answer["data"]["datasets"].as_array().into_iter().flatten();
    let counts = sets.flat_map(|set| set["data"].as_array().into_iter().flatten());
    let of_api = counts.filter_map(Value::as_i64).sum();
    verdict.equal(7, "requests, as the API says, and of the log", of_api, expected);
    let page = ground.publisher().and_then(|name| ground.page(&name)).unwrap_or_default();
    let of_page = crate::gatemeter::sum(&page, "namespace_requests_total{");
    verdict.equal(7, "requests, as /metrics says, and of the log", of_page, expected);
    Ok(())
}

fn prometheus(
    verdict: &mut Verdict,
    ground: &Ground<'_>,
    tapes: &Tapes,
    [before, after]: [&Stand; 2],
) {
    let (Some(first), Some(last)) = (before.scraped_at, after.scraped_at) else {
        let found = "Prometheus did not show the requests of the log in time".to_owned();
        verdict.none(7, "Prometheus", &[found]);
        return;
    };
    let shown = value(ground, &format!("sum({REQUESTS} @ {last})")).unwrap_or(-1.0);
    let expected = after.number("/totals/requests");
    verdict.equal(7, "requests, as Prometheus says, and of the log", shown as i64, expected);
    // From the sample that shows the state before the load to the one that shows that after it.
    let (span, window) = (last - first, (last - first).ceil() + 1.0);
    let range = format!("[{window}s] @ {last}");
    let grown = value(ground, &format!("sum(increase({REQUESTS}{range}))")).unwrap_or(-1.0);
    let most = (tapes.requests as f64 * (1.0 + SCRAPE_SECONDS / span)).ceil();
    let what = format!("sum(increase()) of requests over {window} s, within one scrape");
    verdict.within(5, &what, grown.round() as i64, [tapes.requests, most as i64]);
    let resets = COUNTERS.map(|name| {
        let query = format!("sum(resets({name}{{job=\"gatemeter-aggregator\"}}{range}))");
        value(ground, &query).unwrap_or(-1.0)
    });
    verdict.equal(5, "resets of counters in Prometheus", resets.iter().sum::<f64>() as i64, 0);
}
