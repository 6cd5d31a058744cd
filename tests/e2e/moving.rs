//! The gateway before an upstream whose address changes, is not known yet, or is one of several:
//! each request goes to an address that is current, and to one address only.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::gatemeter::{Answer, ask, free_ports, get, post, wait_for};
use crate::gateway::Nginx;
use crate::name_server::{Manner, NameServer};

const NAME: &str = "llm.moving.test";
const NAMESPACE: &str = "x-namespace: wechat";

/// What an upstream does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Conduct {
    /// Answers with its own number as the model, and keeps the connection.
    Answer,
    /// Closes the connection when it has read the request.
    HangUp,
    /// Answers with a header of so many bytes.
    LongHeader(usize),
}

/// An upstream at 127.0.0.x that counts the requests which reached it.
#[derive(Debug)]
struct Upstream {
    n_requests: Arc<AtomicUsize>,
    open: Arc<Mutex<Vec<TcpStream>>>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Upstream {
    fn start(number: u8, port: u16, conduct: Conduct) -> Upstream {
        let address = SocketAddr::from((Ipv4Addr::new(127, 0, 0, number), port));
        let listener = TcpListener::bind(address).expect("the port is free at this address");
        listener.set_nonblocking(true).expect("no waiting");
        let (n_requests, ends) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let open = Arc::<Mutex<Vec<TcpStream>>>::default();
        let (counter, streams, end) = (n_requests.clone(), open.clone(), ends.clone());
        let thread = std::thread::spawn(move || {
            let mut serving = Vec::new();
            while !end.load(Ordering::SeqCst) {
                let Ok((stream, _)) = listener.accept() else {
                    std::thread::park_timeout(Duration::from_millis(5));
                    continue;
                };
                stream.set_nonblocking(false).expect("waiting");
                streams.lock().expect("a lock").push(stream.try_clone().expect("a stream"));
                let counter = counter.clone();
                let serve = move || while answer(&stream, number, conduct, &counter).is_some() {};
                serving.push(std::thread::spawn(serve));
            }
            for stream in streams.lock().expect("a lock").drain(..) {
                let _ = stream.shutdown(Shutdown::Both);
            }
            for thread in serving {
                let _ = thread.join();
            }
        });
        Upstream { n_requests, open, ends, thread: Some(thread) }
    }

    fn n_requests(&self) -> usize {
        self.n_requests.load(Ordering::SeqCst)
    }

    fn n_connections(&self) -> usize {
        self.open.lock().expect("a lock").len()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One request of a connection; nothing when it ends.
fn answer(stream: &TcpStream, number: u8, conduct: Conduct, counter: &AtomicUsize) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut size) = (String::new(), 0);
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            size = value.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; size];
    reader.read_exact(&mut body).ok()?;
    counter.fetch_add(1, Ordering::SeqCst);
    let fill = match conduct {
        Conduct::HangUp => {
            let _ = stream.shutdown(Shutdown::Both);
            return None;
        }
        Conduct::LongHeader(bytes) => {
            let cookie = format!("Set-Cookie: {}\r\n", "c".repeat(4_000));
            cookie.repeat(bytes / 4_000) + &format!("X-Trace: {}\r\n", "t".repeat(bytes % 4_000))
        }
        Conduct::Answer => String::new(),
    };
    let usage = r#""usage":{"prompt_tokens":11,"completion_tokens":3,"total_tokens":14}"#;
    let body = format!("{{\"model\":\"at-{number}\",\"choices\":[],{usage}}}");
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{fill}");
    let size = format!("Content-Length: {}\r\n\r\n", body.len());
    let mut stream = stream;
    stream.write_all([head, size, body].concat().as_bytes()).ok()
}

/// A gateway whose events wait in its spool: this is about where requests go.
struct Setting {
    folder: tempfile::TempDir,
    names: NameServer,
    port: u16,
    own: u16,
}

