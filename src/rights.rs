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
mod tests {
    use super::*;

    #[test]
    fn file_that_may_not_be_written_is_refused_with_its_path() {
        let folder = tempfile::tempdir().expect("a temp folder");
        let dir = folder.path();
        check(dir).expect("files that are not there yet are made");
        for (name, error, words) in [
            ("queue.db", Errno::ACCESS, "Permission denied"),
            ("queue.db-shm", Errno::ROFS, "Read-only file system"),
            ("ledger.db", Errno::PERM, "Operation not permitted"),
            ("ledger.db-wal", Errno::ACCESS, "Permission denied"),
        ] {
            std::fs::write(dir.join(name), "kept").expect("a file");
            check(dir).expect("everything may be written");
            assert_eq!(std::fs::read(dir.join(name)).expect("a file"), b"kept");
            let may_not = |path: &Path, wanted| match path.ends_with(name) {
                true => Err(error.into()),
                false => may(path, wanted),
            };
            let told = format!("{:#}", check_by(dir, may_not).expect_err(name));
            assert!(told.contains(&format!("{name} cannot")) && told.contains(words), "{told}");
        }
        // Root may write whatever has no rights, but no folder.
        std::fs::create_dir(dir.join("queue.db-wal")).expect("a folder");
        let told = format!("{:#}", check(dir).expect_err("it is no file"));
        assert!(told.contains("queue.db-wal cannot be read and written: Is a directory"), "{told}");
        let told = check_by(dir, |_, _| Err(Errno::ACCESS.into())).expect_err("nothing is made");
        assert!(told.to_string().starts_with("nothing can be made in the data folder"), "{told}");
    }
}
