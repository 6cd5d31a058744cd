//! Consumers as questions group them: what each used in the whole range that is recounted.
//!
//! The rows of the ledger are added up here, name by name and byte by byte. The database that adds
//! them up for an answer, and the API that gives it, must come to the same groups: a database that
//! takes two names for one shows one with the tokens of both, and the other not at all.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use store::plain::PlainReader;

use crate::labels::Consumer;
use crate::sums::Sums;

/// Who used tokens; an empty consumer means no consumer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    pub namespace: String,
    pub consumer: String,
}

/// What each used.
pub type Groups = BTreeMap<Group, Sums>;

impl fmt::Display for Group {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{{namespace={} consumer={:?}}}", self.namespace, self.consumer)
    }
}

/// Adds up rows per quarter-hour.
pub fn of_rows(rows: &BTreeMap<(i64, Consumer), Sums>) -> Groups {
    let mut groups = Groups::new();
    for ((_, labels), sums) in rows {
        let Consumer { namespace, consumer, .. } = labels;
        let group = Group { namespace: namespace.clone(), consumer: consumer.clone() };
        groups.entry(group).or_default().add(sums);
    }
    groups
}

/// The groups as the database adds them up.
///
/// # Errors
/// The error of the store.
pub async fn of_store(reader: &mut PlainReader, quarters: Range<i64>) -> anyhow::Result<Groups> {
    let mut groups = Groups::new();
    for (names, used) in reader.consumer_groups(quarters).await? {
        let [namespace, consumer] = <[String; 2]>::try_from(names)
            .map_err(|names| anyhow::anyhow!("a group has {} names", names.len()))?;
        groups.insert(Group { namespace, consumer }, Sums::of_used(used));
    }
    Ok(groups)
}
