//! Unit tests of `auth`.

use axum::Router;
use axum::body::Body;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use tower::ServiceExt as _;

use super::*;

const KEY: &str = "kbA5EoXrMQ3v1p0Yq2xH8cJm7dTnWfLs4uZgRiVoEyA";

/// The message of the refusal, or none.
fn check(values: &[&str]) -> Option<String> {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(header::AUTHORIZATION, value.parse().expect("a header value"));
    }
    let access = Access::Key(Verifier::new(hash_key(KEY)));
    let error = authorize(&access, &headers).err()?;
    assert_eq!(error.status(), StatusCode::UNAUTHORIZED);
    Some(error.message().to_owned())
}

#[test]
fn right_key_passes_in_any_case_of_the_scheme() {
    assert_eq!(check(&[&format!("Bearer {KEY}")]), None);
    assert_eq!(check(&[&format!("bearer  {KEY} ")]), None);
}

#[test]
fn refusal_tells_what_is_wrong_and_never_shows_the_key() {
    let long = format!("Bearer {}", "x".repeat(100_000));
    let right = format!("Bearer {KEY}");
    for (values, expected) in [
        (vec![], "no key given"),
        (vec!["Basic YTpi"], "scheme must be Bearer"),
        (vec![KEY], "not of the form"),
        (vec!["Bearer"], "not of the form"),
        (vec!["Bearer "], "not the right one"),
        (vec!["Bearer wrong"], "not the right one"),
        (vec![&KEY[1..]], "not of the form"),
        (vec![long.as_str()], "not the right one"),
        (vec![right.as_str(), right.as_str()], "more than one"),
    ] {
        let message = check(&values).expect("must be refused");
        assert!(message.contains(expected), "{message:?} for {values:?}");
        assert!(!message.contains(KEY));
    }
    assert_eq!(format!("{:?}", Verifier::new(hash_key(KEY))), "Verifier(..)");
}

#[tokio::test]
async fn guarded_route_wants_the_key_and_dev_mode_does_not() {
    let ask = async |access: Access, key: Option<&str>| {
        let router: Router = Router::new()
            .route("/", get(|| async { "inside" }))
            .route_layer(from_fn_with_state(access, require_key));
        let mut request = Request::get("/");
        if let Some(key) = key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
        }
        router.oneshot(request.body(Body::empty()).expect("a request")).await.expect("ok")
    };
    let access = Access::Key(Verifier::new(hash_key(KEY)));
    assert_eq!(ask(access.clone(), Some(KEY)).await.status(), StatusCode::OK);
    assert_eq!(ask(Access::Dev, None).await.status(), StatusCode::OK);
    let refusal = ask(access, None).await;
    assert_eq!(refusal.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(refusal.headers()[header::WWW_AUTHENTICATE], "Bearer");
    assert_eq!(refusal.headers()[header::CONTENT_TYPE], "application/json");
}

#[test]
fn in_dev_mode_pages_of_others_change_nothing() {
    let check = |access: &Access, method: Method, origin: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, origin.parse().expect("a header value"));
        check_origin(access, &method, &headers).is_ok()
    };
    let dev = &Access::Dev;
    for origin in ["http://localhost:8001", "http://127.0.0.1:3000", "http://[::1]:8001"] {
        assert!(check(dev, Method::POST, origin), "{origin}");
    }
    for origin in ["https://evil.example", "http://localhost.evil.example", "null", "http://["] {
        assert!(!check(dev, Method::POST, origin), "{origin}");
        assert!(!check(dev, Method::PUT, origin), "{origin}");
        assert!(check(dev, Method::GET, origin), "{origin}");
        let keyed = &Access::Key(Verifier::new(hash_key(KEY)));
        assert!(check(keyed, Method::POST, origin), "{origin}");
    }
    assert!(check_origin(dev, &Method::POST, &HeaderMap::new()).is_ok());
}

#[test]
fn dev_mode_listens_on_loopback_only_unless_told_otherwise() {
    let check = |address: &str, dev| {
        check_listen("ingest", address.parse().expect("an address"), dev).is_ok()
    };
    for address in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        assert!(check(address, DevMode::Loopback), "{address}");
    }
    for address in ["0.0.0.0:1", "[::]:1", "192.168.1.1:1", "[::ffff:10.0.0.1]:1"] {
        assert!(!check(address, DevMode::Loopback), "{address}");
        assert!(check(address, DevMode::AnyAddress), "{address}");
        assert!(check(address, DevMode::Off), "{address}");
    }
}
