//! The store on a real file: commits take effect once or not at all, and readers see one version.

use std::sync::Arc;

use ledger::account::Account;
use ledger::commit::{Commit, CommitId, Journal, Outcome, Owner, Progress, Resolution};
use ledger::measures::Measures;
use ledger::series::FullLabels;

use super::*;

fn labels(namespace: &str) -> FullLabels {
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

fn sums(n: i64) -> Measures {
    let mut sums = Measures { n, duration_us: n * 7, ttft_us: n, ..Measures::default() };
    sums.duration[3] = n;
    sums.ttft[2] = n;
    sums.tokens = [n, 0, 0, 2 * n, 0];
    sums
}

/// A commit of `n` events of each namespace, from `base` to `base + 1`.
fn commit(owner: Owner, before: &Progress, n: i64, namespaces: &[&str]) -> Commit {
    let counted = n * i64::try_from(namespaces.len()).expect("few");
    let mut progress = *before;
    progress.next += 1;
    progress.clock_us = Some(60_000_000);
    progress.account.events += counted;
    progress.account.counted += counted;
    let mut id = owner.nonce;
    id[8..].copy_from_slice(&progress.next.to_le_bytes());
    let mut rows: Vec<FullLabels> = namespaces.iter().map(|name| labels(name)).collect();
    rows.sort_by_key(FullLabels::id);
    let short = |labels: &FullLabels| (labels.short().id(), labels.short());
    Commit {
        id: CommitId(id),
        owner,
        base: before.next,
        progress,
        totals: rows.iter().map(|labels| (labels.id(), labels.clone(), sums(n))).collect(),
        quarters: rows.iter().map(|labels| (4, labels.id(), sums(n))).collect(),
        shorts: rows.iter().map(short).collect(),
        minutes: rows.iter().map(|labels| (61, labels.short().id(), sums(n))).collect(),
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
        journal: Journal { events: counted, counted, ..Journal::default() },
    }
}

async fn open() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path()).await.expect("a store");
    (folder, store)
}

async fn total(store: &Store) -> i64 {
    let snapshot = store.snapshot().await.expect("a snapshot");
    snapshot.totals.iter().map(|(_, sums)| sums.n).sum()
}

