//! The targets: what the parts measured, beside what it is to become.
//!
//! Parts set what they measured, or say why they could not; the table is printed at the end, with a
//! line for every target, also for those whose part did not run.

use std::collections::BTreeMap;

/// What has a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// Raw topic with an event a message, against the Go peer.
    RawSingle,
    /// Raw topic with 500 events a message, against reading a topic of single events.
    RawBatches,
    /// HTTP batches to durable frames, against reading the JSON.
    Http,
    /// Kafka to committed counters, against reading and decoding the frames.
    Kafka,
    /// Embedded log to committed counters, against the same.
    Embedded,
    /// Bytes of an event in its frame.
    FrameBytes,
    /// Bytes of memory for each id of the dedup set.
    Memory,
    /// Seconds until the dedup set is rebuilt at a start.
    Rebuild,
    /// Milliseconds for a page of 100,000 series.
    Page,
    /// Milliseconds for an answer that is kept, 99th percentile, at 1,000 requests a second.
    Hot,
    /// Milliseconds for an answer about a month of one namespace, 99th percentile.
    ColdOne,
    /// Milliseconds for an answer about a month of all namespaces, 99th percentile.
    ColdAll,
    /// Milliseconds for the largest consumers of a month while events come in, 99th percentile.
    Usage,
}

/// A line of the table.
struct Line {
    target: Target,
    what: &'static str,
    /// Part that measures it.
    part: &'static str,
    /// Unit of value and goals.
    unit: &'static str,
    /// What comes next, at most; `None` if nothing is due before the final goal.
    goal: Option<f64>,
    /// What it is to be in the end, at most.
    final_goal: f64,
}

const LINES: [Line; 13] = [
    Line {
        target: Target::RawSingle,
        what: "raw topic, one event a message, ingest and aggregator, against Go with dedup",
        part: "cluster",
        unit: "x",
        goal: Some(2.0),
        final_goal: 1.0,
    },
    Line {
        target: Target::RawBatches,
        what: "raw topic, 500 events a message, against librdkafka reading one a message",
        part: "cluster",
        unit: "x",
        goal: Some(5.0),
        final_goal: 2.5,
    },
    Line {
        target: Target::Http,
        what: "HTTP batches of 500 to durable frames, against serde_json reading the bytes",
        part: "ingest",
        unit: "x",
        goal: Some(2.5),
        final_goal: 1.8,
    },
    Line {
        target: Target::Kafka,
        what: "Kafka to committed counters, with consumers, against reading and decoding",
        part: "cluster",
        unit: "x",
        goal: Some(4.0),
        final_goal: 2.0,
    },
    Line {
        target: Target::Embedded,
        what: "embedded log to committed counters, with consumers, against the same",
        part: "counting",
        unit: "x",
        goal: Some(2.2),
        final_goal: 1.5,
    },
    Line {
        target: Target::FrameBytes,
        what: "frame bytes of an event of `replay synthetic`",
        part: "cluster",
        unit: "B",
        goal: None,
        final_goal: 60.0,
    },
    Line {
        target: Target::Memory,
        what: "10,000,000 ids: memory for each, all in",
        part: "start",
        unit: "B",
        goal: Some(45.0),
        final_goal: 40.0,
    },
    Line {
        target: Target::Rebuild,
        what: "10,000,000 ids: from the start of the process until all are known",
        part: "start",
        unit: "s",
        goal: Some(7.0),
        final_goal: 5.0,
    },
    Line {
        target: Target::Page,
        what: "page of 100,000 series",
        part: "page",
        unit: "ms",
        goal: Some(5.0),
        final_goal: 5.0,
    },
    Line {
        target: Target::Hot,
        what: "API, kept answers at 1,000 requests a second, p99",
        part: "api",
        unit: "ms",
        goal: Some(5.0),
        final_goal: 5.0,
    },
    Line {
        target: Target::ColdOne,
        what: "API, a month of one namespace of 200, p99",
        part: "api",
        unit: "ms",
        goal: Some(50.0),
        final_goal: 50.0,
    },
    Line {
        target: Target::ColdAll,
        what: "API, a month of all 200 namespaces, p99",
        part: "api",
        unit: "ms",
        goal: Some(50.0),
        final_goal: 50.0,
    },
    Line {
        target: Target::Usage,
        what: "API, top 100 of a million rows of consumers while events come in, p99",
        part: "api",
        unit: "ms",
        goal: Some(200.0),
        final_goal: 200.0,
    },
];

/// What was measured of the targets.
#[derive(Default)]
pub struct Targets {
    found: BTreeMap<Target, Result<f64, String>>,
}

impl Targets {
    /// Sets what was measured, in the unit of the target.
    pub fn set(&mut self, target: Target, value: f64) {
        self.found.insert(target, Ok(value));
    }

    /// Says why it was not measured.
    pub fn skip(&mut self, target: Target, why: &str) {
        self.found.insert(target, Err(why.to_owned()));
    }

    /// Prints the table.
    pub fn print(&self) {
        println!("\n| target | measured | goal | final goal |\n|---|---|---|---|");
        for line in &LINES {
            let (unit, goal) = (line.unit, line.goal);
            let found = match self.found.get(&line.target) {
                Some(Ok(value)) => Ok(*value),
                Some(Err(why)) => Err(why.clone()),
                None => Err(format!("part {} did not run", line.part)),
            };
            let measured = match &found {
                Ok(value) => format!("{value:.2} {unit}"),
                Err(why) => format!("not measured: {why}"),
            };
            let judged = |limit: f64| {
                let verdict = match found {
                    Ok(value) if value <= limit => ": reached",
                    Ok(_) => ": missed",
                    Err(_) => "",
                };
                format!("<= {limit} {unit}{verdict}")
            };
            let goal = goal.map_or_else(|| "-".to_owned(), judged);
            println!("| {} | {measured} | {goal} | {} |", line.what, judged(line.final_goal));
        }
    }
}
