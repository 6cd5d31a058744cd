//! What an event costs on its way: CPU time per event, and ratios to a baseline of the same run.
//!
//! `scripts/bench.sh` runs it. Every figure but those of `texts`, `api` and the times of `start` is
//! CPU time of the process that does the work, user and system, so that it does not depend on how
//! busy the machine is otherwise; the baseline of each part does the least that any program would
//! have to do with the same bytes. Figures drift from machine to machine, ratios do not.

mod cpu;
mod recording;
mod rounds;
mod targets;
mod events;
mod process;
mod frames;
mod ingest;
mod texts;
mod counting;
mod page;
mod start;
mod cluster;
mod month;
mod api;

use targets::Targets;

/// Runs the parts that are named on the command line, or all of them.
fn main() {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    args.retain(|arg| arg != "--bench");
    if let [flag, folder] = args.as_slice()
        && flag == ingest::SERVE
    {
        return ingest::serve(folder);
    }
    let is_wanted = |part: &str| args.is_empty() || args.iter().any(|arg| arg == part);
    let mut targets = Targets::default();
    println!("| what | CPU per event or page | per second and core | ratio |");
    println!("|---|---|---|---|");
    if is_wanted("ingest") {
        ingest::run(&mut targets);
    }
    if is_wanted("texts") {
        texts::run();
    }
    if is_wanted("counting") {
        counting::run(&mut targets);
    }
    if is_wanted("page") {
        page::run(&mut targets);
    }
    if is_wanted("start") {
        start::run(&mut targets);
    }
    if is_wanted("cluster") {
        cluster::run(&mut targets);
    }
    // A minute's work of its own, so only if it is named.
    if args.iter().any(|arg| arg == "api") {
        api::run(&mut targets);
    }
    targets.print();
}

/// One line of the table.
fn row(what: &str, cost: &str, rate: &str, ratio: &str) {
    println!("| {what} | {cost} | {rate} | {ratio} |");
}

/// Nanoseconds for each of so many events.
fn per_event(nanos: u128, n_events: u64) -> f64 {
    nanos as f64 / n_events as f64
}
