//! The files of a ServeGen folder: `chunk-N-trace.csv` and `chunk-N-dataset.json` of each client,
//! each plain or with the suffix `.gz`.
//!
//! A folder goes in, its clients come out in the order of their numbers. What is in the files is
//! `servegen`'s; a file without its counterpart is an error, because its client would silently be
//! missing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// The files of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The client's number, as in the names of its files.
    pub number: u16,
    /// Request rates over time.
    pub trace: PathBuf,
    /// Lengths of its prompts and answers.
    pub dataset: PathBuf,
}

/// The clients of a folder.
///
/// # Errors
/// The folder cannot be read, holds no client, one of the two files of a client, or one twice.
pub fn chunks(folder: &Path) -> anyhow::Result<Vec<Chunk>> {
    let shown = folder.display();
    let mut found: BTreeMap<u16, [Option<PathBuf>; 2]> = BTreeMap::new();
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("cannot open the ServeGen folder {shown}"))?;
    for entry in entries {
        let path = entry.with_context(|| format!("cannot read {shown}"))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Some((number, kind)) = client_and_kind(&name) else { continue };
        if let Some(other) = found.entry(number).or_default()[kind].replace(path.clone()) {
            bail!("{} and {} are the same file of a client", other.display(), path.display());
        }
    }
    let mut chunks = Vec::with_capacity(found.len());
    for (number, files) in found {
        match files {
            [Some(trace), Some(dataset)] => chunks.push(Chunk { number, trace, dataset }),
            [trace, dataset] => {
                let known = trace.or(dataset).unwrap_or_default();
                bail!("{} has no counterpart: a client has a trace and a dataset", known.display());
            }
        }
    }
    if chunks.is_empty() {
        bail!("{shown} has no chunk-N-trace.csv with its chunk-N-dataset.json");
    }
    Ok(chunks)
}

/// Number of the client, and 0 for its trace or 1 for its dataset.
fn client_and_kind(name: &str) -> Option<(u16, usize)> {
    let rest = name.strip_suffix(".gz").unwrap_or(name).strip_prefix("chunk-")?;
    let (number, kind) = if let Some(number) = rest.strip_suffix("-trace.csv") {
        (number, 0)
    } else {
        (rest.strip_suffix("-dataset.json")?, 1)
    };
    number.parse().ok().map(|number| (number, kind))
}

#[cfg(test)]
mod tests;
