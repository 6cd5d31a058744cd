//! Real sockets against the limits: slow and idle clients, the cap, the drain.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::routing::{get, post};
use bytes::Bytes;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::config::Settings;
use crate::http_metrics::HttpMetrics;
use crate::metrics::ProcessMetrics;
use crate::shutdown::{self, Trigger};

/// For whatever must happen; far above what it takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(20);

struct Running {
    address: SocketAddr,
    trigger: Trigger,
    task: JoinHandle<Drain>,
}

impl Running {
    async fn start(router: Router, settings: ServerSettings) -> Running {
        let address = "127.0.0.1:0".parse().expect("an address");
        let server = Server::bind("test", address).await.expect("port 0 is always free");
        let address = server.local_addr();
        assert_ne!(address.port(), 0);
        let (trigger, shutdown) = shutdown::channel();
        let task = tokio::spawn(async move { server.serve(router, &settings, shutdown).await });
        Running { address, trigger, task }
    }

    async fn client(&self) -> Client {
        Client(TcpStream::connect(self.address).await.expect("the server listens"))
    }

    async fn ended(self) -> Drain {
        timeout(DEADLINE, self.task).await.expect("in time").expect("no panic")
    }
}

struct Client(TcpStream);

impl Client {
    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.expect("the server reads");
    }

    /// Head and body of the next answer.
    async fn answer(&mut self) -> (String, String) {
        timeout(DEADLINE, self.read_answer()).await.expect("an answer in time")
    }

    async fn read_answer(&mut self) -> (String, String) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.expect("more of the head"));
        }
        let head = String::from_utf8(head).expect("heads are ASCII");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = length.expect("a length").parse().expect("a number");
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.expect("the whole body");
        (head, String::from_utf8(body).expect("bodies of the tests are text"))
    }

    async fn get(&mut self, path: &str) -> String {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")).await;
        let (head, body) = self.answer().await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        body
    }

    /// Waits until the server closes; what it sent until then.
    async fn closed(&mut self) -> String {
        let mut rest = Vec::new();
        let read = timeout(DEADLINE, self.0.read_to_end(&mut rest)).await.expect("in time");
        if let Err(error) = read {
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        }
        String::from_utf8(rest).expect("answers of the tests are text")
    }
}

fn settings() -> ServerSettings {
    Settings::default().server
}

fn hello() -> Router {
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/echo", post(|body: Bytes| async { body }))
}

/// A route that answers once it is given a permit, and a count of those that are in it.
fn held() -> (Router, Arc<Semaphore>, Arc<AtomicUsize>) {
    let permits = Arc::new(Semaphore::new(0));
    let n_inside = Arc::new(AtomicUsize::new(0));
    let (seen, count) = (Arc::clone(&permits), Arc::clone(&n_inside));
    let handler = async move || {
        count.fetch_add(1, Ordering::SeqCst);
        seen.acquire().await.expect("never closed").forget();
        count.fetch_sub(1, Ordering::SeqCst);
        "released"
    };
    let handler = move || {
        let handler = handler.clone();
        async move { handler().await }
    };
    (hello().route("/held", get(handler)), permits, n_inside)
}

async fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let wait = async {
        while !is_true() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("{what}"));
}

#[tokio::test]
async fn requests_on_one_connection_are_answered_in_turn() {
    let running = Running::start(hello(), settings()).await;
    let mut client = running.client().await;
    assert_eq!(client.get("/").await, "hello");
    client.send("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc").await;
    assert_eq!(client.answer().await.1, "abc");
    assert_eq!(client.get("/").await, "hello");
}

#[tokio::test]
async fn address_in_use_is_named() {
    let address = "127.0.0.1:0".parse().expect("an address");
    let first = Server::bind("ingest", address).await.expect("port 0 is always free");
    let taken = first.local_addr();
    let error = Server::bind("ingest", taken).await.expect_err("the port is taken");
    assert_eq!(error.to_string(), format!("ingest cannot listen on {taken}"));
    assert!(crate::error::chain(&error).contains("in use"));
}

