//! Runs that keep recorded times, runs that are cut short, and where a resumed run goes.

use std::path::PathBuf;
use std::process::ExitCode;

use clock::Wall;
use serde_json::{Value, json};

use super::fake::{Act, Fake};
use super::{MIXED, args, assert_agree, play, run};
use crate::item::{MINUTE_US, SECOND_US};

/// A recording with one event at each of these ages, and the folder that holds it.
fn recording(ages_us: &[i64]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.ndjson");
    let now_us = Wall::now().as_us();
    let line = |(number, age_us): (usize, &i64)| {
        json!({"id": format!("e{number}"), "time": now_us - age_us, "namespace": "a",
            "upstream": "u", "endpoint": "/e", "status": 200, "duration_ms": 1,
            "usage": {"input_tokens": 10, "output_tokens": 1}})
        .to_string()
    };
    let lines: Vec<String> = ages_us.iter().enumerate().map(line).collect();
    std::fs::write(&file, lines.join("\n")).unwrap();
    (folder, file)
}

async fn play_recording(ages_us: &[i64]) -> (ExitCode, Value, Fake) {
    let (_folder, file) = recording(ages_us);
    let fake = Fake::start(|_| Act::Answer).await;
    let (code, report) = run(&format!("ndjson:{}", file.display()), &fake).await;
    (code, report, fake)
}

#[tokio::test]
async fn recorded_events_clear_of_the_limits_have_exact_totals() {
    let minutes = [300, 63, 58, 30, 0, -3, -9, -600];
    let ages_us: Vec<i64> = minutes.map(|minutes| minutes * MINUTE_US).to_vec();
    let (code, report, fake) = play_recording(&ages_us).await;
    assert_agree(&report, &fake.tally());
    assert_eq!(code, ExitCode::SUCCESS, "{report}");
    assert_eq!((&report["exact"], &report["undecided"]["events"]), (&json!(true), &json!(0)));
    assert_eq!(report["events"]["counted"], 4);
}

#[tokio::test]
async fn a_recording_that_straddles_an_hour_ago_is_sent_and_its_totals_are_a_range() {
    let ages_us: Vec<i64> = (50..70).map(|minutes| minutes * MINUTE_US).collect();
    let (code, report, fake) = play_recording(&ages_us).await;
    assert_eq!(report["stopped"], Value::Null, "{report}");
    assert_eq!((code, &report["exact"]), (ExitCode::FAILURE, &json!(false)));
    let (least, tally) = (report["requests"].as_u64().unwrap(), fake.tally());
    let most = least + report["undecided"]["requests"].as_u64().unwrap();
    assert!((least..=most).contains(&tally.requests), "{} in {report}", tally.requests);
    let least = report["tokens"]["input"].as_u64().unwrap();
    let most = least + report["undecided"]["tokens"]["input"].as_u64().unwrap();
    assert!((least..=most).contains(&tally.input) && most > least, "{report}");
    assert_eq!(report["surprises"], 0, "{report}");
}

#[tokio::test]
async fn events_five_to_eight_minutes_ahead_are_never_called_counted() {
    for ahead_us in [5 * MINUTE_US + SECOND_US, 6 * MINUTE_US, 8 * MINUTE_US - SECOND_US] {
        let (code, report, fake) = play_recording(&[0, -ahead_us]).await;
        assert_eq!(fake.tally().events.future, 1);
        assert_eq!((code, &report["exact"]), (ExitCode::FAILURE, &json!(false)), "{report}");
        assert_eq!((&report["requests"], &report["undecided"]["events"]), (&json!(1), &json!(1)));
    }
}

#[tokio::test]
async fn what_ingest_calls_late_or_future_against_expectation_is_a_surprise() {
    // The receiver's clock is an hour ahead of the sender's.
    let fake = Fake::start(|_| Act::Skewed).await;
    let (code, report) = run("synthetic --count 5 --times fit:30m", &fake).await;
    assert_eq!((code, &report["exact"]), (ExitCode::FAILURE, &json!(false)));
    assert_eq!((&report["surprises"], &report["events"]["late"]), (&json!(5), &json!(5)));
    assert!(report["requests"].as_u64().unwrap() > 0, "they are counted later");
    let example = report["surprise_examples"][0].as_str().unwrap();
    assert!(example.ends_with("late by ingest's clock, not counted"), "{example}");
}

#[tokio::test]
async fn an_interrupt_while_nobody_listens_leaves_nothing_unknown() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    let words = format!("synthetic --count 1000 --connections 3 --to http://{closed}");
    let mut out = Vec::new();
    let interrupt = tokio::time::sleep(std::time::Duration::from_millis(600));
    let code = play(args(&words), interrupt, &mut out).await.unwrap();
    let report: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!((code, &report["stopped"]), (ExitCode::FAILURE, &json!("interrupted")));
    assert_eq!(report["unknown_batches"], 0, "{report}");
    assert_eq!(report["events_per_second"], 0.0);
}

#[tokio::test]
async fn a_resumed_run_goes_where_it_went_before() {
    let folder = tempfile::tempdir().unwrap();
    let tape = folder.path().join("tape");
    let fake = Fake::start(|n| if n == 1 { Act::Answer } else { Act::Refuse(401) }).await;
    let words =
        format!("synthetic --count 20 --batch 10 --connections 1 --tape {}", tape.display());
    run(&words, &fake).await;
    fake.heal();
    let mut out = Vec::new();
    let words = args(&format!("--resume {}", tape.display()));
    let code = play(words, std::future::pending(), &mut out).await.unwrap();
    let report: Value = serde_json::from_slice(&out).unwrap();
    assert_agree(&report, &fake.tally());
    assert_eq!((code, &report["events"]["counted"]), (ExitCode::SUCCESS, &json!(20)));
}

#[tokio::test]
async fn an_interrupted_run_accounts_for_what_is_in_flight() {
    let fake = Fake::start(|n| if n < 3 { Act::Answer } else { Act::Busy }).await;
    let words = format!("{MIXED} --connections 1 --to http://{}", fake.address);
    let mut out = Vec::new();
    let interrupt = fake.wait_for(4);
    let code = play(args(&words), interrupt, &mut out).await.unwrap();
    let report: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(code, ExitCode::FAILURE);
    assert_eq!(report["stopped"], "interrupted");
    assert_eq!(report["batches"], 2);
    assert_eq!(report["unknown_batches"], 1);
}
