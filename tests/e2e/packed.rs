//! Answers that are compressed without being asked for, answers to a GET, answers with headers for
//! nginx, and compressed or chunked requests, through the real gateway: libz is the one in nginx.
//! The client gets the bytes unchanged and at once; tokens are counted where they can be read,
//! once, and are never guessed.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Instant;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

use crate::gatemeter::{DEADLINE, Place, ask, free_ports};
use crate::gateway::Nginx;

/// One request and what the upstream answers.
struct Case {
    method: &'static str,
    /// Lines of the answer's head, each a name, a colon and a value.
    header: Option<&'static str>,
    body: Vec<u8>,
    /// Tokens of input and output that are to be counted.
    tokens: (i64, i64),
}

const WHOLE: &[u8] = br#"{"model":"m","choices":[{"message":{"content":"Ahoy"}}],
    "usage":{"prompt_tokens":31,"completion_tokens":7,"total_tokens":38}}"#;
const STREAM: &[u8] =
    b"data: {\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"Ahoy\"}}]}\n\n\
    data: {\"choices\":[],\"usage\":{\"prompt_tokens\":31,\"completion_tokens\":7}}\n\n\
    data: [DONE]\n\n";

/// Settings of a gateway that sends no texts.
const NO_TEXT: &str = r#"{"send_text":"never"}"#;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn raw_deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn cases() -> Vec<Case> {
    let case = |header, body, tokens| Case { method: "POST", header, body, tokens };
    let mut damaged = gzip(STREAM);
    let at = damaged.len() - 6;
    damaged[at] ^= 0xff;
    vec![
        case(Some("Content-Encoding: gzip"), gzip(STREAM), (31, 7)),
        case(Some("Content-Encoding: gzip"), gzip(WHOLE), (31, 7)),
        case(None, gzip(WHOLE), (31, 7)),
        case(Some("Content-Encoding: deflate"), zlib(STREAM), (31, 7)),
        case(Some("Content-Encoding: deflate"), raw_deflate(WHOLE), (31, 7)),
        case(Some("Content-Encoding: gzip"), damaged, (0, 0)),
        case(Some("Content-Encoding: br"), WHOLE.to_vec(), (0, 0)),
        case(Some("Content-Encoding: zstd"), b"\x28\xb5\x2f\xfd\x00".to_vec(), (0, 0)),
        case(Some("X-Accel-Redirect: /healthz"), WHOLE.to_vec(), (31, 7)),
        case(Some("X-Accel-Redirect: /v1/chat/completions/0"), STREAM.to_vec(), (31, 7)),
        // A byte a second, several minutes; nginx heeds the rate only of what it buffers.
        case(Some("X-Accel-Buffering: yes\r\nX-Accel-Limit-Rate: 1"), WHOLE.to_vec(), (31, 7)),
        Case { method: "GET", header: None, body: WHOLE.to_vec(), tokens: (0, 0) },
    ]
}

/// The head of a request, up to its empty line.
fn head_of(stream: &mut TcpStream) -> Option<String> {
    let (mut head, mut byte) = (Vec::new(), [0; 1]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

/// Sends an answer with these lines in its head as well.
fn answer(mut stream: TcpStream, header: Option<&str>, body: &[u8]) -> Option<()> {
    let header = header.map_or(String::new(), |lines| format!("{lines}\r\n"));
    let size = body.len();
    let head = format!("HTTP/1.1 200 OK\r\n{header}Content-Length: {size}\r\n");
    stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).ok()?;
    stream.write_all(body).ok()
}

/// An upstream that serves so many requests, one after another; gives its port.
fn start_upstream(
    n_requests: usize,
    serve: impl Fn(TcpStream) -> Option<()> + Send + 'static,
) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    // It ends with the test's process: nothing waits for it.
    std::thread::spawn(move || {
        for stream in listener.incoming().take(n_requests).flatten() {
            let _ = serve(stream);
        }
    });
    port
}