#[tokio::test]
async fn a_commit_takes_effect_once_and_every_table_has_its_sums() {
    let (_folder, store) = open().await;
    let claim = store.claim(1, 0, [1; 16]).await.expect("a claim");
    assert_eq!((claim.owner.epoch, claim.progress), (1, Progress::default()));
    let names: Vec<String> = (0..40).map(|n| format!("team-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let first = Arc::new(commit(claim.owner, &claim.progress, 3, &names));
    let (outcome, error) = store.commit(Arc::clone(&first)).await;
    assert_eq!(outcome, Outcome::Committed { version: 1 }, "{error:?}");
    assert_eq!(store.commit(Arc::clone(&first)).await.0, Outcome::Refused);
    let second = Arc::new(commit(claim.owner, &first.progress, 2, &names));
    assert_eq!(store.commit(second).await.0, Outcome::Committed { version: 2 });
    assert_eq!(store.commit_of(1).await.expect("read"), Some(first.id));
    assert_eq!(store.commit_of(3).await.expect("read"), None);
    let mut reader = store.read().await.expect("a reader");
    assert_eq!(reader.as_of().version, 2);
    let totals = reader.total_rows(None).await.expect("totals");
    assert_eq!(totals.len(), 40);
    assert!(totals.iter().all(|(_, row)| *row == {
        let mut both = sums(3);
        both.add(&sums(2)).expect("small");
        both
    }));
    let quarters = reader.quarter_sums(0..10, Some("team-7")).await.expect("quarters");
    assert_eq!((quarters.len(), quarters[0].1.n), (1, 5));
    let minutes = reader.short_rows(61..62, None).await.expect("minutes");
    assert_eq!((minutes.len(), minutes[0].2.ttft_us, minutes[0].2.n_ttft()), (40, 5, 0));
    let summed = reader.minute_sums(0..62, Some("team-7")).await.expect("minutes");
    assert_eq!((summed.len(), summed[0].1.ttft_us, summed[0].1.n_ttft()), (1, 5, 0));
    assert_eq!(reader.short_rows(62..99, None).await.expect("minutes").len(), 0);
    let journal = reader.journal().await.expect("a journal");
    assert_eq!(journal.iter().map(|row| row.journal.counted).collect::<Vec<_>>(), [120, 80]);
    let letters = reader.letters().await.expect("letters");
    assert_eq!((letters[0].events, letters[0].with_content), (2, 2));
    let baselines = reader.baselines().await.expect("baselines");
    assert_eq!((baselines.len(), baselines[0].version, baselines[0].totals.len()), (1, 0, 0));
}

#[tokio::test]
async fn a_former_owner_is_fenced_and_an_unknown_outcome_is_resolved_in_each_way() {
    let (_folder, store) = open().await;
    let old = store.claim(1, 0, [1; 16]).await.expect("a claim");
    let lost = Arc::new(commit(old.owner, &old.progress, 1, &["a"]));
    assert_eq!(store.resolve(&lost).await.expect("an answer"), Resolution::Base);
    assert_eq!(store.commit(Arc::clone(&lost)).await.0, Outcome::Committed { version: 1 });
    let committed = Resolution::Committed { version: 1 };
    assert_eq!(store.resolve(&lost).await.expect("an answer"), committed);
    let new = store.claim(1, 0, [2; 16]).await.expect("a claim");
    assert_eq!((new.owner.epoch, new.progress.next), (2, 1));
    assert_eq!(store.resolve(&lost).await.expect("an answer"), Resolution::Fenced);
    let late = Arc::new(commit(old.owner, &lost.progress, 5, &["a"]));
    assert_eq!(store.commit(late).await.0, Outcome::Refused);
    assert_eq!(total(&store).await, 1);
}

#[tokio::test]
async fn a_commit_that_fails_at_any_statement_leaves_no_trace_and_works_when_tried_again() {
    let (_folder, store) = open().await;
    let claim = store.claim(1, 0, [1; 16]).await.expect("a claim");
    let mut progress = claim.progress;
    let mut expected = 0;
    for n_statements in 0..100 {
        let next = Arc::new(commit(claim.owner, &progress, 1, &["a", "b", "c"]));
        let writer = store.writer.as_ref().expect("a writer");
        writer.lock().await.fail_after = Some(n_statements);
        let (outcome, _) = store.commit(Arc::clone(&next)).await;
        writer.lock().await.fail_after = None;
        if let Outcome::Committed { .. } = outcome {
            assert!(n_statements >= 15, "all statements were tried: {n_statements}");
            return;
        }
        assert_eq!(outcome, Outcome::Aborted);
        assert_eq!(total(&store).await, expected);
        let (outcome, error) = store.commit(Arc::clone(&next)).await;
        assert!(matches!(outcome, Outcome::Committed { .. }), "{error:?}");
        progress = next.progress;
        expected += 3;
        assert_eq!(total(&store).await, expected);
    }
    panic!("a commit has fewer than 100 statements");
}

#[tokio::test]
async fn a_commit_that_breaks_a_rule_of_the_ledger_is_fatal_and_leaves_no_trace() {
    let (_folder, store) = open().await;
    let claim = store.claim(1, 0, [1; 16]).await.expect("a claim");
    let mut unbalanced = commit(claim.owner, &claim.progress, 1, &["a"]);
    unbalanced.progress.account = Account { events: 5, counted: 1, ..Account::default() };
    let (outcome, error) = store.commit(Arc::new(unbalanced)).await;
    assert!(outcome == Outcome::Aborted && error.is_some_and(|error| error.is_fatal()));
    assert!(*store.fatal().borrow());
    let mut huge = commit(claim.owner, &claim.progress, 1, &["a"]);
    huge.totals[0].2.n = i64::MAX;
    let huge = Arc::new(huge);
    assert_eq!(store.commit(Arc::clone(&huge)).await.0, Outcome::Committed { version: 1 });
    let overflow = Arc::new(commit(claim.owner, &huge.progress, 1, &["a"]));
    let (outcome, error) = store.commit(overflow).await;
    assert!(outcome == Outcome::Aborted && error.is_some_and(|error| error.is_fatal()));
}

#[tokio::test]
async fn a_reader_keeps_its_version_while_commits_go_on() {
    let (folder, store) = open().await;
    let claim = store.claim(1, 0, [1; 16]).await.expect("a claim");
    let first = Arc::new(commit(claim.owner, &claim.progress, 1, &["a"]));
    store.commit(Arc::clone(&first)).await;
    let other = Store::open_read_only(folder.path()).await.expect("a second opening");
    let mut reader = other.read().await.expect("a reader");
    store.commit(Arc::new(commit(claim.owner, &first.progress, 1, &["a"]))).await;
    assert_eq!(reader.as_of().version, 1);
    assert_eq!(reader.total_rows(None).await.expect("totals")[0].1.n, 1);
    assert_eq!(total(&other).await, 2);
    assert!(matches!(other.claim(1, 0, [9; 16]).await, Err(StoreError::ReadOnly)));
}

#[tokio::test]
async fn generations_are_made_once_and_keep_their_secret() {
    let (folder, store) = open().await;
    let made = store.generation(1, 3).await.expect("made");
    assert_eq!(store.generation(1, 3).await.expect("found"), made);
    assert!(matches!(store.generation(1, 4).await, Err(StoreError::Partitions { .. })));
    store.close().await;
    drop(store);
    let store = Store::open(folder.path()).await.expect("opened again");
    assert_eq!(store.generation(1, 3).await.expect("found"), made);
}

#[tokio::test]
async fn budgets_hold_and_what_was_registered_stays() {
    let (_folder, store) = open().await;
    let name = |name: &str| LabelRequest {
        label: LabelName {
            kind: LabelKind::Namespace,
            scope: String::new(),
            name: name.to_owned(),
        },
        max: Some(2),
    };
    let (one, two) = tokio::join!(
        store.register_many(vec![name("a"), name("b")]),
        store.register_many(vec![name("c"), name("a")]),
    );
    let verdicts = [one.expect("answers"), two.expect("answers")].concat();
    let count = |wanted| verdicts.iter().filter(|verdict| **verdict == wanted).count();
    assert_eq!(count(Registration::Added), 2, "{verdicts:?}");
    let known = store.namespaces_after(0).await.expect("rows");
    assert_eq!(known.len(), 2);
    let again = store.register_many(vec![name(&known[0].code), name("z")]).await.expect("answers");
    assert_eq!(again, [Registration::Known, Registration::OverBudget]);
    let made = store.create_namespace("by-hand", "By hand").await.expect("beyond the budget");
    assert_eq!((made.name.as_str(), made.status), ("By hand", NamespaceStatus::Enabled));
    let again = store.create_namespace("by-hand", "x").await;
    assert!(matches!(again, Err(StoreError::Exists(_))));
    let off = store.set_namespace_status(made.id, NamespaceStatus::Disabled).await;
    assert_eq!(off.expect("answer").expect("found").status, NamespaceStatus::Disabled);
    let none = store.set_namespace_status(99, NamespaceStatus::Disabled).await;
    assert_eq!(none.expect("answer"), None);
    let mut reader = store.read().await.expect("a reader");
    assert_eq!(reader.namespace_counts().await.expect("counts"), (2, 1));
    let filter = NamespaceFilter {
        page: 1,
        size: 10,
        keyword: Some("HAND".to_owned()),
        status: Some(NamespaceStatus::Disabled),
    };
    let page = reader.namespaces(&filter).await.expect("a page");
    assert_eq!((page.total, page.items[0].code.as_str()), (1, "by-hand"));
    assert!(reader.namespace_by_id(made.id).await.expect("answer").is_some());
}

#[tokio::test]
async fn old_rows_are_deleted_and_totals_stay() {
    let (_folder, store) = open().await;
    let claim = store.claim(1, 0, [1; 16]).await.expect("a claim");
    store.commit(Arc::new(commit(claim.owner, &claim.progress, 1, &["a"]))).await;
    let row = |active, seen_us| ConnectionsRow {
        gateway: "g".to_owned(),
        namespace: "a".to_owned(),
        active,
        seen_us,
    };
    store.put_connections(vec![row(5, 100), row(3, 90)]).await.expect("kept");
    let mut reader = store.read().await.expect("a reader");
    assert_eq!(reader.connections(99).await.expect("rows"), [("a".to_owned(), 5)]);
    drop(reader);
    let keep = Keep { minute_us: 0, quarter_us: 0, journal_us: 0, letter_us: 0 };
    let far = now_us() + 3 * 24 * 3_600 * 1_000_000;
    let retained = store.retain(far, &keep).await.expect("retained");
    assert!(retained.deleted >= 5 && !retained.more, "{retained:?}");
    let mut reader = store.read().await.expect("a reader");
    assert_eq!(reader.oldest_quarter().await.expect("answer"), None);
    assert_eq!(reader.letters().await.expect("letters"), []);
    assert_eq!(total(&store).await, 1);
}
