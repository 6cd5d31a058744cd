//! The whole stack as scripts/stack.sh runs it, with a fault proxy before MariaDB and one before
//! Kafka, and books of what was sent to it.
//!
//! Everything is stopped by process id, and the data goes with the stack when it is dropped. After
//! each fault the books must agree with the page and with a recount of the log, to the event.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use proxy::proxy::Proxy;
use serde_json::Value;

use crate::beside::{Background, Role};
use crate::disk::SmallDisk;
use crate::gatemeter::{get, program, repository, sum, wait_for};

/// Ports of the services before the offset: all, with as many aggregators and brokers as there may
/// be.
pub const PORTS: [u16; 20] = [
    3000, 3307, 6379, 8001, 8002, 8003, 8012, 8013, 8014, 8015, 8016, 8080, 8091, 9090, 9092, 9093,
    9094, 9095, 9096, 9097,
];
/// Longest wait until everything is counted: a session of Kafka's group and a rebuild are in it.
const SETTLE_MAX: Duration = Duration::from_secs(120);
/// More than a load sends in the longest pause between two tries of a batch.
const PAUSE_EVENTS: i64 = 7_000;
/// Room for the data of MariaDB: its logs alone take 120 MiB.
const DISK_MIB: u32 = 768;
/// Services that are one process each, in the order in which they start.
pub const SERVICES: [&str; 7] =
    ["kafka", "mysql", "redis", "api", "ingest", "aggregator", "prometheus"];

/// Stacks take turns: two of them at once would have the tests measure the machine.
static TURN: Mutex<()> = Mutex::new(());

/// How many processes of a kind there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// 1 to 6.
    pub aggregators: u16,
    /// 1 or 3.
    pub brokers: u16,
}

impl Size {
    /// As small as it gets.
    pub const SMALL: Size = Size { aggregators: 1, brokers: 1 };
}

/// A stack, taken down with its data when this is dropped.
pub struct Stack {
    folder: tempfile::TempDir,
    /// Where MariaDB has its data, if a disk can be mounted.
    pub disk: Option<SmallDisk>,
    offset: u16,
    pub runtime: tokio::runtime::Runtime,
    pub sql: Proxy,
    pub kafka: Proxy,
    more: Vec<(&'static str, String)>,
    size: Size,
    _turn: MutexGuard<'static, ()>,
}

/// An offset whose ports are free, below those that a system gives to clients.
pub fn free_offset() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(10_100);
    let is_free = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
    let next = || NEXT.fetch_add(97, Ordering::Relaxed);
    let mut offsets = std::iter::repeat_with(next).take_while(|offset| *offset < 21_000);
    let offset = offsets.find(|offset| PORTS.iter().all(|port| is_free(port + offset)));
    offset.expect("free ports")
}

/// What must have been counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Books {
    pub counted: i64,
    pub requests: i64,
    pub input: i64,
    pub output: i64,
}

impl Books {
    pub fn add(&mut self, sent: &Value) {
        let number = |pointer: &str| sent.pointer(pointer).and_then(Value::as_i64).expect("whole");
        self.counted += number("/events/counted");
        self.requests += number("/requests");
        self.input += number("/tokens/input");
        self.output += number("/tokens/output");
    }
}

impl Stack {
    pub fn up() -> Stack {
        Stack::up_with(&[])
    }

