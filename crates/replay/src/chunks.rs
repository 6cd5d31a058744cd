//! The files of a ServeGen folder: `chunk-N-trace.csv` and `chunk-N-dataset.json` of each client,
//! each as it is or with `.gz` behind.
//!
//! A folder goes in, its clients come out in the order of their numbers. What is in the files is
//! `servegen`'s; a file without its partner is an error, for its client would be missing in
//! silence.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// The files of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The client's number, as in the names of its files.
    pub number: u16,
    /// When it asked how much.
    pub trace: PathBuf,
    /// How long its prompts and answers were.
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
                bail!("{} stands alone: a client has a trace and a dataset", known.display());
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
mod tests {
    use super::*;

    #[test]
    fn clients_come_in_the_order_of_their_numbers_and_need_both_files() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str| std::fs::write(folder.path().join(name), "").unwrap();
        let fault = || format!("{:#}", chunks(folder.path()).unwrap_err());
        assert!(fault().contains("has no chunk-N-trace.csv"), "{}", fault());
        for name in ["README.md", "chunk-x-trace.csv", "chunk-70000-trace.csv", "chunk-1-other.csv"]
        {
            put(name);
        }
        for name in ["chunk-10-trace.csv", "chunk-10-dataset.json.gz", "chunk-9-trace.csv.gz"] {
            put(name);
        }
        assert!(fault().contains("chunk-9-trace.csv.gz stands alone"), "{}", fault());
        put("chunk-9-dataset.json");
        let found = chunks(folder.path()).unwrap();
        assert_eq!(found.iter().map(|chunk| chunk.number).collect::<Vec<_>>(), [9, 10]);
        assert!(found[1].dataset.ends_with("chunk-10-dataset.json.gz"));
        put("chunk-9-trace.csv");
        assert!(fault().contains("are the same file of a client"), "{}", fault());
        assert!(chunks(&folder.path().join("none")).is_err());
    }
}
