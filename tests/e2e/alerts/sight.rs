//! A Prometheus beside that of the stack: the shipped settings and rules, with a scrape a second
//! and waits of seconds. Its targets carry labels as Kubernetes gives them, under which every
//! alert must work all the same.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use super::{CAUSES, Stage, of};
use crate::cluster::monitoring::queries;
use crate::gatemeter::{free_ports, get, repository, wait_for};
use crate::stack::Stack;

/// Labels that service discovery gives a target.
const TARGET: &str = "namespace: monitoring\n          endpoint: http";
/// How the shipped settings find the aggregators.
const BY_NAME: &str = r#"    dns_sd_configs:
      - names: ["aggregator"]
        refresh_interval: 10s
        type: A
        port: 8002
"#;
/// Everything that is scraped: the aggregator twice, two ingests, api, gateway, itself.
const TARGETS: f64 = 7.0;

/// What a scrape that fails is enough for: one that comes late on a busy machine must not be.
const PATIENT: [&str; 2] = ["GatemeterNoPublisher", "GatemeterTargetDown"];

/// How much a Prometheus may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    Ample,
    /// Less than it writes in a minute, in blocks of seconds in place of hours.
    Little,
}

pub struct Sight {
    folder: tempfile::TempDir,
    port: u16,
    /// Of an ingest beside the stack's.
    beside: u16,
    prometheus: Child,
    /// From then on nothing fires without its cause.
    since: Instant,
}

impl Drop for Sight {
    fn drop(&mut self) {
        let _ = self.prometheus.kill();
        let _ = self.prometheus.wait();
    }
}

