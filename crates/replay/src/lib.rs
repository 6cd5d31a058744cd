//! `gatemeter replay`: plays traces, recordings or drawn events to ingest and reports what must be
//! counted.
//!
//! A source yields facts, the plan makes batches of them, the drive writes each to the tape and
//! sends it until it is answered, the totals fold the answers, the report prints them. The totals
//! are made on this side alone: nothing here may ask the receiver what it counted.

mod item;

mod compress;

mod args;
mod chunks;
mod lines;

mod broken;
mod draw;
mod setup;
mod timing;

mod azure;
mod ndjson;
mod servegen;
mod synthetic;

mod source;

mod plan;

mod answer;
mod attempt;
mod latency;
mod totals;

mod post;

mod way;

mod tape;

mod past;

mod progress;

mod send;

mod drive;

mod report;

#[cfg(test)]
mod tests;

pub use args::ReplayArgs;
pub use way::KafkaSettings;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use clock::Wall;

use crate::args::TO_DEFAULT;
use crate::drive::Drive;
use crate::item::SECOND_US;
use crate::past::{Past, PastBatch};
use crate::plan::Plan;
use crate::progress::{Progress, Voice};
use crate::report::Report;
use crate::send::{Overdue, SendOptions, Sender};
use crate::setup::Setup;
use crate::source::Source;
use crate::tape::{Tape, Ways};
use crate::timing::show_us;
use crate::way::Way;

/// Runs `gatemeter replay`. The exit code is 0 only when the run came to its end and every total
/// is certain. `kafka` is asked for a way through a topic only.
///
/// # Errors
/// What prevents a run from starting: options, files, the tape. Later faults are in the report.
pub async fn run(args: ReplayArgs, kafka: KafkaSettings) -> anyhow::Result<ExitCode> {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            // Without a handler the run cannot be interrupted gently; it still runs.
            std::future::pending::<()>().await;
        }
    };
    let mut out = std::io::stdout();
    play(args, kafka, interrupt, &mut out).await
}

/// `run` with its surroundings handed in.
async fn play(
    args: ReplayArgs,
    kafka: KafkaSettings,
    interrupt: impl Future<Output = ()>,
    out: &mut impl Write,
) -> anyhow::Result<ExitCode> {
    let Session { setup, ways, tape, past } = Session::open(&args)?;
    let source = Source::open(&setup)?;
    let remark = source.remark();
    let plan = Plan::new(source, &setup);
    if past.is_empty() {
        check_pace(&plan, args.rate)?;
    }
    let voice = if args.quiet { Voice::Quiet } else { Voice::Loud };
    if voice == Voice::Loud {
        eprintln!("run {}, seed {}, to {}", setup.run_id, setup.seed, ways.to);
        if let Some(also) = &ways.also {
            eprintln!("every other copy goes to {also}");
        }
        if let Some(tape) = &tape {
            eprintln!("tape {}", tape.path().display());
        }
        if let Some(remark) = &remark {
            eprintln!("{remark}");
        }
    }
    let n_connections = usize::from(args.connections);
    let overdue = Overdue::of(setup.times);
    let options = SendOptions { give_up_after: args.give_up_after, overdue };
    let mut opened = Vec::new();
    for url in std::iter::once(&ways.to).chain(&ways.also) {
        opened.push(Way::open(url, &args, kafka).await?);
    }
    let progress = Progress::new(voice, plan.n_items_guess());
    let sender = Sender::new(opened, options, tape.clone()).with_notices(progress.notices());
    let rate = args.rate;
    let sender = Arc::new(sender);
    let own = Arc::clone(&sender);
    let drive = Drive { plan, sender: own, tape, past, n_connections, rate, progress };
    let outcome = drive.run(interrupt).await;
    sender.close().await;
    let report = Report::new(&setup.run_id, setup.seed, &outcome);
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
        if voice == Voice::Loud {
            eprint!("{}", report.table());
        }
    } else {
        write!(out, "{}", report.table())?;
    }
    out.flush()?;
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What a new or a resumed run begins with.
struct Session {
    setup: Setup,
    ways: Ways,
    tape: Option<Tape>,
    /// The first batch last, as the drive takes them.
    past: Vec<PastBatch>,
}

impl Session {
    fn open(args: &ReplayArgs) -> anyhow::Result<Session> {
        if let Some(path) = &args.resume {
            let (tape, past) = Past::open(path)?;
            past.setup.check_files()?;
            let mut batches = past.batches;
            batches.reverse();
            if let (Some(to), Some(before)) = (&args.to, &past.to)
                && to != before
            {
                eprintln!(
                    "warning: the run on the tape went to {before}, its rest goes to {to}: the \
                     totals hold only if both lead to the same ingest"
                );
            }
            let to = args.to.clone().or(past.to).unwrap_or_else(|| TO_DEFAULT.to_owned());
            let ways = Ways { to, also: args.also.clone().or(past.also) };
            return Ok(Session { setup: past.setup, ways, tape: Some(tape), past: batches });
        }
        let mut setup = Setup::from_args(args, Wall::now().as_us())?;
        let to = args.to.clone().unwrap_or_else(|| TO_DEFAULT.to_owned());
        let ways = Ways { to, also: args.also.clone() };
        let Some(path) = &args.tape else {
            return Ok(Session { setup, ways, tape: None, past: Vec::new() });
        };
        setup.mark_files()?;
        let tape = Tape::create(path, &setup, &ways)?;
        Ok(Session { setup, ways, tape: Some(tape), past: Vec::new() })
    }
}

/// A run with a window must end before its oldest event turns late; with a fixed rate this is known
/// beforehand.
fn check_pace(plan: &Plan, rate: Option<u64>) -> anyhow::Result<()> {
    let (Some(deadline_us), Some(rate), Some(n_items)) =
        (plan.timing().run_deadline_us(), rate, plan.n_items_guess())
    else {
        return Ok(());
    };
    let seconds = i64::try_from(n_items / rate).context("the run would never end")?;
    if Wall::now().as_us().saturating_add(seconds.saturating_mul(SECOND_US)) > deadline_us {
        bail!(
            "{n_items} events at {rate} a second take {seconds} s, but the oldest are late at {}: \
             raise --rate, or fit the times into a shorter window (--times fit:15m)",
            show_us(deadline_us)
        );
    }
    Ok(())
}