#[tokio::test]
async fn slow_header_and_silent_connection_are_closed() {
    let limits = ServerSettings { header_timeout_ms: 500, ..settings() };
    let running = Running::start(hello(), limits).await;
    let mut silent = running.client().await;
    let mut stuck = running.client().await;
    stuck.send("GET / HTTP/1.1\r\nHo").await;
    let trickling = running.client().await;
    let (mut reader, mut writer) = trickling.0.into_split();
    let trickle = tokio::spawn(async move {
        writer.write_all(b"GET / HTTP/1.1\r\nX: ").await.expect("the first piece");
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while writer.write_all(b"x").await.is_ok() {
            tick.tick().await;
        }
    });
    assert_eq!(silent.closed().await, "");
    assert_eq!(stuck.closed().await, "");
    let mut rest = Vec::new();
    let _ = timeout(DEADLINE, reader.read_to_end(&mut rest)).await.expect("closed in time");
    assert!(rest.is_empty());
    timeout(DEADLINE, trickle).await.expect("writes fail soon").expect("no panic");
    assert_eq!(running.client().await.get("/").await, "hello");
}

#[tokio::test]
async fn client_may_rest_between_requests_for_longer_than_for_a_header() {
    let limits = ServerSettings { header_timeout_ms: 1_000, idle_timeout_ms: 2_000, ..settings() };
    let running = Running::start(hello(), limits).await;
    let mut client = running.client().await;
    let begin = Instant::now();
    assert_eq!(client.get("/").await, "hello");
    assert_eq!(client.closed().await, "");
    assert!(begin.elapsed() >= Duration::from_secs(2), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn second_header_on_a_connection_has_no_more_time_than_the_first() {
    let limits = ServerSettings { header_timeout_ms: 500, ..settings() };
    let running = Running::start(hello(), limits).await;
    let mut client = running.client().await;
    assert_eq!(client.get("/").await, "hello");
    client.send("GET / HT").await;
    // The time between two requests is a minute here, so that only the header's can end it.
    assert_eq!(client.closed().await, "");
}

#[tokio::test]
async fn slow_body_is_answered_with_408_and_counted_as_such() {
    let metrics = ProcessMetrics::new("api", "0.1.0").expect("a new registry");
    let router = HttpMetrics::new(&metrics).expect("new names").count(hello());
    let limits = ServerSettings { body_timeout_ms: 150, ..settings() };
    let running = Running::start(router, limits).await;
    let mut client = running.client().await;
    client.send("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\nhalf").await;
    let (head, body) = client.answer().await;
    assert!(head.starts_with("HTTP/1.1 408"), "{head}");
    assert!(head.contains("connection: close"), "{head}");
    let body: Value = serde_json::from_str(&body).expect("the envelope");
    assert_eq!(body["message"], "the request body came too slowly: send it again");
    assert_eq!(client.closed().await, "");
    let page = metrics.render();
    assert!(page.contains("status_code=\"408\",upstream=\"none\"} 1\n"), "{page}");
}

#[tokio::test]
async fn refusal_without_a_look_at_the_body_reaches_a_client_that_sends_all_of_it_first() {
    let refuse = post(|| async { (http::StatusCode::PAYLOAD_TOO_LARGE, "too large") });
    let running = Running::start(hello().route("/refuse", refuse), settings()).await;
    let mut client = running.client().await;
    for n_bytes in [100_usize, 20 << 20] {
        let head = format!("POST /refuse HTTP/1.1\r\nHost: test\r\nContent-Length: {n_bytes}");
        client.send(&format!("{head}\r\n\r\n")).await;
        client.0.write_all(&vec![b'x'; n_bytes]).await.expect("the server reads all of it");
        let (head, body) = client.answer().await;
        assert!(head.starts_with("HTTP/1.1 413"), "{head}");
        assert_eq!(body, "too large");
    }
    assert_eq!(client.get("/").await, "hello", "the connection carries more requests");
    // Who asks first and is refused does not send the body, and is not waited for.
    let asking = "POST /refuse HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\
                  Expect: 100-continue\r\n\r\n";
    client.send(asking).await;
    let (head, _) = client.answer().await;
    assert!(head.starts_with("HTTP/1.1 413") && head.contains("connection: close"), "{head}");
    assert_eq!(client.closed().await, "");
}

#[tokio::test]
async fn bodies_that_trickle_make_room_for_a_client_at_the_cap() {
    let limits = ServerSettings { connections_max: 3, body_timeout_ms: 600_000, ..settings() };
    let running = Running::start(hello(), limits).await;
    let mut slow = Vec::new();
    for _ in 0..3 {
        let mut client = running.client().await;
        client.send("POST /echo HTTP/1.1\r\nHost: test\r\nContent-Length: 9999\r\n\r\n").await;
        client.0.write_all(&[b'x'; 5_000]).await.expect("the server reads");
        slow.push(client);
    }
    assert_eq!(running.client().await.get("/").await, "hello");
    let (head, _) = slow[0].answer().await;
    assert!(head.starts_with("HTTP/1.1 408"), "the oldest makes room: {head}");
    let finish = [b'x'; 4_999];
    slow[2].0.write_all(&finish).await.expect("the youngest goes on");
    assert!(slow[2].answer().await.0.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn header_beyond_the_buffer_is_refused() {
    let running = Running::start(hello(), settings()).await;
    let mut client = running.client().await;
    let long = "x".repeat(128 << 10);
    // The server may close before it has read all of it.
    let _ = client.0.write_all(format!("GET / HTTP/1.1\r\nX: {long}\r\n\r\n").as_bytes()).await;
    let mut first = [0; 12];
    let read = timeout(DEADLINE, client.0.read_exact(&mut first)).await.expect("in time");
    if read.is_ok() {
        assert_eq!(&first, b"HTTP/1.1 431");
    }
    assert_eq!(running.client().await.get("/").await, "hello");
}

#[tokio::test]
async fn client_that_takes_no_answer_is_cut_off() {
    struct Flag(Arc<Notify>);
    impl Drop for Flag {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    struct Owner(Vec<u8>, #[expect(dead_code, reason = "only its drop counts")] Flag);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    let dropped = Arc::new(Notify::new());
    let flag = Arc::clone(&dropped);
    let large = move || {
        let owner = Owner(vec![0; 32 << 20], Flag(Arc::clone(&flag)));
        async { Bytes::from_owner(owner) }
    };
    let router = hello().route("/large", get(large));
    let limits = ServerSettings { idle_timeout_ms: 200, ..settings() };
    let running = Running::start(router, limits).await;
    let mut client = running.client().await;
    client.send("GET /large HTTP/1.1\r\nHost: test\r\n\r\n").await;
    timeout(DEADLINE, dropped.notified()).await.expect("the answer is given up in time");
}

#[tokio::test]
async fn connection_idle_for_longest_makes_room_at_the_cap() {
    let limits = ServerSettings { connections_max: 2, ..settings() };
    let running = Running::start(hello(), limits).await;
    let (mut first, mut second) = (running.client().await, running.client().await);
    assert_eq!(first.get("/").await, "hello");
    assert_eq!(second.get("/").await, "hello");
    assert_eq!(first.get("/").await, "hello");
    let mut third = running.client().await;
    assert_eq!(third.get("/").await, "hello");
    assert_eq!(second.closed().await, "");
    assert_eq!(first.get("/").await, "hello");
}

#[tokio::test]
async fn flood_of_idle_connections_does_not_shut_out_a_client() {
    let limits = ServerSettings { connections_max: 4, ..settings() };
    let running = Running::start(hello(), limits).await;
    let mut flood = Vec::new();
    for _ in 0..200 {
        let mut client = running.client().await;
        // Those that were evicted meanwhile cannot write any more, which is fine.
        let _ = client.0.write_all(b"GET / HT").await;
        flood.push(client);
    }
    assert_eq!(running.client().await.get("/").await, "hello");
}

#[tokio::test]
async fn busy_connection_is_never_evicted_and_the_next_one_waits() {
    let (router, permits, n_inside) = held();
    let limits = ServerSettings { connections_max: 1, ..settings() };
    let running = Running::start(router, limits).await;
    let mut first = running.client().await;
    let request = "GET /held HTTP/1.1\r\nHost: test\r\n\r\n";
    first.send(request).await;
    until("the first is in its handler", || n_inside.load(Ordering::SeqCst) == 1).await;
    let mut second = running.client().await;
    second.send(request).await;
    permits.add_permits(1);
    assert_eq!(first.answer().await.1, "released");
    // Its answer given, the first is idle and has to make room for the second.
    assert_eq!(first.closed().await, "");
    until("the second is in its handler", || n_inside.load(Ordering::SeqCst) == 1).await;
    permits.add_permits(1);
    assert_eq!(second.answer().await.1, "released");
}

#[tokio::test]
async fn drain_ends_what_is_in_flight_and_closes_the_rest() {
    let (router, permits, n_inside) = held();
    let running = Running::start(router, settings()).await;
    let (mut busy, mut idle) = (running.client().await, running.client().await);
    assert_eq!(idle.get("/").await, "hello");
    let mut silent = running.client().await;
    busy.send("GET /held HTTP/1.1\r\nHost: test\r\n\r\n").await;
    until("the request is in its handler", || n_inside.load(Ordering::SeqCst) == 1).await;
    running.trigger.drain();
    assert_eq!(idle.closed().await, "");
    assert_eq!(silent.closed().await, "");
    let refused = async { while TcpStream::connect(running.address).await.is_ok() {} };
    timeout(DEADLINE, refused).await.expect("nothing more is accepted");
    permits.add_permits(1);
    let (head, body) = busy.answer().await;
    assert!(head.contains("connection: close"), "{head}");
    assert_eq!(body, "released");
    assert_eq!(running.ended().await, Drain::Done);
}

#[tokio::test]
async fn drain_is_cut_at_its_deadline() {
    let (router, _permits, n_inside) = held();
    let limits = ServerSettings { drain_timeout_ms: 100, ..settings() };
    let running = Running::start(router, limits).await;
    let mut busy = running.client().await;
    busy.send("GET /held HTTP/1.1\r\nHost: test\r\n\r\n").await;
    until("the request is in its handler", || n_inside.load(Ordering::SeqCst) == 1).await;
    running.trigger.drain();
    assert_eq!(busy.closed().await, "");
    assert_eq!(running.ended().await, Drain::Cut { n_connections: 1 });
}

#[tokio::test]
async fn second_signal_cuts_the_drain_short() {
    let (router, _permits, n_inside) = held();
    let limits = ServerSettings { drain_timeout_ms: 3_600_000, ..settings() };
    let running = Running::start(router, limits).await;
    let mut busy = running.client().await;
    busy.send("GET /held HTTP/1.1\r\nHost: test\r\n\r\n").await;
    until("the request is in its handler", || n_inside.load(Ordering::SeqCst) == 1).await;
    running.trigger.drain();
    running.trigger.stop_now();
    assert_eq!(running.ended().await, Drain::Cut { n_connections: 1 });
}

#[tokio::test]
async fn drain_does_not_wait_for_a_full_house_to_make_room() {
    let (router, permits, n_inside) = held();
    let limits = ServerSettings { connections_max: 1, ..settings() };
    let running = Running::start(router, limits).await;
    let mut busy = running.client().await;
    busy.send("GET /held HTTP/1.1\r\nHost: test\r\n\r\n").await;
    until("the request is in its handler", || n_inside.load(Ordering::SeqCst) == 1).await;
    let mut waiting = running.client().await;
    running.trigger.drain();
    assert_eq!(waiting.closed().await, "");
    permits.add_permits(1);
    assert_eq!(busy.answer().await.1, "released");
    assert_eq!(running.ended().await, Drain::Done);
}

#[tokio::test]
async fn handler_that_panics_takes_only_its_connection_with_it() {
    async fn broken() -> &'static str {
        panic!("a handler of a test")
    }
    let running = Running::start(hello().route("/broken", get(broken)), settings()).await;
    let mut client = running.client().await;
    client.send("GET /broken HTTP/1.1\r\nHost: test\r\n\r\n").await;
    assert_eq!(client.closed().await, "");
    assert_eq!(running.client().await.get("/").await, "hello");
    running.trigger.drain();
    assert_eq!(running.ended().await, Drain::Done);
}
