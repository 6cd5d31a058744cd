//! Unit tests of `follow`: two processes on one ledger.

use service::shutdown::channel;

use super::*;

const DEADLINE: Duration = Duration::from_secs(30);

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let look = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let found = tokio::time::timeout(DEADLINE, look).await;
    found.unwrap_or_else(|_| panic!("not within {DEADLINE:?}: {what}"));
}

async fn ledger(folder: &tempfile::TempDir) -> Arc<Store> {
    Arc::new(Store::open(folder.path()).await.expect("a ledger"))
}

/// Ids of the processes that are listed.
async fn listed(store: &Store) -> Vec<u8> {
    let mut reader = store.read().await.expect("a reader");
    let processes = reader.processes(Wall::now()).await.expect("processes");
    processes.iter().map(|process| process.id[0]).collect()
}

#[tokio::test]
async fn full_dedup_sets_of_any_aggregator_reach_every_ingest() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = ledger(&folder).await;
    let (trigger, shutdown) = channel();
    let [full, free, seen] = [true, false, false].map(|is| Arc::new(AtomicBool::new(is)));
    let tasks = [
        tokio::spawn(publish_pressure(Arc::clone(&store), full, shutdown.clone())),
        tokio::spawn(publish_pressure(Arc::clone(&store), free, shutdown.clone())),
        tokio::spawn(pressure(Arc::clone(&store), Arc::clone(&seen), shutdown)),
    ];
    until("ingest knows", async || seen.load(Ordering::Relaxed)).await;
    trigger.drain();
    for task in tasks {
        task.await.expect("it ends");
    }
    store.close().await;
}

#[tokio::test]
async fn a_process_that_stops_is_off_the_list_and_its_neighbour_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = ledger(&folder).await;
    let start = |id: u8| {
        let (trigger, shutdown) = channel();
        let row = ProcessRow { id: [id; 16], role: "ingest".to_owned(), ..ProcessRow::default() };
        (Listing::start(&store, row, shutdown), trigger)
    };
    let ((first, end_first), (second, end_second)) = (start(1), start(2));
    until("both are listed", async || listed(&store).await == [1, 2]).await;
    end_first.drain();
    first.ended().await;
    assert_eq!(listed(&store).await, [2], "no wait is needed");
    end_second.drain();
    second.ended().await;
    assert_eq!(listed(&store).await, [0; 0]);
    store.close().await;
}
