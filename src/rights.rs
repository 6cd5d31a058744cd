//! Whether the files of `gatemeter all` may be written, looked at before they are opened.
//!
//! SQLite opens a file that it may not write for reading, and says nothing before the first write:
//! a process that refuses every event would look like a healthy one. Must be called under the lock
//! of the folder and before SQLite has a file open: to close one gives its locks back.

use std::fs::OpenOptions;
use std::io::{Error, ErrorKind};
use std::path::Path;

use anyhow::Context as _;
use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;

/// The databases of a data folder.
const DATABASES: [&str; 2] = ["queue.db", "ledger.db"];
/// What SQLite keeps beside one, with its rights.
const BESIDE: [&str; 3] = ["", "-wal", "-shm"];

/// What is to be done with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// Files are made in this folder.
    MakeIn,
    /// This file is read and written, if it is there.
    Write,
}

/// Refuses a folder in which nothing can be made, and files that are there and may not be written.
///
/// # Errors
/// The path, and what the system says.
pub fn check(dir: &Path) -> anyhow::Result<()> {
    check_by(dir, may)
}

fn check_by(dir: &Path, may: impl Fn(&Path, Use) -> Result<(), Error>) -> anyhow::Result<()> {
    may(dir, Use::MakeIn)
        .with_context(|| format!("nothing can be made in the data folder {}", dir.display()))?;
    for database in DATABASES {
        for end in BESIDE {
            let path = dir.join(format!("{database}{end}"));
            match may(&path, Use::Write) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    let what = format!("{} cannot be read and written", path.display());
                    return Err(anyhow::Error::from(error).context(what));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Whether this process may do this. A file is opened as SQLite would: nothing else is as sure.
fn may(path: &Path, wanted: Use) -> Result<(), Error> {
    match wanted {
        Use::Write => OpenOptions::new().read(true).write(true).open(path).map(drop),
        // To make files in a folder and to go through it are two rights.
        Use::MakeIn => {
            match accessat(CWD, path, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS) {
                Err(error @ (Errno::ACCESS | Errno::ROFS)) => Err(error.into()),
                // Containers of old forbid the call itself: that says nothing of the folder.
                _ => Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests;
