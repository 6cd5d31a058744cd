//! Random faults on the whole stack under load, and at the end the invariants of docs/counting.md.
//!
//! scripts/chaos.sh builds and runs this with a seed. The faults are a function of the seed; a load
//! writes everything that it sends to tapes; a referee scrapes every aggregator, and so does the
//! Prometheus of the stack. When the last fault is undone and all is counted, each invariant is
//! checked from what stands outside of the others. docs/reliability.md says what is promised.

#[expect(dead_code, reason = "shared with the end-to-end tests, which use the rest")]
#[path = "../e2e/gatemeter.rs"]
mod gatemeter;
#[expect(dead_code, reason = "shared with the end-to-end tests, which use the rest")]
#[path = "../e2e/referee.rs"]
mod referee;
#[expect(dead_code, reason = "shared with the end-to-end tests, which use the rest")]
#[path = "../e2e/beside.rs"]
mod beside;
#[expect(dead_code, reason = "shared with the end-to-end tests, which use the rest")]
#[path = "../e2e/disk.rs"]
mod disk;
#[expect(dead_code, reason = "shared with the end-to-end tests, which use the rest")]
#[path = "../e2e/stack.rs"]
mod stack;
#[path = "../e2e/queries.rs"]
mod queries;

mod stop;
mod schedule;
mod tape;
mod load;
mod ground;
mod inject;
mod verdict;
mod checks;

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::Value;

use checks::Stand;
use ground::Ground;
use load::{Lane, Load};
use referee::Referee;
use schedule::{Fault, Targets, schedule};
use stack::{Size, Stack};
use tape::Tapes;
use verdict::Verdict;

/// A majority of them is left when one is hit.
const BROKERS: u16 = 3;
const INGESTS: u16 = 2;
/// How often the referee asks each aggregator.
const SCRAPE_EVERY: Duration = Duration::from_secs(1);

/// What scripts/chaos.sh was asked for.
struct Order {
    seed: u64,
    seconds: u64,
    aggregators: u16,
    /// Events per second.
    rate: u64,
    /// Everything that may explain a breach goes here.
    folder: PathBuf,
}

