//! Whole runs against the receiver of `fake`.

mod fake;
mod keep;
mod ways;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use clock::Wall;
use serde_json::Value;

use crate::Session;
use crate::args::ReplayArgs;
use crate::broken::FAULTS;
use crate::item::{Attempt, Batch, Class, MINUTE_US};
use crate::past::Past;
use crate::plan::Plan;
use crate::setup::Setup;
use crate::source::Source;
use crate::tape::{Tape, Ways};
use fake::{Act, Fake, Tally};

const MIXED: &str = "synthetic --count 3000 --batch 100 --duplicates 5% --late 2% --future 1% \
    --malformed 2% --seed 7";

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: ReplayArgs,
}

fn args(words: &str) -> ReplayArgs {
    let words = words.split_whitespace();
    Cli::try_parse_from(["replay", "--quiet", "--json"].into_iter().chain(words)).unwrap().args
}

fn nowhere() -> Ways {
    Ways { to: "http://127.0.0.1:9".to_owned(), also: None }
}

/// `play` without Kafka.
async fn play(
    args: ReplayArgs,
    interrupt: impl Future<Output = ()>,
    out: &mut Vec<u8>,
) -> anyhow::Result<ExitCode> {
    crate::play(args, |_| anyhow::bail!("there is no Kafka"), interrupt, out).await
}

async fn run(words: &str, fake: &Fake) -> (ExitCode, Value) {
    let words = format!("{words} --to http://{}", fake.address);
    let mut out = Vec::new();
    let code = play(args(&words), std::future::pending(), &mut out).await.unwrap();
    (code, serde_json::from_slice(&out).unwrap())
}

/// What must be shown is what was counted, and each class lies between its figure and what lost
/// answers can add to it.
fn assert_agree(report: &Value, tally: &Tally) {
    let number = |pointer: &str| report.pointer(pointer).unwrap().as_u64().unwrap();
    assert_eq!(number("/events/counted"), tally.events.counted);
    assert_eq!(number("/requests"), tally.requests);
    assert_eq!(number("/tokens/input"), tally.input);
    assert_eq!(number("/tokens/output"), tally.output);
    assert_eq!(number("/tokens/cache_read"), tally.cache_read);
    assert_eq!(number("/tokens/reasoning"), tally.reasoning);
    assert_eq!(report["namespaces"], serde_json::to_value(&tally.namespaces).unwrap());
    assert_eq!(report["status"], serde_json::to_value(&tally.status).unwrap());
    let shown = serde_json::to_value(tally.events).unwrap();
    for class in ["duplicate", "late", "future", "rejected"] {
        let least = number(&format!("/events/{class}"));
        let most = least + number(&format!("/extra_at_most/{class}"));
        let met = shown[class].as_u64().unwrap();
        assert!((least..=most).contains(&met), "{class}: {met} of {least}..={most}");
    }
}

#[tokio::test]
async fn a_mixed_run_ends_with_the_totals_that_the_receiver_counted() {
    let fake = Fake::start(|_| Act::Answer).await;
    let (code, report) = run(MIXED, &fake).await;
    assert_agree(&report, &fake.tally());
    assert_eq!(code, ExitCode::SUCCESS);
    assert_eq!(report["events"]["counted"], 3_000);
    assert_eq!(report["extra_at_most"]["duplicate"], 0);
    for class in ["duplicate", "late", "future", "rejected"] {
        assert!(report["events"][class].as_u64().unwrap() > 5, "{class}");
    }
}

#[tokio::test]
async fn compressed_bodies_carry_the_same_events() {
    let plain = Fake::start(|_| Act::Answer).await;
    let (_, expected) = run(&format!("{MIXED} --run-id r"), &plain).await;
    for how in ["none", "gzip", "zstd"] {
        let fake = Fake::start(|n| if n == 2 { Act::TakeThenBusy } else { Act::Answer }).await;
        let (code, report) = run(&format!("{MIXED} --run-id r --compress {how}"), &fake).await;
        assert_agree(&report, &fake.tally());
        assert_eq!(code, ExitCode::SUCCESS);
        for part in ["events", "requests", "tokens", "namespaces", "status"] {
            assert_eq!(report[part], expected[part], "{how}");
        }
    }
}

