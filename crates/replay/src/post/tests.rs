//! Unit tests of `post`.

use super::*;

#[test]
fn the_path_of_events_is_added_to_a_bare_host() {
    for url in ["http://127.0.0.1:8003", "http://127.0.0.1:8003/"] {
        assert_eq!(events_uri(url).unwrap(), "http://127.0.0.1:8003/v1/events");
    }
    assert_eq!(events_uri("http://h/x").unwrap(), "http://h/x");
    for url in ["https://h", "h:8003", "/v1", "", "http://h:80030", "http://h:/v1/events"] {
        assert!(events_uri(url).is_err(), "{url}");
    }
}

#[test]
fn only_a_status_that_may_change_is_tried_again() {
    let again = |status: u16| {
        let status = StatusCode::from_u16(status).unwrap();
        matches!(judge(status, &HeaderMap::new(), b"{}", 1), Try::Failed { .. })
    };
    for status in [408, 429, 500, 502, 503, 504] {
        assert!(again(status), "{status}");
    }
    for status in [200, 301, 400, 401, 403, 404, 413, 415, 422] {
        assert!(!again(status), "{status}");
    }
}

#[test]
fn patience_asked_for_is_given_up_to_a_bound() {
    let mut headers = HeaderMap::new();
    assert_eq!(retry_after(&headers), None);
    headers.insert(RETRY_AFTER, HeaderValue::from_static("3"));
    assert_eq!(retry_after(&headers), Some(Duration::from_secs(3)));
    headers.insert(RETRY_AFTER, HeaderValue::from_static("86400"));
    assert_eq!(retry_after(&headers), Some(RETRY_AFTER_MAX));
}
