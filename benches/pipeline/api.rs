//! How long answers of the API take: from a cache, and computed from a month of rows.
//!
//! A client that does not wait for answers sends a thousand requests a second; the time of each is
//! counted from the moment when it was due, so that one slow answer cannot hide those behind it.
//! Every cold request asks for another range, so that no answer is kept yet.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use service::client::Client;
use tempfile::TempDir;

use crate::month::{self, NAMESPACES, namespace};
use crate::process::{free_ports, get, program, terminate, value, wait};
use crate::row;
use crate::targets::{Target, Targets};

/// Requests a second of the client that does not wait.
const RATE: u32 = 1_000;
/// Requests that it sends.
const HOT: u32 = 10_000;
/// Cold requests of each kind.
const COLD: usize = 200;
/// Requests for the largest consumers.
const USAGE: usize = 40;
/// Events that are sent as fast as they are taken, to find how many that are.
const FLOOD: u64 = 150_000;
/// Longest time that the questions take.
const LOAD_SECONDS: u64 = 90;
const SECOND_US: i64 = 1_000_000;

/// Measures and prints.
pub fn run(targets: &mut Targets) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let made = runtime.block_on(month::fill(folder.path()));
    println!(
        "rows of {} namespaces and {} days: {} quarter-hours, {} minutes, {} of consumers",
        NAMESPACES,
        month::DAYS,
        made.n_quarters,
        made.n_minutes,
        made.n_used
    );
    let running = Running::start(folder.path());
    runtime.block_on(async {
        let client = Client::new(None).expect("a client");
        let base = format!("http://127.0.0.1:{}", running.api);
        hot(targets, &client, &base).await;
        cold(targets, &client, &base).await;
        usage(targets, &client, &base, &running).await;
    });
    running.stop();
}

/// The calls of a dashboard, again and again.
async fn hot(targets: &mut Targets, client: &Client, base: &str) {
    let scopes = ["all", "team-000", "team-101"];
    let calls = scopes.iter().flat_map(|scope| {
        [
            format!("{base}/api/metrics/namespaces/{scope}/tokens?timeRange=24h"),
            format!("{base}/api/metrics/namespaces/{scope}/stats?timeRange=today"),
            format!(
                "{base}/api/metrics/namespaces/request-trend?namespace={scope}&timeRange=month"
            ),
            format!("{base}/api/metrics/dashboard?namespace={scope}&timeRange=week"),
        ]
    });
    let calls: Arc<Vec<String>> = Arc::new(calls.collect());
    for call in calls.iter() {
        client.get(call).await.expect("an answer");
    }
    let begin = Instant::now() + Duration::from_millis(100);
    let mut sent = tokio::task::JoinSet::new();
    for n in 0..HOT {
        let due = begin + Duration::from_secs(1) / RATE * n;
        tokio::time::sleep_until(due.into()).await;
        let (client, calls) = (client.clone(), Arc::clone(&calls));
        sent.spawn(async move {
            client.get(&calls[n as usize % calls.len()]).await.expect("an answer");
            due.elapsed()
        });
    }
    let times = sent.join_all().await;
    targets.set(Target::Hot, print(&format!("kept answers, {RATE}/s"), times));
}