#[tokio::test]
async fn bundled_traces_are_sent_whole_within_their_window() {
    let fake = Fake::start(|_| Act::Answer).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/azure-llm-trace");
    let file = |name: &str| folder.join(format!("AzureLLMInferenceTrace_{name}.csv.gz"));
    let words = format!("azure:{},{}", file("code").display(), file("conv").display());
    let (code, report) = run(&words, &fake).await;
    assert_agree(&report, &fake.tally());
    assert_eq!(code, ExitCode::SUCCESS);
    assert_eq!(report["requests"], 28_185);
    assert_eq!(report["tokens"]["input"], 40_421_844);
    assert_eq!(report["tokens"]["output"], 4_334_561);
    assert!(report["remark"].as_str().unwrap().contains("drawn by seed"));
    let (first_us, last_us) = fake.tally().span_us.unwrap();
    assert_eq!(last_us - first_us, 45 * MINUTE_US);
}

#[tokio::test]
async fn clients_of_a_servegen_trace_are_sent_with_everything_mixed_in() {
    let fake = Fake::start(|n| if n % 9 == 4 { Act::TakeThenBusy } else { Act::Answer }).await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/servegen/deepseek-r1");
    let words = format!(
        "servegen:{} --window 1h-2h --count 9000 --duplicates 5% --late 1% --compress zstd",
        folder.display()
    );
    let (code, report) = run(&words, &fake).await;
    assert_agree(&report, &fake.tally());
    assert_eq!(code, ExitCode::SUCCESS);
    assert_eq!(report["events"]["counted"], 9_000);
    assert!(report["tokens"]["reasoning"].as_u64().unwrap() > 0);
    assert!(report["namespaces"]["client-35"]["requests"].as_u64().unwrap() > 100);
    assert!(report["remark"].as_str().unwrap().contains("drawn by seed"));
    let (first_us, last_us) = fake.tally().span_us.unwrap();
    assert_eq!(last_us - first_us, 45 * MINUTE_US);
}

#[tokio::test]
async fn servegen_folder_that_changed_is_not_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let dataset = r#"{"0": {"input_tokens": "{10: 1.0}", "output_tokens": "{5: 1.0}"}}"#;
    for number in [1, 2] {
        put(&format!("chunk-{number}-trace.csv"), "0,0.1,1,Gamma,1,10\n");
        put(&format!("chunk-{number}-dataset.json"), dataset);
    }
    std::fs::create_dir(folder.path().join("tapes")).unwrap();
    let tape = folder.path().join("tapes/tape");
    let fake = Fake::start(|_| Act::Answer).await;
    let words = format!("servegen:{} --tape {}", folder.path().display(), tape.display());
    let (_, report) = run(&words, &fake).await;
    assert_eq!(
        (&report["events"]["counted"], &report["tokens"]["input"]),
        (&120.into(), &1_200.into())
    );
    let resume = args(&format!("--resume {}", tape.display()));
    assert!(Session::open(&resume).is_ok());
    put("chunk-3-trace.csv", "");
    put("chunk-3-dataset.json", dataset);
    let fault = Session::open(&resume).err().unwrap().to_string();
    assert!(fault.contains("have changed since run"), "{fault}");
}

#[tokio::test]
async fn lost_answers_are_asked_for_again_with_the_same_events() {
    let fake = Fake::start(|n_requests| match n_requests % 7 {
        1 => Act::Busy,
        3 => Act::TakeThenBusy,
        5 => Act::TakeThenBreak,
        _ => Act::Answer,
    })
    .await;
    let (code, report) = run(&format!("{MIXED} --connections 4"), &fake).await;
    assert_agree(&report, &fake.tally());
    assert_eq!(code, ExitCode::SUCCESS);
    assert!(report["retries"].as_u64().unwrap() > 5);
    assert!(fake.tally().events.duplicate > report["events"]["duplicate"].as_u64().unwrap());
}

#[tokio::test]
async fn a_killed_run_goes_on_from_its_tape_to_the_same_totals() {
    let folder = tempfile::tempdir().unwrap();
    let tape = folder.path().join("tape");
    let whole = Fake::start(|_| Act::Answer).await;
    let (_, straight) = run(MIXED, &whole).await;
    let fake = Fake::start(|n_requests| match n_requests {
        ..9 => Act::Answer,
        9 => Act::TakeThenHang,
        _ => Act::TakeThenBusy,
    })
    .await;
    let words = format!("{MIXED} --tape {} --to http://{}", tape.display(), fake.address);
    let first = tokio::spawn(async move {
        let mut out = Vec::new();
        play(args(&words), std::future::pending(), &mut out).await.map(drop)
    });
    fake.wait_for(12).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    wait_until_released(&tape).await;
    // The crash tore the last line, which was never synced and so never sent.
    let mut torn = std::fs::read(&tape).unwrap();
    torn.extend_from_slice(b"{\"kind\":\"batch\",\"ba");
    std::fs::write(&tape, torn).unwrap();
    fake.heal();
    let (code, report) = run(&format!("--resume {}", tape.display()), &fake).await;
    assert_agree(&report, &fake.tally());
    assert_eq!(code, ExitCode::SUCCESS);
    for part in ["events", "requests", "tokens", "namespaces", "status"] {
        assert_eq!(report[part], straight[part], "{part}");
    }
    let (again, last) = run(&format!("--resume {}", tape.display()), &fake).await;
    assert_eq!(again, ExitCode::SUCCESS);
    assert_eq!(last["events"], report["events"]);
    assert_eq!(last["extra_at_most"], report["extra_at_most"]);
    assert_eq!(last["events_per_second"], 0.0, "nothing is left to send");
}

