//! A real Kafka broker for tests: a process of its own, in a folder of its own, on free ports.
//!
//! scripts/kafka.sh runs it until our end of its standard input is closed, so that it never
//! outlives the tests, however they end. The one that tests share is started by the first of them.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// Below the ports that a system gives to clients, for a client that calls a dead broker from the
/// very port it calls would reach itself.
const PORTS: std::ops::Range<u16> = 20_000..32_000;
/// Longest time that a killed process may take to be gone.
const GONE_MAX: Duration = Duration::from_secs(30);

/// A broker. It is killed when this is dropped.
pub struct Broker {
    folder: PathBuf,
    port: u16,
    controller: u16,
    script: Mutex<Option<Child>>,
}

impl Broker {
    /// The one that all tests of this binary share; it must stay alive.
    pub fn shared() -> &'static Broker {
        static SHARED: OnceLock<Broker> = OnceLock::new();
        SHARED.get_or_init(Broker::start)
    }

    /// A broker of one's own.
    pub fn start() -> Broker {
        let folder = tempfile::Builder::new().prefix("gatemeter-kafka-").tempdir();
        let folder = folder.expect("a folder").keep();
        let (port, controller) = (free_port(), free_port());
        let broker = Broker { folder, port, controller, script: Mutex::new(None) };
        broker.restart();
        broker
    }

    /// Where clients find it.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Starts it on the data that it has, and waits until it answers.
    pub fn restart(&self) {
        let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
        let mut scripts = above.map(|folder| folder.join("scripts/kafka.sh"));
        let script = scripts.find(|script| script.exists()).expect("scripts of the repository");
        let mut child = Command::new(script)
            .arg("lend")
            .arg(&self.folder)
            .args([self.port.to_string(), self.controller.to_string(), "--remove".to_owned()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("scripts/kafka.sh runs");
        let mut line = String::new();
        let output = child.stdout.take().expect("it is piped");
        BufReader::new(output).read_line(&mut line).expect("a line");
        assert_eq!(line, "ready\n", "the broker did not start");
        if let Some(mut earlier) = self.script.lock().expect("no holder panics").replace(child) {
            // Killed before its input ends, at which it would take the folder with it.
            let _ = earlier.kill();
            let _ = earlier.wait();
        }
    }

    /// Kills it as a power cut of its process would, and waits until it is gone.
    pub fn kill(&self) {
        let pid = std::fs::read_to_string(self.folder.join("broker.pid")).expect("a process id");
        let killed = Command::new("kill").args(["-KILL", pid.trim()]).status().expect("kill runs");
        assert!(killed.success(), "process {pid} could not be killed");
        let deadline = Instant::now() + GONE_MAX;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
            assert!(Instant::now() < deadline, "the broker still answers");
            std::thread::yield_now();
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(mut script) = self.script.lock().expect("no holder panics").take() {
            drop(script.stdin.take());
            let _ = script.wait();
        }
    }
}

/// A port that nobody listens on, and that no other test of this process was given.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let span = PORTS.end - PORTS.start;
    let first = u16::try_from(std::process::id() % u32::from(span)).expect("below the span");
    for _ in 0..span {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = PORTS.start + first.wrapping_mul(7).wrapping_add(step) % span;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port");
}
