//! A real Prometheus beside a process that counts: it sees the first events of a new tenant, and a
//! gap in its scrapes loses nothing.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::gatemeter::{Place, free_ports, get, post, repository, wait_for};
use crate::totals::event;

/// How long Prometheus is away, as the test plan has it.
const AWAY: Duration = Duration::from_secs(60);

/// A Prometheus 3 that scrapes the business section, killed when it is dropped.
struct Prometheus {
    child: Option<Child>,
    folder: PathBuf,
    port: u16,
}

impl Prometheus {
    fn start(place: &Place, interval_s: u32) -> Prometheus {
        let [port, ..] = free_ports();
        let folder = place.file("prometheus");
        std::fs::create_dir_all(&folder).expect("a folder");
        let settings = format!(
            "global: {{scrape_interval: {interval_s}s, scrape_timeout: {interval_s}s}}\n\
             scrape_configs:\n  - job_name: gatemeter-aggregator\n    \
             params: {{section: [business]}}\n    \
             convert_classic_histograms_to_nhcb: true\n    \
             always_scrape_classic_histograms: true\n    static_configs:\n      \
             - targets: [\"127.0.0.1:{}\"]\n        labels: {{instance: gatemeter}}\n",
            place.aggregator
        );
        std::fs::write(folder.join("prometheus.yml"), settings).expect("written");
        let mut prometheus = Prometheus { child: None, folder, port };
        prometheus.begin();
        prometheus
    }

    /// Starts it, or starts it again on the same data.
    fn begin(&mut self) {
        let installed = Command::new(repository("scripts/prometheus.sh"))
            .arg("install")
            .output()
            .expect("scripts/prometheus.sh runs");
        let stderr = String::from_utf8_lossy(&installed.stderr);
        assert!(installed.status.success(), "prometheus.sh: {stderr}");
        let stdout = String::from_utf8(installed.stdout).expect("a folder");
        let program = PathBuf::from(stdout.lines().last().expect("a folder")).join("prometheus");
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))
            .expect("a log file");
        let child = Command::new(program)
            .arg(format!("--config.file={}", self.folder.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", self.folder.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{}", self.port))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("Prometheus starts");
        let child = self.child.insert(child);
        wait_for("Prometheus is ready", || {
            if let Some(status) = child.try_wait().expect("a child") {
                let log = std::fs::read_to_string(self.folder.join("log"));
                panic!("Prometheus ended with {status}:\n{}", log.unwrap_or_default());
            }
            get(self.port, "/-/ready", &[]).is_some_and(|answer| answer.status == 200)
        });
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// The one value of a query, if it has one.
    fn value(&self, query: &str) -> Option<f64> {
        let mut path = "/api/v1/query?query=".to_owned();
        for byte in query.bytes() {
            write!(path, "%{byte:02X}").expect("a string takes everything");
        }
        let answer = get(self.port, &path, &[])?;
        assert_eq!(answer.status, 200, "{query}: {}", answer.body);
        let answer: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
        answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    }

    /// Waits until it has scraped so often.
    fn wait_scrapes(&self, n: f64) {
        wait_for(&format!("{n} scrapes"), || {
            self.value("sum(sum_over_time(up[10m]))").is_some_and(|seen| seen >= n)
        });
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.kill();
    }
}

fn send(place: &Place, namespace: &str, ids: std::ops::Range<u32>) {
    let events: Vec<_> = ids.map(|n| event(&format!("{namespace}-{n}"), namespace)).collect();
    let body = serde_json::to_vec(&events).expect("JSON");
    let answer = post(place.ingest, "/v1/events", &[], &body).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// Fault 51 of the test plan.
fn first_events_are_in_increase(interval_s: u32) {
    let place = Place::new();
    let _running = place.start();
    let prometheus = Prometheus::start(&place, interval_s);
    prometheus.wait_scrapes(2.0);
    send(&place, "newcomer", 0..25);
    let requests = "namespace_requests_total{namespace=\"newcomer\",status=\"success\"}";
    let tokens = "namespace_tokens_total{namespace=\"newcomer\",token_type=\"input\"}";
    for (series, total) in [(requests, 25.0), (tokens, 2_500.0)] {
        // From its zero on: no first sample is the whole number.
        wait_for(&format!("{series} rises from 0"), || {
            prometheus.value(series) == Some(total)
                && prometheus.value(&format!("min_over_time({series}[10m])")) == Some(0.0)
        });
        wait_for(&format!("increase of {series}"), || {
            prometheus.value(&format!("increase({series}[2m])")).is_some_and(|n| n >= total)
        });
    }
}

#[test]
fn first_events_of_a_new_tenant_are_in_increase_at_5_s() {
    first_events_are_in_increase(5);
}

#[test]
fn first_events_of_a_new_tenant_are_in_increase_at_15_s() {
    first_events_are_in_increase(15);
}

/// Fault 6 of the test plan.
#[test]
fn a_prometheus_that_was_away_for_a_minute_has_lost_nothing() {
    let place = Place::new();
    let _running = place.start();
    send(&place, "wechat", 0..10);
    place.wait_events("counted", 10);
    let mut prometheus = Prometheus::start(&place, 2);
    let requests = "namespace_requests_total{namespace=\"wechat\",status=\"success\"}";
    wait_for("it has what was there", || prometheus.value(requests) == Some(10.0));
    prometheus.wait_scrapes(3.0);
    prometheus.kill();
    let (began, mut sent) = (Instant::now(), 10);
    while began.elapsed() < AWAY {
        send(&place, "wechat", sent..sent + 5);
        // A tenant that nobody scraped while it was new.
        send(&place, "meanwhile", sent..sent + 1);
        sent += 5;
        std::thread::park_timeout(Duration::from_millis(500));
    }
    prometheus.begin();
    let n_meanwhile = f64::from((sent - 10) / 5);
    let grown = f64::from(sent - 10);
    wait_for("it has what came meanwhile", || prometheus.value(requests) == Some(f64::from(sent)));
    let increase = format!("increase({requests}[5m])");
    wait_for("the increase over the gap", || {
        prometheus.value(&increase).is_some_and(|n| n >= grown && n < 1.2 * grown)
    });
    let meanwhile = "namespace_requests_total{namespace=\"meanwhile\",status=\"success\"}";
    wait_for("all of the other tenant is there", || {
        prometheus.value(meanwhile) == Some(n_meanwhile)
    });
    place.recount();
}
