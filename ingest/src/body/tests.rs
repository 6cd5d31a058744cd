//! Unit tests of `body`.

use super::*;

#[tokio::test]
async fn bytes_without_a_place_are_refused_and_places_come_back() {
    let bodies = Bodies::default();
    let n_whole = BODIES_BYTES_MAX / event::limits::BODY_BYTES_MAX;
    let body = || Body::from(vec![b' '; event::limits::BODY_BYTES_MAX]);
    let mut held = Vec::new();
    for _ in 0..n_whole {
        held.push(bodies.read(&HeaderMap::new(), body()).await.expect("there is room"));
    }
    let refused = bodies.read(&HeaderMap::new(), Body::from("{}")).await.expect_err("full");
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    let plain = bodies.unpack(held.pop().expect("some")).await.expect("it is plain");
    bodies.read(&HeaderMap::new(), Body::from("{}")).await.expect_err("it has its place still");
    drop(plain);
    bodies.read(&HeaderMap::new(), Body::from("{}")).await.expect("there is room again");
}
