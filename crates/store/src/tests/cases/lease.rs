//! The publisher lease, who runs, and what others committed.

use clock::Wall;
use ledger::lease::LeaseRow;
use ledger::series::FullLabels;

use super::*;
use crate::plain::PlainReader;
use crate::schema::MIGRATIONS;

async fn lease(bed: &Bed) -> LeaseRow {
    bed.store.read().await.expect("a reader").lease().await.expect("a lease")
}

pub(in crate::tests) async fn a_lease_moves_only_from_the_row_that_was_read(bed: Bed) {
    let store = &bed.store;
    let free = lease(&bed).await;
    assert_eq!(free, LeaseRow::default());
    assert!(store.acquire_lease(free, [1; 16]).await.expect("written"));
    assert!(!store.acquire_lease(free, [2; 16]).await.expect("written"), "it is another row");
    let held = lease(&bed).await;
    assert_eq!(held, LeaseRow { term: 1, holder: Some([1; 16]), beat: 0 });
    assert!(store.renew_lease(held).await.expect("written"));
    assert!(!store.renew_lease(held).await.expect("written"));
    assert!(!store.acquire_lease(held, [2; 16]).await.expect("written"), "it was renewed");
    let renewed = lease(&bed).await;
    assert_eq!(renewed, LeaseRow { beat: 1, ..held });
    assert!(store.acquire_lease(renewed, [2; 16]).await.expect("written"));
    assert!(!store.give_lease_back(renewed).await.expect("written"), "it is another's");
    let taken = lease(&bed).await;
    assert_eq!((taken.term, taken.holder), (2, Some([2; 16])));
    assert!(store.give_lease_back(taken).await.expect("written"));
    let free = lease(&bed).await;
    assert_eq!(free, LeaseRow { holder: None, ..taken });
    assert!(store.acquire_lease(free, [3; 16]).await.expect("written"));
    store.note_restored().await.expect("written");
    assert!(store.snapshot().await.expect("a snapshot").is_restored);
    assert_eq!(lease(&bed).await, LeaseRow { term: 3, ..free }, "nobody leads");
    store.note_caught_up().await.expect("written");
    assert!(!store.snapshot().await.expect("a snapshot").is_restored);
}

pub(in crate::tests) async fn of_many_who_take_the_lease_at_once_one_does(bed: Bed) {
    let mut tasks = tokio::task::JoinSet::new();
    let store = Arc::new(bed.open().await);
    for n in 1..9 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { store.acquire_lease(LeaseRow::default(), [n; 16]).await });
    }
    let mut n_taken = 0;
    while let Some(taken) = tasks.join_next().await {
        // A server may end all but one of them as a deadlock.
        n_taken += i32::from(matches!(taken.expect("no panic"), Ok(true)));
    }
    assert_eq!((n_taken, lease(&bed).await.term), (1, 1));
}

fn process(id: u8, seen_us: i64) -> ProcessRow {
    ProcessRow {
        id: [id; 16],
        role: "aggregator".to_owned(),
        address: format!("host-{id}:8002"),
        program: "0.1.0".to_owned(),
        started_us: 5,
        seen_us,
    }
}

fn owner(process: u8, epoch: i64, halted: Option<&str>) -> OwnerRow {
    OwnerRow {
        generation: 1,
        partition: 0,
        process: [process; 16],
        epoch,
        halted: halted.map(str::to_owned),
        resumes_at: halted.map(|_| 7),
        seen_us: epoch,
    }
}