impl Setting {
    fn new() -> Setting {
        let [port, own, _] = free_ports();
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("hosts"), "127.0.0.1 localhost\n").expect("written");
        Setting { folder, names: NameServer::start(), port, own }
    }

    fn hosts(&self, text: &str) {
        std::fs::write(self.folder.path().join("hosts"), text).expect("written");
    }

    fn gateway(&self, upstream: &str, more: &[(&str, String)]) -> Nginx {
        let settings = r#"{"drain":{"timeout_ms":0}}"#;
        let file = self.folder.path().join("gateway.json");
        std::fs::write(&file, settings).expect("written");
        let mut env = vec![
            ("GATEWAY_CONFIG", file.display().to_string()),
            ("GATEWAY_UPSTREAM", upstream.to_owned()),
            ("GATEWAY_INGEST", "http://127.0.0.1:1".to_owned()),
            ("GATEWAY_RESOLVER", format!("127.0.0.1:{}", self.names.port)),
            ("GATEWAY_HOSTS", self.folder.path().join("hosts").display().to_string()),
        ];
        env.extend_from_slice(more);
        Nginx::start_unready("gateway", self.folder.path(), self.own, &env)
    }

    fn url(&self) -> String {
        format!("http://{NAME}:{}", self.port)
    }

    fn post(&self) -> Answer {
        let body = br#"{"model":"m","messages":[]}"#;
        post(self.own, "/v1/chat/completions", &[NAMESPACE], body).expect("the gateway answers")
    }

    /// The number of the upstream that answered, or 0.
    fn who(&self) -> u8 {
        let body = self.post().body;
        let rest = body.split_once("\"at-").map(|(_, rest)| rest.to_owned()).unwrap_or_default();
        rest.split('"').next().and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    /// Waits until the upstream of a number answers, whichever of the two workers is asked.
    fn wait_who(&self, number: u8, why: &str) {
        let always = || (0..20).all(|_| self.who() == number);
        wait_for(&format!("{number} answers: {why}"), always);
    }

    /// Waits until `/healthz` of a worker says so.
    fn wait_health(&self, said: &str) {
        wait_for(&format!("/healthz says: {said}"), || self.health().body.contains(said));
    }

    fn health(&self) -> Answer {
        get(self.own, "/healthz", &[]).expect("the gateway answers")
    }
}

#[test]
fn an_upstream_that_moves_is_followed_whatever_the_name_server_does() {
    let set = Setting::new();
    let old = Upstream::start(2, set.port, Conduct::Answer);
    let new = Upstream::start(3, set.port, Conduct::Answer);
    set.names.say(&[2], 0, Manner::Plain);
    let mut gateway = set.gateway(&set.url(), &[]);
    assert_eq!(set.who(), 2, "the first request waits for the address");
    for _ in 0..20 {
        assert_eq!(set.who(), 2);
    }
    assert!(old.n_connections() <= 4, "connections are kept: {}", old.n_connections());
    let (before, began) = (set.names.n_asked(), Instant::now());
    for _ in 0..200 {
        set.who();
    }
    // Two workers ask for two families, once a second at most.
    let may_ask = 4 * (usize::try_from(began.elapsed().as_secs()).expect("short") + 2);
    let n_asked = set.names.n_asked() - before;
    assert!(n_asked <= may_ask, "{n_asked} questions for 200 requests, at most {may_ask}");

    set.names.say(&[3], 1, Manner::Alias);
    set.wait_who(3, "the time to live is over");
    let n_old = old.n_requests();
    for _ in 0..20 {
        assert_eq!(set.who(), 3);
    }
    assert_eq!(old.n_requests(), n_old, "a kept connection to the old address was used");

    let mut now = 2;
    let manners = [Manner::AliasAlone, Manner::Truncated, Manner::Noisy, Manner::DeafToV6];
    for manner in manners.into_iter().chain([Manner::Noisy, Manner::Plain]) {
        set.names.say(&[now], 1, manner);
        set.wait_who(now, &format!("{manner:?}"));
        now = 5 - now;
    }
    assert_eq!(now, 2, "the name was at 3 last");
    // Each worker has an address of its own: the other one may not have asked again yet.
    wait_for("every worker has moved", || (0..40).all(|_| set.who() == 3));
    // It is there now, and stays there while the name server is of no use.
    drop(old);
    for manner in [Manner::Silent, Manner::Garbage, Manner::WrongId, Manner::Failing] {
        set.names.say(&[2], 1, manner);
        set.wait_health(match manner {
            Manner::Silent => "did not answer in time; serving with 127.0.0.3",
            Manner::WrongId => "answered another question",
            Manner::Failing => "answered SERVFAIL",
            _ => "name server",
        });
        assert_eq!((set.who(), set.health().status), (3, 200), "{manner:?}");
    }
    gateway.signal("HUP");
    wait_for("new workers serve", || gateway.log().contains("exited with code 0"));
    for _ in 0..20 {
        assert_eq!(set.who(), 3, "the address outlives a reload");
    }
    set.names.say(&[2], 1, Manner::Silent);
    let began = Instant::now();
    gateway.end("QUIT");
    assert!(began.elapsed() < Duration::from_secs(5), "a lookup held up the end");
    drop(new);
}

