//! Processes of the program: where it is, how to ask one, wait for it and end it.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// When the bench gives up.
const DEADLINE: Duration = Duration::from_secs(300);
/// How often it looks. A look at the page costs the aggregator CPU time, so not more often.
const PAUSE: Duration = Duration::from_millis(50);

/// The program, as scripts/bench.sh built it.
pub fn program() -> PathBuf {
    let program = std::env::var_os("GATEMETER_PROGRAM").map(PathBuf::from);
    program.expect("GATEMETER_PROGRAM names the program, as scripts/bench.sh sets it")
}

/// Waits until something holds.
pub fn wait(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < end, "not in time: {what}");
        std::thread::park_timeout(PAUSE);
    }
}

/// Waits until the page on a port shows so many events of some classes together; when that was
/// seen.
pub fn wait_events(port: u16, classes: &[&str], n: u64) -> Instant {
    wait("all is counted", || {
        let page = get(port, "/metrics?section=business").unwrap_or_default();
        let shown =
            |class: &&str| value(&page, &format!("gatemeter_events_total{{class=\"{class}\"}}"));
        classes.iter().filter_map(shown).sum::<u64>() == n
    });
    Instant::now()
}

/// The value of a series of a page; `None` if it is not there or no whole number.
pub fn value(page: &str, series: &str) -> Option<u64> {
    let line = page.lines().find_map(|line| line.strip_prefix(series))?;
    line.trim().parse().ok()
}

/// GET over a connection of its own, head and body; `None` if there is no answer.
pub fn get(port: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

/// Sends SIGTERM to a process that this bench started.
pub fn terminate(pid: u32) {
    let sent = Command::new("kill").args(["-TERM", &pid.to_string()]).status();
    assert!(sent.expect("kill runs").success());
}

/// Ports that nobody listened on a moment ago.
pub fn free_ports() -> [u16; 3] {
    let taken = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    taken.map(|listener| listener.local_addr().expect("bound").port())
}
