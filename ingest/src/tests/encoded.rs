//! Compressed bodies: accepted like plain ones, or refused with the fault or the limit named.

use std::io::Write as _;

use axum::body::Body;
use event::limits::{BODY_BYTES_MAX, BODY_COMPRESSED_BYTES_MAX, BODY_RATIO_MAX};
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH};
use zstd::zstd_safe::CParameter;

use super::fixture::{Running, batch, event, gzip, post, post_as, zstd};

/// A frame of undeclared size with this window, as a streaming encoder writes it.
fn zstd_stream(plain: &[u8], window_log: u32) -> Vec<u8> {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).expect("an encoder");
    encoder.set_parameter(CParameter::WindowLog(window_log)).expect("a parameter");
    encoder.write_all(plain).expect("written to memory");
    encoder.finish().expect("written to memory")
}

/// A skippable frame.
fn zstd_skippable(inside: &[u8]) -> Vec<u8> {
    let length = u32::try_from(inside.len()).expect("small").to_le_bytes();
    [&0x184d_2a50_u32.to_le_bytes()[..], &length, inside].concat()
}

/// An empty array padded with blanks that compress well, but by less than 100:1.
fn padded(n_bytes: usize) -> Vec<u8> {
    let mut body = b"[]".to_vec();
    let mut state: u32 = 1;
    while body.len() < n_bytes {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        body.push(b" \t\r\n"[(state >> 30) as usize]);
        body.resize((body.len() + 31).min(n_bytes), b' ');
    }
    body
}

/// Sends each body under its encoding and checks the status and a part of the message.
async fn check_refused(status: u16, cases: Vec<(&str, Vec<u8>, &str)>) {
    let (_folder, running) = Running::fresh().await;
    for (case_idx, (encoding, body, words)) in cases.into_iter().enumerate() {
        let answer = running.ask(post_as(encoding, body)).await;
        assert_eq!(answer.status, status, "case {case_idx}: {}", answer.text);
        let message = answer.message();
        assert!(message.contains(words), "case {case_idx}: {message:?} lacks {words:?}");
    }
    assert!(running.logged().await.is_empty());
    running.stop().await;
}

#[tokio::test]
async fn compressed_batch_is_accepted_in_every_form() {
    let (_folder, running) = Running::fresh().await;
    let body = batch((0..700).map(|n| format!("e{n}"))).into_bytes();
    let bodies = [
        ("gzip", gzip(&body)),
        ("x-gzip", gzip(&body)),
        (" GZIP ", gzip(&body)),
        (",gzip,", gzip(&body)),
        ("zstd", zstd(&body)),
        ("Zstd", zstd_stream(&body, 23)),
        ("zstd", zstd_stream(&body, 10)),
        ("identity", body.clone()),
    ];
    let n_bodies = bodies.len();
    for (encoding, packed) in bodies {
        assert_eq!(running.ask(post_as(encoding, packed)).await.accepted(700), 700, "{encoding}");
    }
    assert_eq!(running.logged().await.len(), 700 * n_bodies);
    running.stop().await;
}

#[tokio::test]
async fn several_members_and_frames_are_one_body() {
    let (_folder, running) = Running::fresh().await;
    let body = batch((0..3).map(|n| format!("e{n}"))).into_bytes();
    let (a, b) = body.split_at(100);
    let zstd_frames = [zstd_stream(a, 12), zstd_skippable(b"note"), zstd(b""), zstd(b)];
    for (encoding, packed) in [
        ("gzip", [gzip(a), gzip(b""), gzip(b)].concat()),
        ("zstd", zstd_frames.concat()),
        ("zstd", [zstd_skippable(b""), zstd(&body)].concat()),
    ] {
        assert_eq!(running.ask(post_as(encoding, packed)).await.accepted(3), 3, "{encoding}");
    }
    running.stop().await;
}