/// A write that the abort overtook still holds the tape for a moment.
async fn wait_until_released(tape: &Path) {
    let file = std::fs::File::open(tape).unwrap();
    let released = async {
        while file.try_lock().is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), released).await.unwrap();
}

#[tokio::test]
async fn a_refusal_ends_the_run_and_is_not_tried_again() {
    let fake = Fake::start(|_| Act::Refuse(401)).await;
    let (code, report) = run(&format!("{MIXED} --connections 1"), &fake).await;
    assert_eq!(code, ExitCode::FAILURE);
    assert_eq!(report["retries"], 0);
    assert_eq!(report["unknown_batches"], 0, "a refused batch is known not to be counted");
    assert!(report["stopped"].as_str().unwrap().contains("401"), "{report}");
}

#[tokio::test]
async fn a_run_that_gives_up_says_what_is_unknown() {
    let fake = Fake::start(|n| if n == 1 { Act::Answer } else { Act::TakeThenBusy }).await;
    let words = "synthetic --count 100 --batch 10 --connections 1 --give-up-after 1s";
    let (code, report) = run(words, &fake).await;
    assert_eq!(code, ExitCode::FAILURE);
    assert_eq!(report["exact"], false);
    assert_eq!(report["events"]["counted"], 10);
    assert_eq!(report["unknown"]["counted"], 10);
    assert_eq!(report["unknown_batches"], 1);
}

#[tokio::test]
async fn without_a_receiver_nothing_is_unknown() {
    let fake = Fake::start(|_| Act::Answer).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = listener.local_addr().unwrap();
    drop(listener);
    let words = format!("synthetic --count 10 --give-up-after 1s --to http://{closed}");
    let mut out = Vec::new();
    let code = play(args(&words), std::future::pending(), &mut out).await.unwrap();
    let report: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(code, ExitCode::FAILURE);
    assert_eq!(report["unknown_batches"], 0);
    assert_eq!(report["events"]["counted"], 0);
    assert_eq!(fake.tally().events.counted, 0);
}

#[tokio::test]
async fn an_event_that_is_rejected_against_expectation_makes_the_totals_uncertain() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events");
    let time_us = Wall::now().as_us();
    let event = |id: &str, namespace: &str| {
        format!(
            r#"{{"id":"{id}","time":{time_us},"namespace":"{namespace}","upstream":"u",
            "endpoint":"/e","status":200,"duration_ms":1,"usage":{{"input_tokens":3}}}}"#
        )
        .replace('\n', " ")
    };
    let connections = r#"{"kind":"connections","namespace":"a","active":3}"#;
    let lines =
        [event("1", "a"), connections.to_string(), event("2", "none"), event("1", "a")].join("\n");
    std::fs::write(&file, lines).unwrap();
    let fake = Fake::start(|_| Act::Answer).await;
    let (code, report) = run(&format!("ndjson:{}", file.display()), &fake).await;
    assert_agree(&report, &fake.tally());
    assert_eq!(code, ExitCode::FAILURE);
    assert_eq!(report["events"]["counted"], 1);
    assert_eq!(report["events"]["duplicate"], 1);
    assert_eq!(report["surprises"], 1);
    assert!(report["remark"].as_str().unwrap().contains("1 reports of connections"));
}

