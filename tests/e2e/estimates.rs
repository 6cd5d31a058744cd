//! What the real gateway reports for requests whose upstream reported no usage, or half of it, with
//! a raw TCP upstream that sends what the test wants and notices a disconnect.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::{Value, json};

use crate::gatemeter::{DEADLINE, Place, free_ports, post, wait_for};
use crate::gateway::Nginx;

/// What no file may hold.
const PLANTED: &str = "planted phrase of a harbour";

/// Answers each request with the events that its path has, and then waits for the gateway to hang
/// up.
struct Upstream {
    port: u16,
    n_hung_up: Arc<AtomicI64>,
}

impl Upstream {
    /// `events_of` gives the data of the events for the head of a request.
    fn start(events_of: fn(&str) -> Vec<Value>) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let n_hung_up = Arc::<AtomicI64>::default();
        let counter = Arc::clone(&n_hung_up);
        // It ends with the test's process: nothing waits for it.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counter = Arc::clone(&counter);
                std::thread::spawn(move || {
                    if answer(stream, events_of).is_some() {
                        counter.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        Upstream { port, n_hung_up }
    }
}

/// Serves one request; `None` if it was none.
fn answer(stream: TcpStream, events_of: fn(&str) -> Vec<Value>) -> Option<()> {
    stream.set_read_timeout(Some(DEADLINE)).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(n) = line.strip_prefix("content-length: ") {
            length = n.parse().ok()?;
        }
        head += &line;
    }
    reader.read_exact(&mut vec![0; length]).ok()?;
    let mut writer = stream;
    let mut text = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n".to_owned();
    for event in events_of(&head) {
        let kind = event["type"].as_str().map_or(String::new(), |kind| format!("event: {kind}\n"));
        text += &format!("{kind}data: {event}\n\n");
    }
    writer.write_all(text.as_bytes()).ok()?;
    if head.contains("/v1/messages") {
        // An upstream that has more to say; it is the gateway that ends it.
        let _ = reader.read(&mut [0]).ok()?;
    }
    Some(())
}

fn events_of(head: &str) -> Vec<Value> {
    if head.contains("/v1/messages") {
        let usage =
            json!({"input_tokens": 300, "cache_read_input_tokens": 400, "output_tokens": 1});
        let mut events = vec![json!({"type": "message_start",
            "message": {"model": "claude-x", "content": [], "usage": usage}})];
        for n in 0..40 {
            events.push(json!({"type": "content_block_delta", "index": 0,
                "delta": {"type": "text_delta", "text": format!("word {n} and more ")}}));
        }
        return events;
    }
    let chunk =
        |delta: Value| json!({"model": "gpt-4o", "choices": [{"index": 0, "delta": delta}]});
    let call = |function: Value| json!({"tool_calls": [{"index": 0, "function": function}]});
    vec![
        chunk(json!({"role": "assistant", "reasoning_content": "Is the tide "})),
        chunk(json!({"reasoning_content": format!("high? {PLANTED}")})),
        chunk(json!({"content": "It is "})),
        chunk(json!({"content": format!("high. {PLANTED}")})),
        chunk(call(json!({"name": "moor", "arguments": "{\"pier\":"}))),
        chunk(call(json!({"arguments": format!("\"{PLANTED}\"}}")}))),
    ]
}

/// Its gateway, before ingest of a place.
fn gateway(place: &Place, upstream: &Upstream) -> Nginx {
    let [port, ..] = free_ports();
    let file = place.file("gateway.json");
    std::fs::write(&file, r#"{"connections":{"interval_s":1}}"#).expect("written");
    let env = [
        ("GATEWAY_CONFIG", file.display().to_string()),
        ("GATEWAY_UPSTREAM", place.url(upstream.port)),
        ("GATEWAY_INGEST", place.url(place.ingest)),
    ];
    Nginx::start("gateway", &place.file("nginx"), port, &env)
}

/// Tokens of a namespace by class, all of them estimated.
fn estimated(place: &Place, namespace: &str, class: &str) -> i64 {
    let page = place.page();
    let has = |line: &&str| {
        line.starts_with("gatemeter_tokens_total{")
            && line.contains(&format!("namespace=\"{namespace}\""))
            && line.contains(&format!("class=\"{class}\""))
    };
    let lines = page.lines().filter(has);
    let values = lines.filter_map(|line| {
        let n = line.rsplit(' ').next()?.parse::<i64>().ok()?;
        assert!(n == 0 || line.contains("source=\"estimated\""), "{line}");
        Some(n)
    });
    values.sum()
}

fn counted(place: &Place, body: &Value) -> Value {
    let reply = post(place.api, "/api/tokens/count", &[], body.to_string().as_bytes());
    let mut reply: Value = serde_json::from_str(&reply.expect("an answer").body).expect("JSON");
    reply["data"].take()
}

#[test]
fn what_was_sent_and_received_is_counted_where_the_upstream_does_not_tell() {
    let place = Place::new();
    let _running = place.start();
    let upstream = Upstream::start(events_of);
    let mut gateway = gateway(&place, &upstream);
    a_client_that_leaves_pays_for_what_it_got(&place, &upstream, &gateway);
    tools_calls_and_thoughts_are_counted(&place, &gateway);
    place.recount();
    gateway.end("QUIT");
    assert_nowhere(&place.file("nginx"));
    assert_nowhere(&place.data());
    assert!(!place.log().contains(PLANTED), "a text was logged");
}

fn a_client_that_leaves_pays_for_what_it_got(place: &Place, upstream: &Upstream, gateway: &Nginx) {
    let body = json!({"model": "claude-x", "stream": true, "max_tokens": 9,
        "system": PLANTED, "messages": [{"role": "user", "content": PLANTED}]})
    .to_string();
    let address = SocketAddr::from(([127, 0, 0, 1], gateway.port));
    let mut client = TcpStream::connect(address).expect("a connection");
    client.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    let length = body.len();
    write!(
        client,
        "POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-namespace: leaving\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .expect("the gateway reads requests");
    let (mut seen, mut chunk) = (String::new(), [0; 512]);
    while !seen.contains("word 20 ") {
        let n = client.read(&mut chunk).expect("the answer comes");
        assert!(n > 0, "it ended: {seen}");
        seen += &String::from_utf8_lossy(&chunk[..n]);
    }
    drop(client);
    wait_for("the upstream is hung up on", || upstream.n_hung_up.load(Ordering::SeqCst) == 1);
    place.wait_events("counted", 1);
    let of = |class: &str| estimated(place, "leaving", class);
    assert_eq!((of("input_uncached"), of("input_cache_read")), (300, 400), "as reported");
    let heard: String = (0..20).map(|n| format!("word {n} and more ")).collect();
    let least = counted(place, &json!({"model": "claude-x", "output": heard}));
    let least = least["output_tokens"].as_i64().expect("a count");
    assert!(of("output_text") >= least && least > 60, "{} of {least}", of("output_text"));
    let requests = place.sum(
        "http_requests_total{method=\"POST\",endpoint=\"/v1/messages\",\
        status_code=\"499\",namespace=\"leaving\"",
    );
    assert_eq!(requests, 1, "{}", place.page());
}

fn tools_calls_and_thoughts_are_counted(place: &Place, gateway: &Nginx) {
    let picture = format!("data:image/png;base64,{}", "QUJDREVG".repeat(20_000));
    let request = json!({"model": "gpt-4o", "stream": true,
        "messages": [{"role": "system", "content": PLANTED}, {"role": "user", "content": [
            {"type": "text", "text": PLANTED},
            {"type": "image_url", "image_url": {"url": picture}}]}],
        "tools": [{"type": "function", "function": {"name": "moor", "description": PLANTED,
            "parameters": {"type": "object", "properties": {"pier": {"type": "array",
                "items": {"type": "object", "properties": {"side": {"type": "string",
                    "description": PLANTED}}}}}}}}]});
    let answer = post(
        gateway.port,
        "/v1/chat/completions",
        &["x-namespace: telling", "content-type: application/json"],
        request.to_string().as_bytes(),
    );
    assert!(answer.expect("an answer").body.contains(PLANTED));
    place.wait_events("counted", 2);
    let call = json!({"name": "moor", "arguments": format!("{{\"pier\":\"{PLANTED}\"}}")});
    let mut whole = request;
    whole["output"] = json!(format!("It is high. {PLANTED}"));
    whole["reasoning"] = json!(format!("Is the tide high? {PLANTED}"));
    whole["tool_calls"] = json!([{"function": call}]);
    let counts = counted(place, &whole);
    let count = |name: &str| counts[name].as_i64().expect("a count");
    assert_eq!(counts["exact"], false, "a picture and a nested schema: {counts}");
    let of = |class: &str| estimated(place, "telling", class);
    assert_eq!(of("input_uncached"), count("input_tokens"));
    assert_eq!(of("output_reasoning"), count("reasoning_tokens"));
    assert_eq!(of("output_text"), count("output_tokens") - count("reasoning_tokens"));
    assert!(of("output_reasoning") > 8 && of("output_text") > 15, "{counts}");
}

/// Checks every file below a folder.
fn assert_nowhere(folder: &Path) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            assert_nowhere(&path);
        } else if let Ok(bytes) = std::fs::read(&path) {
            let has = bytes.windows(PLANTED.len()).any(|at| at == PLANTED.as_bytes());
            assert!(!has, "{} has text of a prompt", path.display());
        }
    }
}
