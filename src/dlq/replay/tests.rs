//! Unit tests of `replay`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;

use super::*;

/// Answers one request with this data; the address.
fn ingest(data: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = BufReader::new(stream.try_clone().unwrap());
        let mut n_body = 0;
        for line in request.by_ref().lines() {
            let line = line.unwrap().to_ascii_lowercase();
            if let Some(length) = line.strip_prefix("content-length: ") {
                n_body = length.parse().unwrap();
            }
            if line.is_empty() {
                break;
            }
        }
        request.read_exact(&mut vec![0; n_body]).unwrap();
        let body = format!("{{\"code\":200,\"message\":\"success\",\"data\":{data}}}");
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).unwrap();
    });
    format!("http://{address}/")
}

#[tokio::test]
async fn every_letter_is_accounted_for() {
    let letter = |offset| LetterAddress { generation: 1, partition: 0, offset, index: 0 };
    let letters = [letter(4), letter(5)];
    for (data, expected) in [
        (r#"{"accepted":2,"rejected":[]}"#, Ok((2, 0))),
        (r#"{"accepted":1,"rejected":[{"index":1,"reason":"late"}]}"#, Ok((1, 1))),
        (
            r#"{"accepted":1,"rejected":[{"index":2,"reason":"late"}]}"#,
            Err("refused letter 2 of 2: late"),
        ),
        (r#"{"accepted":1,"rejected":[]}"#, Err("1 accepted and 0 refused letters of 2")),
        (r#"{"accepted":-1,"rejected":[]}"#, Err("is not one of Gatemeter's")),
    ] {
        let mut tally = Tally::default();
        let sent = through_ingest(&ingest(data), None, &letters, &mut tally).await;
        match (sent, expected) {
            (Ok(()), Ok(counts)) => assert_eq!((tally.sent, tally.refused), counts, "{data}"),
            (Err(error), Err(text)) => assert!(error.to_string().contains(text), "{error}"),
            (sent, _) => panic!("{data}: {sent:?}"),
        }
    }
}
