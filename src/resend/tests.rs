//! What an ingest answers, or fails to answer, becomes an answer of the api.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::thread::JoinHandle;

use super::*;

/// Answers one request; the address, and then head and body of what was asked.
fn ingest(status: &'static str, body: &'static str) -> (String, JoinHandle<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = BufReader::new(stream.try_clone().unwrap());
        let (mut head, mut n_body) = (String::new(), 0);
        for line in request.by_ref().lines() {
            let line = line.unwrap();
            if let Some(length) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                n_body = length.parse().unwrap();
            }
            if line.is_empty() {
                break;
            }
            head.push_str(&line);
            head.push('\n');
        }
        let mut bytes = vec![0; n_body];
        request.read_exact(&mut bytes).unwrap();
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).unwrap();
        (head, String::from_utf8(bytes).unwrap())
    });
    (format!("http://{address}/"), asked)
}

fn settings(url: &str, key_file: Option<PathBuf>) -> ApiSettings {
    let ingest_url = Some(url.trim_end_matches('/').to_owned()).filter(|url| !url.is_empty());
    let api = service::config::Settings::default().api;
    ApiSettings { ingest_url, ingest_key_file: key_file, ..api }
}

fn letters() -> Vec<LetterAddress> {
    vec![LetterAddress { generation: 1, partition: 3, offset: 17, index: 0 }]
}

#[tokio::test]
async fn letters_go_to_the_url_with_the_key_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let key_file = folder.path().join("ingest.key");
    let body = r#"{"data":{"accepted":0,"rejected":[{"index":0,"reason":"it is late"}]}}"#;
    let (url, asked) = ingest("200 OK", body);
    let resend = through(&settings(&url, Some(key_file.clone()))).unwrap();
    // The key comes later than the api.
    let error = resend(letters()).await.unwrap_err();
    assert_eq!(error.status().as_u16(), 503);
    assert!(error.message().contains("api.ingest_key_file"), "{error:?}");
    std::fs::write(&key_file, "gm_ingest_0123456789abcdef0123456789abcdef\n").unwrap();
    let result = resend(letters()).await.unwrap();
    assert_eq!((result.accepted, result.rejected[0].reason.as_str()), (0, "it is late"));
    let (head, body) = asked.join().unwrap();
    assert!(head.starts_with("POST /v1/dead-letters/replay HTTP/1.1\n"), "{head}");
    let head = head.to_lowercase();
    let key = "authorization: bearer gm_ingest_0123456789abcdef0123456789abcdef\n";
    assert!(head.contains(key) && head.contains("content-type: application/json"), "{head}");
    let wanted = r#"{"letters":[{"generation":1,"partition":3,"offset":17,"index":0}]}"#;
    assert_eq!(body, wanted);
}

#[tokio::test]
async fn an_ingest_that_refuses_or_is_gone_is_a_503_that_says_why() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let cases = [
        (
            ingest("503 Service Unavailable", r#"{"message":"the log is full"}"#).0,
            "the log is full",
        ),
        (ingest("401 Unauthorized", "{}").0, "refuses the key of api.ingest_key_file"),
        (ingest("404 Not Found", "<html>").0, "ingest answered 404: <html>"),
        (ingest("200 OK", "<html>").0, "does not answer"),
        (nobody, "ingest at api.ingest_url does not answer"),
    ];
    for (url, text) in cases {
        let resend = through(&settings(&url, None)).unwrap();
        let error = resend(letters()).await.unwrap_err();
        assert_eq!(error.status().as_u16(), 503, "{url}");
        assert!(error.message().contains(text), "{error:?}");
    }
    assert!(through(&settings("", None)).is_none(), "no URL, no way");
}