impl Order {
    /// `run SEED SECONDS AGGREGATORS RATE FOLDER`, which the script has checked.
    fn parse(args: &[String]) -> Option<Order> {
        let [word, seed, seconds, aggregators, rate, folder] = args else { return None };
        Some(Order {
            seed: seed.parse().ok().filter(|_| word == "run")?,
            seconds: seconds.parse().ok()?,
            aggregators: aggregators.parse().ok()?,
            rate: rate.parse().ok()?,
            folder: folder.into(),
        })
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(order) = Order::parse(&args) else {
        println!("nothing is run without a seed: see scripts/chaos.sh --help");
        return ExitCode::SUCCESS;
    };
    match run(&order) {
        Ok(verdict) if verdict.holds() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(error) if error.is::<stop::Interrupted>() => {
            eprintln!("\ninterrupted: everything that was started is stopped");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(order: &Order) -> anyhow::Result<Verdict> {
    let targets = Targets { aggregators: order.aggregators, ingests: INGESTS };
    let faults = schedule(order.seed, order.seconds, targets);
    let mut plan = String::new();
    faults.iter().for_each(|fault| writeln!(plan, "{fault}").expect("a string takes everything"));
    print!("\n==> {} faults of seed {}\n{plan}", faults.len(), order.seed);
    std::fs::write(order.folder.join("schedule.txt"), &plan)?;

    println!(
        "\n==> starting {BROKERS} brokers, {} aggregators, {INGESTS} ingests",
        order.aggregators
    );
    let size = Size { aggregators: order.aggregators, brokers: BROKERS };
    let stack = catch_unwind(|| Stack::up_of(size, &[]));
    let stack = stack.map_err(|_| anyhow::anyhow!("the stack did not start: see above"))?;
    stop::listen(&stack.runtime)?;
    let ended = catch_unwind(AssertUnwindSafe(|| under_faults(order, &stack, &faults)));
    keep_logs(&stack, &order.folder)?;
    ended.unwrap_or_else(|_| Err(anyhow::anyhow!("the harness failed: see above")))
}

fn under_faults(order: &Order, stack: &Stack, faults: &[Fault]) -> anyhow::Result<Verdict> {
    let folder = &order.folder;
    let mut ground = Ground::new(stack, order.aggregators, BROKERS, folder)?;
    let [one, other] = ground.ingests();
    let lane = |name: &str, number: u64, to: [&String; 2]| Lane {
        to: to.map(Clone::clone),
        folder: folder.clone(),
        name: name.to_owned(),
        seed: order.seed.wrapping_mul(2).wrapping_add(number),
        rate: order.rate.div_ceil(2),
    };
    let lanes = vec![lane("load-1", 0, [&one, &other]), lane("load-2", 1, [&other, &one])];
    let first = lane("before", 0, [&one, &other]).first()?;
    let counted = first["events"]["counted"].as_i64().context("a load without a report")?;
    let is_counted = checks::is_counted(&ground, counted)?;
    anyhow::ensure!(is_counted, "the load before the first fault was not counted");
    let baseline = folder.join("recount-before.json");
    let before = Stand::take(&ground, &baseline, &[])?;

    println!("\n==> {} s of faults under {} events a second", order.seconds, order.rate);
    let ports: Vec<u16> = ground.aggregators.iter().map(|name| stack.port(name)).collect();
    let referee = Referee::start_all(&ports, SCRAPE_EVERY, Some(folder));
    let began = ground.begin();
    let load = Load::start(lanes);
    inject::all(&ground, faults, began)?;
    stop::by(began + Duration::from_secs(order.seconds), || false)?;

    ground.note("everything is healed");
    stack.sql.heal();
    stack.kafka.heal();
    ground.look_for_the_dead();
    stack.start();
    ground.note("every service is healthy");
    let sent = load.finish()?;
    load::write(&folder.join("sent.json"), &sent)?;
    ground.note("the load is answered");
    let healed = Instant::now();
    let counted = counted + sent["events"]["counted"].as_i64().unwrap_or(0);
    let is_counted = checks::is_counted(&ground, counted)?;
    let lag_seconds = i64::try_from(healed.elapsed().as_secs()).unwrap_or(i64::MAX);
    ground.note("nothing waits to be counted");
    let after = after(&ground, folder, &baseline, &sent)?;
    let seen = referee.findings();
    let tapes = Tapes::read(folder, "load-")?;
    let mut verdict = checks::all(&ground, &tapes, &sent, [&before, &after], &seen)?;
    let lag_max = i64::try_from(checks::LAG_MAX.as_secs()).unwrap_or(i64::MAX);
    let lag_seconds = if is_counted { lag_seconds } else { lag_max + 1 };
    verdict.within(10, "seconds until nothing waited", lag_seconds, [0, lag_max]);
    verdict.none(10, "processes that failed by themselves", &ground.breaches());
    verdict.sort();
    show(&verdict, folder)?;
    Ok(verdict)
}

/// The state at the end, compared with what was sent if that is certain.
fn after(
    ground: &Ground<'_>,
    folder: &Path,
    baseline: &Path,
    sent: &Value,
) -> anyhow::Result<Stand> {
    let file = folder.join("sent.json");
    let (sent_file, baseline) = (file.display().to_string(), baseline.display().to_string());
    let is_certain = sent["exact"] == true && sent["complete"] == true;
    let more = ["--sent", &sent_file, "--before", &baseline];
    let more = if is_certain { &more[..] } else { &[] };
    Stand::take(ground, &folder.join("recount.json"), more)
}

fn show(verdict: &Verdict, folder: &Path) -> anyhow::Result<()> {
    let mut text = String::new();
    for check in &verdict.checks {
        writeln!(text, "{check}")?;
    }
    print!("\n==> verdict\n{text}");
    std::fs::write(folder.join("verdict.txt"), &text)?;
    Ok(())
}

/// Logs of all services, and what was counted as the database has it.
fn keep_logs(stack: &Stack, folder: &Path) -> anyhow::Result<()> {
    let logs = folder.join("logs");
    std::fs::create_dir_all(&logs)?;
    for entry in std::fs::read_dir(stack.dir().join("logs"))? {
        let entry = entry?;
        std::fs::copy(entry.path(), logs.join(entry.file_name()))?;
    }
    Ok(())
}