/// A gateway with these settings between an upstream and ingest of a place.
fn start_gateway(place: &Place, upstream: u16, settings: &str) -> Nginx {
    let [port, _, _] = free_ports();
    let file = place.file("gateway.json");
    std::fs::write(&file, settings).expect("written");
    let env = [
        ("GATEWAY_CONFIG", file.display().to_string()),
        ("GATEWAY_UPSTREAM", place.url(upstream)),
        ("GATEWAY_INGEST", place.url(place.ingest)),
    ];
    Nginx::start("gateway", &place.file("nginx"), port, &env)
}

/// Answers one request; its path is `/v1/chat/completions/` and a number.
fn serve(mut stream: TcpStream) -> Option<()> {
    let head = head_of(&mut stream)?;
    let number: usize = head.split(' ').nth(1)?.rsplit('/').next()?.parse().ok()?;
    let case = cases().into_iter().nth(number)?;
    answer(stream, case.header, &case.body)
}

#[test]
fn answers_pass_unchanged_and_are_counted_only_if_they_can_be_read() {
    let place = Place::new();
    let mut running = place.start();
    let cases = cases();
    let gateway = start_gateway(&place, start_upstream(cases.len(), serve), NO_TEXT);
    for (number, case) in cases.iter().enumerate() {
        let path = format!("/v1/chat/completions/{number}");
        let namespace = format!("X-Namespace: n{number}");
        let began = Instant::now();
        let answer = ask(gateway.port, case.method, &path, &[&namespace], b"").expect("an answer");
        assert_eq!(answer.status, 200, "{number}: {}", answer.head);
        assert_eq!(answer.body, String::from_utf8_lossy(&case.body), "{number}");
        assert!(began.elapsed() < DEADLINE, "{number} was slow: {:?}", began.elapsed());
    }
    place.wait_events("counted", i64::try_from(cases.len()).expect("few"));
    for (number, case) in cases.iter().enumerate() {
        let counted = |token_type: &str| {
            let labels = format!("namespace=\"n{number}\",token_type=\"{token_type}\"");
            place.sum(&format!("namespace_tokens_total{{{labels}}}"))
        };
        assert_eq!((counted("input"), counted("output")), case.tokens, "case {number}");
    }
    let own = |name: &str| gateway.own(&format!("gatemeter_gateway_{name}"));
    assert_eq!(own("usage_unreadable_total{encoding=\"br\"}"), 1);
    assert_eq!(own("usage_unreadable_total{encoding=\"zstd\"}"), 1);
    assert_eq!(own("usage_unreadable_total{encoding=\"gzip\"}"), 1);
    assert_eq!(own("usage_elsewhere_total"), 1);
    drop(gateway);
    assert!(running.terminate().0.success());
}

/// The upstream sends its last bytes once the client has its first ones.
#[test]
fn an_answer_is_not_held_back_for_what_its_upstream_says() {
    let place = Place::new();
    let mut running = place.start();
    let (seen, wait_seen) = mpsc::channel();
    let half = STREAM.len() / 2;
    let upstream = start_upstream(1, move |mut stream| {
        head_of(&mut stream)?;
        let head = "HTTP/1.1 200 OK\r\nX-Accel-Buffering: yes\r\nConnection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(&STREAM[..half]).ok()?;
        wait_seen.recv_timeout(DEADLINE).ok()?;
        stream.write_all(&STREAM[half..]).ok()
    });
    let gateway = start_gateway(&place, upstream, NO_TEXT);
    let mut client = TcpStream::connect(("127.0.0.1", gateway.port)).expect("it runs");
    client.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    let request = "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-Namespace: early\r\n\
                   Content-Length: 0\r\nConnection: close\r\n\r\n";
    client.write_all(request.as_bytes()).expect("it takes requests");
    let (mut reader, mut answer) = (BufReader::new(client), String::new());
    while !answer.contains("Ahoy") {
        let n = reader.read_line(&mut answer).expect("the first bytes come before the last ones");
        assert!(n > 0, "it ended: {answer}");
    }
    assert!(answer.contains("X-Accel-Buffering: yes\r\n"), "others may go by it: {answer}");
    seen.send(()).expect("the upstream waits");
    reader.read_to_string(&mut answer).expect("the rest");
    assert!(answer.contains("[DONE]"), "{answer}");
    place.wait_events("counted", 1);
    assert_eq!(place.sum("namespace_tokens_total{namespace=\"early\""), 31 + 7);
    drop(gateway);
    assert!(running.terminate().0.success());
}