#[tokio::test]
async fn a_tape_whose_events_would_turn_late_is_refused_and_accounted_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tape");
    let words = "synthetic --count 30 --batch 10 --times fit:45m --run-id old";
    let setup = Setup::from_args(&args(words), Wall::now().as_us() - 20 * MINUTE_US).unwrap();
    let tape = Tape::create(&path, &setup, &nowhere()).unwrap();
    let mut plan = Plan::new(Source::open(&setup).unwrap(), &setup);
    let batch = plan.next_batch(setup.base_us).unwrap().unwrap();
    tape.write_synced(vec![crate::tape::Line::batch(&batch)]).await.unwrap();
    drop(tape);
    let fake = Fake::start(|_| Act::Answer).await;
    let (code, report) = run(&format!("--resume {}", path.display()), &fake).await;
    assert_eq!(code, ExitCode::FAILURE);
    assert!(report["stopped"].as_str().unwrap().contains("turns late"), "{report}");
    assert_eq!(report["unknown"]["counted"], 10);
    assert_eq!(fake.tally().events.counted, 0);
}

#[tokio::test]
async fn a_pace_that_would_let_the_trace_turn_late_is_refused_beforehand() {
    let words = args("synthetic --count 100000 --times fit:45m --rate 100 --to http://127.0.0.1:9");
    let fault = play(words, std::future::pending(), &mut Vec::new()).await.unwrap_err();
    assert!(fault.to_string().contains("raise --rate"), "{fault}");
}

#[test]
fn the_tape_holds_what_the_receiver_must_make_of_each_event() {
    let folder = tempfile::tempdir().unwrap();
    let words = format!("{MIXED} --run-id t --tape {}", folder.path().display());
    let Session { setup, tape, .. } = Session::open(&args(&words)).unwrap();
    let tape = tape.unwrap();
    assert_eq!(tape.path(), folder.path().join("replay-t.tape.ndjson"));
    let mut plan = Plan::new(Source::open(&setup).unwrap(), &setup);
    let batch = plan.next_batch(setup.base_us).unwrap().unwrap();
    tape.write(&[crate::tape::Line::batch(&batch)]).unwrap();
    let text = std::fs::read_to_string(tape.path()).unwrap();
    let line: Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    for (item, event) in batch.items.iter().zip(line["events"].as_array().unwrap()) {
        assert_eq!(event[0], *item.id);
        assert_eq!(event[1], item.time_us);
        assert_eq!(event[6], item.effect.status);
        assert_eq!(event[8][0], serde_json::json!(item.effect.tokens.map(|t| t.input)));
    }
    let busy = Past::open(&tape.path()).unwrap_err();
    assert!(busy.to_string().contains("another run"), "{busy}");
    drop(tape);
    let again = Session::open(&args(&words)).err().unwrap();
    assert!(format!("{again:#}").contains("cannot create the tape"), "{again:#}");
}

fn batches(words: &str, base_us: i64) -> Vec<Batch> {
    let setup = Setup::from_args(&args(words), base_us).unwrap();
    let mut plan = Plan::new(Source::open(&setup).unwrap(), &setup);
    std::iter::from_fn(|| plan.next_batch(base_us).unwrap()).collect()
}

#[test]
fn same_seed_and_options_give_the_same_events_apart_from_base_and_run_id() {
    let (early, later) = (1_700_000_000_000_000, 1_800_000_000_000_000);
    for seed in 0..40 {
        let shape = format!(
            "synthetic --seed {seed} --count {} --batch {} --namespaces {} --duplicates {}% \
             --late {}% --future 3% --malformed 4% --times {}",
            50 + seed * 13,
            1 + seed * 7 % 90,
            1 + seed % 30,
            seed * 5,
            seed % 4,
            if seed % 2 == 0 { "now" } else { "fit:30m" },
        );
        let first = batches(&format!("{shape} --run-id aaaa"), early);
        assert_eq!(first, batches(&format!("{shape} --run-id aaaa"), early), "seed {seed}");
        let second = batches(&format!("{shape} --run-id bbbb"), later);
        assert_eq!(first.len(), second.len());
        for (one, two) in first.iter().zip(&second) {
            assert_eq!(one.items.len(), two.items.len());
            for (a, b) in one.items.iter().zip(&two.items) {
                assert_eq!(a.id.replace("aaaa", "bbbb"), *b.id);
                assert_eq!(a.time_us - early, b.time_us - later);
                assert_eq!((a.class, &a.effect), (b.class, &b.effect));
            }
        }
    }
}

#[test]
fn what_is_mixed_in_leaves_the_good_events_as_they_are() {
    let good = |words: &str| -> Vec<_> {
        let all = batches(words, 1_700_000_000_000_000);
        let items = all.into_iter().flat_map(|batch| batch.items);
        items.filter(|item| item.class == Class::Counted).collect()
    };
    let plain = good("synthetic --count 2000 --run-id r");
    let mixed = "synthetic --count 2000 --run-id r --duplicates 150% --late 9% --malformed 9%";
    assert_eq!(plain.len(), 2_000);
    assert_eq!(plain, good(mixed));
}

