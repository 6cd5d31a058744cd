//! Carries the schedule out: each fault on a thread of its own, which undoes it when its time is
//! over. All are undone when this returns, also when the run is interrupted.

use std::time::{Duration, Instant};

use proxy::faults::{Accept, Faults, Flow};
use proxy::proxy::Proxy;

use crate::ground::{Ground, numbered};
use crate::schedule::{Fault, Kind, Who};
use crate::stop::{self, Interrupted};

/// Longest clean end, as docs/operations.md promises it, and time for a machine that is busy.
const END_MAX: Duration = Duration::from_secs(10 + 3);
/// Longest wait of a rolling restart for one process: without a database it is never ready.
const READY_MAX: Duration = Duration::from_secs(6);

/// Longest wait for one that shows the counters: less than a hand-over takes after a death.
const PUBLISHER_MAX: Duration = Duration::from_secs(10);

/// Runs all faults; `began` is the begin of the schedule.
pub fn all(ground: &Ground<'_>, faults: &[Fault], began: Instant) -> anyhow::Result<()> {
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for fault in faults {
            if stop::by(began + Duration::from_millis(fault.at_ms), || false).is_err() {
                break;
            }
            threads.push(scope.spawn(|| one(ground, fault)));
        }
        let n_panicked = threads.into_iter().filter_map(|thread| thread.join().err()).count();
        anyhow::ensure!(n_panicked == 0, "{n_panicked} faults could not be carried out or undone");
        Ok(())
    })
}

fn one(ground: &Ground<'_>, fault: &Fault) {
    let lasts = Duration::from_millis(fault.lasts_ms);
    match fault.kind {
        Kind::KillAggregator(who) => on_aggregator(ground, fault, who, |name| {
            ground.kill(name);
            hold(lasts);
            ground.start(name);
        }),
        Kind::PauseAggregator(who) => on_aggregator(ground, fault, who, |name| {
            ground.signal(name, "STOP");
            hold(lasts);
            ground.signal(name, "CONT");
        }),
        Kind::ScaleAggregators(who) => on_aggregator(ground, fault, who, |name| {
            end(ground, name);
            hold(lasts);
            ground.start(name);
        }),
        Kind::RollingRestart => {
            ground.note(&fault.kind.to_string());
            rolling_restart(ground);
        }
        Kind::KillLeader(partition) => {
            // Without an answer any broker does.
            let leader = ground.leader(partition);
            let other = || numbered("kafka", partition % ground.brokers + 1);
            let name = leader.unwrap_or_else(other);
            ground.note(&format!("{}: {name}", fault.kind));
            ground.kill(&name);
            hold(lasts);
            ground.start(&name);
        }
        Kind::KillDatabase => {
            ground.note(&fault.kind.to_string());
            ground.kill("mysql");
            hold(lasts);
            ground.start("mysql");
        }
        Kind::KillIngest(number) => {
            ground.note(&fault.kind.to_string());
            ground.kill_ingest(number);
            hold(lasts);
            ground.start_ingest(number);
        }
        Kind::LoseCommitAnswers(n) => {
            ground.note(&fault.kind.to_string());
            let before = ground.stack.sql.seen().n_commit_answers_dropped;
            ground.stack.sql.set(|faults| faults.n_commit_answers_dropped = n.into());
            hold(lasts);
            ground.stack.sql.heal();
            let lost = ground.stack.sql.seen().n_commit_answers_dropped - before;
            ground.note(&format!("answers to COMMIT that were lost: {lost}"));
        }
        kind => {
            ground.note(&kind.to_string());
            on_the_way(ground, kind, lasts);
        }
    }
    ground.write(&format!("over: {}", fault.kind));
}

/// What a network does.
fn on_the_way(ground: &Ground<'_>, kind: Kind, lasts: Duration) {
    let stack = ground.stack;
    let refuse = |faults: &mut Faults| faults.accept = Accept::Reset;
    let stall = |faults: &mut Faults| faults.to_client.flow = Flow::Blackhole;
    let during = |proxy: &Proxy, change: &dyn Fn(&mut Faults), is_cut: bool| {
        proxy.set(change);
        if is_cut {
            proxy.cut();
        }
        hold(lasts);
        proxy.heal();
    };
    match kind {
        Kind::CutBroker => stack.kafka.cut(),
        Kind::RefuseBroker => during(&stack.kafka, &refuse, true),
        Kind::StallBroker => during(&stack.kafka, &stall, false),
        Kind::CutDatabase => stack.sql.cut(),
        Kind::RefuseDatabase => during(&stack.sql, &refuse, true),
        Kind::StallDatabase => during(&stack.sql, &stall, false),
        other => unreachable!("{other} is no fault of a network"),
    }
}

/// A fault on an aggregator, unless another one has it at this moment.
fn on_aggregator(ground: &Ground<'_>, fault: &Fault, who: Who, act: impl FnOnce(&str)) {
    let number = match who {
        Who::Number(number) => Some(numbered("aggregator", number)),
        Who::Publisher => ground.wait_publisher(PUBLISHER_MAX),
    };
    let Some(name) = number else {
        ground.note(&format!("left out, for nobody shows the counters: {}", fault.kind));
        return;
    };
    let Some(taken) = ground.take(&name) else {
        ground.note(&format!("left out, for {name} is under another fault: {}", fault.kind));
        return;
    };
    ground.note(&format!("{}: {}", fault.kind, taken.name));
    act(&taken.name);
}

fn rolling_restart(ground: &Ground<'_>) {
    for name in &ground.aggregators {
        let Some(taken) = ground.take(name) else { continue };
        end(ground, name);
        ground.start(name);
        let is_ready = stop::by(Instant::now() + READY_MAX, || ground.is_ready(name));
        drop(taken);
        if is_ready.is_err() {
            return;
        }
    }
}

/// SIGTERM, and the end within the time that is promised.
fn end(ground: &Ground<'_>, name: &str) {
    let began = Instant::now();
    if !ground.signal(name, "TERM") {
        return;
    }
    ground.stack.wait_gone(name);
    let took = began.elapsed();
    ground.note(&format!("{name} ended {:.1} s after SIGTERM", took.as_secs_f64()));
    if took > END_MAX {
        ground.breach(format!("{name} took {took:.1?} to end after SIGTERM"));
    }
}

/// The time of a fault; it is cut short when the run is interrupted.
fn hold(lasts: Duration) {
    let _: Result<bool, Interrupted> = stop::by(Instant::now() + lasts, || false);
}
