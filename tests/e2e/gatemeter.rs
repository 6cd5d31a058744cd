//! Runs the real program in a folder of its own, on free ports, and asks it over HTTP.
//!
//! Every process is a child of the test and is killed by its process id when the test lets go of
//! it. Waiting is always for a state, with a deadline.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest wait for any state.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// Pause between two looks at a state.
pub const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The program under test.
pub fn program() -> &'static str {
    env!("CARGO_BIN_EXE_gatemeter")
}

/// Ports and folder that outlive the process, so that it can be started again on them.
#[derive(Debug)]
pub struct Place {
    folder: tempfile::TempDir,
    pub api: u16,
    pub aggregator: u16,
    pub ingest: u16,
}

impl Place {
    pub fn new() -> Place {
        let [api, aggregator, ingest] = free_ports();
        Place { folder: tempfile::tempdir().expect("a folder"), api, aggregator, ingest }
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn url(&self, port: u16) -> String {
        format!("http://127.0.0.1:{port}")
    }

    /// Starts `gatemeter all` with more flags; its log goes to a file of the place.
    pub fn start_with(&self, flags: &[&str]) -> Running {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.file("gatemeter.log"))
            .expect("a log file");
        let child = Command::new(program())
            .arg("all")
            .args(["--data".as_ref(), self.data().as_os_str()])
            .args(["--api-listen", &format!("127.0.0.1:{}", self.api)])
            .args(["--aggregator-listen", &format!("127.0.0.1:{}", self.aggregator)])
            .args(["--ingest-listen", &format!("127.0.0.1:{}", self.ingest)])
            .args(flags)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        Running { child }
    }

    /// Starts in development mode and waits until all three ports are ready.
    pub fn start(&self) -> Running {
        let mut running = self.start_with(&["--dev"]);
        self.wait_ready(&mut running);
        running
    }

    pub fn wait_ready(&self, running: &mut Running) {
        for port in [self.ingest, self.aggregator, self.api] {
            wait_for("the process is ready", || {
                if let Some(status) = running.child.try_wait().expect("a child") {
                    panic!("ended with {status}:\n{}", self.log());
                }
                get(port, "/readyz", &[]).is_some_and(|answer| answer.status == 200)
            });
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.file("gatemeter.log")).unwrap_or_default()
    }

    /// Runs a subcommand to its end.
    pub fn run(&self, args: &[&str]) -> Output {
        Command::new(program())
            .args(args)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .output()
            .expect("the program runs")
    }

    /// `gatemeter replay` against this place; gives its report.
    pub fn replay(&self, args: &[&str]) -> Value {
        let to = self.url(self.ingest);
        let mut all = vec!["replay"];
        all.extend(args);
        all.extend(["--to", &to, "--json", "--quiet"]);
        let output = self.run(&all);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "replay {args:?}: {stderr}\n{}", self.log());
        serde_json::from_slice(&output.stdout).expect("a report in JSON")
    }

    /// `gatemeter recount` over log, ledger, page and API; fails the test on any difference.
    pub fn recount(&self) -> Value {
        let metrics = format!("{}/metrics", self.url(self.aggregator));
        let data = self.data();
        let data = data.to_str().expect("a path in UTF-8");
        let api = self.url(self.api);
        let output =
            self.run(&["recount", "--data", data, "--metrics", &metrics, "--api", &api, "--json"]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "recount: {}\n{stdout}\n{stderr}", output.status);
        serde_json::from_str(&stdout).expect("a report in JSON")
    }

    /// The page's business section.
    pub fn page(&self) -> String {
        let answer = get(self.aggregator, "/metrics?section=business", &[]).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }

    /// Sum of all samples whose line begins with `prefix`.
    pub fn sum(&self, prefix: &str) -> i64 {
        sum(&self.page(), prefix)
    }

    /// Waits until as many events were read from the log.
    pub fn wait_events(&self, class: &str, n: i64) {
        let series = format!("gatemeter_events_total{{class=\"{class}\"}}");
        wait_for(&format!("{n} events are {class}"), || {
            get(self.aggregator, "/metrics?section=business", &[])
                .is_some_and(|answer| answer.status == 200 && sum(&answer.body, &series) >= n)
        });
    }

    /// Waits until the second pass has decided every late event that was counted as late.
    pub fn wait_decided(&self) {
        wait_for("late events are decided", || {
            get(self.aggregator, "/metrics?section=business", &[]).is_some_and(|answer| {
                answer.status == 200
                    && answer.body.contains("\ngatemeter_late_events_undecided 0\n")
            })
        });
    }

    /// `data` of an API answer.
    pub fn api(&self, path: &str) -> Value {
        let answer = get(self.api, path, &[]).expect("an answer");
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        let mut value: Value = serde_json::from_str(&answer.body).expect("JSON");
        value["data"].take()
    }
}