#[test]
fn an_ingest_that_moves_is_followed_as_well() {
    let set = Setting::new();
    let upstream = Upstream::start(4, set.port, Conduct::Answer);
    let old = Upstream::start(2, set.port, Conduct::Answer);
    let new = Upstream::start(3, set.port, Conduct::Answer);
    set.names.say(&[2], 1, Manner::Plain);
    let ingest = ("GATEWAY_INGEST", format!("http://ingest.moving.test:{}", set.port));
    let gateway = set.gateway(&format!("http://127.0.0.4:{}", set.port), &[ingest]);
    let n_delivered = || gateway.own("gatemeter_gateway_events_delivered_total");
    assert_eq!(set.who(), 4);
    wait_for("the event is delivered", || n_delivered() == 1);
    assert!(old.n_requests() > 0);
    set.names.say(&[3], 1, Manner::Plain);
    let mut n_sent = 1;
    wait_for("events go to the new address", || {
        n_sent += 1;
        set.who() == 4 && new.n_requests() > 0
    });
    drop(old);
    for _ in 0..20 {
        n_sent += 1;
        assert_eq!(set.who(), 4);
    }
    wait_for("each event is delivered", || n_delivered() == n_sent);
    drop((gateway, upstream, new));
}

#[test]
fn an_unknown_name_is_asked_for_again_and_healthz_says_why() {
    let set = Setting::new();
    set.names.say(&[], 1, Manner::Absent);
    let gateway = set.gateway(&set.url(), &[]);
    set.wait_health("there is no such name");
    let health = set.health();
    assert_eq!(health.status, 503);
    assert!(health.body.contains(NAME), "{}", health.body);
    let refused = set.post();
    assert_eq!(refused.status, 502, "{}", refused.body);
    assert!(refused.body.contains("upstream_unreachable"), "{}", refused.body);
    set.names.say(&[], 1, Manner::Silent);
    set.wait_health("did not answer in time");
    let upstream = Upstream::start(4, set.port, Conduct::Answer);
    set.names.say(&[4], 1, Manner::Plain);
    set.wait_who(4, "the name is known now");
    wait_for("/healthz is well again", || set.health().body == "ok\n");
    // An address whose name no longer exists may belong to another host.
    set.names.say(&[], 1, Manner::Absent);
    wait_for("the address is let go", || set.post().status == 502);
    drop(upstream);
    drop(gateway);
}

#[test]
fn of_several_addresses_a_dead_one_is_skipped_and_no_request_is_sent_twice() {
    let set = Setting::new();
    let alive = Upstream::start(2, set.port, Conduct::Answer);
    set.names.say(&[9, 2, 8], 1, Manner::Plain);
    let gateway = set.gateway(&set.url(), &[]);
    for method in ["POST", "GET"] {
        for _ in 0..20 {
            let answer = ask(set.own, method, "/v1/models", &[NAMESPACE], b"");
            assert_eq!(answer.expect("an answer").status, 200, "{method}");
        }
    }
    assert_eq!(alive.n_requests(), 40);
    let n_failed = gateway.own("gatemeter_gateway_connect_failures_total{name=\"upstream\"}");
    assert!((1..=8).contains(&n_failed), "{n_failed} attempts on dead addresses");
    drop(alive);

    let rude = [2, 8, 9].map(|number| Upstream::start(number, set.port, Conduct::HangUp));
    let n_seen = || rude.iter().map(Upstream::n_requests).sum::<usize>();
    for (n_before, method) in ["POST", "GET", "PUT", "POST", "GET"].iter().enumerate() {
        let answer = ask(set.own, method, "/v1/models", &[NAMESPACE], b"{}").expect("an answer");
        assert_eq!(answer.status, 502, "{method}");
        assert_eq!(n_seen(), n_before + 1, "{method} was sent twice");
    }
    wait_for("each is an event", || gateway.own("gatemeter_gateway_events_total") == 45);
    assert_eq!(gateway.own("gatemeter_gateway_admitted_total"), 45);
}

