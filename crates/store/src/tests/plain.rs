//! Plain rows are the ledger's rows, on either database.

use std::sync::Arc;

use ledger::commit::Outcome;

use super::fixture::{Bed, commit, labels, sums};
use crate::plain::{MinuteLabels, PlainStore, TpotStart};

async fn every_row_of_a_commit_is_there_with_its_numbers(bed: Bed) {
    bed.store.generation(1, 4).await.expect("a generation");
    let claim = bed.store.claim(1, 0, [1; 16], 2).await.expect("a claim");
    let commit = Arc::new(commit(claim.owner, &claim.progress, 3, &["a", "b"]));
    let ended = bed.store.commit(Arc::clone(&commit)).await.0;
    assert_eq!(ended, Outcome::Committed { version: 1 });
    bed.store.create_namespace("b", "b").await.expect("a namespace");

    let store = PlainStore::from(bed.open_read_only().await);
    let generation = store.generation(1, 4).await.expect("a generation");
    assert_eq!((generation.generation, generation.window.past_us), (1, 3_600_000_000));
    let mut reader = store.read().await.expect("a reader");
    assert_eq!((reader.version(), reader.committed_us() > 0), (1, true));
    assert_eq!(reader.namespaces().await.expect("namespaces"), ["b"]);
    let partitions = reader.partitions().await.expect("partitions");
    let [partition] = &partitions[..] else { panic!("{partitions:?}") };
    assert_eq!((partition.generation, partition.partition), (1, 0));
    assert_eq!((partition.progress.next, partition.progress.account.counted), (1, 6));
    let starts = reader.tpot_starts().await.expect("starts");
    assert_eq!(starts, [TpotStart { generation: 1, partition: 0, offset: 0 }]);

    let totals = reader.totals().await.expect("totals");
    let row = |name: &str| (labels(name).id().0, (&labels(name)).into(), sums(3).to_array());
    assert_eq!(totals, [row("a"), row("b")]);
    let mut quarters = reader.quarters(4..5).await.expect("quarters");
    quarters.sort_by(|one, other| one.1.namespace.cmp(&other.1.namespace));
    let quarter = |name: &str| (4, (&labels(name)).into(), sums(3).to_array());
    assert_eq!(quarters, [quarter("a"), quarter("b")]);
    let mut minutes = reader.minutes(61..62).await.expect("minutes");
    minutes.sort_by(|one, other| one.1.namespace.cmp(&other.1.namespace));
    let mut without_buckets = sums(3);
    without_buckets.ttft = Default::default();
    (without_buckets.tpot_us, without_buckets.tpot) = (0, Default::default());
    let minute =
        |name: &str| (61, MinuteLabels::from(&labels(name).short()), without_buckets.to_array());
    assert_eq!(minutes, [minute("a"), minute("b")]);
    let used = [3, 3, 0, 0, 6, 0, 9];
    let consumers = reader.consumers(4..5).await.expect("consumers");
    assert_eq!(consumers.len(), 2);
    assert!(consumers.iter().all(|row| (row.1.consumer.as_str(), row.2) == ("ann", used)));
    let groups = reader.consumer_groups(4..5).await.expect("groups");
    let group = |name: &str| (vec![name.to_owned(), "ann".to_owned()], used);
    assert_eq!(groups, [group("a"), group("b")]);
    let ends = [
        reader.oldest_quarter().await.expect("the oldest"),
        reader.oldest_minute().await.expect("the oldest"),
        reader.oldest_consumers().await.expect("the oldest"),
        Some(reader.consumers_start_us().await.expect("a start")),
    ];
    assert_eq!(ends, [Some(4), Some(61), Some(4), Some(0)]);

    let ranges = reader.ranges().await.expect("ranges");
    let [line] = &ranges[..] else { panic!("{ranges:?}") };
    assert_eq!((line.partition, line.base, line.next, line.counted), (0, 0, 1, 6));
    let baselines = reader.baselines().await.expect("baselines");
    let [baseline] = &baselines[..] else { panic!("{baselines:?}") };
    assert_eq!((baseline.version, baseline.partitions[0].progress.next), (0, 0));
    assert_eq!((baseline.partitions.len(), baseline.totals.len()), (1, 0));
    assert_eq!(reader.accepted_losses().await.expect("losses"), []);
    drop(reader);
    store.close().await;
}

#[tokio::test]
async fn every_row_of_a_commit_is_there_with_its_numbers_on_sqlite() {
    every_row_of_a_commit_is_there_with_its_numbers(Bed::file().await).await;
}

#[tokio::test]
async fn every_row_of_a_commit_is_there_with_its_numbers_on_a_server() {
    every_row_of_a_commit_is_there_with_its_numbers(Bed::server().await).await;
}
