//! Several processes on one database: they start at once, race for a base, for the last place of a
//! budget, for a baseline. Each store stands for a process.

use std::sync::Arc;

use ledger::commit::{Commit, CommitId, Outcome, Resolution};
use sqlx::{AssertSqlSafe, Executor, Row};

use super::cases::claimed;
use super::fixture::{
    Bed, Dice, Names, absent, commit, commit_at_last, joint, open_with, part, refused, total,
};
use super::server::Database;
use crate::{
    LabelKind, LabelName, LabelRequest, MysqlOptions, Owners, Raised, Registration, Store,
    StoreError,
};

#[tokio::test]
async fn processes_that_start_at_once_make_one_ledger() {
    let database = Database::shared().await;
    let options = database.options();
    let opened: Vec<_> = (0..6)
        .map(|_| {
            let options: MysqlOptions = options.clone();
            tokio::spawn(async move {
                let store = open_with(&options).await;
                store.generation(1, 3).await.expect("a generation")
            })
        })
        .collect();
    let mut found = Vec::new();
    for task in opened {
        found.push(task.await.expect("no panic"));
    }
    assert!(found.iter().all(|generation| *generation == found[0]), "one secret for all");
}

#[tokio::test]
async fn a_database_of_another_format_is_refused_and_half_a_step_is_taken_again() {
    let database = Database::shared().await;
    let options = database.options();
    let error = Store::open_mysql_read_only(&options).await.expect_err("it is empty");
    assert!(matches!(error, StoreError::Database { .. }), "{error:?}");
    open_with(&options).await;
    let mut admin = database.admin().await;
    // As if the first start had been cut off before its last table.
    admin.execute("DROP TABLE meta").await.expect("done");
    admin.execute("DROP TABLE access_key").await.expect("done");
    open_with(&options).await.put_key("ingest", "default", [3; 32]).await.expect("a key");
    admin.execute("UPDATE meta SET format = 99").await.expect("done");
    for error in [
        Store::open_mysql(&options).await.expect_err("it is newer"),
        Store::open_mysql_read_only(&options).await.expect_err("it is newer"),
    ] {
        assert!(error.to_string().contains("format 99"), "{error}");
    }
}