#[test]
fn the_hosts_file_wins_and_is_read_again_and_addresses_need_no_name_server() {
    let set = Setting::new();
    let at_2 = Upstream::start(2, set.port, Conduct::Answer);
    let at_3 = Upstream::start(3, set.port, Conduct::LongHeader(32 * 1024));
    set.names.say(&[], 1, Manner::Silent);
    set.hosts(&format!("127.0.0.2 other {}\n", NAME.to_uppercase()));
    let gateway = set.gateway(&set.url(), &[]);
    assert_eq!(set.who(), 2);
    set.hosts(&format!("# moved\n127.0.0.3\t{NAME} # here\n"));
    set.wait_who(3, "a header of 32 KiB passes");
    assert_eq!(set.post().head.matches("Set-Cookie").count(), 8);
    set.hosts("");
    wait_for("the name server is asked", || set.names.n_asked() > 0);
    assert_eq!(set.who(), 3, "the address from the file serves on");
    drop(gateway);
    let gateway = set.gateway(&format!("http://127.0.0.2:{}/", set.port), &[]);
    assert_eq!((set.who(), set.health().status), (2, 200));
    drop((gateway, at_2, at_3));
    if let Ok(listener) = TcpListener::bind(("::1", set.port)) {
        let gateway = set.gateway(&format!("http://[::1]:{}", set.port), &[]);
        let accepts = std::thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a connection");
            let _ = answer(&stream, 1, Conduct::Answer, &AtomicUsize::default());
        });
        assert_eq!(set.who(), 1);
        accepts.join().expect("it served");
        drop(gateway);
    }
}

/// Stopped by its process id.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const CERTIFICATES: &str = r#"set -eu
key="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
openssl req -x509 $key -days 30 -subj /CN=authority -keyout ca.key -out ca.pem
for name in "$1" stranger.test; do
  openssl req $key -subj "/CN=$name" -keyout "$name.key" -out request.pem
  printf 'subjectAltName=DNS:%s\n' "$name" >names
  openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 \
    -extfile names -out "$name.pem"
done
"#;

fn tls_server(folder: &Path, address: &str, default: &str) -> Server {
    // It shows the second certificate only to who asks for the name.
    let child = Command::new("openssl")
        .args(["s_server", "-quiet", "-www", "-accept", address, "-servername", NAME])
        .args(["-cert", &format!("{default}.pem"), "-key", &format!("{default}.key")])
        .args(["-cert2", &format!("{NAME}.pem"), "-key2", &format!("{NAME}.key")])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl runs: scripts/test.sh installs it");
    wait_for("openssl listens", || TcpStream::connect(address).is_ok());
    Server(child)
}

#[test]
fn over_tls_the_name_is_asked_for_and_verified_whatever_the_address() {
    let set = Setting::new();
    let folder = set.folder.path();
    let made = Command::new("sh")
        .args(["-c", CERTIFICATES, "sh", NAME])
        .current_dir(folder)
        .output()
        .expect("a shell runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let server = tls_server(folder, &format!("127.0.0.2:{}", set.port), "stranger.test");
    set.names.say(&[2], 1, Manner::Plain);
    let trust = ("GATEWAY_CA", folder.join("ca.pem").display().to_string());
    let gateway =
        set.gateway(&format!("https://{NAME}:{}", set.port), std::slice::from_ref(&trust));
    let status = |_: &Nginx| get(set.own, "/v1/models", &[NAMESPACE]).expect("an answer").status;
    assert_eq!(status(&gateway), 200, "{}", gateway.log());
    drop(gateway);
    // The same server under another name: its certificate does not match.
    set.hosts("127.0.0.2 other.test\n");
    let gateway = set.gateway(&format!("https://other.test:{}", set.port), &[trust]);
    assert_eq!(status(&gateway), 502, "a certificate for another name was taken");
    drop((gateway, server));
}
