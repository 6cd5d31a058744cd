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
