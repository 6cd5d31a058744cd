//! One source of settings as a list of entries: a TOML text, flags; `variable` has the environment.
//!
//! Entries keep where they came from. This file decides nothing about names or values.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::{FILE_NAME, Sources};
use crate::error::Error;

/// Largest settings file, bytes; the default one with all comments has 6 KiB.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// One setting as one source gave it.
#[derive(Debug)]
pub(super) struct Entry {
    /// Dotted path, as given; not yet known to exist.
    pub path: String,
    pub raw: Raw,
    pub origin: Origin,
}

/// A value before its rule has seen it.
#[derive(Debug)]
pub(super) enum Raw {
    String(String),
    Integer(i64),
    Boolean(bool),
    /// From the environment or a flag, where everything is text.
    Untyped(String),
    /// A table without a setting.
    Empty,
    /// Something no setting takes, by its name in TOML.
    Other(&'static str),
}

/// Where a value was set.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    Default,
    File { path: PathBuf, line: usize },
    Environment { name: String },
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("in the defaults"),
            Origin::File { path, line } => write!(f, "in {} line {line}", path.display()),
            Origin::Environment { name } => write!(f, "in the environment variable {name}"),
            Origin::Flag => f.write_str("on the command line"),
        }
    }
}

/// The entries of the named file, or of the one in the working directory, or none.
pub(super) fn from_file(sources: &Sources) -> Result<Vec<Entry>, Error> {
    if let Some(path) = &sources.file {
        let text = read(path)?;
        return from_toml(&text, &Origin::File { path: path.clone(), line: 0 });
    }
    let path = sources.working_dir.join(FILE_NAME);
    match read(&path) {
        Err(Error::ConfigRead { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
        Ok(text) => from_toml(&text, &Origin::File { path, line: 0 }),
    }
}

/// The entries of a TOML text; the line of a file origin is filled in per entry.
pub(super) fn from_toml(text: &str, origin: &Origin) -> Result<Vec<Entry>, Error> {
    let document = DeTable::parse(text).map_err(|source| Error::ConfigSyntax {
        path: match origin {
            Origin::File { path, .. } => path.clone(),
            _ => PathBuf::from("default.toml"),
        },
        source: Box::new(source),
    })?;
    let mut entries = Vec::new();
    for (section, value) in document.get_ref() {
        // An empty table is an entry as well, so that an unknown section never passes unseen.
        let Some(table) = value.get_ref().as_table().filter(|table| !table.is_empty()) else {
            entries.push(Entry {
                path: section.get_ref().to_string(),
                raw: raw(value.get_ref()),
                origin: at_line(origin, text, section.span().start),
            });
            continue;
        };
        for (key, leaf) in table {
            entries.push(Entry {
                path: format!("{}.{}", section.get_ref(), key.get_ref()),
                raw: raw(leaf.get_ref()),
                origin: at_line(origin, text, key.span().start),
            });
        }
    }
    Ok(entries)
}

/// The entries of the command line.
pub(super) fn from_flags(flags: &[(String, String)]) -> Vec<Entry> {
    flags
        .iter()
        .map(|(path, value)| Entry {
            path: path.clone(),
            raw: Raw::Untyped(value.clone()),
            origin: Origin::Flag,
        })
        .collect()
}

fn read(path: &Path) -> Result<String, Error> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(|source| Error::ConfigRead { path: path.to_owned(), source })?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(Error::ConfigTooLarge { path: path.to_owned(), bytes_max: FILE_BYTES_MAX });
    }
    Ok(text)
}

fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::String(text.to_string()),
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
            .map_or(Raw::Other("an integer beyond 64 bits"), Raw::Integer),
        DeValue::Boolean(switch) => Raw::Boolean(*switch),
        DeValue::Float(_) => Raw::Other("a float"),
        DeValue::Datetime(_) => Raw::Other("a date or time"),
        DeValue::Array(_) => Raw::Other("an array"),
        DeValue::Table(table) if table.is_empty() => Raw::Empty,
        DeValue::Table(_) => Raw::Other("a table"),
    }
}

fn at_line(origin: &Origin, text: &str, byte_idx: usize) -> Origin {
    match origin {
        Origin::File { path, .. } => {
            let before = &text.as_bytes()[..byte_idx.min(text.len())];
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
            Origin::File { path: path.clone(), line }
        }
        other => other.clone(),
    }
}
