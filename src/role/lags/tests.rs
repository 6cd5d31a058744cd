//! Unit tests of `lags`.

use clock::Wall;
use store::{OwnerRow, ProcessRow};

use super::*;

#[tokio::test]
async fn halts_are_known_whoever_owns_the_partition_and_end_with_the_next_claim() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path()).await.expect("a ledger");
    store.generation(1, 2).await.expect("a generation");
    let claim = async |partition, id| {
        store.claim(1, partition, [id; 16], 2).await.expect("a claim").owner.epoch
    };
    let tell = async |partition, id, epoch, halted: Option<&str>| {
        let row = ProcessRow { id: [id; 16], seen_us: Wall::now().as_us(), ..Default::default() };
        let owner = OwnerRow {
            generation: 1,
            partition,
            process: [id; 16],
            epoch,
            halted: halted.map(str::to_owned),
            resumes_at: halted.map(|_| 7),
            seen_us: row.seen_us,
        };
        store.put_process(row, vec![owner]).await.expect("written");
    };
    let lags = Lags::default();
    let reasons = async || {
        lags.poll_ledger(&store, 1).await;
        let lag = lags.lag().into_iter();
        lag.map(|lag| lag.halted.map(|halted| halted.reason)).collect::<Vec<_>>()
    };
    let epoch = claim(0, 1).await;
    tell(0, 1, epoch, None).await;
    let epoch = claim(1, 2).await;
    tell(1, 2, epoch, Some("frame at offset 7 has version 9")).await;
    let halted = Some("frame at offset 7 has version 9".to_owned());
    assert_eq!(reasons().await, [None, halted]);
    claim(1, 3).await;
    assert_eq!(reasons().await, [None, None], "its next owner has said nothing yet");
    store.close().await;
}