#[tokio::test]
async fn two_writers_who_race_for_a_base_never_both_win() {
    let database = Database::shared().await;
    let (one, two) = (open_with(&database.options()).await, open_with(&database.options()).await);
    let claim = one.claim(1, 0, [1; 16], 2).await.expect("a claim");
    let mut progress = claim.progress;
    let rounds = 30;
    for _ in 0..rounds {
        let ours = commit(claim.owner, &progress, 1, &["a", "b", "c"]);
        let mut id = ours.id;
        id.0[7] = 0xff;
        let theirs = Commit { id: CommitId(id.0), ..ours.clone() };
        progress = ours.parts[0].progress;
        let (first, second) =
            tokio::join!(one.commit(Arc::new(ours)), two.commit(Arc::new(theirs)));
        let mut outcomes = [&first.0, &second.0];
        outcomes.sort_by_key(|outcome| **outcome == refused(&[0]));
        assert!(
            matches!(outcomes, [Outcome::Committed { .. }, other] if *other == refused(&[0])),
            "{first:?} {second:?}"
        );
    }
    assert_eq!(total(&one).await, 3 * rounds);
    assert_eq!(one.read().await.expect("a reader").as_of().version, rounds);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joint_commits_of_two_processes_that_share_partitions_never_deadlock() {
    let database = Database::shared().await;
    let (one, two) = (open_with(&database.options()).await, open_with(&database.options()).await);
    let (one, two) = (Arc::new(one), Arc::new(two));
    let claims = claimed(&one, 5, 1).await;
    let mut progress: Vec<_> = claims.iter().map(|claim| claim.progress).collect();
    let rounds = 40;
    let spawn = |store: &Arc<Store>, commit: &Arc<Commit>| {
        let (store, commit) = (Arc::clone(store), Arc::clone(commit));
        tokio::spawn(async move { store.commit(commit).await })
    };
    for round in 0..rounds {
        let next = |idx: usize| part(claims[idx].owner, &progress[idx], 1, &["a", "b", "c"]);
        let left = Arc::new(joint([next(2), next(1), next(0)]));
        let right = Arc::new(joint([next(1), next(2), next(3), next(4)]));
        let (first, second) = (spawn(&one, &left), spawn(&two, &right));
        // Looks take the same locks.
        let (look, other) = tokio::join!(two.resolve(&left), one.resolve(&right));
        let (look, other) = (look.expect("an answer"), other.expect("an answer"));
        let (first, second) = (first.await.expect("no panic"), second.await.expect("no panic"));
        let lost = refused(&[1, 2]);
        let rest = match (&first.0, &second.0) {
            (Outcome::Committed { .. }, outcome) if *outcome == lost => joint([next(3), next(4)]),
            (outcome, Outcome::Committed { .. }) if *outcome == lost => joint([next(0)]),
            _ => panic!("round {round}: {first:?} {second:?} {look:?} {other:?}"),
        };
        assert!(matches!(one.commit(Arc::new(rest)).await.0, Outcome::Committed { .. }));
        progress = (0..5).map(|idx| next(idx).progress).collect();
    }
    assert_eq!(total(&one).await, 5 * 3 * rounds);
    let mut reader = one.read().await.expect("a reader");
    assert_eq!(reader.as_of().version, 2 * rounds);
    assert_eq!(reader.ranges().await.expect("ranges").len() as i64, 5 * rounds);
}

#[tokio::test]
async fn a_commit_is_looked_up_only_after_whatever_holds_one_of_its_partitions_has_ended() {
    let database = Database::shared().await;
    let store = Arc::new(open_with(&database.options()).await);
    let claims = claimed(&store, 3, 1).await;
    let all = joint(claims.iter().map(|claim| part(claim.owner, &claim.progress, 1, &["a"])));
    let all = Arc::new(all);
    let committed = Resolution::Committed { version: 77 };
    for (partition, end, expected) in
        [(2, "ROLLBACK", absent(&all)), (0, "ROLLBACK", absent(&all)), (2, "COMMIT", committed)]
    {
        // What another connection has done of this commit: its last row, then the journal.
        let mut admin = database.admin().await;
        admin.execute("START TRANSACTION").await.expect("done");
        let swap = format!("UPDATE partition_state SET next = 1 WHERE `partition` = {partition}");
        admin.execute(AssertSqlSafe(swap)).await.expect("done");
        let looking = (Arc::clone(&store), Arc::clone(&all));
        let looking = tokio::spawn(async move { looking.0.resolve(&looking.1).await });
        database.blocked().await;
        let line = sqlx::query("INSERT INTO commit_journal VALUES (77, ?, 1)");
        line.bind(all.id.0.to_vec()).execute(&mut admin).await.expect("done");
        admin.execute(end).await.expect("done");
        let found = looking.await.expect("no panic").expect("an answer");
        assert_eq!(found, expected, "{partition} {end}");
    }
}

#[tokio::test]
async fn processes_that_race_for_a_budget_never_exceed_it() {
    const MAX: i64 = 10;
    let database = Database::shared().await;
    let options = database.options();
    let mut racing = Vec::new();
    for process in 0..4 {
        let store = open_with(&options).await;
        racing.push(tokio::spawn(async move {
            let mut verdicts = Vec::new();
            for round in 0..10 {
                // The same names in another order, and another mix of kinds.
                let request = |kind, n: usize| LabelRequest {
                    label: LabelName { kind, scope: String::new(), name: format!("n{n}") },
                    max: Some(MAX),
                };
                let n = (round * 3 + process * 5) % 20;
                let mut requests =
                    vec![request(LabelKind::Namespace, n), request(LabelKind::Model, 19 - n)];
                if process % 2 == 0 {
                    requests.reverse();
                }
                verdicts.extend(store.register_many(requests).await.expect("answers"));
            }
            verdicts
        }));
    }
    let mut verdicts = Vec::new();
    for task in racing {
        verdicts.extend(task.await.expect("no panic"));
    }
    let added = verdicts.iter().filter(|verdict| **verdict == Registration::Added).count();
    assert_eq!(added as i64, 2 * MAX);
    let store = open_with(&options).await;
    assert_eq!(store.load_labels().await.expect("labels").len() as i64, 2 * MAX);
    let ids: Vec<i64> =
        store.namespaces_after(0).await.expect("rows").iter().map(|row| row.id).collect();
    assert_eq!(ids.len() as i64, MAX);
    let used = database.admin().await.fetch_all("SELECT used FROM label_budget").await;
    let used: Vec<i64> = used.expect("rows").iter().map(|row| row.get(0)).collect();
    assert_eq!(used, [MAX, MAX]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_race_for_the_last_slots_with_many_names_share_them_out_once() {
    const MAX: i64 = 150;
    let database = Database::shared().await;
    let mut racing = Vec::new();
    for process in 0..3 {
        let store = open_with(&database.options()).await;
        racing.push(tokio::spawn(async move {
            let mut answers = Vec::new();
            let mut dice = Dice(process);
            for _ in 0..20 {
                let request = |dice: &mut Dice| {
                    let scope = ["a", "b", "c"][dice.below(3)].to_owned();
                    let name = format!("key-{}", dice.below(200));
                    let label = LabelName { kind: LabelKind::Consumer, scope, name };
                    LabelRequest { label, max: Some(MAX) }
                };
                let requests: Vec<_> = (0..50).map(|_| request(&mut dice)).collect();
                let verdicts = store.register_many(requests.clone()).await.expect("answers");
                let labels = requests.into_iter().map(|request| request.label);
                answers.extend(labels.zip(verdicts));
            }
            answers
        }));
    }
    let mut answers = Vec::new();
    for task in racing {
        answers.extend(task.await.expect("no panic"));
    }
    let names = Names::of(&open_with(&database.options()).await).await;
    let groups = ["a", "b", "c"].map(|scope| (LabelKind::Consumer as u8, scope.to_owned()));
    assert_eq!(names.used, groups.into_iter().map(|group| (group, MAX)).collect());
    assert_eq!(names.labels.len() as i64, 3 * MAX);
    let added = answers.iter().filter(|(_, verdict)| *verdict == Registration::Added);
    assert_eq!(added.count() as i64, 3 * MAX, "one process adds a name, the others find it");
    for (label, verdict) in &answers {
        let is_stored = names.labels.contains(label);
        assert_eq!(is_stored, *verdict != Registration::OverBudget, "{label:?}: {verdict:?}");
    }
}

#[tokio::test]
async fn a_baseline_shows_one_version_while_another_process_commits() {
    let database = Database::shared().await;
    let (one, two) = (open_with(&database.options()).await, open_with(&database.options()).await);
    let (mine, other) = (
        one.claim(1, 0, [1; 16], 2).await.expect("a claim"),
        two.claim(1, 1, [2; 16], 2).await.expect("a claim"),
    );
    let busy = tokio::spawn(async move {
        let mut progress = mine.progress;
        for _ in 0..60 {
            let next = Arc::new(commit(mine.owner, &progress, 1, &["a", "b"]));
            commit_at_last(&one, &next).await;
            progress = next.parts[0].progress;
        }
        one
    });
    let mut admin = database.admin().await;
    let mut progress = other.progress;
    let mut n_baselines = 0;
    while !busy.is_finished() {
        admin.execute("DELETE FROM baseline_total").await.expect("done");
        admin.execute("DELETE FROM baseline").await.expect("done");
        let fresh = open_with(&database.options()).await;
        let next = Arc::new(commit(other.owner, &progress, 1, &["b", "c"]));
        commit_at_last(&fresh, &next).await;
        progress = next.parts[0].progress;
        let baselines = fresh.read().await.expect("a reader").baselines().await.expect("rows");
        let baseline = &baselines[0];
        let sums: i64 = baseline.totals.iter().map(|(_, sums)| sums.n).sum();
        let counted: i64 =
            baseline.partitions.iter().map(|(_, _, progress)| progress.account.counted).sum();
        assert_eq!((sums, baseline.version * 2), (counted, counted));
        n_baselines += 1;
    }
    let one = busy.await.expect("no panic");
    assert!(n_baselines > 0);
    assert_eq!(total(&one).await, 120 + 2 * i64::try_from(progress.next).expect("few"));
}

#[tokio::test]
async fn names_that_differ_in_case_or_in_a_space_at_the_end_are_different() {
    for bed in [Bed::file().await, Bed::server().await] {
        let name = |kind, scope: &str, name: &str| LabelRequest {
            label: LabelName { kind, scope: scope.to_owned(), name: name.to_owned() },
            max: Some(10),
        };
        let requests = vec![
            name(LabelKind::Consumer, "a", "zoë"),
            name(LabelKind::Consumer, "a", "zoë "),
            name(LabelKind::Consumer, "a", "zoe"),
            name(LabelKind::Consumer, "A", "zoë"),
            name(LabelKind::Namespace, "", "team"),
            name(LabelKind::Namespace, "", "Team"),
        ];
        let n_names = requests.len();
        let mut wanted: Vec<_> = requests.iter().map(|request| request.label.clone()).collect();
        let verdicts = bed.store.register_many(requests).await.expect("answers");
        assert_eq!(verdicts, vec![Registration::Added; n_names]);
        let mut found = bed.store.load_labels().await.expect("labels");
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted);
    }
}

#[tokio::test]
async fn a_frame_version_is_raised_after_the_claims_that_are_under_way() {
    let database = Database::shared().await;
    let store = Arc::new(open_with(&database.options()).await);
    store.generation(1, 1).await.expect("a generation");
    store.claim(1, 0, [1; 16], 2).await.expect("a claim");
    let mut admin = database.admin().await;
    for sql in [
        "START TRANSACTION",
        "SELECT format FROM meta LOCK IN SHARE MODE",
        "UPDATE partition_state SET epoch = epoch + 1",
    ] {
        admin.execute(sql).await.expect("done");
    }
    let raising = Arc::clone(&store);
    let raising = tokio::spawn(async move { raising.raise_frame_version(1, 2, Owners::Any).await });
    database.blocked().await;
    admin.execute("COMMIT").await.expect("done");
    let raised = raising.await.expect("no panic").expect("an answer");
    assert_eq!(raised, Raised::NotYet { partitions: vec![0] });
}