#[tokio::test]
async fn broken_compressed_body_is_400_and_says_how() {
    let body = batch((0..9).map(|n| format!("e{n}"))).into_bytes();
    let (good_gzip, good_zstd) = (gzip(&body), zstd(&body));
    let but_last = |bytes: &[u8], n: usize| bytes[..bytes.len() - n].to_vec();
    let flipped = |bytes: &[u8], from_end: usize| {
        let mut bytes = bytes.to_vec();
        let at = bytes.len() - from_end;
        bytes[at] ^= 0x55;
        bytes
    };
    // The first byte after the header names an invalid block type.
    let mut no_block = good_gzip.clone();
    no_block[10] = 0xff;
    let with_dictionary = vec![0x28, 0xb5, 0x2f, 0xfd, 0x21, 9, 1, 0x09, 0, 0, b'x'];
    check_refused(
        400,
        vec![
            ("gzip", Vec::new(), "the gzip body is empty"),
            ("zstd", Vec::new(), "the zstd body is empty"),
            ("gzip", body.clone(), "the body is not gzip"),
            ("zstd", body.clone(), "the body is not zstd"),
            ("gzip", good_zstd.clone(), "the body is not gzip"),
            ("zstd", good_gzip.clone(), "the body is not zstd"),
            ("gzip", good_gzip[..5].to_vec(), "the gzip body is cut off"),
            ("gzip", good_gzip[..60].to_vec(), "the gzip body is cut off"),
            ("gzip", but_last(&good_gzip, 1), "the gzip body is cut off"),
            ("zstd", good_zstd[..3].to_vec(), "the zstd body is cut off"),
            ("zstd", good_zstd[..60].to_vec(), "the zstd body is cut off"),
            ("zstd", but_last(&good_zstd, 1), "the zstd body is cut off"),
            ("gzip", flipped(&good_gzip, 8), "the gzip body is damaged: corrupt gzip stream"),
            ("gzip", flipped(&good_gzip, 2), "the gzip body is damaged: corrupt gzip stream"),
            ("gzip", no_block, "the gzip body is damaged: corrupt deflate stream"),
            ("zstd", flipped(&good_zstd, 2), "the zstd body is damaged: Restored data doesn't"),
            ("zstd", with_dictionary, "the zstd body is damaged: Dictionary mismatch"),
            ("gzip", [&good_gzip[..], b"x"].concat(), "foreign bytes after its end"),
            ("gzip", [&good_gzip[..], &[0; 512]].concat(), "foreign bytes after its end"),
            ("gzip", [&good_gzip[..], &good_zstd].concat(), "foreign bytes after its end"),
            ("zstd", [&good_zstd[..], b"xyzzyx"].concat(), "foreign bytes after its end"),
            ("zstd", [&good_zstd[..], &[0; 512]].concat(), "foreign bytes after its end"),
            ("zstd", [&good_zstd[..], &good_gzip].concat(), "foreign bytes after its end"),
            ("gzip", gzip(b" \n"), "the body is empty"),
            ("zstd", zstd_skippable(b"nothing else"), "the body is empty"),
            ("gzip", gzip(&but_last(&body, 1)), "the body is not JSON"),
            ("gzip", gzip(&good_gzip), "the body is not UTF-8"),
            ("zstd", zstd(&good_gzip), "the body is not UTF-8"),
        ],
    )
    .await;
}

#[tokio::test]
async fn decompression_bomb_is_413_and_names_the_limit() {
    let ratio = format!("{BODY_RATIO_MAX} times its");
    let plain_limit = format!("the unpacked body is above the limit of {BODY_BYTES_MAX} bytes");
    let blanks = vec![b' '; 4 * BODY_BYTES_MAX];
    let long = padded(BODY_BYTES_MAX + 1);
    let mut huge = zstd(b"[]");
    // One segment that declares 2^40 bytes, in eight bytes of size.
    huge[4] = 0xe0;
    huge.splice(5..6, (1_u64 << 40).to_le_bytes());
    check_refused(
        413,
        vec![
            ("gzip", gzip(&blanks), &ratio),
            ("zstd", zstd(&blanks), &ratio),
            ("zstd", zstd_stream(&blanks, 20), &ratio),
            ("zstd", huge, &ratio),
            ("gzip", gzip(&blanks[..100_000]), &ratio),
            ("zstd", zstd(&blanks[..100_000]), &ratio),
            ("gzip", gzip(&long), &plain_limit),
            ("zstd", zstd(&long), &plain_limit),
            ("zstd", zstd_stream(&long, 20), &plain_limit),
            ("gzip", [gzip(&long[..BODY_BYTES_MAX]), gzip(b" ")].concat(), &plain_limit),
            ("zstd", [zstd(&long[..BODY_BYTES_MAX]), zstd(b" ")].concat(), &plain_limit),
            ("zstd", zstd_stream(&long, 24), "the zstd window is above the limit of 2^23 bytes"),
            ("zstd", zstd_stream(b"[]", 31), "the zstd window is above the limit of 2^23 bytes"),
        ],
    )
    .await;
}

