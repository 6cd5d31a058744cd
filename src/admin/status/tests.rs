//! Unit tests of `status`.

use std::collections::BTreeMap;

use clock::Wall;
use serde_json::{Value, json};
use store::{OwnerRow, PartitionRow, ProcessRow};

use super::Found;
use super::view::Status;

const NOW_US: i64 = 1_700_000_000_000_000;
const SECOND_US: i64 = 1_000_000;

fn process(id: u8, role: &str, seconds_ago: i64) -> ProcessRow {
    ProcessRow {
        id: [id; 16],
        role: role.to_owned(),
        address: format!("host-{id}:8002"),
        program: "0.1.0".to_owned(),
        started_us: NOW_US - 3_600 * SECOND_US,
        seen_us: NOW_US - seconds_ago * SECOND_US,
    }
}

fn owner(partition: u32, process: u8, halted: Option<&str>) -> OwnerRow {
    OwnerRow {
        generation: 1,
        partition,
        process: [process; 16],
        epoch: 1,
        halted: halted.map(str::to_owned),
        resumes_at: halted.map(|_| 7),
        seen_us: NOW_US,
    }
}

fn row(partition: u32, next: u64) -> PartitionRow {
    let progress = ledger::commit::Progress { next, ..Default::default() };
    PartitionRow { generation: 1, partition, epoch: 1, progress, tpot_from: 0 }
}

/// Two aggregators that count two partitions; the first one is the publisher.
fn well() -> Found {
    Found {
        now: Wall::from_us(NOW_US),
        is_shared: true,
        format: 11,
        version: 42,
        committed_us: NOW_US - SECOND_US,
        is_restored: false,
        frame_version: 2,
        generation: 1,
        n_partitions: 2,
        partitions: vec![row(0, 5), row(1, 9)],
        owners: vec![owner(0, 1, None), owner(1, 2, None)],
        processes: vec![process(1, "aggregator", 2), process(2, "aggregator", 3)],
        term: 4,
        holder: Some([1; 16]),
        ends: Ok(BTreeMap::from([(0, 8), (1, 9)])),
    }
}

fn json(found: &Found) -> Value {
    serde_json::to_value(Status::of(found)).expect("it is JSON")
}

#[test]
fn all_is_well_where_every_partition_has_an_owner_and_one_shows_it() {
    let found = well();
    assert!(Status::of(&found).is_well());
    let status = json(&found);
    assert_eq!(status["faults"], json!([]));
    assert_eq!(status["publisher"], json!({"address": "host-1:8002", "term": 4}));
    let first = json!({
        "partition": 0, "state": "counted", "owner": "host-1:8002", "next": 5, "log_end": 8,
        "lag_frames": 3, "halted": null, "resumes_at": null,
    });
    assert_eq!(status["partitions"][0], first);
    assert_eq!(status["processes"][1]["seen_ms_ago"], 3_000);
    let text = Status::of(&found).text();
    let line = "        1  host-2:8002            9             0  counted\n";
    assert!(text.contains(line), "{text}");
}

#[test]
fn what_is_not_known_is_not_guessed() {
    let found = Found { ends: Err("no broker answers".to_owned()), ..well() };
    let status = json(&found);
    assert_eq!(status["ok"], true, "partitions are counted all the same");
    assert_eq!(status["log"]["fault"], "no broker answers");
    assert_eq!(status["partitions"][0]["lag_frames"], Value::Null);
    let text = Status::of(&found).text();
    assert!(text.contains("lag unknown: no broker answers"), "{text}");
    assert!(text.contains("      unknown  counted"), "{text}");
}

#[test]
fn halts_silent_owners_and_a_missing_publisher_are_faults() {
    let reason = "the log ends at offset 3";
    let found = Found {
        n_partitions: 4,
        partitions: vec![row(0, 5), row(1, 9), row(2, 1)],
        owners: vec![owner(0, 1, Some(reason)), owner(1, 2, None), owner(2, 9, None)],
        processes: vec![
            process(1, "aggregator", 2),
            process(2, "aggregator", 150),
            process(3, "ingest", 4_000),
        ],
        holder: Some([2; 16]),
        ..well()
    };
    let status = json(&found);
    assert_eq!(status["ok"], false);
    let faults = json!([
        "partition 0 is halted: the log ends at offset 3",
        "partition 1 has no owner: host-2:8002, which had it last, is silent",
        "partition 2 has no owner",
        "partition 3 has no owner",
        "no process is the publisher",
    ]);
    assert_eq!(status["faults"], faults);
    let states: Vec<&Value> =
        (0..4).map(|partition| &status["partitions"][partition]["state"]).collect();
    assert_eq!(states, ["halted", "unowned", "unowned", "unowned"]);
    assert_eq!(status["partitions"][0]["resumes_at"], 7);
    assert_eq!(status["publisher"], Value::Null);
    let text = Status::of(&found).text();
    for words in [
        "alive, seen 2 s ago",
        "silent, last seen 2 min ago",
        "silent, last seen 1 h ago",
        "publisher  none",
        "halted: the log",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn in_a_directory_the_one_process_is_the_publisher() {
    let all = process(1, "all", 5);
    let found = Found { is_shared: false, holder: None, processes: vec![all], ..well() };
    assert_eq!(json(&found)["publisher"], json!({"address": "host-1:8002", "term": null}));
    let stopped = Found { processes: vec![], ..found };
    assert_eq!(json(&stopped)["publisher"], Value::Null);
}
