//! The list of differences: where, what, expected by the log, and found.
//!
//! Each comparison adds its own; the first thousand are described, the rest is only counted. An
//! empty list is the proof that everything agrees, so nothing may ever be dropped uncounted.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use serde::Serialize;

/// Differences that are described: more would add nothing.
const KEPT_MAX: usize = 1_000;

/// A difference between an expected and a found value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Where it was found, such as `ledger total`.
    pub place: &'static str,
    /// What it is about: labels and the name of the number.
    pub what: String,
    /// Value expected by the log.
    pub expected: String,
    /// Value found.
    pub found: String,
}

impl Display for Difference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { place, what, expected, found } = self;
        write!(out, "{place}: {what}: expected {expected}, found {found}")
    }
}

/// All differences: the first ones in full, and their number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// The first differences.
    pub kept: Vec<Difference>,
    /// Number of all differences.
    pub n: u64,
}

impl Differences {
    /// Records a difference.
    pub fn add(&mut self, place: &'static str, what: &str, expected: &str, found: &str) {
        self.n += 1;
        if self.kept.len() < KEPT_MAX {
            let [what, expected, found] = [what, expected, found].map(str::to_owned);
            self.kept.push(Difference { place, what, expected, found });
        }
    }

    /// Adds those of another comparison.
    pub fn append(&mut self, other: Differences) {
        self.n += other.n;
        let room = KEPT_MAX.saturating_sub(self.kept.len());
        self.kept.extend(other.kept.into_iter().take(room));
    }

    /// Records a difference unless both are equal.
    pub fn compare<T: PartialEq + Display>(
        &mut self,
        place: &'static str,
        what: &str,
        expected: T,
        found: T,
    ) {
        if expected != found {
            self.add(place, what, &expected.to_string(), &found.to_string());
        }
    }

    /// As `compare`, for optional values.
    pub fn compare_some<T: PartialEq + Display>(
        &mut self,
        place: &'static str,
        what: &str,
        expected: Option<T>,
        found: Option<T>,
    ) {
        if expected != found {
            self.add(place, what, &some(expected), &some(found));
        }
    }

    /// Goes through two maps side by side: equal keys are handed to `both`, a key that only one
    /// of them has is a difference.
    pub fn compare_maps<K: Ord + Display, V>(
        &mut self,
        place: &'static str,
        expected: &BTreeMap<K, V>,
        found: &BTreeMap<K, V>,
        mut both: impl FnMut(&mut Differences, &K, &V, &V),
    ) {
        for (key, value) in expected {
            match found.get(key) {
                Some(other) => both(self, key, value, other),
                None => self.add(place, &key.to_string(), "it to be there", "nothing"),
            }
        }
        for key in found.keys().filter(|key| !expected.contains_key(key)) {
            self.add(place, &key.to_string(), "nothing", "it is there");
        }
    }
}

fn some<T: Display>(value: Option<T>) -> String {
    value.map_or_else(|| "nothing".to_owned(), |value| value.to_string())
}