#[tokio::test]
async fn compressed_bytes_have_their_own_limit_and_bodies_at_either_limit_are_accepted() {
    let (_folder, running) = Running::fresh().await;
    let long = padded(BODY_BYTES_MAX);
    for (encoding, packed) in
        [("gzip", gzip(&long)), ("zstd", zstd(&long)), ("zstd", zstd_stream(&long, 23))]
    {
        assert!(packed.len() < BODY_COMPRESSED_BYTES_MAX, "{}", packed.len());
        assert_eq!(running.ask(post_as(encoding, packed)).await.accepted(0), 0, "{encoding}");
    }
    let fill = BODY_COMPRESSED_BYTES_MAX - zstd(b"[]").len() - 8;
    let full = [zstd(b"[]"), zstd_skippable(&vec![7; fill])].concat();
    assert_eq!(running.ask(post_as("zstd", full.clone())).await.accepted(0), 0);
    let mut named = post_as("zstd", Body::empty());
    named.headers_mut().insert(CONTENT_LENGTH, (BODY_COMPRESSED_BYTES_MAX + 1).into());
    for request in [post_as("zstd", [&full[..], b"x"].concat()), named] {
        let answer = running.ask(request).await;
        assert_eq!(answer.status, 413);
        let words = "the compressed body is above the limit of 1048576 bytes";
        assert!(answer.message().contains(words), "{}", answer.message());
    }
    running.stop().await;
}

#[tokio::test]
async fn unknown_and_nested_encodings_are_415_and_named() {
    let (_folder, running) = Running::fresh().await;
    let body = event("a").to_string();
    let twice = |first: &'static str, second: &'static str| {
        let mut request = post_as(first, body.clone());
        request.headers_mut().append(CONTENT_ENCODING, second.parse().expect("a header"));
        request
    };
    let mut requests = vec![
        (twice("gzip", "gzip"), "gzip, gzip"),
        (twice("identity", "zstd"), "identity, zstd"),
        (twice("zstd", "br"), "zstd, br"),
    ];
    for name in ["br", "deflate", "x-unheard-of", "gzip, zstd", "gzip,gzip", "identity, gzip", "*"]
    {
        requests.push((post_as(name, body.clone()), name));
    }
    for (request, name) in requests {
        let answer = running.ask(request).await;
        assert_eq!(answer.status, 415, "{name}");
        assert!(answer.message().contains(&format!("{name:?}")), "{}", answer.message());
        assert_eq!(answer.headers[ACCEPT_ENCODING], "gzip, zstd");
    }
    for name in ["identity", "Identity", "", " ", ",", ", identity,"] {
        assert_eq!(running.ask(post_as(name, body.clone())).await.accepted(1), 1);
    }
    assert_eq!(running.ask(post(body)).await.accepted(1), 1);
    running.stop().await;
}

#[tokio::test]
async fn bytes_are_counted_as_received_and_as_decompressed() {
    let (_folder, running) = Running::fresh().await;
    let body = batch((0..50).map(|n| format!("e{n}"))).into_bytes();
    let packed = gzip(&body);
    let (n_plain, n_packed) = (body.len(), packed.len());
    assert_eq!(running.ask(post_as("gzip", packed)).await.accepted(50), 50);
    assert_eq!(running.send(body).await.accepted(50), 50);
    let metric = async |name: &str| running.metric(name).await.expect("a value");
    let fits = |n: usize| i64::try_from(n).expect("fits");
    assert_eq!(metric("gatemeter_ingest_bytes_total").await, fits(n_plain + n_packed));
    assert_eq!(metric("gatemeter_ingest_plain_bytes_total").await, fits(2 * n_plain));
    running.stop().await;
}
