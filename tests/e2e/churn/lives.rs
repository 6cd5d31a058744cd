//! What became of the messages of topics: counted in the ledger, rejected with a dead letter,
//! reported as lost in the log of an ingest; and the read positions in the ledger.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::load::Load;
use crate::gatemeter::{get, wait_for};
use crate::stack::Stack;

/// How the life of a topic ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All of it was read, and nothing was written for a while.
    Quiet,
    /// While it is written and read.
    Flowing,
    /// All was read, then every ingest was killed.
    Dead,
    /// Every ingest was killed, and more was written.
    Unseen,
    /// The same, but an ingest was restarted, which is assigned nothing until the dead members'
    /// sessions have expired.
    Orphaned,
}

impl Ending {
    pub const ALL: [Ending; 5] =
        [Ending::Quiet, Ending::Flowing, Ending::Dead, Ending::Unseen, Ending::Orphaned];
}

/// A life that is over, or a load that is.
#[derive(Debug)]
pub struct Life {
    id: String,
    namespace: String,
    ending: Ending,
    n_taken: i64,
    n_failed: i64,
    /// Written when no ingest could see it any more.
    n_unseen: i64,
    partitions: i32,
}

/// An ingest's report about a deleted partition.
#[derive(Debug)]
pub struct LossReport {
    topic_id: String,
    partition: i64,
    pub lost: i64,
    is_certain: bool,
}

impl Life {
    pub fn new(load: &Load, id: String, ending: Ending, n_unseen: i64) -> Life {
        Life {
            id,
            namespace: load.namespace.clone(),
            ending,
            n_taken: load.n_taken(),
            n_failed: load.n_failed(),
            n_unseen,
            partitions: load.partitions,
        }
    }

    /// What became of its messages.
    fn found(&self, stack: &Stack, reports: &[LossReport]) -> i64 {
        let lost: i64 = self.own(reports).map(|report| report.lost).sum();
        counted(stack, &self.namespace) + rejected(stack, &self.namespace) + lost
    }

    fn own<'t>(&self, reports: &'t [LossReport]) -> impl Iterator<Item = &'t LossReport> {
        reports.iter().filter(|report| report.topic_id == self.id)
    }

    /// The minimum that must be found.
    fn wanted(&self) -> i64 {
        self.n_taken - self.n_unseen
    }

    /// Waits until nothing of it is in flight.
    pub fn wait(&self, stack: &Stack, reports: impl Fn() -> Vec<LossReport>) {
        let mut found = 0;
        let began = std::time::Instant::now();
        while began.elapsed() < crate::gatemeter::DEADLINE {
            found = self.found(stack, &reports());
            if found >= self.wanted() {
                return;
            }
            std::thread::park_timeout(std::time::Duration::from_millis(100));
        }
        panic!("{found} of {}: {self:?} {:?}", self.wanted(), reports());
    }

    /// Everything is accounted for, and nothing twice.
    pub fn check(&self, stack: &Stack, reports: &[LossReport]) {
        let found = self.found(stack, reports);
        let own: Vec<&LossReport> = self.own(reports).collect();
        let partitions: BTreeSet<i64> = own.iter().map(|report| report.partition).collect();
        assert_eq!(partitions.len(), own.len(), "each is reported once: {own:?}");
        // A wider topic before it has left rows of partitions that it never had.
        let mut beyond = own.iter().filter(|report| report.partition >= i64::from(self.partitions));
        assert!(beyond.all(|report| report.lost == 0), "{own:?}");
        println!(
            "{} {:?}: {} counted, {} rejected, {} lost, {} unseen of {} ({} failed)",
            self.namespace,
            self.ending,
            counted(stack, &self.namespace),
            rejected(stack, &self.namespace),
            own.iter().map(|report| report.lost).sum::<i64>(),
            self.n_taken - found,
            self.n_taken,
            self.n_failed
        );
        match self.ending {
            // The last messages were never seen; failed writes may be there all the same.
            Ending::Flowing => {
                assert!(found >= self.wanted(), "{found} {self:?} {own:?}");
                assert!(found <= self.n_taken + self.n_failed, "{found} {self:?} {own:?}");
            }
            _ => assert_eq!((found, self.n_failed), (self.wanted(), 0), "{self:?} {own:?}"),
        }
        let is_said = own.iter().any(|report| !report.is_certain);
        assert!(found >= self.n_taken || is_said, "more may be lost: {self:?} {own:?}");
        if self.ending == Ending::Dead {
            assert!(own.iter().all(|report| report.lost == 0), "all was read: {self:?} {own:?}");
        }
    }
}

