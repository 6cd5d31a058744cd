//! The real gateway before a mock upstream that knows what it sent: every request is on `/metrics`
//! once, with its status, its usage and its time to first token, whatever is restarted meanwhile.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::gatemeter::{Place, free_ports, get, post, repository, sum, wait_for};

/// Requests that wrk sends, on two threads.
const N_REQUESTS: i64 = 10_000;
/// Connections of wrk: the mock lets each wait for a quarter of a second and more.
const N_CONNECTIONS: i64 = 128;
/// What gateway and network may add to a time to first token on average, milliseconds.
const ADDED_MS_MAX: i64 = 100;

/// An nginx in the foreground, stopped by its process id with the test.
pub struct Nginx {
    child: Child,
    pub port: u16,
    folder: PathBuf,
}

impl Nginx {
    /// `kind` is `gateway` or `mock`, as render.sh names them.
    pub fn start(kind: &str, folder: &Path, port: u16, env: &[(&str, String)]) -> Nginx {
        let nginx = Nginx::start_unready(kind, folder, port, env);
        wait_for(&format!("{kind} is well"), || {
            get(port, "/healthz", &[]).is_some_and(|answer| answer.status == 200)
        });
        nginx
    }

    /// Waits only until it answers, well or not.
    pub fn start_unready(kind: &str, folder: &Path, port: u16, env: &[(&str, String)]) -> Nginx {
        let folder = folder.join(kind);
        let rendered = Command::new("sh")
            .arg(repository("gateway/render.sh"))
            .args([kind.as_ref(), folder.as_os_str()])
            .env("GATEWAY_LISTEN", format!("127.0.0.1:{port}"))
            .env("GATEWAY_WORKERS", "2")
            // The folder of the test is its owner's alone.
            .env("GATEWAY_USER", "root")
            .envs(env.iter().map(|(name, value)| (name, value)))
            .output()
            .expect("sh runs");
        let said = String::from_utf8_lossy(&rendered.stderr);
        assert!(rendered.status.success(), "render.sh: {said}");
        let command = String::from_utf8(rendered.stdout).expect("a command");
        let mut words = command.split_whitespace();
        let child = Command::new(words.next().expect("a program"))
            .args(words)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx starts");
        let mut nginx = Nginx { child, port, folder };
        wait_for(&format!("{kind} answers"), || {
            if let Some(status) = nginx.child.try_wait().expect("a child") {
                panic!("{kind} ended with {status}:\n{}", nginx.log());
            }
            get(port, "/healthz", &[]).is_some()
        });
        nginx
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("logs/error.log")).unwrap_or_default()
    }

    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{signal}"), &self.child.id().to_string()])
            .status()
            .expect("kill runs");
        assert!(sent.success(), "nginx does not run: {}", self.log());
    }

    /// Asks it to end, and waits until it has.
    pub fn end(&mut self, signal: &str) {
        self.signal(signal);
        wait_for("nginx ends", || self.child.try_wait().expect("a child").is_some());
    }

    /// Sum of the gateway's own metrics whose line begins so.
    pub fn own(&self, prefix: &str) -> i64 {
        get(self.port, "/metrics", &[]).map_or(0, |page| sum(&page.body, prefix))
    }

    pub fn totals(&self) -> Value {
        let answer = get(self.port, "/totals", &[]).expect("the mock answers");
        serde_json::from_str(&answer.body).expect("totals in JSON")
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Killed, it would leave its workers behind.
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let _ = self.child.wait();
    }
}

/// Mock and gateway before a place.
fn start(place: &Place) -> (Nginx, Nginx) {
    let [upstream_port, gateway_port, _] = free_ports();
    let folder = place.file("nginx");
    let upstream = Nginx::start("mock", &folder, upstream_port, &[]);
    let settings = serde_json::json!({"forward_namespace": true, "connections": {"interval_s": 1}});
    let file = place.file("gateway.json");
    std::fs::write(&file, settings.to_string()).expect("written");
    let env = [
        ("GATEWAY_CONFIG", file.display().to_string()),
        ("GATEWAY_UPSTREAM", place.url(upstream_port)),
        ("GATEWAY_INGEST", place.url(place.ingest)),
    ];
    let gateway = Nginx::start("gateway", &folder, gateway_port, &env);
    (upstream, gateway)
}

