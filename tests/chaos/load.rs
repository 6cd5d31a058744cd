//! The load: two lanes of `gatemeter replay`, one for each ingest, with copies by way of the other
//! one, late, future and malformed events. A lane sends short runs one after another, each on a
//! tape of its own, until it is told to stop; then the last run is answered in full.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::beside::Background;
use crate::gatemeter::program;
use crate::stop;

/// Length of a run of a lane at its rate, seconds.
const RUN_SECONDS: u64 = 5;
/// Events of the first load: enough for every namespace to have requests of each outcome.
const FIRST_EVENTS: u64 = 20_000;
/// Requests in flight of a lane, so that one that waits does not hold up the others.
const CONNECTIONS: &str = "8";

/// Where a lane sends, and what its tapes are called.
#[derive(Clone, Debug)]
pub struct Lane {
    /// The ingest that takes everything, and the one that takes every other copy.
    pub to: [String; 2],
    /// Tapes, reports and messages go here.
    pub folder: PathBuf,
    /// In front of the names of tapes.
    pub name: String,
    pub seed: u64,
    /// Events per second.
    pub rate: u64,
}

/// Lanes that send.
pub struct Load {
    stop: Arc<AtomicBool>,
    lanes: Vec<JoinHandle<anyhow::Result<Vec<Value>>>>,
}

impl Load {
    pub fn start(lanes: Vec<Lane>) -> Load {
        let stop = Arc::<AtomicBool>::default();
        let start = |lane: Lane| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let mut reports = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    reports.push(lane.run(reports.len())?);
                }
                Ok(reports)
            })
        };
        let lanes = lanes.into_iter().map(start).collect();
        Load { stop, lanes }
    }

    /// Waits until everything that was begun is answered; the report on all of it.
    pub fn finish(self) -> anyhow::Result<Value> {
        self.stop.store(true, Ordering::SeqCst);
        let mut sum = Value::Null;
        for lane in self.lanes {
            let Ok(reports) = lane.join() else { bail!("a lane of the load panicked") };
            reports?.iter().for_each(|report| add(&mut sum, report));
        }
        Ok(sum)
    }
}

impl Lane {
    /// The load before the first fault: as fast as it is taken, and nothing but good events.
    pub fn first(&self) -> anyhow::Result<Value> {
        self.replay("first", &["--count", &FIRST_EVENTS.to_string(), "--batch", "500"])
    }

    fn run(&self, number: usize) -> anyhow::Result<Value> {
        let (rate, count) = (self.rate.to_string(), (self.rate * RUN_SECONDS).to_string());
        let shares = ["--duplicates", "5%", "--late", "1%", "--future", "0.1%"];
        let run = ["--rate", &rate, "--count", &count, "--batch", "50", "--malformed", "0.1%"];
        let ways = ["--also", &self.to[1], "--connections", CONNECTIONS];
        self.replay(&format!("{number:04}"), &[&shares[..], &run, &ways].concat())
    }

    /// Sends, and waits for the end; the report.
    fn replay(&self, run: &str, args: &[&str]) -> anyhow::Result<Value> {
        let name = format!("{}-{run}", self.name);
        let seed = self.seed.wrapping_mul(1_000).wrapping_add(run.parse().unwrap_or(999));
        let messages = self.file(&format!("{name}.log"));
        let child = Command::new(program())
            .args(["replay", "synthetic", "--namespaces", "8", "--json", "--quiet"])
            .args(["--give-up-after", "5m", "--to", &self.to[0], "--seed", &seed.to_string()])
            .arg("--tape")
            .arg(self.file(&format!("{name}.tape.ndjson")))
            .args(args)
            .stdin(Stdio::null())
            .stdout(File::create(self.file(&format!("{name}.json")))?)
            .stderr(File::create(&messages)?)
            .spawn()
            .context("gatemeter replay does not start")?;
        let mut running = Background(Some(child));
        stop::until(|| running.has_ended())?;
        let report = std::fs::read(self.file(&format!("{name}.json")))?;
        let said = || std::fs::read_to_string(&messages).unwrap_or_default();
        serde_json::from_slice(&report).with_context(|| format!("no report of {name}: {}", said()))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Adds up two reports: numbers are added, a promise holds if it holds for both.
fn add(sum: &mut Value, more: &Value) {
    match (sum, more) {
        (Value::Object(sum), Value::Object(more)) => {
            for (name, value) in more {
                add(sum.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (Value::Bool(sum), Value::Bool(more)) => *sum &= more,
        (Value::Number(sum), Value::Number(more)) => {
            *sum = match (sum.as_u64(), more.as_u64()) {
                (Some(a), Some(b)) => (a + b).into(),
                _ => return,
            };
        }
        (sum @ Value::Null, more) => *sum = more.clone(),
        _ => {}
    }
}

/// Writes a report where a recount finds it.
pub fn write(path: &Path, report: &Value) -> anyhow::Result<()> {
    std::fs::write(path, serde_json::to_vec_pretty(report)?)
        .with_context(|| format!("{} cannot be written", path.display()))
}
