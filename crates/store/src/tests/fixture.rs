//! A ledger of its own for a test, on either database, and commits to put into it.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clock::Wall;
use ledger::commit::{
    Commit, CommitId, CommitRows, Outcome, Owner, Part, Progress, RangeSums, Resolution,
};
use ledger::consumer::{ConsumerLabels, ConsumerSums};
use ledger::measures::Measures;
use ledger::series::{FullLabels, SeriesId};

use super::server::Database;
use crate::sql::Row;
use crate::steps::FailAfter;
use crate::{LabelName, MysqlOptions, Snapshot, Store};

/// How long a test waits for a state before it fails.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(60);

/// Where a ledger lies.
enum Place {
    File(tempfile::TempDir),
    Server(Database),
}

/// A ledger.
pub(super) struct Bed {
    pub store: Store,
    place: Place,
}

impl Bed {
    pub(super) async fn file() -> Bed {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path()).await.expect("a store");
        Bed { store, place: Place::File(folder) }
    }

    pub(super) async fn server() -> Bed {
        let database = Database::shared().await;
        let store = Store::open_mysql(&database.options()).await.expect("a store");
        Bed { store, place: Place::Server(database) }
    }

    pub(super) fn is_server(&self) -> bool {
        matches!(self.place, Place::Server(_))
    }

    /// Opens the ledger once more.
    pub(super) async fn open(&self) -> Store {
        match &self.place {
            Place::File(folder) => Store::open(folder.path()).await,
            Place::Server(database) => Store::open_mysql(&database.options()).await,
        }
        .expect("opened again")
    }

    /// Opens the ledger once more, on a server with a single connection for writing.
    pub(super) async fn open_narrow(&self) -> Store {
        match &self.place {
            Place::File(_) => self.open().await,
            Place::Server(database) => {
                open_with(&MysqlOptions { writers_max: 1, ..database.options() }).await
            }
        }
    }

    pub(super) async fn open_read_only(&self) -> Store {
        match &self.place {
            Place::File(folder) => Store::open_read_only(folder.path()).await,
            Place::Server(database) => Store::open_mysql_read_only(&database.options()).await,
        }
        .expect("opened for reading")
    }
}

