//! Unit tests of `single_flight`.

use super::*;

#[tokio::test]
async fn one_leads_and_the_followers_do_not_queue() {
    let flights = SingleFlight::default();
    let leader = flights.join("a").await;
    assert!(matches!(leader, Flight::Leader(_)));
    assert!(matches!(flights.join("b").await, Flight::Leader(_)), "another key does not wait");
    let followers: Vec<_> = (0..8)
        .map(|_| {
            let flights = flights.clone();
            tokio::spawn(async move { flights.join("a").await })
        })
        .collect();
    tokio::task::yield_now().await;
    assert!(followers.iter().all(|follower| !follower.is_finished()));
    drop(leader);
    for follower in followers {
        assert!(matches!(follower.await.expect("no panic"), Flight::Follower));
    }
    assert!(matches!(flights.join("a").await, Flight::Leader(_)));
    // Keys without a flight are removed when the next one is added.
    drop(flights.join("c").await);
    assert_eq!(flights.0.lock().unwrap().len(), 1);
}
