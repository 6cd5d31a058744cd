//! What was sent, from the tapes of the loads alone: written and synced before each send, outside
//! of everything that is tested.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::Value;

/// Sums over all tapes.
#[derive(Debug, Default)]
pub struct Tapes {
    /// Batches on the tapes.
    pub batches: usize,
    /// Batches without an answer of 2xx.
    pub unanswered: usize,
    /// Events that the answers say are durable.
    pub accepted: i64,
    /// Distinct ids that must be counted.
    pub counted: i64,
    /// Those among them, and among the late ones, that end a request.
    pub requests: i64,
    pub input: i64,
    pub output: i64,
    /// Distinct ids that are late, and must be counted at their own time; and future ones, which
    /// must not.
    pub late: i64,
    pub future: i64,
    ids: HashSet<String>,
}

impl Tapes {
    /// Reads every tape in a folder whose name begins so.
    pub fn read(folder: &Path, prefix: &str) -> anyhow::Result<Tapes> {
        let mut tapes = Tapes::default();
        for entry in std::fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()? {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(prefix) && name.ends_with(".tape.ndjson") {
                let path = entry.path();
                tapes.add(&path).with_context(|| format!("tape {}", path.display()))?;
            }
        }
        Ok(tapes)
    }

    fn add(&mut self, path: &Path) -> anyhow::Result<()> {
        let (mut batches, mut answered) = (0, HashSet::new());
        for line in BufReader::new(File::open(path)?).lines() {
            let line: Value = serde_json::from_str(&line?)?;
            match line["kind"].as_str() {
                Some("batch") => {
                    batches += 1;
                    for event in line["events"].as_array().context("a batch without events")? {
                        self.event(event)?;
                    }
                }
                Some("answer") => {
                    self.accepted += line["accepted"].as_i64().context("an answer of nothing")?;
                    answered.insert(line["batch"].as_u64());
                }
                _ => {}
            }
        }
        self.batches += batches;
        self.unanswered += batches - answered.len();
        Ok(())
    }

    /// `[id, time us, class, namespace, upstream, model, status, final, tokens or null]`.
    fn event(&mut self, event: &Value) -> anyhow::Result<()> {
        match event[2].as_str() {
            Some("future") => self.future += 1,
            Some(class @ ("counted" | "late")) => {
                let id = event[0].as_str().context("an event without an id")?;
                if !self.ids.insert(id.to_owned()) {
                    bail!("{id} is to be counted twice");
                }
                self.counted += i64::from(class == "counted");
                self.late += i64::from(class == "late");
                self.requests += i64::from(event[7] == true);
                self.input += event[8][0].as_i64().unwrap_or(0);
                self.output += event[8][1].as_i64().unwrap_or(0);
            }
            Some("duplicate" | "rejected") => {}
            other => bail!("an event of class {other:?}"),
        }
        Ok(())
    }
}
