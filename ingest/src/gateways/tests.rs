//! Unit tests of `gateways`.

use super::*;

#[test]
fn beyond_the_bound_a_new_gateway_is_refused_until_another_falls_silent() {
    let gateways = Gateways::default();
    let start = Instant::now();
    for n in 0..GATEWAYS_PER_NAMESPACE_MAX {
        assert!(gateways.admit("a", &format!("gw-{n}"), start));
    }
    assert!(!gateways.admit("a", "one more", start));
    assert!(gateways.admit("b", "one more", start), "each namespace has a bound of its own");
    let later = start + KEPT_FOR / 2;
    assert!(gateways.admit("a", "gw-7", later), "who has a place keeps it");
    let much_later = start + KEPT_FOR;
    assert!(gateways.admit("a", "one more", much_later));
    assert!(gateways.admit("a", "gw-7", much_later));
}