impl Sight {
    /// Starts one that scrapes the stack and the ingest beside it.
    pub fn start(stack: &Stack, beside: u16, room: Room) -> Sight {
        let installed = Command::new(repository("scripts/prometheus.sh")).arg("install").output();
        let stdout = String::from_utf8(installed.expect("it runs").stdout).expect("a folder");
        let program = PathBuf::from(stdout.lines().last().expect("a folder")).join("prometheus");
        let folder = tempfile::tempdir().expect("a folder");
        let [port, ..] = free_ports();
        std::fs::create_dir(folder.path().join("rules")).expect("a folder");
        for name in ["recording.yml", "alerts.yml"] {
            let text = std::fs::read_to_string(repository("monitoring/rules").join(name));
            let text = rendered(&text.expect("rules"));
            std::fs::write(folder.path().join("rules").join(name), text).expect("written");
        }
        settings(stack, folder.path(), [port, beside], "");
        let log = std::fs::File::create(folder.path().join("log")).expect("a log");
        let of_room: &[&str] = match room {
            Room::Ample => &[],
            Room::Little => &[
                "--storage.tsdb.retention.size=1MB",
                "--storage.tsdb.min-block-duration=5s",
                "--storage.tsdb.max-block-duration=5s",
            ],
        };
        let prometheus = Command::new(program)
            .arg(format!("--config.file={}", folder.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--enable-feature=native-histograms")
            .args(of_room)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("Prometheus starts");
        let mut sight = Sight { folder, port, beside, prometheus, since: Instant::now() };
        wait_for("every target is scraped", || sight.value("count(up == 1)") == Some(TARGETS));
        // Before the first scrape the targets were absent.
        let absent = "ALERTS{alertname!~\"Prometheus.*\", alertstate=\"firing\"}";
        wait_for("nothing fires any more", || sight.rows(absent).is_empty());
        sight.since = Instant::now();
        sight
    }

    pub fn every_alert_has_an_entry(&self) {
        let mut shipped = Vec::new();
        for rule in self.rules("alert") {
            shipped.push(rule["name"].as_str().expect("a name").to_owned());
        }
        let mut known: Vec<_> = CAUSES.iter().map(|cause| cause.0.to_owned()).collect();
        shipped.sort_unstable();
        known.sort_unstable();
        assert_eq!(shipped, known, "each alert of the rules needs a cause here");
    }

    /// A series that begins with its first event has no rise that a rule could see: whatever rules
    /// and dashboards take the rise of is there before anything has happened.
    pub fn what_alerts_rate_is_there_before_it_rises(&self) {
        let mut rated = BTreeSet::new();
        for kind in ["alert", "record"] {
            for rule in self.rules(kind) {
                rated.extend(rated_by(rule["query"].as_str().expect("a query")));
            }
        }
        for name in ["ai-gateway-overview", "pipeline-health"] {
            let path = repository("monitoring/grafana/dashboards").join(format!("{name}.json"));
            let text = std::fs::read_to_string(path).expect("a dashboard");
            let dashboard: Value = serde_json::from_str(&text).expect("JSON");
            queries(&dashboard["panels"]).iter().for_each(|query| rated.extend(rated_by(query)));
        }
        assert!(rated.len() > 30, "{rated:?}");
        for series in rated {
            // Business series appear at zero and are held there, which has its own tests. An unused
            // stack has none.
            let is_counted = series.contains("gatemeter-aggregator\"");
            let begins_at_start = ["gatemeter_events_total", "_conflicts_", "_lost_frames_"];
            if !is_counted || begins_at_start.iter().any(|name| series.contains(name)) {
                assert!(!self.rows(&series).is_empty(), "{series} begins with its first event");
            }
        }
    }

    /// The rules of a kind, `alert` or `record`.
    fn rules(&self, kind: &str) -> Vec<Value> {
        let answer = get(self.port, &format!("/api/v1/rules?type={kind}"), &[]);
        let answer = answer.expect("an answer").body;
        let mut answer: Value = serde_json::from_str(&answer).expect("JSON");
        let groups = answer["data"]["groups"].as_array_mut().expect("groups").iter_mut();
        let rules = groups.flat_map(|group| group["rules"].as_array().cloned().expect("rules"));
        rules.collect()
    }

    /// Reads other settings from now on.
    pub fn reload(&self, stack: &Stack, more: &str) {
        settings(stack, self.folder.path(), [self.port, self.beside], more);
        let sent = Command::new("kill").args(["-HUP", &self.prometheus.id().to_string()]).status();
        assert!(sent.expect("kill runs").success(), "Prometheus has ended: {}", self.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn rows(&self, query: &str) -> Vec<Value> {
        let mut path = "/api/v1/query?query=".to_owned();
        for byte in query.bytes() {
            write!(path, "%{byte:02X}").expect("a string takes everything");
        }
        let Some(answer) = get(self.port, &path, &[]) else { return Vec::new() };
        // Not yet.
        if answer.status == 503 {
            return Vec::new();
        }
        let mut answer: Value = serde_json::from_str(&answer.body).expect("JSON");
        match answer["data"]["result"].take() {
            Value::Array(rows) => rows,
            other => panic!("{query}: {other} {answer}"),
        }
    }

    fn value(&self, query: &str) -> Option<f64> {
        self.rows(query).first()?["value"][1].as_str()?.parse().ok()
    }

    /// Waits until every alert of a stage has fired.
    pub fn all_fired(&self, stage: Stage) {
        for alert in of(stage) {
            self.fires(alert);
        }
    }

    /// Waits until an alert has fired.
    pub fn fires(&self, alert: &str) {
        let began = Instant::now();
        wait_for(&format!("{alert} fires"), || self.has_fired(alert));
        println!("{alert}: {:.1} s", began.elapsed().as_secs_f64());
    }

    /// How long it has been looked at, at least one second.
    fn seconds(&self) -> u64 {
        self.since.elapsed().as_secs().max(1)
    }

    fn has_fired(&self, alert: &str) -> bool {
        let fired = format!("ALERTS{{alertname=\"{alert}\", alertstate=\"firing\"}}");
        !self.rows(&format!("last_over_time({fired}[{}s])", self.seconds())).is_empty()
    }

    /// Writes a file of rules, which are read with the next settings.
    pub fn rule(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join("rules").join(name), text).expect("written");
    }

    /// Puts a block of its history there that cannot be read, as a disk that fails leaves it.
    pub fn damage(&self) {
        let block = self.folder.path().join("data/01ARZ3NDEKTSV4RRFFQ69G5FAV");
        std::fs::create_dir(&block).expect("a folder");
        std::fs::write(block.join("meta.json"), "{").expect("written");
    }

    /// No alert has fired but those of these stages.
    pub fn nothing_else_fires(&self, made: &[Stage]) {
        let firing = "ALERTS{alertstate=\"firing\"}";
        let query = format!("count by (alertname) (last_over_time({firing}[{}s]))", self.seconds());
        for row in self.rows(&query) {
            let name = row["metric"]["alertname"].as_str().expect("a name");
            let cause = CAUSES.iter().find(|cause| cause.0 == name).expect("an entry");
            assert!(made.contains(&cause.1), "{name} fires too early: {row}");
        }
    }

    /// The business labels are those of the page, and not those of the target.
    pub fn labels_are_ours(&self, namespace: &str) {
        let ours = format!("namespace_requests_total{{namespace=\"{namespace}\"}}");
        wait_for("the namespace is ours", || !self.rows(&ours).is_empty());
        let renamed =
            self.rows("count by (__name__) ({__name__=~\".+\", exported_namespace!=\"\"})");
        assert!(renamed.is_empty(), "{renamed:?}");
    }
}

/// The series of which a text takes `rate` or `increase`.
fn rated_by(text: &str) -> Vec<String> {
    let parts = text.split("rate(").skip(1).chain(text.split("increase(").skip(1));
    let series = parts.filter_map(|part| Some(part.split_once('[')?.0.trim().to_owned()));
    series.collect()
}

/// Rules with short waits and the scaled limits.
fn rendered(text: &str) -> String {
    let mut text = text.to_owned();
    for (alert, _, scaled) in CAUSES {
        let Some(begin) = text.find(&format!("- alert: {alert}\n")) else { continue };
        let end = text[begin + 8..].find("- alert: ").map_or(text.len(), |end| begin + 8 + end);
        let mut rule = text[begin..end].to_owned();
        for (real, here) in *scaled {
            assert!(rule.contains(real), "{alert} has no {real}");
            rule = rule.replace(real, here);
        }
        let wait = if PATIENT.contains(alert) { "        for: 5s" } else { "        for: 1s" };
        let waits = |line: &str| line.trim_start().starts_with("for: ");
        let lines = rule.split('\n').map(|line| if waits(line) { wait } else { line });
        let rule = lines.collect::<Vec<_>>().join("\n");
        text.replace_range(begin..end, &rule);
    }
    text
}

/// The shipped settings on the ports of the stack, scraping every second.
fn settings(stack: &Stack, folder: &Path, [port, beside]: [u16; 2], more: &str) {
    let text = std::fs::read_to_string(repository("monitoring/prometheus.yml"));
    let mut text = text.expect("settings");
    // The stack has one aggregator, without a name.
    assert_eq!(text.matches(BY_NAME).count(), 2, "{text}");
    let listed = "    static_configs:\n      - targets:\n          - \"aggregator:8002\"\n";
    text = text.replace(BY_NAME, listed);
    for name in ["aggregator:8002", "ingest:8003", "api:8001", "gateway:8080", "prometheus:9090"] {
        let own = name.split(':').next().expect("a name");
        let mut at = vec![if own == "prometheus" { port } else { stack.port(own) }];
        at.extend((own == "ingest").then_some(beside));
        let target = format!("          - \"{name}\"");
        assert!(text.contains(&target), "{name}");
        let mut labels = String::new();
        for port in at {
            writeln!(labels, "          - \"127.0.0.1:{port}\"").expect("a string");
        }
        write!(labels, "        labels:\n          {TARGET}").expect("a string");
        text = text.replace(&target, &labels);
    }
    for (real, here) in [
        ("scrape_interval: 10s", "scrape_interval: 1s"),
        ("scrape_timeout: 8s", "scrape_timeout: 1s"),
        ("evaluation_interval: 10s", "evaluation_interval: 1s"),
    ] {
        assert!(text.contains(real), "{real}");
        text = text.replace(real, here);
    }
    std::fs::write(folder.join("prometheus.yml"), text + more).expect("written");
}
