//! A stack of scripts/stack.sh with Kafka and MariaDB, and what is sent to it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::process::{program, terminate, wait};

/// What is added to every port of the stack.
const OFFSET: u16 = 12_000;

/// A stack, taken down with its data when this is dropped.
pub struct Stack {
    folder: tempfile::TempDir,
    program: PathBuf,
}

/// How `gatemeter replay` sends.
pub enum Way {
    /// To ingest, 500 events a request.
    Http,
    /// To the raw topic, an event a message; 1 % of them come twice.
    RawSingle,
    /// To the raw topic, 500 events a message; 1 % of them come twice.
    RawBatches,
}

/// What was sent, as the report of `gatemeter replay --json` has it.
#[derive(Deserialize)]
pub struct Sent {
    /// Events by class.
    pub events: Events,
    /// Final attempts.
    pub requests: u64,
    /// Attempts that count.
    pub attempts: u64,
    /// Tokens of all attempts.
    pub tokens: Tokens,
}

/// Events of a report that a run without late or malformed ones has.
#[derive(Deserialize)]
pub struct Events {
    /// Those that count.
    pub counted: u64,
    /// Copies of them.
    pub duplicate: u64,
}

impl Events {
    /// All that was sent.
    pub fn all(&self) -> u64 {
        self.counted + self.duplicate
    }
}

/// Tokens by kind.
#[derive(Debug, Deserialize, PartialEq, Eq)]
pub struct Tokens {
    input: u64,
    output: u64,
    cache_read: u64,
    cache_write: u64,
    reasoning: u64,
}

impl Stack {
    /// Starts one.
    pub fn up() -> Stack {
        let stack = Stack { folder: tempfile::tempdir().expect("a folder"), program: program() };
        stack.start();
        stack.raise_frame_version();
        stack
    }

    /// Lets ingest write frames of version 2; refused until the aggregator has every partition.
    fn raise_frame_version(&self) {
        let at = format!("http://127.0.0.1:{}", Stack::port(8002));
        wait("the frame version is raised", || {
            let mut command = Command::new(&self.program);
            command.args(["admin", "frames", "2", "--at", &at]);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            command.status().expect("the program runs").success()
        });
        wait("ingest follows", || {
            let log = std::fs::read_to_string(self.dir().join("logs/ingest.log"));
            log.is_ok_and(|log| log.contains("frame version raised"))
        });
    }

    fn script(&self, args: &[&str]) -> bool {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/stack.sh");
        let mut command = Command::new(script);
        command.args(args).args(["--dir".as_ref(), self.dir().as_os_str()]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.status().expect("scripts/stack.sh runs").success()
    }

    /// Starts what does not run.
    pub fn start(&self) {
        assert!(self.script(&["up", "--offset", &OFFSET.to_string()]), "the stack is not up");
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("stack")
    }

    /// Where a service listens that listens on `base` in a stack without offset.
    pub fn port(base: u16) -> u16 {
        base + OFFSET
    }

    /// Address of the broker.
    pub fn brokers() -> String {
        format!("127.0.0.1:{}", Stack::port(9092))
    }

    /// Process id of a service that runs.
    pub fn pid(&self, name: &str) -> u32 {
        let text =
            std::fs::read_to_string(self.dir().join("run").join(name)).expect("it was started");
        text.split(' ').next().and_then(|pid| pid.parse().ok()).expect("a process id")
    }

    /// SIGTERM by process id, and waits for the end.
    pub fn stop(&self, name: &str) {
        let pid = self.pid(name);
        terminate(pid);
        let stat = format!("/proc/{pid}/stat");
        wait("it ended", || {
            std::fs::read_to_string(&stat).map_or(true, |text| text.contains(") Z "))
        });
    }

    /// Sends so many events that count.
    pub fn send(&self, way: &Way, n_events: u64) -> Sent {
        let raw = format!("kafka://{}/{}", Stack::brokers(), super::RAW_TOPIC);
        let (to, rest): (String, &[&str]) = match way {
            Way::Http => (format!("http://127.0.0.1:{}", Stack::port(8003)), &[]),
            Way::RawSingle => (raw, &["--message", "event", "--duplicates", "1%"]),
            Way::RawBatches => (raw, &["--message", "array", "--duplicates", "1%"]),
        };
        let sent = Command::new(&self.program)
            .args(["replay", "synthetic", "--count", &n_events.to_string(), "--namespaces", "20"])
            .args(["--quiet", "--json", "--batch", "500", "--connections", "4", "--to", &to])
            .args(rest)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .expect("replay runs");
        assert!(sent.status.success(), "not all was sent to {to}");
        let sent: Sent = serde_json::from_slice(&sent.stdout).expect("a report");
        assert_eq!(sent.events.counted, n_events, "replay counts what it was asked for");
        sent
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.script(&["down", "--volumes"]);
    }
}
