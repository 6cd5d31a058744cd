//! The roles as processes of their own on Kafka and MariaDB, as scripts/stack.sh runs them.
//!
//! One stack serves the whole test: what is sent is counted to the token, and goes on to be while
//! each service in turn is killed with -9 under load and started again.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::gatemeter::{get, program, repository, sum, wait_for};
use crate::referee::Referee;

/// Ports of the services before the offset.
const PORTS: [u16; 7] = [3307, 8001, 8002, 8003, 9090, 9092, 9093];

/// A stack, taken down with its data when this is dropped.
struct Stack {
    folder: tempfile::TempDir,
    offset: u16,
}

impl Stack {
    fn up() -> Stack {
        let is_free = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
        // Below the ports that a system gives to clients.
        let mut offsets = (10_100..21_000).step_by(97);
        let offset = offsets.find(|offset| PORTS.iter().all(|port| is_free(port + offset)));
        let folder = tempfile::tempdir().expect("a folder");
        let stack = Stack { folder, offset: offset.expect("free ports") };
        stack.start();
        stack
    }

    /// Starts whatever does not run.
    fn start(&self) {
        let output = self.script(&["up", "--offset", &self.offset.to_string()]);
        let said = String::from_utf8_lossy(&output.stderr);
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "up: {told}\n{said}\n{}", self.logs());
    }

    fn script(&self, args: &[&str]) -> Output {
        Command::new(repository("scripts/stack.sh"))
            .args(args)
            .args(["--dir".as_ref(), self.dir().as_os_str()])
            .env("GATEMETER_PROGRAM", program())
            .stdin(Stdio::null())
            .output()
            .expect("scripts/stack.sh runs")
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("stack")
    }

    fn logs(&self) -> String {
        String::from_utf8_lossy(&self.script(&["logs"]).stdout).into_owned()
    }

    fn status(&self) -> Vec<Value> {
        let output = self.script(&["status", "--json"]);
        serde_json::from_slice(&output.stdout).expect("services in JSON")
    }

    fn port(&self, name: &str) -> u16 {
        let base = match name {
            "api" => 8001,
            "aggregator" => 8002,
            "ingest" => 8003,
            other => panic!("no port of {other} is asked for"),
        };
        base + self.offset
    }

    fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}", self.port(name))
    }

    /// `kill -9` by process id.
    fn kill(&self, name: &str) {
        let status = self.status();
        let service = status.iter().find(|service| service["name"] == name).expect("it is listed");
        let pid = service["pid"].as_i64().expect("it runs").to_string();
        let killed = Command::new("kill").args(["-KILL", &pid]).status().expect("kill runs");
        assert!(killed.success());
        wait_for("it is gone", || {
            let status = self.status();
            status.iter().any(|service| service["name"] == name && service["pid"].is_null())
        });
    }

    fn load(&self, args: &[&str]) -> Load {
        let child = Command::new(program())
            .args(["replay"])
            .args(args)
            .args(["--to", &self.url("ingest"), "--json", "--quiet"])
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the load starts");
        Load(Some(child))
    }

    fn sent(&self, mut load: Load) -> Value {
        let child = load.0.take().expect("it is asked once");
        let output = child.wait_with_output().expect("the load ends");
        assert!(output.status.success(), "replay: {}\n{}", output.status, self.logs());
        serde_json::from_slice(&output.stdout).expect("a report in JSON")
    }

    /// Sum of the samples of the page whose line begins so; nothing while there is no page.
    fn shown(&self, prefix: &str) -> Option<i64> {
        let page = get(self.port("aggregator"), "/metrics?section=business", &[])?;
        (page.status == 200).then(|| sum(&page.body, prefix))
    }

    fn counted(&self) -> i64 {
        self.shown("gatemeter_events_total{class=\"counted\"}").unwrap_or(0)
    }

    /// Counts the log on Kafka again, and compares it with ledger, page and API.
    fn recount(&self) -> Value {
        let output = Command::new(program())
            .args(["recount", "--cluster", "--json", "--metrics", &self.url("aggregator")])
            .args(["--api", &self.url("api")])
            .args(["--config".as_ref(), self.dir().join("gatemeter.toml").as_os_str()])
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr);
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "recount: {}\n{told}\n{said}", output.status);
        serde_json::from_str(&told).expect("a report in JSON")
    }
}

/// A replay, stopped with the test that began it: its retries must not reach another's stack.
struct Load(Option<Child>);

impl Drop for Load {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let _ = self.script(&["down", "--volumes"]);
        if !std::thread::panicking() {
            assert!(!self.dir().exists(), "down --volumes leaves nothing behind");
        }
    }
}

#[test]
fn roles_on_kafka_and_mariadb_count_to_the_token_while_every_service_is_killed_in_turn() {
    let stack = Stack::up();
    stack.start();
    let status = stack.status();
    assert!(status.iter().all(|service| service["healthy"] == true), "{status:?}");

    let servegen = format!("servegen:{}", repository("data/servegen/deepseek-r1").display());
    let sent = stack.sent(stack.load(&[&servegen, "--count", "50000", "--duplicates", "5%"]));
    let n_first = sent["events"]["counted"].as_i64().expect("whole");
    wait_for("all of the first load is counted", || stack.counted() >= n_first);
    let recount = stack.recount();
    assert_eq!(recount["classes"]["counted"], sent["events"]["counted"]);
    assert_eq!(recount["classes"]["duplicate"], sent["events"]["duplicate"]);
    let requests = sent["requests"].as_i64().expect("whole");
    assert_eq!(stack.shown("namespace_requests_total{"), Some(requests));

    let metrics = format!("{}/metrics", stack.url("aggregator"));
    let referee = Referee::start(&metrics, Duration::from_millis(200));
    let load = stack.load(&[
        "synthetic",
        "--count",
        "60000",
        "--rate",
        "1500",
        "--batch",
        "50",
        "--duplicates",
        "5%",
        "--late",
        "1%",
        "--give-up-after",
        "5m",
    ]);
    for name in ["aggregator", "ingest", "mysql", "kafka", "api"] {
        let before = stack.counted();
        wait_for("the load is being counted", || stack.counted() > before);
        stack.kill(name);
        stack.start();
    }
    let sent = stack.sent(load);
    let expected = n_first + sent["events"]["counted"].as_i64().expect("whole");
    wait_for("everything is counted", || stack.counted() >= expected);
    let recount = stack.recount();
    let report = referee.finish().unwrap_or_else(|faults| panic!("{}", faults.join("\n")));
    assert!(report.good > 10, "{report:?}");
    assert_eq!(recount["classes"]["counted"].as_i64(), Some(expected));
    let requests = requests + sent["requests"].as_i64().expect("whole");
    assert_eq!(stack.shown("namespace_requests_total{"), Some(requests));
}
