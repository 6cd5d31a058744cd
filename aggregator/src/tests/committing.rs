//! Partitions of a process commit together, and nobody waits for one that does not count.

use std::sync::Arc;
use std::time::Duration;

use ledger::commit::{Owner, Part, Progress, Settled};
use service::shutdown::{Trigger, channel};
use store::{Store, StoreError};
use tokio::task::JoinHandle;

use super::running::DEADLINE;
use crate::committer::{CommitLoop, Commits};
use crate::publisher::{Committers, Publisher};

/// A committer on a ledger of its own.
struct Committing {
    store: Arc<Store>,
    commits: Commits,
    ended: JoinHandle<Result<(), StoreError>>,
    _trigger: Trigger,
    _folder: tempfile::TempDir,
}

impl Committing {
    async fn start() -> Committing {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Arc::new(Store::open(folder.path()).await.expect("a ledger"));
        store.generation(1, 4).await.expect("a generation");
        let (trigger, shutdown) = channel();
        let publisher = Arc::new(Publisher::new(Committers::Own));
        let (looping, commits) =
            CommitLoop::new(Arc::clone(&store), publisher, shutdown, DEADLINE).expect("random");
        let ended = tokio::spawn(looping.run());
        Committing { store, commits, ended, _trigger: trigger, _folder: folder }
    }

    async fn claim(&self, partition: u32) -> Owner {
        let nonce = [u8::try_from(partition).expect("few"); 16];
        self.store.claim(1, partition, nonce, 2).await.expect("a claim").owner
    }

    /// Offers a part of one frame.
    fn offer(&self, owner: Owner, base: u64) -> JoinHandle<Option<Settled>> {
        let commits = self.commits.clone();
        let progress = Progress { next: base + 1, ..Progress::default() };
        let part = Arc::new(Part::without_rows(owner, base, progress));
        tokio::spawn(async move { commits.offer(part).await })
    }

    async fn version(&self) -> i64 {
        self.store.snapshot().await.expect("a snapshot").version
    }
}

async fn settled(offered: JoinHandle<Option<Settled>>) -> Settled {
    let settled = tokio::time::timeout(DEADLINE, offered).await.expect("in time");
    settled.expect("no panic").expect("an answer")
}

#[tokio::test]
async fn the_first_part_asks_for_the_others_and_all_take_effect_in_one_version() {
    let world = Committing::start().await;
    let mut owners = Vec::new();
    for partition in 0..3 {
        owners.push(world.claim(partition).await);
        world.commits.join(partition).await;
    }
    assert!(world.commits.last().is_none());
    let mut other = world.commits.clone();
    assert!(!other.is_asked());
    let first = world.offer(owners[1], 0);
    tokio::time::timeout(DEADLINE, other.asked()).await.expect("the others are asked");
    assert!(other.is_asked() && !other.is_asked(), "once");
    // One has something to commit, the other has not.
    let second = world.offer(owners[0], 0);
    world.commits.pass(2).await;
    assert_eq!([settled(first).await, settled(second).await], [Settled::Committed; 2]);
    assert_eq!(world.version().await, 1);
    assert!(world.commits.last().is_some());
}

#[tokio::test]
async fn a_partition_that_is_silent_or_gone_holds_up_nobody() {
    let world = Committing::start().await;
    let owner = world.claim(0).await;
    for partition in 0..3 {
        world.commits.join(partition).await;
    }
    // Partition 1 is halted, and 2 does not answer.
    world.commits.leave(1).await;
    assert_eq!(settled(world.offer(owner, 0)).await, Settled::Committed);
    world.commits.leave(2).await;
    assert_eq!(settled(world.offer(owner, 1)).await, Settled::Committed);
    assert_eq!(world.version().await, 2);
}

#[tokio::test]
async fn who_lost_its_claim_is_told_and_the_others_are_committed() {
    let world = Committing::start().await;
    let mut owners = Vec::new();
    for partition in 0..3 {
        owners.push(world.claim(partition).await);
        world.commits.join(partition).await;
    }
    world.claim(1).await;
    let offered: Vec<_> = owners.iter().map(|owner| world.offer(*owner, 0)).collect();
    let mut found = Vec::new();
    for offered in offered {
        found.push(settled(offered).await);
    }
    assert_eq!(found, [Settled::Committed, Settled::Refused, Settled::Committed]);
    let snapshot = world.store.snapshot().await.expect("a snapshot");
    let next: Vec<u64> = snapshot.partitions.iter().map(|row| row.progress.next).collect();
    assert_eq!((snapshot.version, next), (1, vec![1, 0, 1]));
}

#[tokio::test]
async fn it_ends_with_the_last_worker() {
    let world = Committing::start().await;
    let Committing { commits, ended, .. } = world;
    drop(commits);
    let ended = tokio::time::timeout(Duration::from_secs(5), ended).await.expect("in time");
    ended.expect("no panic").expect("no failure");
}
