//! Runs seeds, one or many on all cores, and reports which one failed and how.

use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::RngExt as _;

use crate::mutation::Mutation;
use crate::world::World;

/// Fewest and most steps of a run.
const STEPS: Range<u32> = 100..1_200;

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Events that were counted.
    pub counted: u64,
    /// Commits that took effect.
    pub commits: u64,
    /// Those of several partitions.
    pub joint: u64,
    /// Good pages that were scraped.
    pub pages: u64,
}

/// How a run failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// What was switched off.
    pub mutation: Mutation,
    /// What was wrong.
    pub fault: String,
    /// What happened last.
    pub trace: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.trace {
            writeln!(f, "  {line}")?;
        }
        writeln!(f, "seed {} without {:?}: {}", self.seed, self.mutation, self.fault)?;
        write!(f, "again: SIM_FIRST={} SIM_SEEDS=1 cargo test --profile checked -p sim", self.seed)
    }
}

/// Runs one seed.
///
/// # Errors
/// The invariant that did not hold, with what led to it.
pub fn run(seed: u64, mutation: Mutation) -> Result<Done, Box<Failure>> {
    let mut world = World::new(seed, mutation);
    let ended = catch_unwind(AssertUnwindSafe(|| live(&mut world)));
    let fault = match ended {
        Ok(Ok(done)) => return Ok(done),
        Ok(Err(fault)) => fault,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            format!("panic: {}", text.unwrap_or_default())
        }
    };
    let trace = world.trace.drain(..).collect();
    Err(Box::new(Failure { seed, mutation, fault, trace }))
}

fn live(world: &mut World) -> Result<Done, String> {
    for _ in 0..world.rng.random_range(STEPS) {
        world.step()?;
        if let Some(fault) = world.failed_early.take() {
            return Err(fault);
        }
    }
    world.quiesce()?;
    world.accept_losses()?;
    world.meet_other_kind()?;
    let rows = &world.sql.ledger.rows;
    let counted = rows.iter().map(|row| row.progress.account.counted).sum::<i64>();
    let (counted, [commits, joint]) = (counted.cast_unsigned(), world.sql.n_commits);
    Ok(Done { counted, commits, joint, pages: world.scraper.n_good })
}

/// Runs seeds on all cores until one fails; what they did together, or the first that failed.
///
/// # Errors
/// The failure of the smallest seed among those that failed.
pub fn run_many(seeds: Range<u64>, mutation: Mutation) -> Result<Done, Box<Failure>> {
    let next = AtomicU64::new(seeds.start);
    let found: Mutex<(Done, Option<Box<Failure>>)> = Mutex::default();
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..n_threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    let ended = run(seed, mutation);
                    let mut found = found.lock().expect("no holder panics");
                    match ended {
                        Ok(done) => {
                            found.0.counted += done.counted;
                            found.0.commits += done.commits;
                            found.0.joint += done.joint;
                            found.0.pages += done.pages;
                        }
                        Err(failure) => {
                            next.store(seeds.end, Ordering::Relaxed);
                            if found.1.as_ref().is_none_or(|first| failure.seed < first.seed) {
                                found.1 = Some(failure);
                            }
                        }
                    }
                }
            });
        }
    });
    let (done, failure) = found.into_inner().expect("no holder panics");
    failure.map_or(Ok(done), Err)
}
