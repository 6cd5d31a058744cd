//! The seeds that hold, and the mutants that must not.
//!
//! `SIM_SEEDS` (2,000 by default) and `SIM_FIRST` choose the seeds that have to hold;
//! `SIM_MUTANT` one mutant, and `SIM_MUTANT_SEEDS` (6,000) within how many it has to die.

use sim::mutation::Mutation;
use sim::run::run_many;

/// Seeds within which every mutant has to be noticed.
const MUTANT_SEEDS: u64 = 6_000;

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn seeds_hold() {
    let (first, n) = (number("SIM_FIRST", 0), number("SIM_SEEDS", 2_000));
    match run_many(first..first + n, Mutation::None) {
        Ok(done) => println!("{n} seeds hold: {done:?}"),
        Err(failure) => panic!("{failure}"),
    }
}

#[test]
fn every_mutant_dies() {
    let named = std::env::var("SIM_MUTANT").ok();
    let is_meant =
        |mutation: &Mutation| named.as_ref().is_none_or(|name| *name == format!("{mutation:?}"));
    let survivors: Vec<Mutation> = Mutation::EACH
        .into_iter()
        .filter(is_meant)
        .filter(|mutation| match run_many(0..number("SIM_MUTANT_SEEDS", MUTANT_SEEDS), *mutation) {
            Ok(_) => true,
            Err(failure) => {
                println!("{mutation:?} dies at seed {}: {}", failure.seed, failure.fault);
                false
            }
        })
        .collect();
    assert!(survivors.is_empty(), "these mutants survive: {survivors:?}");
}