/// Name of a call, and its path for a namespace.
type Call = (&'static str, fn(&str) -> String);

/// Every call of the page about ranges that nobody has asked for.
async fn cold(targets: &mut Targets, client: &Client, base: &str) {
    let (from_us, to_us) = month::span_us();
    let mut of_one = Vec::new();
    let mut of_all = Vec::new();
    let calls: [Call; 7] = [
        ("tokens", |scope| format!("/api/metrics/namespaces/{scope}/tokens?")),
        ("stats", |scope| format!("/api/metrics/namespaces/{scope}/stats?")),
        ("trend", |scope| format!("/api/metrics/namespaces/request-trend?namespace={scope}&")),
        ("dashboard", |scope| format!("/api/metrics/dashboard?namespace={scope}&")),
        ("status", |_| "/api/metrics/namespaces/status-distribution?".to_owned()),
        ("first token", |scope| format!("/api/metrics/latency?metric=ttft&namespace={scope}&")),
        ("usage by model", |scope| format!("/api/usage?group_by=model&namespace={scope}&")),
    ];
    let mut n_asked = 0;
    for (name, call) in calls {
        for (is_all, times) in [(false, &mut of_one), (true, &mut of_all)] {
            let mut own = Vec::new();
            for n in 0..COLD / calls.len() {
                n_asked += 1;
                let scope = if is_all { "all".to_owned() } else { namespace(n * 7 % NAMESPACES) };
                // A month, each time a little less of it.
                let from = (from_us / SECOND_US) + n_asked * 900;
                let zone = ["UTC", "Asia/Shanghai", "Asia/Kathmandu"][n % 3];
                let to = to_us / SECOND_US;
                let url = format!("{base}{}from={from}&to={to}&tz={zone}", call(&scope));
                let begin = Instant::now();
                client.get(&url).await.expect("an answer");
                own.push(begin.elapsed());
            }
            let scope = if is_all { "all" } else { "one namespace" };
            times.extend_from_slice(&own);
            print(&format!("a month, {name}, {scope}"), own);
        }
    }
    targets.set(Target::ColdOne, print("a month, every call, one namespace", of_one));
    targets.set(Target::ColdAll, print("a month, every call, all", of_all));
}

/// The largest consumers of the month, while events come in.
async fn usage(targets: &mut Targets, client: &Client, base: &str, running: &Running) {
    let begin = Instant::now();
    let before = running.counted();
    assert!(running.load(FLOOD, None).wait().expect("a child").success(), "the load failed");
    wait("all is counted", || running.counted() >= before + FLOOD);
    let rate = (FLOOD as f64 / begin.elapsed().as_secs_f64() / 2.0) as u64;
    let mut load = running.load(rate * LOAD_SECONDS, Some(rate));
    let (from_us, to_us) = month::span_us();
    let mut times = Vec::new();
    for n in 0..USAGE {
        let from = from_us / SECOND_US + 900 * i64::try_from(n).expect("few");
        let to = to_us / SECOND_US;
        let zone = ["UTC", "Asia/Shanghai"][n % 2];
        let url =
            format!("{base}/api/usage?group_by=consumer&size=100&from={from}&to={to}&tz={zone}");
        let begin = Instant::now();
        client.get(&url).await.expect("an answer");
        times.push(begin.elapsed());
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    assert!(load.try_wait().expect("a child").is_none(), "the load ended before the questions");
    terminate(load.id());
    load.wait().expect("the load ends");
    let what = format!("top 100 consumers of a month, while {rate} events/s come in");
    targets.set(Target::Usage, print(&what, times));
}

/// Prints a line; returns the 99th percentile in milliseconds.
fn print(what: &str, mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    let at = |share: f64| {
        let rank = (share * times.len() as f64).ceil() as usize;
        times[rank.clamp(1, times.len()) - 1].as_secs_f64() * 1e3
    };
    let quantiles = format!("p50 {:.1} ms, p99 {:.1} ms", at(0.5), at(0.99));
    row(what, &quantiles, &format!("{} requests", times.len()), "");
    at(0.99)
}

/// `gatemeter all` on a folder.
struct Running {
    child: Child,
    api: u16,
    aggregator: u16,
    ingest: u16,
    scratch: TempDir,
}

impl Running {
    fn start(folder: &Path) -> Running {
        let [api, aggregator, ingest] = free_ports();
        let mut child = Command::new(program())
            .args(["all", "--dev", "--data"])
            .arg(folder)
            .args(["--api-listen", &format!("127.0.0.1:{api}")])
            .args(["--aggregator-listen", &format!("127.0.0.1:{aggregator}")])
            .args(["--ingest-listen", &format!("127.0.0.1:{ingest}")])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        wait("it is ready", || {
            assert!(child.try_wait().expect("a child").is_none(), "the program ended");
            get(api, "/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200"))
        });
        let scratch = tempfile::tempdir().expect("a folder");
        Running { child, api, aggregator, ingest, scratch }
    }

    /// Events that are counted.
    fn counted(&self) -> u64 {
        let page = get(self.aggregator, "/metrics?section=business").unwrap_or_default();
        value(&page, "gatemeter_events_total{class=\"counted\"}").unwrap_or_default()
    }

    /// Sends events, as fast as they are taken or so many a second.
    fn load(&self, n_events: u64, rate: Option<u64>) -> Child {
        let mut command = Command::new(program());
        command.args(["replay", "synthetic", "--to", &format!("http://127.0.0.1:{}", self.ingest)]);
        command.args(["--count", &n_events.to_string()]);
        if let Some(rate) = rate {
            command.args(["--rate", &rate.to_string()]);
        }
        command
            .current_dir(self.scratch.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the load starts")
    }

    fn stop(mut self) {
        terminate(self.child.id());
        assert!(self.child.wait().expect("a child").success(), "it did not end cleanly");
    }
}