/// Sum of the samples whose line begins with `prefix`.
pub fn sum(page: &str, prefix: &str) -> i64 {
    page.lines()
        .filter(|line| line.starts_with(prefix))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<i64>().ok())
        .sum()
}

/// A running process, killed when it is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
}

impl Running {
    /// A line of `/proc/PID/status` in bytes, such as `VmRSS` or `VmHWM`.
    pub fn memory(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("the process runs");
        let line = status.lines().find(|line| line.starts_with(&format!("{name}:")));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)).expect("a figure");
        kib.parse::<u64>().expect("a number") * 1024
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().expect("it was running");
        self.child.wait().expect("a child");
    }

    /// SIGTERM by process id, and waits for the end.
    pub fn terminate(&mut self) -> (ExitStatus, Duration) {
        let began = Instant::now();
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        assert!(sent.success(), "the process was running");
        let status = self.wait();
        (status, began.elapsed())
    }

    pub fn wait(&mut self) -> ExitStatus {
        let mut ended = None;
        wait_for("the process ended", || {
            ended = self.child.try_wait().expect("a child");
            ended.is_some()
        });
        ended.expect("it was waited for")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks at a state until it holds.
pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < end, "not within {DEADLINE:?}: {what}");
        std::thread::park_timeout(LOOK_EVERY);
    }
}

/// The lowest port that [`free_ports`] gives, above those of stacks with an offset.
const PORT_MIN: u16 = 30_100;

/// Ports that are free, and given to no other test of this process. They lie below those that a
/// system gives to clients, where it leaves room there, so that no connection takes one before its
/// server has bound it.
pub fn free_ports() -> [u16; 3] {
    static N_GIVEN: AtomicU16 = AtomicU16::new(0);
    let clients = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let lowest = clients.ok().and_then(|range| range.split_whitespace().next()?.parse().ok());
    let n_ports = lowest.unwrap_or(32_768_u16).saturating_sub(PORT_MIN);
    // Another run beside this one begins elsewhere.
    let begin = u16::try_from(std::process::id() % u32::from(n_ports.max(1))).expect("below it");
    let of_ours = std::iter::repeat_with(|| {
        let at = begin + N_GIVEN.fetch_add(1, Ordering::Relaxed) % n_ports;
        PORT_MIN + at % n_ports
    });
    let mut candidates = of_ours.take(usize::from(n_ports)).chain(std::iter::repeat(0));
    [(); 3].map(|()| {
        let mut listeners = candidates.by_ref().map(|port| TcpListener::bind(("127.0.0.1", port)));
        let listener = listeners.find_map(Result::ok).expect("a free port");
        listener.local_addr().expect("an address").port()
    })
}

/// An answer over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// GET; `None` if there is no answer.
pub fn get(port: u16, path: &str, headers: &[&str]) -> Option<Answer> {
    ask(port, "GET", path, headers, b"")
}

/// POST; `None` if there is no answer.
pub fn post(port: u16, path: &str, headers: &[&str], body: &[u8]) -> Option<Answer> {
    ask(port, "POST", path, headers, body)
}

/// GET by whoever gives up when the answer is not whole by then.
pub fn get_within(timeout: Duration, port: u16, path: &str, headers: &[&str]) -> Option<Answer> {
    ask_within(timeout, port, "GET", path, headers, b"")
}

/// One request on a connection of its own.
pub fn ask(port: u16, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Option<Answer> {
    ask_within(DEADLINE, port, method, path, headers, body)
}

fn ask_within(
    timeout: Duration,
    port: u16,
    method: &str,
    path: &str,
    headers: &[&str],
    body: &[u8],
) -> Option<Answer> {
    let end = Instant::now() + timeout;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, timeout).ok()?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    head.push_str(&format!("content-length: {}\r\n", body.len()));
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body).ok()?;
    let (mut bytes, mut piece) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        let left = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        stream.set_read_timeout(Some(left)).ok()?;
        match stream.read(&mut piece).ok()? {
            0 => break,
            n => bytes.extend_from_slice(&piece[..n]),
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if is_chunked { unchunk(body) } else { body.to_owned() };
    Some(Answer { status, head: head.to_owned(), body })
}

/// The text of a chunked body.
fn unchunk(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        let Some(chunk) = rest.get(..size) else { break };
        if size == 0 {
            break;
        }
        text.push_str(chunk);
        body = rest[size..].trim_start_matches("\r\n");
    }
    text
}

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
