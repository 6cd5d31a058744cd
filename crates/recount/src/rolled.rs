//! Roll-ups, against the rows that they add up, which were compared with the log.
//!
//! Answers about long ranges come from roll-ups. Rows are added up here once more, by day and by
//! namespace, and every number of every roll-up must be theirs.

use std::collections::BTreeMap;
use std::fmt::Display;

use store::plain::{NamespaceRows, PlainReader};

use crate::differ::Differences;
use crate::stored::{consumer, row, wide};
use crate::sums::Sums;
use crate::tally::{QUARTER_MINUTES, Rows};

/// Quarter-hours of a UTC day.
const DAY_QUARTERS: i64 = 96;

/// Numbers of a roll-up by their name.
type Numbers = BTreeMap<String, i128>;

/// What is rolled up of the rows that are read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RollUps {
    /// Quarter-hours that are rolled up: the first of which every row is there, and the end.
    quarters: (i64, i64),
    /// Minutes that are rolled up, likewise.
    minutes: (i64, i64),
    /// Quarter-hours of consumers that are rolled up, likewise.
    used: (i64, i64),
    /// Days by their name.
    days: BTreeMap<String, Sums>,
    /// Days of consumers by their name.
    used_days: BTreeMap<String, Sums>,
    /// Roll-ups by namespace.
    namespace_quarters: BTreeMap<String, Numbers>,
    namespace_minutes: BTreeMap<String, Numbers>,
}

/// Where rows begin.
#[derive(Clone, Copy, Debug)]
pub struct Begin {
    /// Quarter-hour and minute from which on rows are read.
    pub quarter: i64,
    pub minute: i64,
    /// The oldest rows that are kept: some of that time may be deleted.
    pub oldest_quarter: Option<i64>,
    pub oldest_minute: Option<i64>,
    pub oldest_used: Option<i64>,
}

impl RollUps {
    /// Reads what is rolled up of the rows that are read.
    ///
    /// # Errors
    /// The error of the store.
    pub async fn read(reader: &mut PlainReader, begin: Begin) -> anyhow::Result<RollUps> {
        let to = reader.rolled_up_to();
        let first = |read: i64, oldest: Option<i64>| oldest.map_or(i64::MAX, |at| read.max(at + 1));
        let range = |first: i64, to: i64| (first.min(to), to);
        let quarters = range(first(begin.quarter, begin.oldest_quarter), to);
        let minutes = range(first(begin.minute, begin.oldest_minute), to * QUARTER_MINUTES);
        let used = range(first(begin.quarter, begin.oldest_used), to);
        let mut found = RollUps { quarters, minutes, used, ..RollUps::default() };
        let (from, to) = days(quarters);
        for (at, labels, sums) in reader.days(from..to).await? {
            found.days.insert(name("day", at, &row(labels)), wide(&sums));
        }
        let (from, to) = days(used);
        for (at, labels, sums) in reader.consumer_days(from..to).await? {
            found.used_days.insert(name("day", at, &consumer(labels)), Sums::of_used(sums));
        }
        let rows = reader.namespace_quarters(quarters.0..quarters.1).await?;
        found.namespace_quarters = numbers("quarter", rows);
        let rows = reader.namespace_minutes(minutes.0..minutes.1).await?;
        found.namespace_minutes = numbers("minute", rows);
        Ok(found)
    }

