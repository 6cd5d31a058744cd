//! How the requests of each namespace ended.
//!
//! Namespaces that are configured are there from the start, with zeros; requests add to them.

use std::collections::BTreeMap;

use event::Outcome;

use crate::query::QueryError;
use crate::query::sums::shown;

/// Number of outcomes.
pub const N_OUTCOMES: usize = Outcome::EACH.len();

/// The outcomes in the order in which they are shown: success, then errors of clients, then ours.
pub const SHOWN: [Outcome; N_OUTCOMES] = [
    Outcome::Success,
    Outcome::ClientError,
    Outcome::RateLimited,
    Outcome::ClientClosed,
    Outcome::ContentFilter,
    Outcome::Policy,
    Outcome::Timeout,
    Outcome::UpstreamUnreachable,
    Outcome::ServerError,
    Outcome::Unconfirmed,
];

/// Requests by namespace and outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    namespaces: BTreeMap<Box<str>, [i128; N_OUTCOMES]>,
}

/// One namespace: its code, and its requests per outcome in the order of `SHOWN`.
pub type NamespaceCounts = (Box<str>, [i64; N_OUTCOMES]);

impl Distribution {
    /// Zeros for these namespaces.
    #[must_use]
    pub fn of<'a>(codes: impl IntoIterator<Item = &'a str>) -> Distribution {
        let namespaces = codes.into_iter().map(|code| (code.into(), [0; N_OUTCOMES])).collect();
        Distribution { namespaces }
    }

    /// Adds requests of a namespace that ended in this way.
    pub fn add(&mut self, namespace: &str, outcome: Outcome, requests: i64) {
        let idx = SHOWN.iter().position(|shown| *shown == outcome);
        let idx = idx.expect("every outcome is on the list of outcomes");
        if !self.namespaces.contains_key(namespace) {
            self.namespaces.insert(namespace.into(), [0; N_OUTCOMES]);
        }
        let counts = self.namespaces.get_mut(namespace).expect("it was just made sure of");
        counts[idx] += i128::from(requests);
    }

    /// The namespaces by code.
    ///
    /// # Errors
    /// `TooLarge`.
    pub fn namespaces(&self) -> Result<Vec<NamespaceCounts>, QueryError> {
        self.namespaces.iter().map(|(code, sums)| Ok((code.clone(), fit(sums)?))).collect()
    }

    /// The outcomes of all namespaces together.
    ///
    /// # Errors
    /// `TooLarge`.
    pub fn totals(&self) -> Result<[i64; N_OUTCOMES], QueryError> {
        let mut totals = [0; N_OUTCOMES];
        for sums in self.namespaces.values() {
            for (total, sum) in totals.iter_mut().zip(sums) {
                *total += sum;
            }
        }
        fit(&totals)
    }
}

fn fit(sums: &[i128; N_OUTCOMES]) -> Result<[i64; N_OUTCOMES], QueryError> {
    let mut counts = [0; N_OUTCOMES];
    for (count, sum) in counts.iter_mut().zip(sums) {
        *count = shown(*sum)?;
    }
    Ok(counts)
}
