//! Unit tests of `shutdown`.

use std::time::Duration;

use super::*;

const DEADLINE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn every_clone_learns_of_the_drain_even_if_it_asks_later() {
    let (trigger, shutdown) = channel();
    assert_eq!(shutdown.phase(), Phase::Running);
    let waiting = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { shutdown.requested().await }
    });
    trigger.drain();
    tokio::time::timeout(DEADLINE, waiting).await.expect("in time").expect("no panic");
    tokio::time::timeout(DEADLINE, shutdown.requested()).await.expect("at once");
    assert_eq!(shutdown.phase(), Phase::Draining);
}

#[tokio::test]
async fn a_sleep_lasts_its_time_or_ends_with_the_drain() {
    let (trigger, shutdown) = channel();
    assert_eq!(shutdown.sleep(Duration::from_millis(1)).await, Phase::Running);
    trigger.drain();
    let slept = tokio::time::timeout(DEADLINE, shutdown.sleep(DEADLINE * 100)).await;
    assert_eq!(slept, Ok(Phase::Draining));
}

#[tokio::test]
async fn phase_never_falls_back() {
    let (trigger, shutdown) = channel();
    trigger.stop_now();
    trigger.drain();
    assert_eq!(shutdown.phase(), Phase::Immediate);
    tokio::time::timeout(DEADLINE, shutdown.immediate()).await.expect("at once");
}

#[tokio::test]
async fn lost_trigger_counts_as_a_drain() {
    let (trigger, shutdown) = channel();
    drop(trigger);
    tokio::time::timeout(DEADLINE, shutdown.requested()).await.expect("at once");
    assert_eq!(shutdown.phase(), Phase::Draining);
}

#[tokio::test]
async fn first_signal_drains_and_the_second_stops_at_once() {
    let (trigger, shutdown) = channel();
    let task = on_signals(trigger).expect("signals can be listened to");
    let send = |name: &str| {
        let command = format!("kill -{name} {}", std::process::id());
        let status = std::process::Command::new("sh").arg("-c").arg(command).status();
        assert!(status.expect("a shell").success());
    };
    send("TERM");
    tokio::time::timeout(DEADLINE, shutdown.requested()).await.expect("in time");
    assert_eq!(shutdown.phase(), Phase::Draining);
    send("INT");
    tokio::time::timeout(DEADLINE, shutdown.immediate()).await.expect("in time");
    tokio::time::timeout(DEADLINE, task).await.expect("in time").expect("no panic");
}