    /// Compares with the rows.
    pub fn compare(&self, differences: &mut Differences, rows: &Rows) {
        let mut by_day = BTreeMap::<String, Sums>::new();
        let is_whole = |at: i64, range| {
            let (from, _) = days(range);
            from * DAY_QUARTERS <= at && at < range.1
        };
        for ((at, labels), sums) in &rows.quarters {
            if is_whole(*at, self.quarters) {
                let day = name("day", at.div_euclid(DAY_QUARTERS), labels);
                by_day.entry(day).or_default().add(sums);
            }
        }
        compare_days(differences, "ledger day", &by_day, &self.days);
        let mut by_day = BTreeMap::<String, Sums>::new();
        for ((at, labels), sums) in &rows.used {
            if is_whole(*at, self.used) {
                let day = name("day", at.div_euclid(DAY_QUARTERS), labels);
                by_day.entry(day).or_default().add(sums);
            }
        }
        compare_days(differences, "ledger consumer day", &by_day, &self.used_days);

        let mut by_namespace = BTreeMap::<String, Numbers>::new();
        for ((at, labels), sums) in &rows.quarters {
            if (self.quarters.0..self.quarters.1).contains(at) {
                let kind = Kind::of(labels.is_final, labels.outcome, labels.source);
                for namespace in ["", &labels.namespace] {
                    let name = named("quarter", namespace, *at);
                    kind.add(by_namespace.entry(name).or_default(), sums, true);
                }
            }
        }
        let place = "ledger namespace quarter";
        compare_numbers(differences, place, &by_namespace, &self.namespace_quarters);
        let mut by_namespace = BTreeMap::<String, Numbers>::new();
        for ((at, labels), sums) in &rows.minutes {
            if (self.minutes.0..self.minutes.1).contains(at) {
                let kind = Kind::of(labels.is_final, labels.outcome, labels.source);
                for namespace in ["", &labels.namespace] {
                    let name = named("minute", namespace, *at);
                    kind.add(by_namespace.entry(name).or_default(), sums, false);
                }
            }
        }
        let place = "ledger namespace minute";
        compare_numbers(differences, place, &by_namespace, &self.namespace_minutes);
    }
}

/// Days that a range of quarter-hours begins before; the last one may go on after the range.
fn days((from, to): (i64, i64)) -> (i64, i64) {
    let up = |at: i64| -(-at).div_euclid(DAY_QUARTERS);
    (up(from), up(to).max(up(from)))
}

fn name(unit: &str, at: i64, labels: &impl Display) -> String {
    format!("{unit} {at} {labels}")
}

/// Name of a roll-up by namespace; that of all has an empty one.
fn named(unit: &str, namespace: &str, at: i64) -> String {
    format!("{unit} {at} {{namespace={namespace:?}}}")
}

fn numbers(unit: &str, rows: NamespaceRows) -> BTreeMap<String, Numbers> {
    let NamespaceRows { names, rows } = rows;
    let row = |(namespace, at, sums): (String, i64, Vec<i64>)| {
        let numbers = names.iter().cloned().zip(sums.into_iter().map(i128::from));
        (named(unit, &namespace, at), numbers.collect())
    };
    rows.into_iter().map(row).collect()
}

/// What a roll-up by namespace adds up of a row.
struct Kind {
    is_final: bool,
    is_failed: bool,
    is_estimated: bool,
}

impl Kind {
    fn of(is_final: bool, outcome: &str, source: &str) -> Kind {
        Kind {
            is_final,
            is_failed: is_final && outcome != "success",
            is_estimated: source == "estimated",
        }
    }

    /// Adds a row: requests and durations of final attempts, everything else of all.
    fn add(&self, numbers: &mut Numbers, sums: &Sums, is_full: bool) {
        let mut add = |name: String, is_meant: bool, n: i128| {
            *numbers.entry(name).or_default() += if is_meant { n } else { 0 };
        };
        for (name, n) in Sums::names().into_iter().zip(sums.0) {
            match name.as_str() {
                "n" => {
                    add("requests".to_owned(), self.is_final, n);
                    add("errors".to_owned(), self.is_failed, n);
                }
                "cost_nano" => add(name, true, n),
                _ if name.starts_with("duration_") => add(name, self.is_final, n),
                _ if name.starts_with("input_") || name.starts_with("output_") => {
                    add(format!("estimated_{name}"), self.is_estimated, n);
                    add(name, true, n);
                }
                // Times to first token and per output token, which minutes do not have.
                _ if is_full => add(name, true, n),
                _ => {}
            }
        }
    }
}

fn compare_days(
    differences: &mut Differences,
    place: &'static str,
    rows: &BTreeMap<String, Sums>,
    found: &BTreeMap<String, Sums>,
) {
    differences.compare_maps(place, rows, found, |differences, day, sums, found| {
        for (name, (sum, found)) in Sums::names().iter().zip(sums.0.iter().zip(found.0)) {
            differences.compare(place, &format!("{day} {name}"), *sum, found);
        }
    });
}

fn compare_numbers(
    differences: &mut Differences,
    place: &'static str,
    rows: &BTreeMap<String, Numbers>,
    found: &BTreeMap<String, Numbers>,
) {
    differences.compare_maps(place, rows, found, |differences, row, numbers, found| {
        differences.compare_maps(place, numbers, found, |differences, name, sum, found| {
            differences.compare(place, &format!("{row} {name}"), *sum, *found);
        });
    });
}

#[cfg(test)]
mod tests;