pub(in crate::tests) async fn processes_are_listed_with_what_they_own_by_the_newest_claim(
    bed: Bed,
) {
    let store = &bed.store;
    let now = Wall::now();
    let old_us = now.as_us() - 2 * 3_600 * 1_000_000;
    store.put_process(process(3, old_us), vec![]).await.expect("written");
    store.put_process(process(1, now.as_us()), vec![owner(1, 1, None)]).await.expect("written");
    let read = async || store.read().await.expect("a reader");
    assert_eq!(read().await.owners(1).await.expect("owners"), [], "nobody has claimed it");
    store.claim(1, 0, [1; 16], 2).await.expect("a claim");
    assert_eq!(read().await.owners(1).await.expect("owners"), [owner(1, 1, None)]);
    let listed = read().await.processes(now).await.expect("processes");
    assert_eq!(listed, [process(1, now.as_us())], "who was not heard for an hour is not listed");
    assert!(listed[0].is_alive(now), "{listed:?}");
    assert!(!process(1, now.as_us() - 30_000_000).is_alive(now));
    let publisher = async || {
        let mut reader = PlainReader(read().await);
        reader.publisher().await.expect("an address")
    };
    assert_eq!(publisher().await, None, "nobody holds the lease");
    let free = read().await.lease().await.expect("a lease");
    assert!(store.acquire_lease(free, [9; 16]).await.expect("taken"));
    assert_eq!(publisher().await, None, "who holds it is not listed");
    let held = read().await.lease().await.expect("a lease");
    assert!(store.acquire_lease(held, [1; 16]).await.expect("taken"));
    assert_eq!(publisher().await, Some(process(1, 0).address));
    let format = read().await.format().await.expect("a format");
    assert_eq!(usize::try_from(format), Ok(MIGRATIONS.len()));
    // The next owner tells first, then the one of before, which does not know yet.
    store.claim(1, 0, [2; 16], 2).await.expect("a claim");
    assert_eq!(read().await.owners(1).await.expect("owners"), [], "its owner has told nothing");
    let halted = owner(2, 2, Some("the log ends at 3 \u{2026}"));
    store.put_process(process(2, now.as_us()), vec![halted.clone()]).await.expect("written");
    store.put_process(process(1, now.as_us() + 1), vec![owner(1, 1, None)]).await.expect("written");
    assert_eq!(read().await.owners(1).await.expect("owners"), [halted]);
    store.put_process(process(2, now.as_us()), vec![owner(2, 2, None)]).await.expect("written");
    assert_eq!(read().await.owners(1).await.expect("owners"), [owner(2, 2, None)]);
    store.remove_process([1; 16]).await.expect("written");
    let listed = read().await.processes(now).await.expect("processes");
    assert_eq!(listed, [process(2, now.as_us())]);
    // A reason of any length fits.
    let long = "x".repeat(5_000);
    let rows = vec![owner(2, 2, Some(&long))];
    store.put_process(process(2, now.as_us()), rows).await.expect("written");
    let found = read().await.owners(1).await.expect("owners");
    assert_eq!(found[0].halted.as_ref().map(String::len), Some(1_000));
}

pub(in crate::tests) async fn what_was_added_to_after_a_version_is_read_as_it_is_now(bed: Bed) {
    let store = &bed.store;
    let claim = store.claim(1, 0, [1; 16], 2).await.expect("a claim");
    let mut progress = claim.progress;
    for (n, names) in [(3, ["a", "b"]), (2, ["b", "c"]), (4, ["c", "d"])] {
        let next = Arc::new(commit(claim.owner, &progress, n, &names));
        assert!(matches!(store.commit(Arc::clone(&next)).await.0, Outcome::Committed { .. }));
        progress = next.parts[0].progress;
    }
    let totals = async |version| {
        let mut reader = store.read().await.expect("a reader");
        let rows = reader.totals_after(version).await.expect("read")?;
        let plain = |(labels, sums): (FullLabels, Measures)| (labels.namespace, sums.n);
        let mut rows: Vec<(Box<str>, i64)> = rows.into_iter().map(plain).collect();
        rows.sort();
        Some(rows)
    };
    let row = |name: &str, n| (Box::from(name), n);
    let [a, b, c, d] = [row("a", 3), row("b", 5), row("c", 6), row("d", 4)];
    assert_eq!(totals(0).await, Some(vec![a, b.clone(), c.clone(), d.clone()]));
    assert_eq!(totals(1).await, Some(vec![b, c.clone(), d.clone()]));
    assert_eq!(totals(2).await, Some(vec![c, d]));
    assert_eq!(totals(3).await, Some(vec![]));
    assert_eq!(totals(-1).await, None, "the journal does not have all of them");
    assert_eq!(totals(-1_000_000).await, None);
}