    /// Starts a stack with additional environment variables.
    pub fn up_with(more: &[(&'static str, &str)]) -> Stack {
        Stack::up_of(Size::SMALL, more)
    }

    /// The same with so many processes; the proxy stands before the first broker.
    pub fn up_of(size: Size, more: &[(&'static str, &str)]) -> Stack {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let offset = free_offset();
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let proxy = |port: u16| {
            let server = SocketAddr::from(([127, 0, 0, 1], port + offset));
            runtime.block_on(Proxy::start(server)).expect("a free port")
        };
        let (sql, kafka) = (proxy(3307), proxy(9092));
        let disk = SmallDisk::mount(&folder.path().join("stack/mysql"), DISK_MIB);
        let more = more.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let stack = Stack { folder, disk, offset, runtime, sql, kafka, more, size, _turn: turn };
        let [aggregators, brokers] = [size.aggregators, size.brokers].map(|n| n.to_string());
        stack.start_with(&["--aggregators", &aggregators, "--brokers", &brokers]);
        stack
    }

    /// The environment of the stack's processes.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        let others = (2..=self.size.brokers).map(|n| self.port(&format!("kafka-{n}")));
        let others: String = others.map(|port| format!(",127.0.0.1:{port}")).collect();
        let own = vec![
            ("GATEMETER_PROGRAM", program().to_owned()),
            ("GATEMETER_KAFKA_ADVERTISED", self.kafka.address().to_string()),
            ("GATEMETER_KAFKA__BROKERS", format!("{}{others}", self.kafka.address())),
            ("GATEMETER_MYSQL__PORT", self.sql.address().port().to_string()),
            // The proxy has to see a COMMIT.
            ("GATEMETER_MYSQL__TLS", "disabled".to_owned()),
            ("GATEMETER_MYSQL__LOCK_TIMEOUT_S", "2".to_owned()),
        ];
        [own, self.more.clone()].concat()
    }

    /// Starts whatever does not run.
    pub fn start(&self) {
        self.start_with(&[]);
    }

    /// The same with options of `up`, which the stack keeps.
    pub fn start_with(&self, options: &[&str]) {
        let offset = self.offset.to_string();
        let output = self.script(&[&["up", "--offset", &offset][..], options].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "up: {stdout}\n{stderr}\n{}", self.logs());
    }

    /// Runs scripts/stack.sh on this stack.
    pub fn script(&self, args: &[&str]) -> Output {
        Command::new(repository("scripts/stack.sh"))
            .args(args)
            .args(["--dir".as_ref(), self.dir().as_os_str()])
            .envs(self.env())
            // From anywhere, and as a service manager starts it.
            .current_dir("/")
            .env_remove("USER")
            .stdin(Stdio::null())
            .output()
            .expect("scripts/stack.sh runs")
    }

    pub fn dir(&self) -> PathBuf {
        self.folder.path().join("stack")
    }

    pub fn logs(&self) -> String {
        String::from_utf8_lossy(&self.script(&["logs"]).stdout).into_owned()
    }

    pub fn status(&self) -> Vec<Value> {
        let output = self.script(&["status", "--json"]);
        serde_json::from_slice(&output.stdout).expect("services in JSON")
    }

    /// A role beside those that the script starts, with settings of its own.
    pub fn role(&self, name: &str, port: u16, log: &str, env: &[(&str, String)]) -> Role {
        let address = ("127.0.0.1", port);
        wait_for("its port is free", || std::net::TcpListener::bind(address).is_ok());
        let log = self.dir().join(format!("logs/{log}.log"));
        let log = std::fs::File::options().create(true).append(true).open(log);
        let child = Command::new(program())
            .args([name, "--dev", "--config"])
            .arg(self.dir().join("gatemeter.toml"))
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .envs(self.env())
            .envs(env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stderr(log.expect("a log file"))
            .spawn();
        Role(child.expect("the role starts"))
    }

    pub fn port(&self, name: &str) -> u16 {
        let base = match name {
            "api" => 8001,
            "aggregator" => 8002,
            "aggregator-2" => 8012,
            "aggregator-3" => 8013,
            "aggregator-4" => 8014,
            "ingest" => 8003,
            "kafka" => 9092,
            "kafka-2" => 9094,
            "kafka-3" => 9096,
            "mysql" => 3307,
            "gateway" => 8080,
            "upstream" => 8091,
            "frontend" => 3000,
            "prometheus" => 9090,
            other => panic!("no port of {other} is asked for"),
        };
        base + self.offset
    }

    pub fn url(&self, name: &str) -> String {
        format!("http://127.0.0.1:{}", self.port(name))
    }

    /// URL of the raw topic.
    pub fn raw(&self) -> String {
        format!("kafka://127.0.0.1:{}/gatemeter.raw", self.port("kafka"))
    }

    pub fn pid(&self, name: &str) -> u32 {
        let text = std::fs::read_to_string(self.dir().join("run").join(name));
        let text = text.unwrap_or_else(|_| panic!("{name} was started"));
        text.split(' ').next().and_then(|pid| pid.parse().ok()).expect("a process id")
    }

    /// Sends a signal by process id.
    pub fn signal(&self, name: &str, signal: &str) {
        let pid = self.pid(name).to_string();
        let sent = Command::new("kill").args([&format!("-{signal}"), &pid]).status();
        assert!(sent.expect("kill runs").success(), "{name} does not run");
    }

    /// `kill -9` by process id.
    pub fn kill(&self, name: &str) {
        self.signal(name, "KILL");
        self.wait_gone(name);
    }

    pub fn wait_gone(&self, name: &str) {
        let process = PathBuf::from(format!("/proc/{}", self.pid(name)));
        wait_for("it is gone", || {
            // A dead process whose parent has not looked is as good as gone, but not before the
            // last of its threads: until then its ports are taken.
            let stat = std::fs::read_to_string(process.join("stat"));
            let threads = std::fs::read_dir(process.join("task")).map_or(0, Iterator::count);
            stat.map_or(true, |text| text.contains(") Z ")) && threads <= 1
        });
    }

    /// Resident memory of a service, bytes.
    pub fn memory(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.pid(name));
        let status = std::fs::read_to_string(path).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a figure");
        let kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
        kib.expect("a number") * 1024
    }

    /// Runs statements as the owner of the server, past the proxy; gives the rows as text.
    pub fn sql(&self, statements: &str) -> String {
        let output = mariadb(&self.dir(), statements).output().expect("mariadb runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{statements}: {stderr}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Whether the server refuses statements, for instance because another session has locked a
    /// row.
    pub fn sql_is_refused(&self, statements: &str) -> bool {
        let output = mariadb(&self.dir(), statements).output().expect("mariadb runs");
        !output.status.success()
    }

    /// Everything that a role wrote into its log so far.
    pub fn said(&self, name: &str) -> String {
        let path = self.dir().join(format!("logs/{name}.log"));
        String::from_utf8_lossy(&std::fs::read(path).expect("a log")).into_owned()
    }

    /// Carries something out, and waits until a role has said these words about it.
    pub fn until_said(&self, name: &str, words: &str, cause: impl FnOnce()) {
        let before = self.said(name).matches(words).count();
        cause();
        wait_for(words, || self.said(name).matches(words).count() > before);
    }

    /// The same beside the test; what becomes of it does not matter.
    pub fn sql_beside(&self, statements: &str) -> Background {
        let mut command = mariadb(&self.dir(), statements);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Background(Some(command.spawn().expect("mariadb runs")))
    }

    /// A load on ingest.
    pub fn load(&self, args: &[&str]) -> Background {
        self.replay(&[args, &["--to", &self.url("ingest")]].concat())
    }

    /// Sends to where the arguments say; the report.
    pub fn sent_by(&self, args: &[&str]) -> Value {
        self.sent(self.replay(args))
    }

    fn replay(&self, args: &[&str]) -> Background {
        let child = Command::new(program())
            .arg("replay")
            .args(args)
            .args(["--json", "--quiet", "--give-up-after", "5m"])
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the load starts");
        Background(Some(child))
    }

    /// Waits for a load to end; its report.
    pub fn sent(&self, mut load: Background) -> Value {
        let child = load.0.take().expect("it is asked once");
        let output = child.wait_with_output().expect("the load ends");
        let report = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "replay: {}\n{report}\n{}", output.status, self.logs());
        serde_json::from_str(&report).expect("a report in JSON")
    }

    /// A fault under a load; then everything must agree. What was sent.
    pub fn under_load(
        &self,
        what: &str,
        books: &mut Books,
        args: &[&str],
        fault: impl FnOnce(),
    ) -> Value {
        let began = Instant::now();
        let load = self.load(args);
        self.wait_progress();
        fault();
        // A batch that waits for its next try must have had it: the longest pause is 5 s.
        let counted = self.counted();
        wait_for("the load goes on", || self.counted() > counted + PAUSE_EVENTS);
        let sent = self.interrupted(load);
        books.add(&sent);
        self.settle(what, books);
        println!("{what}: {:.1} s", began.elapsed().as_secs_f64());
        sent
    }

    /// Waits until more is counted than now.
    pub fn wait_progress(&self) {
        let mut before = None;
        wait_for("the load is being counted", || {
            let Some(counted) = self.shown("gatemeter_events_total{class=\"counted\"}") else {
                return false;
            };
            counted > *before.get_or_insert(counted)
        });
    }

    /// Interrupts a load, which then waits for the answers that are due; its report.
    fn interrupted(&self, mut load: Background) -> Value {
        let child = load.0.take().expect("it is asked once");
        let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success(), "the load has ended by itself");
        let output = child.wait_with_output().expect("the load ends");
        let report: Value = serde_json::from_slice(&output.stdout).expect("a report in JSON");
        let is_sure = report["unknown_batches"] == 0 && report["surprises"] == 0;
        assert!(is_sure, "{report}\n{}", self.logs());
        report
    }

    /// Waits until everything is counted; then page and recount must say what the books say.
    pub fn settle(&self, what: &str, books: &Books) {
        let end = Instant::now() + SETTLE_MAX;
        while self.counted() < books.counted {
            let counted = self.counted();
            assert!(
                Instant::now() < end,
                "{what}: {counted} of {}\n{}",
                books.counted,
                self.logs()
            );
            std::thread::park_timeout(Duration::from_millis(100));
        }
        while self.shown("gatemeter_late_events_undecided") != Some(0) {
            assert!(Instant::now() < end, "{what}: late events are undecided\n{}", self.logs());
            std::thread::park_timeout(Duration::from_millis(100));
        }
        let report = self.recount();
        let number = |pointer: &str| report.pointer(pointer).and_then(Value::as_i64);
        let found = Books {
            counted: number("/classes/counted").expect("whole"),
            requests: number("/totals/requests").expect("whole"),
            input: number("/totals/input_tokens").expect("whole"),
            output: number("/totals/output_tokens").expect("whole"),
        };
        assert_eq!(found, *books, "{what}");
        // A series that was born just now is at zero until scrapes have fetched that.
        let shown = || self.shown("namespace_requests_total{");
        while shown() != Some(books.requests) && Instant::now() < end {
            std::thread::park_timeout(Duration::from_millis(100));
        }
        assert_eq!(shown(), Some(books.requests), "{what}");
    }

    /// Sum of the samples of the page whose line begins so; nothing while there is no page.
    pub fn shown(&self, prefix: &str) -> Option<i64> {
        let page = get(self.port("aggregator"), "/metrics?section=business", &[])?;
        (page.status == 200).then(|| sum(&page.body, prefix))
    }

    pub fn events(&self, class: &str) -> i64 {
        self.shown(&format!("gatemeter_events_total{{class=\"{class}\"}}")).unwrap_or(0)
    }

    pub fn counted(&self) -> i64 {
        self.events("counted")
    }

    /// Sum of the samples of a role's own metrics whose line begins so.
    pub fn own(&self, role: &str, prefix: &str) -> i64 {
        let path = if role == "aggregator" { "/metrics?section=process" } else { "/metrics" };
        get(self.port(role), path, &[]).map_or(0, |page| sum(&page.body, prefix))
    }

    /// Runs a subcommand with the settings of the stack.
    pub fn run(&self, args: &[&str]) -> Output {
        Command::new(program())
            .args(args)
            .args(["--cluster", "--config"])
            .arg(self.dir().join("gatemeter.toml"))
            .envs(self.env())
            .output()
            .expect("it runs")
    }

    /// Runs `gatemeter admin`: exit code and output.
    pub fn operator(&self, args: &[&str]) -> (Option<i32>, String) {
        let output = Command::new(program())
            .arg("admin")
            .args(args)
            .args(["--at", &self.url("aggregator")])
            .stdin(Stdio::null())
            .output()
            .expect("admin runs");
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), stdout + &String::from_utf8_lossy(&output.stderr))
    }

    /// Counts the log on Kafka again, and compares it with ledger, page and API.
    pub fn recount(&self) -> Value {
        let (metrics, api) = (self.url("aggregator"), self.url("api"));
        let output = self.run(&["recount", "--json", "--metrics", &metrics, "--api", &api]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "recount: {}\n{stdout}\n{stderr}", output.status);
        serde_json::from_str(&stdout).expect("a report in JSON")
    }
}

fn mariadb(dir: &Path, statements: &str) -> Command {
    let mut command = Command::new("mariadb");
    command
        .args(["--no-defaults", "--batch", "--skip-column-names", "--socket"])
        .arg(dir.join("run/mysql.sock"))
        .args(["--database", "gatemeter", "--execute", statements])
        .stdin(Stdio::null());
    command
}

impl Drop for Stack {
    fn drop(&mut self) {
        let _ = self.script(&["down"]);
        self.disk = None;
        let _ = self.script(&["down", "--volumes"]);
        if !std::thread::panicking() {
            assert!(!self.dir().exists(), "down --volumes leaves nothing behind");
        }
    }
}