fn wrk(gateway: &Nginx) -> Child {
    Command::new("wrk")
        .args(["-t2", &format!("-c{N_CONNECTIONS}"), "-d120", "-s"])
        .arg(repository("tests/e2e/gateway.lua"))
        .arg(format!("http://127.0.0.1:{}", gateway.port))
        .env("REQUESTS", (N_REQUESTS / 2).to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("wrk starts")
}

#[test]
fn requests_through_the_gateway_are_counted_once_whatever_is_restarted() {
    let place = Place::new();
    let mut running = place.start();
    let (upstream, gateway) = start(&place);
    let mut load = wrk(&gateway);
    let done = || upstream.totals()["requests"].as_i64().unwrap_or(0);
    wait_for("the load runs", || done() > N_REQUESTS / 5);
    gateway.signal("HUP");
    running.kill();
    let at = done();
    wait_for("the gateway goes on without ingest", || done() > at + N_REQUESTS / 10);
    gateway.signal("HUP");
    let mut running = place.start();
    wait_for("the load is done", || done() >= N_REQUESTS);
    // Its threads are done with their requests; itself it would sleep to the end of its time.
    let sent = Command::new("kill").args(["-INT", &load.id().to_string()]).status();
    assert!(sent.expect("kill runs").success(), "wrk does not run");
    load.wait().expect("a child");
    let sent = upstream.totals();
    assert_eq!(sent["requests"], N_REQUESTS, "{sent}");
    assert_eq!(sent["broken"], Value::Null, "{sent}");
    compare(&place, &sent);
    assert_eq!(gateway.own("gatemeter_gateway_events_dropped_total"), 0);
    assert_eq!(gateway.own("gatemeter_gateway_events_total"), N_REQUESTS);

    what_waits_at_a_stop_is_sent_after_the_next_start(&place, &mut running, &upstream, gateway);
}

/// What the mock sent must be what `/metrics` shows.
fn compare(place: &Place, sent: &Value) {
    let counted = |total: i64| place.wait_events("counted", total);
    counted(sent["requests"].as_i64().expect("whole"));
    let recounted = place.recount();
    assert_eq!(recounted["classes"]["counted"], sent["requests"]);
    let page = place.page();
    let shown = |family: &str, labels: &[(&str, &str)]| -> i64 {
        let has = |line: &&str| {
            line.starts_with(&format!("{family}{{"))
                && labels.iter().all(|(name, value)| line.contains(&format!("{name}=\"{value}\"")))
        };
        let values = page.lines().filter(has).filter_map(|line| line.rsplit(' ').next());
        values.map(|value| value.parse::<i64>().expect("a whole number")).sum()
    };
    let requests = |labels: &[(&str, &str)]| shown("http_requests_total", labels);
    let mut n_compared = 0;
    for (name, value) in sent.as_object().expect("totals") {
        let parts: Vec<&str> = name.split('|').collect();
        let found = match parts[..] {
            ["requests"] => requests(&[]),
            ["status", status] => requests(&[("status_code", status)]),
            ["namespace", namespace] => requests(&[("namespace", namespace)]),
            ["namespace_status", namespace, status] => {
                requests(&[("namespace", namespace), ("status_code", status)])
            }
            ["namespace_input", namespace] => reported(&shown, namespace, "input_"),
            ["namespace_output", namespace] => reported(&shown, namespace, "output_"),
            ["cached"] => shown("gatemeter_tokens_total", &[("class", "input_cache_read")]),
            ["reasoning"] => shown("gatemeter_tokens_total", &[("class", "output_reasoning")]),
            ["stream"] => shown("gatemeter_time_to_first_token_seconds_count", &[]),
            _ => continue,
        };
        assert_eq!(*value, found, "{name}: {sent}");
        n_compared += 1;
    }
    assert!(n_compared > 15, "{sent}");
    compare_first_tokens(&page, &shown, sent);
}

/// Times to first token: in the buckets in which the mock has them, and together hardly longer.
fn compare_first_tokens(page: &str, shown: &impl Fn(&str, &[(&str, &str)]) -> i64, sent: &Value) {
    const FAMILY: &str = "gatemeter_time_to_first_token_seconds";
    let total = |name: &str| sent[name].as_i64().unwrap_or(0);
    let bounds = [1, 5, 10, 20, 40, 60, 80, 100, 250, 500, 750, 1_000, 2_500, 5_000, 7_500];
    for bound_ms in bounds {
        let seconds = format!("{:?}", f64::from(bound_ms) / 1_000.0);
        let found = shown(&format!("{FAMILY}_bucket"), &[("le", &seconds)]);
        let expected = total(&format!("first_token_le|{bound_ms}"));
        assert_eq!(found, expected, "first tokens within {bound_ms} ms: {sent}");
    }
    let sums = page.lines().filter(|line| line.starts_with(&format!("{FAMILY}_sum{{")));
    let seconds = sums.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    let found_ms = seconds.map(|seconds| (seconds * 1_000.0).round() as i64).sum::<i64>();
    let sent_ms = total("first_token_ms");
    // Either clock shows whole milliseconds.
    let may_be = sent_ms - total("stream")..=sent_ms + ADDED_MS_MAX * total("stream");
    assert!(may_be.contains(&found_ms), "{found_ms} ms of {sent_ms} ms");
    println!("times to first token: {sent_ms} ms sent, {found_ms} ms seen");
}

/// Tokens that the upstream reported, of classes whose names begin so.
fn reported(
    shown: &impl Fn(&str, &[(&str, &str)]) -> i64,
    namespace: &str,
    beginning: &str,
) -> i64 {
    let classes = ["input_uncached", "input_cache_read", "output_text", "output_reasoning"];
    let classes = classes.into_iter().filter(|class| class.starts_with(beginning));
    let of = |class| [("namespace", namespace), ("class", class), ("source", "reported")];
    classes.map(|class| shown("gatemeter_tokens_total", &of(class))).sum()
}

/// Events that wait while ingest is away are on disk when the gateway stops.
fn what_waits_at_a_stop_is_sent_after_the_next_start(
    place: &Place,
    running: &mut crate::gatemeter::Running,
    upstream: &Nginx,
    mut gateway: Nginx,
) {
    running.kill();
    let delay = "x-mock-delay-ms: 260";
    for n in 0..20 {
        let headers = ["x-namespace: wechat", "x-mock-plain: 1", delay];
        let body = format!("{{\"model\":\"gpt-4o\",\"stream\":{}}}", n % 2 == 0);
        let answer = post(gateway.port, "/v1/chat/completions", &headers, body.as_bytes());
        assert_eq!(answer.expect("an answer").status, 200);
    }
    let refused = post(gateway.port, "/v1/chat/completions", &[], b"{}").expect("an answer");
    assert_eq!(refused.status, 401, "nobody's request: {}", refused.body);
    gateway.end("TERM");
    let (port, file) = (gateway.port, place.file("gateway.json"));
    drop(gateway);
    let mut running = place.start();
    let env = [
        ("GATEWAY_CONFIG", file.display().to_string()),
        ("GATEWAY_UPSTREAM", place.url(upstream.port)),
        ("GATEWAY_INGEST", place.url(place.ingest)),
    ];
    let mut gateway = Nginx::start("gateway", &place.file("nginx"), port, &env);
    let sent = upstream.totals();
    assert_eq!(sent["requests"], N_REQUESTS + 20);
    compare(place, &sent);
    gateway.end("QUIT");
    let (status, _) = running.terminate();
    assert!(status.success());
}
