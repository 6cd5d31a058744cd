//! Answers that come packed although nobody asked, those to a GET, and requests that come packed or
//! in chunks, through the real gateway:
//! the libz that unpacks them is the one in nginx. The client gets the bytes as they came; tokens
//! are counted where they can be read, once, and are never guessed.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

use crate::gatemeter::{DEADLINE, Place, ask, free_ports};
use crate::gateway::Nginx;

/// One request and what the upstream answers.
struct Case {
    method: &'static str,
    encoding: Option<&'static str>,
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
    let case = |encoding, body, tokens| Case { method: "POST", encoding, body, tokens };
    let mut damaged = gzip(STREAM);
    let at = damaged.len() - 6;
    damaged[at] ^= 0xff;
    vec![
        case(Some("gzip"), gzip(STREAM), (31, 7)),
        case(Some("gzip"), gzip(WHOLE), (31, 7)),
        case(None, gzip(WHOLE), (31, 7)),
        case(Some("deflate"), zlib(STREAM), (31, 7)),
        case(Some("deflate"), raw_deflate(WHOLE), (31, 7)),
        case(Some("gzip"), damaged, (0, 0)),
        case(Some("br"), WHOLE.to_vec(), (0, 0)),
        case(Some("zstd"), b"\x28\xb5\x2f\xfd\x00".to_vec(), (0, 0)),
        Case { method: "GET", encoding: None, body: WHOLE.to_vec(), tokens: (0, 0) },
    ]
}

/// Answers one request; its path is `/v1/chat/completions/` and a number.
fn serve(mut stream: TcpStream, cases: &[Case]) -> Option<()> {
    let mut head = Vec::new();
    let mut byte = [0; 1];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let number: usize = head.split(' ').nth(1)?.rsplit('/').next()?.parse().ok()?;
    let case = cases.get(number)?;
    let encoding = case.encoding.map_or(String::new(), |it| format!("Content-Encoding: {it}\r\n"));
    let size = case.body.len();
    let head = format!("HTTP/1.1 200 OK\r\n{encoding}Content-Length: {size}\r\n");
    stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).ok()?;
    stream.write_all(&case.body).ok()
}

#[test]
fn packed_answers_pass_unchanged_and_are_counted_only_if_they_can_be_read() {
    let place = Place::new();
    let mut running = place.start();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let upstream = listener.local_addr().expect("an address").port();
    let n_cases = cases().len();
    std::thread::spawn(move || {
        let cases = cases();
        for stream in listener.incoming().take(n_cases).flatten() {
            let _ = serve(stream, &cases);
        }
    });
    let [port, _, _] = free_ports();
    let file = place.file("gateway.json");
    std::fs::write(&file, r#"{"send_text":"never"}"#).expect("written");
    let env = [
        ("GATEWAY_CONFIG", file.display().to_string()),
        ("GATEWAY_UPSTREAM", place.url(upstream)),
        ("GATEWAY_INGEST", place.url(place.ingest)),
    ];
    let gateway = Nginx::start("gateway", &place.file("nginx"), port, &env);
    for (number, case) in cases().iter().enumerate() {
        let path = format!("/v1/chat/completions/{number}");
        let namespace = format!("X-Namespace: n{number}");
        let answer = ask(port, case.method, &path, &[&namespace], b"").expect("an answer");
        assert_eq!(answer.status, 200, "{number}: {}", answer.head);
        assert_eq!(answer.body, String::from_utf8_lossy(&case.body), "{number}");
    }
    place.wait_events("counted", i64::try_from(n_cases).expect("few"));
    for (number, case) in cases().iter().enumerate() {
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

/// An answer that names no model, whatever is asked.
const NAMELESS: &[u8] = br#"{"usage":{"prompt_tokens":31,"completion_tokens":7}}"#;

/// Reads one request whole, then answers it.
fn answer_nameless(mut stream: TcpStream) -> Option<()> {
    let (mut head, mut byte) = (Vec::new(), [0; 1]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?.to_ascii_lowercase();
    let size = head.split("content-length: ").nth(1)?.split("\r\n").next()?.parse().ok()?;
    stream.read_exact(&mut vec![0; size]).ok()?;
    let size = NAMELESS.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(NAMELESS).ok()
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
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let upstream = listener.local_addr().expect("an address").port();
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
    let n_cases = cases.len();
    std::thread::spawn(move || {
        for stream in listener.incoming().take(n_cases).flatten() {
            let _ = answer_nameless(stream);
        }
    });
    let [port, _, _] = free_ports();
    let file = place.file("gateway.json");
    std::fs::write(&file, "{}").expect("written");
    let env = [
        ("GATEWAY_CONFIG", file.display().to_string()),
        ("GATEWAY_UPSTREAM", place.url(upstream)),
        ("GATEWAY_INGEST", place.url(place.ingest)),
    ];
    let gateway = Nginx::start("gateway", &place.file("nginx"), port, &env);
    for (name, kind, header, body) in &cases {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it runs");
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
    place.wait_events("counted", i64::try_from(n_cases).expect("few"));
    for (name, ..) in &cases {
        let labels = format!("namespace=\"{name}\",upstream=\"openai\",model=\"pilot-1\"");
        let tokens = place.sum(&format!("gatemeter_tokens_total{{{labels}"));
        assert_eq!(tokens, 31 + 7, "{name}: {}", place.page());
    }
    drop(gateway);
    assert!(running.terminate().0.success());
}
