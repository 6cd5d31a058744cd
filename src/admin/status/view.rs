//! What `gatemeter admin status` prints, as JSON or as tables. Names of fields are promises:
//! docs/operations.md.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;
use store::{OwnerRow, ProcessRow};

use super::Found;
use crate::admin::table;

/// How everything is.
#[derive(Debug, Serialize)]
pub struct Status {
    /// Whether nothing is wrong.
    ok: bool,
    /// What is wrong, a sentence each.
    faults: Vec<String>,
    ledger: LedgerView,
    log: LogView,
    /// `None` if no process that was heard lately shows the business section.
    publisher: Option<PublisherView>,
    partitions: Vec<PartitionStatus>,
    processes: Vec<ProcessView>,
}

#[derive(Debug, Serialize)]
struct LedgerView {
    format: i64,
    version: i64,
    /// Microseconds since 1970; 0 before the first commit.
    committed_us: i64,
    /// The frame version that ingest writes.
    frame_version: u8,
    /// Whether it was put back, and no page was served since.
    restored: bool,
}

#[derive(Debug, Serialize)]
struct LogView {
    generation: u32,
    partitions: u32,
    /// Why its ends are not known; `None` if they are.
    fault: Option<String>,
}

#[derive(Debug, Serialize)]
struct PublisherView {
    address: String,
    /// How often the lease was taken over; `None` where there is none, as in a directory.
    term: Option<i64>,
}

/// What is done about a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Counted,
    Halted,
    Unowned,
}

#[derive(Debug, Serialize)]
struct PartitionStatus {
    partition: u32,
    state: State,
    /// Where the aggregator listens that counts it, or did last.
    owner: Option<String>,
    /// Offset behind the last counted frame.
    next: u64,
    /// End of the log; `None` if it is not known.
    log_end: Option<u64>,
    /// Frames that are not counted; `None` if it is not known.
    lag_frames: Option<u64>,
    /// Why it is halted.
    halted: Option<String>,
    /// Where it goes on if the loss is accepted.
    resumes_at: Option<u64>,
}

#[derive(Debug, Serialize)]
struct ProcessView {
    id: String,
    role: String,
    address: String,
    program: String,
    started_us: i64,
    seen_us: i64,
    seen_ms_ago: i64,
    alive: bool,
}

impl Status {
    /// What follows from what was read.
    pub(super) fn of(found: &Found) -> Status {
        let by_id: BTreeMap<[u8; 16], &ProcessRow> =
            found.processes.iter().map(|process| (process.id, process)).collect();
        let owners: BTreeMap<u32, &OwnerRow> =
            found.owners.iter().map(|owner| (owner.partition, owner)).collect();
        let next: BTreeMap<u32, u64> =
            found.partitions.iter().map(|row| (row.partition, row.progress.next)).collect();
        let partition = |partition: u32| {
            let owner = owners.get(&partition).copied();
            let process = owner.and_then(|owner| by_id.get(&owner.process));
            let halted = owner.and_then(|owner| owner.halted.clone());
            let state = match process {
                _ if halted.is_some() => State::Halted,
                Some(process) if process.is_alive(found.now) => State::Counted,
                _ => State::Unowned,
            };
            let next = next.get(&partition).copied().unwrap_or(0);
            let log_end = found.ends.as_ref().ok().and_then(|ends| ends.get(&partition)).copied();
            PartitionStatus {
                partition,
                state,
                owner: process.map(|process| process.address.clone()),
                next,
                log_end,
                lag_frames: log_end.map(|end| end.saturating_sub(next)),
                halted,
                resumes_at: owner.and_then(|owner| owner.resumes_at),
            }
        };
        let mut status = Status {
            ok: true,
            faults: Vec::new(),
            ledger: LedgerView {
                format: found.format,
                version: found.version,
                committed_us: found.committed_us,
                frame_version: found.frame_version,
                restored: found.is_restored,
            },
            log: LogView {
                generation: found.generation,
                partitions: found.n_partitions,
                fault: found.ends.as_ref().err().cloned(),
            },
            publisher: publisher(found),
            partitions: (0..found.n_partitions).map(partition).collect(),
            processes: found.processes.iter().map(|row| process(row, found)).collect(),
        };
        status.faults = status.faults();
        status.ok = status.faults.is_empty();
        status
    }

    /// Whether every partition is counted and somebody shows what is.
    pub fn is_well(&self) -> bool {
        self.ok
    }

