//! Unit tests of `lead`: what it does with the lease while it reads.

use std::path::Path;

use queue::{EmbeddedOptions, Queue};
use service::metrics::ProcessMetrics;
use service::status::Halted;
use store::Store;

use super::*;
use crate::publisher::Committers;
use crate::tests::running::{DEADLINE, parts};

/// A process that holds the lease of the ledger in a folder.
async fn leading(folder: &Path) -> Lead {
    let options = EmbeddedOptions { disk_reserve_bytes: 0, ..EmbeddedOptions::default() };
    let queue = Queue::open_embedded(folder, options).await.expect("a log");
    let parts = parts(queue, folder).await;
    let gauges = Gauges::new(&ProcessMetrics::new("aggregator", "0.1.0").expect("new"));
    let leadership = Some(Arc::new(Leadership::new(parts.process.id)));
    let publisher = Arc::new(Publisher::new(Committers::Any));
    let mut lead = Lead::new(parts, publisher, gauges.expect("new"), leadership);
    lead.begin().await.expect("it reads the ledger");
    assert_eq!(lease(&lead.parts.store).await.holder, Some(lead.parts.process.id));
    lead
}

async fn lease(store: &Store) -> LeaseRow {
    store.read().await.expect("a reader").lease().await.expect("a lease")
}

#[tokio::test]
async fn the_lease_is_renewed_while_totals_are_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let lead = leading(folder.path()).await;
    let held = lease(&lead.parts.store).await;
    // Reads on until it was renewed twice.
    let reading = async {
        while lease(&lead.parts.store).await.beat < held.beat + 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok::<_, StoreError>("all")
    };
    let read = tokio::time::timeout(DEADLINE, lead.while_held(reading)).await;
    assert_eq!(read.expect("it is renewed").expect("read"), Some("all"));
    assert_eq!(lease(&lead.parts.store).await.term, held.term, "nobody took it over");
}

#[tokio::test]
async fn who_loses_the_lease_while_it_reads_reads_no_further_and_stands_by() {
    let folder = tempfile::tempdir().expect("a folder");
    let lead = leading(folder.path()).await;
    let row = lease(&lead.parts.store).await;
    assert!(lead.parts.store.acquire_lease(row, [2; 16]).await.expect("written"));
    let endless = std::future::pending::<Result<(), StoreError>>();
    let read = tokio::time::timeout(DEADLINE, lead.while_held(endless)).await;
    assert_eq!(read.expect("it is given up").expect("no error"), None);
    assert!(lead.publisher.ready().is_ok(), "another process shows it");
    assert!(lead.publisher.live().is_none(), "this one shows nothing");
}

#[tokio::test]
async fn what_is_halted_elsewhere_is_told_here_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut lead = leading(folder.path()).await;
    let store = Arc::clone(&lead.parts.store);
    let epoch = store.claim(1, 0, [2; 16], 2).await.expect("a claim").owner.epoch;
    let owner = store::OwnerRow {
        generation: 1,
        process: [2; 16],
        epoch,
        halted: Some("was replaced".to_owned()),
        resumes_at: Some(4),
        ..store::OwnerRow::default()
    };
    let row = store::ProcessRow { id: [2; 16], ..lead.parts.process.clone() };
    store.put_process(row, vec![owner]).await.expect("written");
    lead.round().await.expect("it reads the ledger");
    let halted = |lead: &Lead| lead.gauges.lag(&lead.parts.queue)[0].halted.clone();
    let found = Halted { reason: "was replaced".to_owned(), resumes_at: Some(4) };
    assert_eq!(halted(&lead), Some(found));
    assert_eq!(lead.gauges.halted_partitions(), [0]);
    // Who owns it knows better than the ledger.
    lead.gauges.taken(0);
    assert_eq!((halted(&lead), lead.gauges.halted_partitions()), (None, vec![]));
}