/// Waits for a state.
pub(super) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + WAIT_MAX;
    while !is_so().await {
        assert!(Instant::now() < end, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Opens the ledger of a database on a server.
pub(super) async fn open_with(options: &MysqlOptions) -> Store {
    Store::open_mysql(options).await.expect("a store")
}

/// Commits as the core does: what was aborted is tried again, what is unknown is looked up. How
/// often it was unknown.
pub(super) async fn commit_at_last(store: &Store, commit: &Arc<Commit>) -> u32 {
    let end = Instant::now() + WAIT_MAX;
    let mut n_unknown = 0;
    loop {
        assert!(Instant::now() < end, "a commit came to no end");
        match store.commit(Arc::clone(commit)).await {
            (Outcome::Committed { .. }, _) => return n_unknown,
            (Outcome::Aborted, error) => {
                assert!(error.is_some_and(|error| !error.is_fatal()), "it may be tried again");
            }
            (Outcome::Unknown, _) => {
                n_unknown += 1;
                if let Resolution::Committed { .. } = resolve_at_last(store, commit).await {
                    return n_unknown;
                }
            }
            (Outcome::Refused { .. }, error) => panic!("refused: {error:?}"),
        }
        tokio::task::yield_now().await;
    }
}

pub(super) async fn resolve_at_last(store: &Store, commit: &Commit) -> Resolution {
    let end = Instant::now() + WAIT_MAX;
    loop {
        match store.resolve(commit).await {
            Ok(resolution) => {
                let took_effect = matches!(resolution, Resolution::Committed { .. });
                assert!(took_effect || resolution == absent(commit), "{resolution:?}");
                return resolution;
            }
            Err(error) => assert!(!error.is_fatal() && Instant::now() < end, "{error:?}"),
        }
        tokio::task::yield_now().await;
    }
}

/// Commits one after the other; after each one, rows before a quarter-hour are rolled up, so that
/// the next one adds to some that are.
pub(super) async fn commit_and_roll_up<T>(
    bed: &Bed,
    facts: &[T],
    commit_of: impl Fn(Owner, &Progress, &[T]) -> Commit,
) {
    let claim = bed.store.claim(1, 0, [1; 16], 2).await.expect("a claim");
    let mut progress = claim.progress;
    for (piece, until) in facts.chunks(facts.len().div_ceil(3)).zip([40, 150, 0]) {
        let next = Arc::new(commit_of(claim.owner, &progress, piece));
        let (outcome, error) = bed.store.commit(Arc::clone(&next)).await;
        assert!(matches!(outcome, Outcome::Committed { .. }), "{error:?}");
        progress = next.parts[0].progress;
        roll_up(&bed.store, until).await;
    }
}

/// Quarter-hours up to which rows are rolled up, one after the other, while a case asks.
pub(super) const ROLLED: [i64; 3] = [0, 250, 700];

/// Rolls up all rows before a quarter-hour.
pub(super) async fn roll_up(store: &Store, quarter: i64) {
    let now = Wall::from_us((quarter + 1) * 900_000_000);
    while store.roll_up(now).await.expect("rolled up") {}
}

pub(super) fn labels(namespace: &str) -> FullLabels {
    FullLabels {
        namespace: namespace.into(),
        upstream: "openai".into(),
        model: "gpt-4o".into(),
        method: event::Method::Post,
        endpoint: "/v1/chat/completions".into(),
        status: 200,
        outcome: event::Outcome::Success,
        service_tier: event::ServiceTier::Standard,
        source: event::UsageSource::Reported,
        is_final: true,
        limited_by: None,
    }
}

pub(super) fn sums(n: i64) -> Measures {
    let mut sums = Measures { n, duration_us: n * 7, ttft_us: n, ..Measures::default() };
    sums.duration[3] = n;
    sums.ttft[2] = n;
    (sums.tpot_us, sums.tpot[4]) = (n * 5, n);
    sums.tokens = [n, 0, 0, 2 * n, 0];
    sums
}

/// Consumer rows of `n` events of each full row, by id.
fn consumers(rows: &[FullLabels], n: i64) -> Vec<(SeriesId, ConsumerLabels, ConsumerSums)> {
    let row = |full: &FullLabels| {
        let labels = event::Labels { consumer: Some("ann"), ..full.labels() };
        let mut bytes = Vec::new();
        ConsumerLabels::encode(&labels, &mut bytes);
        let tokens = sums(n).tokens;
        let used = ConsumerSums { requests: n, tokens, cost_nano: 3 * n };
        (ConsumerLabels::id_of(&bytes), ConsumerLabels::of(&labels), used)
    };
    let mut found: Vec<_> = rows.iter().map(row).collect();
    found.sort_by_key(|(id, _, _)| *id);
    found
}

/// What `n` events of each namespace add to one partition, from `base` to `base + 1`.
pub(super) fn part(owner: Owner, before: &Progress, n: i64, namespaces: &[&str]) -> Part {
    let counted = n * i64::try_from(namespaces.len()).expect("few");
    let mut progress = *before;
    progress.next += 1;
    progress.clock_us = Some(60_000_000);
    progress.account.events += counted;
    progress.account.counted += counted;
    let mut rows: Vec<FullLabels> = namespaces.iter().map(|name| labels(name)).collect();
    rows.sort_by_key(FullLabels::id);
    let used = consumers(&rows, n);
    let mut shorts: Vec<_> =
        rows.iter().map(|labels| (labels.short().id(), Arc::new(labels.short()))).collect();
    shorts.sort_by_key(|(id, _)| *id);
    let rows = CommitRows {
        totals: rows
            .iter()
            .map(|labels| (labels.id(), Arc::new(labels.clone()), sums(n)))
            .collect(),
        quarters: rows.iter().map(|labels| (4, labels.id(), sums(n))).collect(),
        minutes: shorts.iter().map(|(id, _)| (61, *id, sums(n))).collect(),
        shorts,
        consumers: used.iter().map(|(id, labels, _)| (*id, Arc::new(labels.clone()))).collect(),
        used: used.iter().map(|(id, _, sums)| (4, *id, *sums)).collect(),
    };
    Part {
        rows: Arc::new(rows),
        letters: vec![ledger::commit::DeadLetter {
            offset: before.next,
            idx: 0,
            n: 1,
            class: ledger::account::Class::Late,
            reason: "late",
            time_us: Some(1),
            namespace: Some("a".into()),
            content: Some(vec![1, 2].into()),
            clock_us: None,
        }],
        sums: RangeSums { events: counted, counted, ..RangeSums::default() },
        ..Part::without_rows(owner, before.next, progress)
    }
}

/// A commit of these parts, whose id is made of their owners and offsets.
pub(super) fn joint(parts: impl IntoIterator<Item = Part>) -> Commit {
    let parts: Vec<Arc<Part>> = parts.into_iter().map(Arc::new).collect();
    let mut id = [0; 16];
    for (idx, half) in id.chunks_exact_mut(8).enumerate() {
        let mut hasher = DefaultHasher::new();
        idx.hash(&mut hasher);
        parts.iter().for_each(|part| (part.owner, part.progress.next).hash(&mut hasher));
        half.copy_from_slice(&hasher.finish().to_le_bytes());
    }
    Commit::of(CommitId(id), parts)
}

/// What a ledger of before format 9 holds of another one: no times per output token, which it
/// counts from where its partitions stand. From there on late events are decided, too.
pub(super) fn without_tpot(mut snapshot: Snapshot) -> Snapshot {
    for partition in &mut snapshot.partitions {
        partition.progress.late_next = partition.progress.next;
        partition.progress.account.expired = partition.progress.account.late;
        assert_eq!(partition.tpot_from, 0, "the other one has had them from its beginning");
        partition.tpot_from = partition.progress.next;
    }
    for (_, sums) in &mut snapshot.totals {
        assert!(sums.n_tpot() > 0, "the other one has them");
        (sums.tpot_us, sums.tpot) = (0, Default::default());
    }
    snapshot
}

/// A commit of `n` events of each namespace in one partition.
pub(super) fn commit(owner: Owner, before: &Progress, n: i64, namespaces: &[&str]) -> Commit {
    joint([part(owner, before, n, namespaces)])
}

/// The same commit with another first part.
pub(super) fn altered(commit: &Commit, alter: impl FnOnce(&mut Part)) -> Commit {
    let mut parts = commit.parts.clone();
    alter(Arc::make_mut(&mut parts[0]));
    Commit::of(commit.id, parts)
}

/// Refused because of these partitions.
pub(super) fn refused(partitions: &[u32]) -> Outcome {
    Outcome::Refused { partitions: partitions.to_vec() }
}

/// What is found of a commit that had no effect if nobody else is there.
pub(super) fn absent(commit: &Commit) -> Resolution {
    let at_base = commit.parts.iter().map(|part| part.owner.partition).collect();
    Resolution::Absent { at_base }
}

pub(super) async fn fail_after(store: &Store) -> FailAfter {
    let held = store.writers().expect("writers").hold().await.expect("a writer");
    held.fail_after().clone()
}

pub(super) async fn total(store: &Store) -> i64 {
    let snapshot = store.snapshot().await.expect("a snapshot");
    snapshot.totals.iter().map(|(_, sums)| sums.n).sum()
}

/// Every label, budget and namespace, as they stand.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    pub labels: BTreeSet<LabelName>,
    /// Used slots by kind and scope.
    pub used: BTreeMap<(u8, String), i64>,
    /// Codes of the namespaces in the order of their numbers.
    pub codes: Vec<String>,
}

impl Names {
    pub(super) async fn of(store: &Store) -> Names {
        let mut held = store.writers().expect("writers").hold().await.expect("a writer");
        let query = held.steps.backend().query("SELECT kind, scope, used FROM label_budget");
        let rows = held.steps.conn.fetch_all(query, "read the budgets").await.expect("rows");
        drop(held);
        let budget = |row: &Row| {
            let kind: i64 = row.get(0).expect("a kind");
            let group = (u8::try_from(kind).expect("few"), row.get(1).expect("a scope"));
            (group, row.get(2).expect("a number"))
        };
        let labels = store.load_labels().await.expect("labels");
        let rows_of_namespaces = store.namespaces_after(0).await.expect("namespaces");
        Names {
            labels: labels.into_iter().collect(),
            used: rows.iter().map(budget).collect(),
            codes: rows_of_namespaces.into_iter().map(|row| row.code).collect(),
        }
    }
}

/// Where the rows of a table of an earlier format are in another ledger, of this format: until
/// format 7 the journal had the range of its commit.
pub(super) fn source(other: &str, table: &str) -> String {
    match table {
        "commit_journal" => {
            format!("{other}.commit_journal JOIN {other}.commit_range USING (version)")
        }
        _ => format!("{other}.{table}"),
    }
}

/// Numbers that look random: those of SplitMix64, <https://prng.di.unimi.it/splitmix64.c>.
pub(super) struct Dice(pub u64);

impl Dice {
    /// A number below `n`.
    pub(super) fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % n as u64).expect("it is below n")
    }
}
