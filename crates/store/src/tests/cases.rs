//! What the store must do on either database; each case gets a ledger of its own.

mod frames;
mod joint;
mod letters;
mod newer;
mod registrations;
mod statements;
mod sums;
mod late;
mod latency;
mod lease;
mod usage;

use std::sync::Arc;

use clock::Wall;
use ledger::account::Account;
use ledger::commit::{AcceptedLoss, Commit, CommitId, Outcome, Progress, Resolution};
use ledger::measures::Measures;
use ledger::query::sums::Sums;

pub(super) use self::frames::*;
pub(super) use self::joint::*;
pub(super) use self::late::*;
pub(super) use self::latency::*;
pub(super) use self::lease::*;
pub(super) use self::letters::*;
pub(super) use self::newer::*;
pub(super) use self::registrations::*;
pub(super) use self::statements::*;
pub(super) use self::sums::*;
pub(super) use self::usage::*;
use super::fixture::{Bed, absent, altered, commit, fail_after, joint, part, refused, sums, total};
use crate::usage::{UsageAsk, UsageBy, UsageValue};
use crate::*;

pub(super) async fn a_commit_takes_effect_once_and_every_table_has_its_sums(bed: Bed) {
    let store = &bed.store;
    let claim = store.claim(1, 0, [1; 16], 2).await.expect("a claim");
    assert_eq!((claim.owner.epoch, claim.progress), (1, Progress::default()));
    let names: Vec<String> = (0..40).map(|n| format!("team-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let first = Arc::new(commit(claim.owner, &claim.progress, 3, &names));
    let (outcome, error) = store.commit(Arc::clone(&first)).await;
    assert_eq!(outcome, Outcome::Committed { version: 1 }, "{error:?}");
    assert_eq!(store.commit(Arc::clone(&first)).await.0, refused(&[0]));
    let second = Arc::new(commit(claim.owner, &first.parts[0].progress, 2, &names));
    assert_eq!(store.commit(second).await.0, Outcome::Committed { version: 2 });
    assert_eq!(store.commit_of(1).await.expect("read"), Some(first.id));
    assert_eq!(store.commit_of(3).await.expect("read"), None);
    let mut reader = store.read().await.expect("a reader");
    assert_eq!(reader.as_of().version, 2);
    let totals = reader.total_rows(None).await.expect("totals");
    assert_eq!(totals.len(), 40);
    assert!(totals.iter().all(|(_, row)| *row == {
        let mut both: Measures = sums(3);
        both.add(&sums(2)).expect("small");
        both
    }));
    let minutes = reader.short_rows(61..62, None).await.expect("minutes");
    assert_eq!((minutes.len(), minutes[0].2.ttft_us, minutes[0].2.n_ttft()), (40, 5, 0));
    assert_eq!(reader.short_rows(62..99, None).await.expect("minutes").len(), 0);
    let ranges = [(Rows::Minutes, 0..62), (Rows::Quarters, 0..10), (Rows::Totals, 0..0)];
    for (rows, range) in ranges {
        let all = reader.sums(rows, range.clone(), None, &Part::EACH).await.expect("sums");
        let one = reader.sums(rows, range.clone(), Some("team-7"), &Part::EACH).await;
        let one = one.expect("sums").latency().expect("small");
        assert_eq!((all.requests(), one.n, one.errors), (Ok(200), 5, 0), "{rows:?}");
        assert_eq!((one.duration_us, one.duration[3]), (35, 5), "{rows:?}");
        let tokens = reader.sums(rows, range.clone(), Some("team-7"), &[Part::Tokens]).await;
        let tokens = tokens.expect("sums");
        assert_eq!(tokens.requests(), Ok(0), "it was not asked for");
        let tokens = tokens.tokens().expect("small");
        assert_eq!((tokens.input, tokens.output, tokens.estimated), (5, 10, 0), "{rows:?}");
        let outcomes = reader.outcomes(rows, range).await.expect("outcomes");
        assert_eq!(outcomes.len(), 40);
        assert!(outcomes.iter().all(|(_, outcome, n)| outcome.code() == 0 && *n == 5));
        if rows != Rows::Totals {
            let none = reader.sums(rows, 90..99, None, &Part::EACH).await.expect("no sums");
            assert_eq!(none, Sums::default(), "{rows:?}");
        }
    }
    let by = [UsageBy::Namespace, UsageBy::Consumer];
    let ask = UsageAsk { quarters: 0..10, by: &by, ..UsageAsk::default() };
    let (all, _) = reader.usage(&ask, 1, 0).await.expect("usage");
    let (n_groups, used) = (all.n_groups, all.sums.used);
    assert_eq!((n_groups, used.requests, used.input(), used.output()), (40, 200, 200, 400));
    let (_, page) = reader.usage(&ask, 3, 39).await.expect("usage");
    assert_eq!((page.len(), page[0].sums.used.cost_nano), (1, 15));
    assert_eq!(page[0].values[1], UsageValue::Text("ann".to_owned()));
    let only = [(UsageBy::Namespace, UsageValue::Text("team-7".to_owned()))];
    let one = UsageAsk { only: &only, by: &[UsageBy::Model], ..ask.clone() };
    let (_, groups) = reader.usage(&one, 10, 0).await.expect("usage");
    assert_eq!((groups.len(), groups[0].sums.used.requests), (1, 5));
    let none = UsageAsk { quarters: 90..99, ..ask };
    assert_eq!(reader.usage(&none, 9, 0).await.expect("usage"), Default::default());
    let kept = (reader.oldest_usage().await, reader.usage_start_us().await);
    assert_eq!((kept.0.expect("a quarter"), kept.1.expect("a start")), (Some(4), 0));
    assert_eq!(reader.consumer_rows(4..5).await.expect("rows").len(), 40);
    let ranges = reader.ranges().await.expect("ranges");
    assert_eq!(ranges.iter().map(|row| row.sums.counted).collect::<Vec<_>>(), [120, 80]);
    let letters = reader.letters().await.expect("letters");
    assert_eq!((letters[0].events, letters[0].with_content), (2, 2));
    let baselines = reader.baselines().await.expect("baselines");
    assert_eq!((baselines.len(), baselines[0].version, baselines[0].totals.len()), (1, 0, 0));
}

pub(super) async fn a_commit_behind_a_gap_keeps_a_baseline_of_what_stands_then(bed: Bed) {
    let store = &bed.store;
    let here = store.claim(1, 0, [1; 16], 2).await.expect("a claim");
    let there = store.claim(1, 1, [2; 16], 2).await.expect("a claim");
    let first = Arc::new(commit(here.owner, &here.progress, 3, &["a", "b"]));
    assert_eq!(store.commit(Arc::clone(&first)).await.0, Outcome::Committed { version: 1 });
    let mut behind = part(there.owner, &there.progress, 2, &["b"]);
    behind.is_shortened = true;
    assert_eq!(store.commit(Arc::new(joint([behind]))).await.0, Outcome::Committed { version: 2 });
    let later = Arc::new(commit(here.owner, &first.parts[0].progress, 5, &["a"]));
    assert_eq!(store.commit(later).await.0, Outcome::Committed { version: 3 });
    let baselines = store.read().await.expect("a reader").baselines().await.expect("baselines");
    assert_eq!((baselines.len(), baselines[0].version), (1, 2));
    let counted = |row: &(u32, u32, Progress)| (row.1, row.2.account.counted);
    let mut partitions: Vec<_> = baselines[0].partitions.iter().map(counted).collect();
    partitions.sort_unstable();
    assert_eq!(partitions, [(0, 6), (1, 2)]);
    assert_eq!(baselines[0].totals.iter().map(|(_, sums)| sums.n).sum::<i64>(), 8);
}

pub(super) async fn an_accepted_loss_is_noted_with_a_baseline_and_moves_nothing_back(bed: Bed) {
    let store = &bed.store;
    let owner = store.claim(1, 0, [1; 16], 2).await.expect("a claim").owner;
    let first = Arc::new(commit(owner, &Progress::default(), 3, &["a"]));
    assert_eq!(store.commit(Arc::clone(&first)).await.0, Outcome::Committed { version: 1 });
    let before = first.parts[0].progress;
    let mut progress = before;
    progress.floor = progress.next;
    progress.account.lost_frames = 2;
    let loss = AcceptedLoss { reason: "the log was replaced".to_owned(), frames: 2 };
    let accepted = ledger::commit::Part {
        is_shortened: true,
        accepted: Some(loss.clone()),
        ..ledger::commit::Part::without_rows(owner, progress.next, progress)
    };
    let accepted = Arc::new(Commit::of(CommitId([9; 16]), vec![Arc::new(accepted)]));
    let (outcome, error) = store.commit(Arc::clone(&accepted)).await;
    assert_eq!(outcome, Outcome::Committed { version: 2 }, "{error:?}");
    let resolved = store.resolve(&accepted).await.expect("an answer");
    assert_eq!(resolved, Resolution::Committed { version: 2 });
    let later = Arc::new(commit(owner, &progress, 1, &["a"]));
    assert_eq!(store.commit(later).await.0, Outcome::Committed { version: 3 });
    let mut reader = store.read().await.expect("a reader");
    let rows = reader.accepted_losses().await.expect("rows");
    let row = rows.first().expect("a row");
    assert_eq!((rows.len(), row.version, row.generation, row.partition), (1, 2, 1, 0));
    assert_eq!((row.next, row.frames, &row.reason), (progress.next, 2, &loss.reason));
    assert!(row.accepted_us > 0);
    let baselines = reader.baselines().await.expect("baselines");
    assert_eq!((baselines.len(), baselines[0].version), (1, 2));
    assert_eq!(baselines[0].partitions[0].2, progress);
    assert_eq!(reader.partitions().await.expect("rows")[0].progress.account.counted, 4);
}

pub(super) async fn the_key_that_was_stored_first_comes_first(bed: Bed) {
    let store = &bed.store;
    for first_byte in [9, 1, 5] {
        store.put_key("ingest", "default", [first_byte; 32]).await.expect("stored");
    }
    let keys = store.keys("ingest").await.expect("keys");
    assert_eq!(keys.iter().map(|key| key.sha256[0]).collect::<Vec<_>>(), [9, 1, 5]);
    assert_eq!(store.keys("admin").await.expect("none"), []);
}

pub(super) async fn a_former_owner_is_fenced_and_an_unknown_outcome_is_resolved_in_each_way(
    bed: Bed,
) {
    let store = &bed.store;
    let old = store.claim(1, 0, [1; 16], 2).await.expect("a claim");
    let lost = Arc::new(commit(old.owner, &old.progress, 1, &["a"]));
    let fenced = Resolution::Absent { at_base: Vec::new() };
    let stranger = altered(&lost, |part| part.owner.partition = 9);
    assert_eq!(store.resolve(&stranger).await.expect("an answer"), fenced);
    assert_eq!(store.resolve(&lost).await.expect("an answer"), absent(&lost));
    assert_eq!(store.commit(Arc::clone(&lost)).await.0, Outcome::Committed { version: 1 });
    let committed = Resolution::Committed { version: 1 };
    assert_eq!(store.resolve(&lost).await.expect("an answer"), committed);
    let new = store.claim(1, 0, [2; 16], 2).await.expect("a claim");
    assert_eq!((new.owner.epoch, new.progress.next), (2, 1));
    assert_eq!(store.resolve(&lost).await.expect("an answer"), committed, "it took effect");
    let late = Arc::new(commit(old.owner, &lost.parts[0].progress, 5, &["a"]));
    assert_eq!(store.commit(Arc::clone(&late)).await.0, refused(&[0]));
    assert_eq!(store.resolve(&late).await.expect("an answer"), fenced);
    // Each part of the fence by itself: a restored ledger hands out an epoch again, never a nonce.
    let mine = commit(new.owner, &new.progress, 5, &["a"]);
    let others: [fn(&mut ledger::commit::Part); 5] = [
        |part| part.owner.epoch -= 1,
        |part| part.owner.nonce = [1; 16],
        |part| part.owner.partition = 7,
        |part| part.owner.generation = 7,
        |part| part.base += 1,
    ];
    for (idx, change) in others.into_iter().enumerate() {
        let other = Arc::new(altered(&mine, change));
        let outcome = refused(&[other.parts[0].owner.partition]);
        assert_eq!(store.commit(Arc::clone(&other)).await.0, outcome, "part {idx}");
        assert_eq!(store.resolve(&other).await.expect("an answer"), fenced, "part {idx}");
    }
    assert_eq!(total(store).await, 1);
    assert_eq!(store.commit(Arc::new(mine)).await.0, Outcome::Committed { version: 2 });
    assert_eq!(total(store).await, 6);
}

pub(super) async fn a_commit_that_fails_at_any_statement_leaves_no_trace_and_works_when_tried_again(
    bed: Bed,
) {
    let store = &bed.store;
    let claim = store.claim(1, 0, [1; 16], 2).await.expect("a claim");
    let mut progress = claim.progress;
    let mut expected = 0;
    for n_statements in 0..100 {
        // Series that are known and new ones, in more than one statement each.
        let new = ["x", "y", "z"].map(|name| format!("{name}{n_statements}"));
        let names = ["a", "b", "c", "d", &new[0], &new[1], &new[2]];
        let next = Arc::new(commit(claim.owner, &progress, 1, &names));
        let fail_after = fail_after(store).await;
        fail_after.set(Some(n_statements));
        let (outcome, _) = store.commit(Arc::clone(&next)).await;
        fail_after.set(None);
        if let Outcome::Committed { .. } = outcome {
            assert!(n_statements >= 20, "all statements were tried: {n_statements}");
            return;
        }
        // On a server nobody knows what became of a COMMIT that failed; it is looked up.
        if outcome == Outcome::Unknown && bed.is_server() {
            assert_eq!(store.resolve(&next).await.expect("an answer"), absent(&next));
        } else {
            assert_eq!(outcome, Outcome::Aborted);
        }
        assert_eq!(total(store).await, expected);
        let (outcome, error) = store.commit(Arc::clone(&next)).await;
        assert!(matches!(outcome, Outcome::Committed { .. }), "{error:?}");
        progress = next.parts[0].progress;
        expected += 7;
        assert_eq!(total(store).await, expected);
    }
    panic!("a commit has fewer than 100 statements");
}

pub(super) async fn a_commit_that_breaks_a_rule_of_the_ledger_is_fatal_and_leaves_no_trace(
    bed: Bed,
) {
    let store = &bed.store;
    let claim = store.claim(1, 0, [1; 16], 2).await.expect("a claim");
    let mut unbalanced = part(claim.owner, &claim.progress, 1, &["a"]);
    unbalanced.progress.account = Account { events: 5, counted: 1, ..Account::default() };
    let (outcome, error) = store.commit(Arc::new(joint([unbalanced]))).await;
    assert!(outcome == Outcome::Aborted && error.is_some_and(|error| error.is_fatal()));
    assert!(*store.fatal().borrow());
    let huge = commit(claim.owner, &claim.progress, 1, &["a"]);
    let huge = Arc::new(altered(&huge, |part| {
        Arc::make_mut(&mut part.rows).totals[0].2.n = i64::MAX;
    }));
    assert_eq!(store.commit(Arc::clone(&huge)).await.0, Outcome::Committed { version: 1 });
    let overflow = Arc::new(commit(claim.owner, &huge.parts[0].progress, 1, &["a"]));
    let (outcome, error) = store.commit(overflow).await;
    assert!(outcome == Outcome::Aborted && error.is_some_and(|error| error.is_fatal()));
}

pub(super) async fn a_reader_keeps_its_version_while_commits_go_on(bed: Bed) {
    let store = &bed.store;
    let claim = store.claim(1, 0, [1; 16], 2).await.expect("a claim");
    let first = Arc::new(commit(claim.owner, &claim.progress, 1, &["a"]));
    store.commit(Arc::clone(&first)).await;
    let other = bed.open_read_only().await;
    let mut reader = other.read().await.expect("a reader");
    store.commit(Arc::new(commit(claim.owner, &first.parts[0].progress, 1, &["a"]))).await;
    assert_eq!(reader.as_of().version, 1);
    assert_eq!(reader.total_rows(None).await.expect("totals")[0].1.n, 1);
    assert_eq!(total(&other).await, 2);
    assert!(matches!(other.claim(1, 0, [9; 16], 2).await, Err(StoreError::ReadOnly)));
}

pub(super) async fn generations_are_made_once_and_keep_their_secret(bed: Bed) {
    let store = &bed.store;
    let made = store.generation(1, 3).await.expect("made");
    assert_eq!(store.generation(1, 3).await.expect("found"), made);
    assert!(matches!(store.generation(1, 4).await, Err(StoreError::Partitions { .. })));
    store.close().await;
    let store = bed.open().await;
    assert_eq!(store.generation(1, 3).await.expect("found"), made);
}

pub(super) async fn budgets_hold_and_what_was_registered_stays(bed: Bed) {
    let store = &bed.store;
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
    let mut codes = store.label_names(LabelKind::Namespace).await.expect("names");
    codes.sort_unstable();
    let mut expected = [&*known[0].code, &known[1].code, "by-hand"];
    expected.sort_unstable();
    assert_eq!(codes, expected);
    assert!(store.label_names(LabelKind::Model).await.expect("names").is_empty());
    assert_eq!((made.name.as_str(), made.status), ("By hand", NamespaceStatus::Enabled));
    let again = store.create_namespace("by-hand", "x").await;
    assert!(matches!(again, Err(StoreError::Exists(_))));
    let (_, before) = store.read_with_stamp().await.expect("a reader");
    let off = store.set_namespace_status(made.id, NamespaceStatus::Disabled).await;
    let (_, after) = store.read_with_stamp().await.expect("a reader");
    assert_eq!((before.version, before.namespaces), (0, 3));
    assert_eq!((before.oldest_minute, before.oldest_quarter), (None, None));
    assert!(after.namespaces == 3 && after.changed_us > before.changed_us, "{after:?}");
    assert_eq!(off.expect("answer").expect("found").status, NamespaceStatus::Disabled);
    let none = store.set_namespace_status(99, NamespaceStatus::Disabled).await;
    assert_eq!(none.expect("answer"), None);
    let mut reader = store.read().await.expect("a reader");
    let enabled = |row: &NamespaceRow| row.status == NamespaceStatus::Enabled;
    let all = reader.namespaces_after(0).await.expect("rows");
    assert_eq!((all.iter().filter(|row| enabled(row)).count(), all.len()), (2, 3));
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

pub(super) async fn old_rows_are_deleted_and_totals_stay(bed: Bed) {
    let store = &bed.store;
    let claim = store.claim(1, 0, [1; 16], 2).await.expect("a claim");
    store.commit(Arc::new(commit(claim.owner, &claim.progress, 1, &["a"]))).await;
    let row = |active, seen_us| ConnectionsRow {
        gateway: "g".to_owned(),
        namespace: "a".to_owned(),
        active,
        seen_us,
    };
    store.put_connections(vec![row(5, 100), row(3, 90)]).await.expect("kept");
    store.put_raw_letters(vec![raw_letter(0, "syntax")], 10).await.expect("kept");
    let mut reader = store.read().await.expect("a reader");
    assert_eq!(reader.connections(99).await.expect("rows"), [("a".to_owned(), 5)]);
    drop(reader);
    let keep = Keep { minute_us: 0, quarter_us: 0, consumer_us: 0, journal_us: 0, letter_us: 0 };
    let far = Wall::from_us(Wall::now().as_us() + 3 * 24 * 3_600 * 1_000_000);
    let retained = store.retain(far, &keep).await.expect("retained");
    assert!(retained.deleted >= 5 && !retained.more, "{retained:?}");
    let mut reader = store.read().await.expect("a reader");
    assert_eq!(reader.oldest_quarter().await.expect("answer"), None);
    assert_eq!(reader.letters().await.expect("letters"), []);
    let all = LetterFilter { limit: 9, ..LetterFilter::default() };
    assert_eq!(reader.raw_letters(&all).await.expect("letters"), []);
    assert_eq!(total(store).await, 1);
}

fn raw_letter(offset: u64, kind: &str) -> RawLetter {
    RawLetter {
        topic: "gatemeter.raw".to_owned(),
        topic_id: "AAAAAAAAAAAAAAAAAAAAAQ".to_owned(),
        partition: 3,
        offset,
        idx: 0,
        until: offset,
        n: 1,
        kind: kind.to_owned(),
        field: "time".to_owned(),
        reason: format!("message {offset}: {}", "\u{e9}".repeat(200)),
        event_id: Some(format!("id-{offset}")),
        stored_us: 0,
    }
}

pub(super) async fn letters_of_raw_topics_are_kept_once_and_within_their_cap(bed: Bed) {
    let store = &bed.store;
    let first = vec![raw_letter(7, "syntax"), raw_letter(8, "missing")];
    store.put_raw_letters(first.clone(), 3).await.expect("kept");
    store.put_raw_letters(first, 3).await.expect("kept already");
    let flood = (9..20).map(|n| raw_letter(n, if n == 12 { "type" } else { "syntax" })).collect();
    store.put_raw_letters(flood, 3).await.expect("kept");
    let mut reader = store.read().await.expect("a reader");
    let all = LetterFilter { limit: 99, ..LetterFilter::default() };
    let mut found = reader.raw_letters(&all).await.expect("letters");
    found.sort_by_key(|letter| letter.offset);
    let places: Vec<_> = found.iter().map(|l| (l.offset, l.until, l.n, l.kind.as_str())).collect();
    let singles = [(7, 7, 1, "syntax"), (8, 8, 1, "missing"), (9, 9, 1, "syntax")];
    assert_eq!(places[..3], singles);
    assert_eq!(places[3..], [(10, 19, 9, "syntax"), (12, 12, 1, "type")], "beyond the cap");
    assert_eq!(found[0].event_id.as_deref(), Some("id-7"));
    assert!(found[0].reason.len() <= 255 && found[0].reason.starts_with("message 7: "));
    assert_eq!((found[3].event_id.as_deref(), found[3].reason.as_str()), (None, ""));
    let of_kind = LetterFilter { word: Some("type".to_owned()), ..all.clone() };
    assert_eq!(reader.raw_letters(&of_kind).await.expect("letters").len(), 1);
    let later = LetterFilter { since_us: found[0].stored_us + 3_600_000_000, ..all.clone() };
    assert_eq!(reader.raw_letters(&later).await.expect("letters"), []);
    let here = reader.raw_letters_at("gatemeter.raw", None, 3, 8).await.expect("letters");
    assert_eq!(here.len(), 1);
    drop(reader);
    // The same address in a topic that was made anew.
    let id = "AAAAAAAAAAAAAAAAAAAAAg";
    let again = RawLetter { topic_id: id.to_owned(), ..raw_letter(8, "range") };
    store.put_raw_letters(vec![again], 99).await.expect("kept");
    let mut reader = store.read().await.expect("a reader");
    let here = reader.raw_letters_at("gatemeter.raw", None, 3, 8).await.expect("letters");
    assert_eq!(here.len(), 2);
    let here = reader.raw_letters_at("gatemeter.raw", Some(id), 3, 8).await.expect("letters");
    assert_eq!((here.len(), here[0].kind.as_str()), (1, "range"));
    drop(reader);
    let claim = store.claim(1, 0, [1; 16], 2).await.expect("a claim");
    store.commit(Arc::new(commit(claim.owner, &claim.progress, 1, &["a"]))).await;
    let mut reader = store.read().await.expect("a reader");
    let listed = reader.log_letters(&all).await.expect("letters");
    assert_eq!((listed.len(), listed[0].content.as_deref()), (1, None));
    let LogLetter { generation, partition, offset, idx, .. } = listed[0];
    let whole = reader.log_letter(generation, partition, offset, idx).await.expect("a letter");
    assert!(whole.expect("it is there").content.is_some());
    assert_eq!(reader.log_letter(9, 9, 9, 9).await.expect("an answer"), None);
}

fn raw_place(topic_id: &str, partition: u32, next: u64, high: u64) -> RawPlace {
    let (topic, topic_id) = ("gatemeter.raw".to_owned(), topic_id.to_owned());
    RawPlace { topic, topic_id, partition, next, high }
}

pub(super) async fn what_a_topic_made_anew_left_unread_is_told_once(bed: Bed) {
    let store = &bed.store;
    let put = async |places: Vec<RawPlace>| {
        store.put_raw_places("group", places, Vec::new()).await.expect("kept");
    };
    let settle = async |known: RawPlace, id: &str| {
        let known = Known::Read(known);
        store.settle_raw_place("group", known, id.to_owned()).await.expect("an answer")
    };
    put(vec![raw_place("a", 0, 5, 9), raw_place("a", 1, 7, 7), raw_place("a", 2, 1, 4)]).await;
    put(vec![raw_place("a", 0, 6, 8), raw_place("b", 1, 100, 200)]).await;
    // Who had the partition knows best, but never less than the ledger does.
    let settled = settle(raw_place("a", 0, 7, 8), "b").await.expect("the first");
    assert_eq!((settled.place.next, settled.place.high), (7, 9));
    assert_eq!(settle(raw_place("a", 0, 0, 99), "b").await, None, "another was faster");
    put(vec![raw_place("a", 0, 50, 50), raw_place("b", 0, 2, 3)]).await;
    let rest = store.settle_raw_topic("group", "gatemeter.raw", "b".to_owned()).await;
    let mut rest = rest.expect("an answer");
    rest.sort_by_key(|settled| settled.place.partition);
    let unread: Vec<_> = rest.iter().map(|s| (s.place.partition, s.place.unread())).collect();
    assert_eq!(unread, [(1, 0), (2, 3)], "what a place of another topic said was not believed");
    let other = store.settle_raw_topic("other group", "gatemeter.raw", "c".to_owned()).await;
    assert_eq!(other.expect("an answer"), []);
    let settled = settle(raw_place("b", 0, 1, 1), "c").await.expect("the first");
    assert_eq!((settled.place.next, settled.place.high), (2, 3), "it began anew");
    let settled = settle(raw_place("x", 7, 1, 3), "c").await.expect("nobody knew of it");
    assert_eq!(settled.place.unread(), 2);
    assert_eq!(settle(raw_place("x", 7, 1, 3), "c").await, None, "it is known now");
    // Who has only seen a topic tells nothing of one that the ledger does not know any more.
    let seen = async |known: RawPlace, id: &str| {
        let known = Known::Seen(known);
        store.settle_raw_place("group", known, id.to_owned()).await.expect("an answer")
    };
    assert_eq!(seen(raw_place("a", 0, 0, 9), "d").await, None, "it was told");
    let settled = seen(raw_place("c", 0, 4, 9), "d").await.expect("the first");
    assert_eq!(settled.place.unread(), 5);
    assert_eq!(seen(raw_place("c", 0, 4, 9), "d").await, None, "another was faster");
    let settled = seen(raw_place("y", 8, 1, 3), "d").await.expect("nobody knew of it");
    assert_eq!(settled.place.unread(), 2);
    assert_eq!(seen(raw_place("y", 8, 1, 3), "d").await, None, "it is known now");
    // What may have to be settled first is kept only where the ledger has the same topic.
    let known = vec![raw_place("d", 0, 2, 6), raw_place("e", 8, 1, 1), raw_place("d", 9, 3, 3)];
    store.put_raw_places("group", Vec::new(), known).await.expect("kept");
    let settled = seen(raw_place("d", 0, 0, 0), "e").await.expect("the first");
    assert_eq!((settled.place.next, settled.place.high), (2, 6));
    let settled = seen(raw_place("d", 8, 0, 0), "e").await.expect("the first");
    assert_eq!((settled.place.next, settled.place.high), (0, 0), "of another topic");
    let settled = seen(raw_place("d", 9, 0, 0), "e").await.expect("nobody knew of it");
    assert_eq!(settled.place.high, 0);
    let mut reader = store.read().await.expect("a snapshot");
    let kept = reader.topic_id("group", "gatemeter.raw", 9).await.expect("an answer");
    assert_eq!(kept.as_deref(), Some("e"));
    assert_eq!(reader.topic_id("group", "gatemeter.raw", 77).await.expect("an answer"), None);
}
