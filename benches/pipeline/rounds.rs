//! Measurements that are repeated: what is compared is measured in turn, round by round, and a
//! ratio is the median of the ratios of each round.
//!
//! A machine that is slower for a while slows both sides of a round; a ratio of medians would mix
//! rounds.

use crate::row;

/// Rounds of everything that has a ratio.
pub const ROUNDS: usize = 3;

/// Costs of a thing and of its baseline, one pair for each round.
#[derive(Default)]
pub struct Rounds {
    costs: Vec<f64>,
    ratios: Vec<f64>,
    bases: Vec<f64>,
    rates: Vec<f64>,
}

impl Rounds {
    /// Adds a round: nanoseconds of CPU for each event, those of the baseline, and events per
    /// second that were seen.
    pub fn add(&mut self, cost: f64, base: f64, rate: f64) {
        self.costs.push(cost);
        self.bases.push(base);
        self.ratios.push(cost / base);
        self.rates.push(rate);
    }

    /// The median of the ratios.
    pub fn ratio(&self) -> f64 {
        median(&self.ratios)
    }

    /// Prints the medians as a line of the table.
    pub fn print(&self, what: &str, baseline: &str) {
        let cost = median(&self.costs);
        row(
            what,
            &format!("{cost:.0} ns"),
            &format!("{:.0} events ({:.0}/s seen)", 1e9 / cost, median(&self.rates)),
            &format!("{:.2} x {baseline} ({:.0} ns)", self.ratio(), median(&self.bases)),
        );
    }
}

/// The median of some values; of an even number the upper one.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