#[test]
fn copies_follow_their_event_some_near_and_some_far() {
    let all = batches("synthetic --count 20000 --duplicates 5% --run-id r", 1_700_000_000_000_000);
    let mut seen = std::collections::HashMap::new();
    let (mut n_near, mut n_far) = (0, 0);
    for batch in &all {
        for item in &batch.items {
            if item.class == Class::Counted {
                assert!(seen.insert(&item.id, (batch.number, item)).is_none());
                continue;
            }
            let (number, original) = seen[&item.id];
            assert_eq!((&item.body, item.time_us), (&original.body, original.time_us));
            if number == batch.number { n_near += 1 } else { n_far += 1 }
        }
    }
    assert!((900..1_100).contains(&(n_near + n_far)), "{n_near} {n_far}");
    assert!(n_near > 200 && n_far > 500, "{n_near} {n_far}");
}

#[test]
fn late_and_future_events_keep_clear_of_the_limits() {
    let base_us = 1_700_000_000_000_000;
    let words = "synthetic --count 3000 --late 30% --future 30%";
    for item in batches(words, base_us).iter().flat_map(|batch| &batch.items) {
        let ahead_us = item.time_us - base_us;
        match item.class {
            Class::Late => assert!((-120 * MINUTE_US..=-62 * MINUTE_US).contains(&ahead_us)),
            // Six minutes and the two of --give-up-after, so that it stays one to the last retry.
            Class::Future => {
                assert!((8 * MINUTE_US..=365 * 1_440 * MINUTE_US).contains(&ahead_us));
            }
            _ => assert_eq!(ahead_us, 0),
        }
    }
}

#[test]
fn batches_keep_to_their_bounds_in_events_and_bytes() {
    let all = batches("synthetic --count 9000 --batch 2000", 1_700_000_000_000_000);
    let n_items: usize = all.iter().map(|batch| batch.items.len()).sum();
    assert_eq!(n_items, 9_000);
    assert!(all.iter().all(|batch| batch.items.len() <= 2_000 && batch.body.len() <= 1_000_002));
}

#[test]
fn ingest_takes_every_good_event_as_it_was_meant_and_nothing_malformed() {
    let words = "synthetic --count 4000 --batch 300 --malformed 20% --late 5%";
    for batch in batches(words, 1_700_000_000_000_000) {
        let parsed = event::native::parse(&batch.body).unwrap();
        assert_eq!(parsed.n_items, batch.items.len());
        for reject in &parsed.rejects {
            let item = &batch.items[reject.index];
            assert_eq!(item.class, Class::Rejected, "{reject:?} of {}", item.body);
        }
        for (event_idx, event) in &parsed.events {
            let item = &batch.items[*event_idx];
            assert_ne!(item.class, Class::Rejected, "accepted: {}", item.body);
            assert_eq!((&*event.id, event.time_us), (&*item.id, item.time_us));
            let effect = &item.effect;
            assert_eq!((&*event.namespace, event.status), (&*effect.namespace, effect.status));
            assert_eq!(event.outcome(), effect.outcome);
            assert_eq!(event.is_final, effect.attempt == Attempt::Final);
            let tokens = effect.tokens.unwrap_or_default();
            let count = |sent: Option<u32>| u64::from(sent.unwrap_or(0));
            assert_eq!(event.usage.is_present(), effect.tokens.is_some());
            assert_eq!(count(event.usage.input), tokens.input);
            assert_eq!(count(event.usage.output), tokens.output);
            assert_eq!(count(event.usage.cache_read), tokens.cache_read);
            assert_eq!(count(event.usage.cache_write), tokens.cache_write);
            assert_eq!(count(event.usage.reasoning), tokens.reasoning);
        }
    }
}

#[test]
fn ingest_rejects_each_kind_of_fault() {
    let good = batches("synthetic --count 1", 1_700_000_000_000_000)[0].items[0].body.to_string();
    for (name, fault) in FAULTS {
        let mut event = serde_json::from_str(&good).unwrap();
        fault(&mut event);
        let body = Value::Array(vec![Value::Object(event)]).to_string();
        let parsed = event::native::parse(body.as_bytes()).unwrap();
        assert_eq!((parsed.events.len(), parsed.rejects.len()), (0, 1), "{name}");
    }
}
