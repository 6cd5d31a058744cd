//! Unit tests of `admin`.

use super::*;

fn owner(address: Option<&str>, is_here: bool, is_alive: bool) -> Option<OwnerView> {
    Some(OwnerView { address: address.map(str::to_owned), is_here, is_alive })
}

#[test]
fn a_loss_is_accepted_where_the_partition_is_counted() {
    let target = Target { at: "http://127.0.0.1:8002/".to_owned(), key_file: None };
    let asked = |owner| target.owner(3, owner).map_err(|error| error.to_string());
    let here = Ok("http://127.0.0.1:8002".to_owned());
    assert_eq!(asked(owner(Some("host-1:8002"), true, true)), here);
    assert_eq!(asked(None), here, "an older one names no owner, and decides by itself");
    let there = Ok("http://host-2:8002".to_owned());
    assert_eq!(asked(owner(Some("host-2:8002"), false, true)), there);
    assert_eq!(asked(owner(Some("host-2:8002"), false, false)), there, "it may only be slow");
    let error = asked(owner(None, false, false)).expect_err("nobody is left to ask");
    assert!(error.contains("partition 3 is counted by no aggregator"), "{error}");
}

#[test]
fn a_partition_is_shown_with_its_owner_or_without_one() {
    let state = |halted: Option<&str>, owner| {
        let halted = halted.map(str::to_owned);
        let resumes_at = None;
        let view =
            PartitionView { partition: 3, lag_frames: 2, next: 7, halted, resumes_at, owner };
        let [partition, owner, next, lag, state] = cells(&view);
        assert_eq!([partition, next, lag], ["3", "7", "2"]);
        [owner, state]
    };
    let alive = owner(Some("host-2:8002"), false, true);
    assert_eq!(state(None, alive.clone()), ["host-2:8002", "counted"]);
    assert_eq!(state(Some("was replaced"), alive), ["host-2:8002", "halted: was replaced"]);
    let silent = owner(Some("host-2:8002"), false, false);
    assert_eq!(state(None, silent), ["host-2:8002", "no owner: this one is silent"]);
    assert_eq!(state(None, owner(None, false, false)), ["-", "no owner"], "it has ended");
    assert_eq!(state(None, None), ["-", "no owner"]);
}