/// Messages of a load that are counted or rejected.
pub fn read(stack: &Stack, load: &Load) -> i64 {
    counted(stack, &load.namespace) + rejected(stack, &load.namespace)
}

/// Events of a namespace that are counted.
fn counted(stack: &Stack, namespace: &str) -> i64 {
    let path = format!("/api/metrics/namespaces/{namespace}/stats?timeRange=all");
    let answer = get(stack.port("api"), &path, &[]).filter(|answer| answer.status == 200);
    let Some(answer) = answer else { return 0 };
    let body: Value = serde_json::from_str(&answer.body).expect("JSON");
    body["data"]["totalRequests"].as_i64().expect("a number")
}

/// Events of a namespace that have a letter.
fn rejected(stack: &Stack, namespace: &str) -> i64 {
    let sql = "SELECT count(DISTINCT event_id) FROM raw_letter WHERE event_id LIKE";
    stack.sql(&format!("{sql} '{namespace}-%'")).parse().expect("a number")
}

/// A row of the ledger: id of the topic, what is done with, the end.
type Place = (String, i64, i64);

/// What the ledger has of the partitions of a topic.
fn places(stack: &Stack, load: &Load) -> BTreeMap<i32, Place> {
    let sql = "SELECT `partition`, topic_id, next, high FROM raw_place WHERE topic =";
    let rows = stack.sql(&format!("{sql} '{}'", load.topic));
    let place = |row: &str| {
        let columns: Vec<&str> = row.split('\t').collect();
        let number = |at: usize| columns[at].parse::<i64>().expect("a number");
        let key = i32::try_from(number(0)).expect("a partition");
        (key, (columns[1].to_owned(), number(2), number(3)))
    };
    rows.lines().map(place).collect()
}

/// The id of a load's topic, once the ledger has it for all partitions.
pub fn id_of(stack: &Stack, load: &Load, lives: &[Life]) -> String {
    let old: BTreeSet<&str> = lives.iter().map(|life| life.id.as_str()).collect();
    let mut ids = BTreeSet::new();
    wait_for("the ledger knows the topic", || {
        let places = places(stack, load);
        let own = (0..load.partitions).map(|n| places.get(&n).map(|place| place.0.clone()));
        let own: Option<BTreeSet<String>> = own.collect();
        ids = own.unwrap_or_default();
        ids.len() == 1 && ids.iter().all(|id| !old.contains(id.as_str()))
    });
    ids.pop_first().expect("there is one")
}

/// Waits until the ledger says that all of a load is done with.
pub fn wait_done(stack: &Stack, load: &Load) {
    let ends = load.ends();
    wait_for("all is done with", || {
        let places = places(stack, load);
        let is_done = |place: &Place, end: i64| place.1 == end && place.2 == end;
        ends.iter().all(|(n, end)| places.get(n).is_some_and(|place| is_done(place, *end)))
    });
}

/// Waits until the ledger knows where a load ended.
pub fn wait_seen(stack: &Stack, load: &Load) {
    let ends = load.ends();
    wait_for("all ends are seen", || {
        let places = places(stack, load);
        ends.iter().all(|(n, end)| places.get(n).is_some_and(|place| place.2 == *end))
    });
}

/// The ingests' reports about deleted topics.
pub fn loss_reports(stack: &Stack, logs: &[String]) -> Vec<LossReport> {
    let mut all = Vec::new();
    for log in logs {
        let said = stack.said(log);
        let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        for line in lines {
            let message = line["message"].as_str().unwrap_or_default();
            if !message.starts_with("topic was deleted") {
                continue;
            }
            let fields = &line["fields"];
            all.push(LossReport {
                topic_id: fields["topic_id"].as_str().expect("an id").to_owned(),
                partition: fields["partition"].as_i64().expect("a number"),
                // All was read where none are named.
                lost: fields["lost"].as_i64().unwrap_or(0),
                is_certain: !message.contains("more may be lost"),
            });
        }
    }
    all
}