    fn faults(&self) -> Vec<String> {
        let of_partition = |row: &PartitionStatus| {
            let PartitionStatus { partition, state, halted, owner, .. } = row;
            match (state, halted, owner) {
                (State::Counted, ..) => None,
                (State::Halted, Some(reason), _) => {
                    Some(format!("partition {partition} is halted: {reason}"))
                }
                (_, _, None) => Some(format!("partition {partition} has no owner")),
                (_, _, Some(owner)) => Some(format!(
                    "partition {partition} has no owner: {owner}, which had it last, is silent"
                )),
            }
        };
        let publisher = self.publisher.is_none().then(|| "no process is the publisher".to_owned());
        self.partitions.iter().filter_map(of_partition).chain(publisher).collect()
    }

    /// The tables for people.
    pub fn text(&self) -> String {
        let LedgerView { format, version, committed_us, frame_version, restored } = self.ledger;
        let committed = match committed_us {
            0 => "never committed".to_owned(),
            us => format!("committed {}", time(us)),
        };
        let restored = if restored { ", put back and not caught up yet" } else { "" };
        let LogView { generation, partitions, fault } = &self.log;
        let fault =
            fault.as_ref().map_or_else(String::new, |fault| format!(", lag unknown: {fault}"));
        let publisher = match &self.publisher {
            None => "none".to_owned(),
            Some(PublisherView { address, term: None }) => address.clone(),
            Some(PublisherView { address, term: Some(term) }) => format!("{address}, term {term}"),
        };
        let mut text = format!(
            "ledger     format {format}, version {version}, {committed}{restored}\n\
             frames     version {frame_version}\n\
             log        generation {generation}, partitions: {partitions}{fault}\n\
             publisher  {publisher}\n\n"
        );
        text.push_str(&table::aligned(
            ["partition", "owner", "next offset", "lag (frames)", "state"],
            [true, false, true, true, false],
            self.partitions.iter().map(PartitionStatus::cells),
        ));
        text.push('\n');
        text.push_str(&table::aligned(
            ["role", "address", "version", "started", "state"],
            [false; 5],
            self.processes.iter().map(ProcessView::cells),
        ));
        if !self.faults.is_empty() {
            text.push('\n');
        }
        for fault in &self.faults {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{fault}");
        }
        text
    }
}

impl PartitionStatus {
    fn cells(&self) -> [String; 5] {
        let state = match (self.state, &self.halted) {
            (State::Counted, _) => "counted".to_owned(),
            (State::Halted, reason) => {
                format!("halted: {}", reason.as_deref().unwrap_or("for no known reason"))
            }
            (State::Unowned, _) => "no owner".to_owned(),
        };
        [
            self.partition.to_string(),
            self.owner.clone().unwrap_or_else(|| "-".to_owned()),
            self.next.to_string(),
            self.lag_frames.map_or_else(|| "unknown".to_owned(), |lag| lag.to_string()),
            state,
        ]
    }
}

impl ProcessView {
    fn cells(&self) -> [String; 5] {
        let state = match self.alive {
            true => format!("alive, seen {}", ago(self.seen_ms_ago)),
            false => format!("silent, last seen {}", ago(self.seen_ms_ago)),
        };
        let started = time(self.started_us);
        [self.role.clone(), self.address.clone(), self.program.clone(), started, state]
    }
}

/// The process that shows the business section, if it was heard lately. In a directory there is no
/// lease: it is the one process that has it.
fn publisher(found: &Found) -> Option<PublisherView> {
    let is_it = |process: &&ProcessRow| match found.is_shared {
        true => found.holder == Some(process.id),
        false => true,
    };
    let alive = found.processes.iter().filter(|process| process.is_alive(found.now));
    let process = alive.filter(is_it).max_by_key(|process| process.started_us)?;
    let term = found.is_shared.then_some(found.term);
    Some(PublisherView { address: process.address.clone(), term })
}

fn process(row: &ProcessRow, found: &Found) -> ProcessView {
    ProcessView {
        id: row.id.iter().map(|byte| format!("{byte:02x}")).collect(),
        role: row.role.clone(),
        address: row.address.clone(),
        program: row.program.clone(),
        started_us: row.started_us,
        seen_us: row.seen_us,
        seen_ms_ago: (found.now.as_us() - row.seen_us) / 1_000,
        alive: row.is_alive(found.now),
    }
}

fn time(us: i64) -> String {
    Timestamp::from_microsecond(us).map_or_else(|_| us.to_string(), |at| format!("{at:.0}"))
}

/// A time span for people.
fn ago(ms: i64) -> String {
    match ms.max(0) / 1_000 {
        seconds @ 0..60 => format!("{seconds} s ago"),
        seconds @ 60..3_600 => format!("{} min ago", seconds / 60),
        seconds => format!("{} h ago", seconds / 3_600),
    }
}
