//! Unit tests of `gateways`.

use super::*;

#[test]
fn gateway_above_the_limit_is_refused_until_a_slot_expires() {
    let gateways = Gateways::default();
    let start = Instant::now();
    for n in 0..GATEWAYS_PER_NAMESPACE_MAX {
        assert!(gateways.admit("a", &format!("gw-{n}"), start));
    }
    assert!(!gateways.admit("a", "one more", start));
    assert!(gateways.admit("b", "one more", start), "each namespace has its own limit");
    let later = start + SLOT_TTL / 2;
    assert!(gateways.admit("a", "gw-7", later), "a report renews its slot");
    let much_later = start + SLOT_TTL;
    assert!(gateways.admit("a", "one more", much_later));
    assert!(gateways.admit("a", "gw-7", much_later));
}
