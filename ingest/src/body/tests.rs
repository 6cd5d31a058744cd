//! Unit tests of `body`.

use super::*;

#[tokio::test]
async fn bodies_above_the_shared_budget_are_refused_until_others_are_dropped() {
    let bodies = Bodies::default();
    let n_whole = BODIES_BYTES_MAX / event::limits::BODY_BYTES_MAX;
    let body = || Body::from(vec![b' '; event::limits::BODY_BYTES_MAX]);
    let mut held = Vec::new();
    for _ in 0..n_whole {
        held.push(bodies.read(&HeaderMap::new(), body()).await.expect("within the budget"));
    }
    let refused = bodies.read(&HeaderMap::new(), Body::from("{}")).await.expect_err("used up");
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    let plain = bodies.unpack(held.pop().expect("some")).await.expect("it is plain");
    bodies.read(&HeaderMap::new(), Body::from("{}")).await.expect_err("still reserved");
    drop(plain);
    bodies.read(&HeaderMap::new(), Body::from("{}")).await.expect("released");
}

#[tokio::test]
async fn the_buffer_of_a_body_serves_the_next_one_once_nobody_reads_it() {
    let bodies = Bodies::default();
    let take = async |text: Vec<u8>| {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, text.len().into());
        let packed = bodies.read(&headers, Body::from(text)).await.expect("a body");
        bodies.unpack(packed).await.expect("a plain body")
    };
    let first = take(vec![b'a'; 30_000]).await;
    let place = first.bytes.as_ptr();
    drop(first);
    let second = take(vec![b'b'; 20_000]).await;
    assert_eq!(second.bytes.as_ptr(), place);
    assert_eq!(second.bytes, vec![b'b'; 20_000]);
    let read_on = second.bytes.clone();
    drop(second);
    let third = take(vec![b'c'; 20_000]).await;
    assert_eq!(read_on, vec![b'b'; 20_000]);
    assert_ne!(third.bytes.as_ptr(), place);
    let larger = take(vec![b'd'; 2 << 20]).await;
    drop((third, larger, take(vec![b'e'; 100]).await));
    assert_eq!(bodies.spares.lock().len(), 1, "neither a large one nor a small one is kept");
}