/// An answer that names no model, whatever is asked.
const NAMELESS: &[u8] = br#"{"usage":{"prompt_tokens":31,"completion_tokens":7}}"#;

/// Reads one request whole, then answers it.
fn answer_nameless(mut stream: TcpStream) -> Option<()> {
    let head = head_of(&mut stream)?.to_ascii_lowercase();
    let size = head.split("content-length: ").nth(1)?.split("\r\n").next()?.parse().ok()?;
    stream.read_exact(&mut vec![0; size]).ok()?;
    answer(stream, None, NAMELESS)
}

fn in_chunks(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in body.chunks(40_000).chain([&b""[..]]) {
        bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        bytes.extend_from_slice(piece);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

#[test]
fn requests_that_come_packed_or_in_chunks_have_their_model() {
    let place = Place::new();
    let mut running = place.start();
    let request = |words: usize| {
        let content = "ship ".repeat(words);
        format!(r#"{{"messages":[{{"role":"user","content":"{content}"}}],"model":"pilot-1"}}"#)
    };
    let part = "--b\r\nContent-Disposition: form-data; name=";
    let sound = "\0\u{1}".repeat(800_000);
    let form = format!(
        "{part}\"file\"; filename=\"a\"\r\n\r\n{sound}\r\n\
         {part}\"model\"\r\n\r\npilot-1\r\n--b--\r\n"
    );
    let json = "Content-Type: application/json";
    let cases = [
        ("packed", json, Some("Content-Encoding: gzip"), gzip(request(9).as_bytes())),
        ("short", json, Some("Transfer-Encoding: chunked"), in_chunks(request(9).as_bytes())),
        ("long", json, Some("Transfer-Encoding: chunked"), in_chunks(request(400_000).as_bytes())),
        (
            "form",
            "Content-Type: multipart/form-data; boundary=b",
            Some("Transfer-Encoding: chunked"),
            in_chunks(form.as_bytes()),
        ),
        ("plain", json, None, request(400_000).into_bytes()),
    ];
    let gateway = start_gateway(&place, start_upstream(cases.len(), answer_nameless), "{}");
    for (name, kind, header, body) in &cases {
        let mut stream = TcpStream::connect(("127.0.0.1", gateway.port)).expect("it runs");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        let length = format!("Content-Length: {}", body.len());
        let framing = match header {
            Some(header) if header.starts_with("Transfer") => (*header).to_owned(),
            Some(header) => format!("{header}\r\n{length}"),
            None => length,
        };
        let head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-Namespace: {name}\r\n{kind}\r\n\
             {framing}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("it takes requests");
        stream.write_all(body).expect("it takes bodies");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        assert!(answer.ends_with("}}"), "{name}: {answer}");
    }
    place.wait_events("counted", i64::try_from(cases.len()).expect("few"));
    for (name, ..) in &cases {
        let labels = format!("namespace=\"{name}\",upstream=\"openai\",model=\"pilot-1\"");
        let tokens = place.sum(&format!("gatemeter_tokens_total{{{labels}"));
        assert_eq!(tokens, 31 + 7, "{name}: {}", place.page());
    }
    drop(gateway);
    assert!(running.terminate().0.success());
}
