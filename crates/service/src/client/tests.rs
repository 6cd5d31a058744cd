//! Unit tests of `client`.

use super::*;

#[test]
fn metrics_is_added_to_a_bare_host_only() {
    for (given, asked) in [
        ("http://h:8002", "http://h:8002/metrics"),
        ("http://h:8002/", "http://h:8002/metrics"),
        ("http://h/metrics", "http://h/metrics"),
        ("http://h/x?y=1", "http://h/x?y=1"),
    ] {
        assert_eq!(page_url(given).as_deref(), Ok(asked));
    }
    assert!(page_url("h:8002").is_err());
    for bad in ["http://h:99999", "http://h:0/x", "http://h:/x", "http://[::1]:65536", "http://"] {
        assert!(check_url(bad).is_err(), "{bad}");
    }
    for good in ["http://[::1]", "http://[::1]:1", "http://a:b@h:65535", "http://a:b@h"] {
        assert_eq!(check_url(good).as_deref(), Ok(good));
    }
    assert_eq!(probe_url("http://h:8002").as_deref(), Ok("http://h:8002/readyz"));
    assert_eq!(probe_url("http://h:8002/healthz").as_deref(), Ok("http://h:8002/healthz"));
}
