//! The files of the repository, and which crates there are.

use std::fs;
use std::path::{Path, PathBuf};

/// The crate whose lints allow unsafe code in one file.
pub const FOREIGN_CRATE: &str = "kafka-id";
/// The crates from the foundation up; one may use only those of lower layers.
pub const LAYERS: [(&str, u8); 15] = [
    ("clock", 0),
    ("event", 0),
    ("kafka-id", 0),
    ("queue", 1),
    ("tokens", 1),
    ("ledger", 1),
    ("store", 2),
    ("service", 2),
    ("cache", 2),
    ("replay", 3),
    ("recount", 3),
    ("ingest", 3),
    ("aggregator", 3),
    ("api", 3),
    ("gatemeter", 4),
];
/// The crates of layer 3 that lie beside the program; the tools lie in `crates`.
const ROLES: [&str; 3] = ["ingest", "aggregator", "api"];

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What is generated or fetched, from the root.
const FOREIGN: [&str; 5] = [
    "target",
    "gatemeter-data",
    "frontend/dist",
    "frontend/node_modules",
    "frontend/src/api/schema.d.ts",
];

/// Every file below the house with one of these endings, without what is generated or fetched.
pub fn files(endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if FOREIGN.contains(&&*shown(&path)) {
                continue;
            }
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

pub fn rust_files() -> Vec<PathBuf> {
    files(&[".rs"])
}

pub fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

pub fn assert_none(breaches: &[String]) {
    assert!(breaches.is_empty(), "{} breaches:\n{}", breaches.len(), breaches.join("\n"));
}

/// Folder of a crate: the program is at the root, the roles beside it, and the others in `crates`.
pub fn crate_folder(name: &str) -> PathBuf {
    match name {
        "gatemeter" => root(),
        _ if ROLES.contains(&name) => root().join(name),
        _ => root().join("crates").join(name),
    }
}

/// Whether a file holds tests: `x/tests.rs` beside `x.rs`, and what lies in a folder `tests`.
pub fn is_test(path: &Path) -> bool {
    let inside = path.strip_prefix(root()).unwrap_or(path);
    inside.iter().any(|part| part == "tests") || path.file_name().is_some_and(|n| n == "tests.rs")
}
