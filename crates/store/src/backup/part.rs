//! A file that gets its name only once it is whole and on the disk.
//!
//! It is written beside its final place, under a name with the number of this process and `.part`,
//! and removed if nothing comes of it. A process that is killed leaves such a file; it may be
//! deleted. Nothing is ever replaced.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::error::{Result, StoreError};

/// Rights of a backup: it has the hashes of keys, and the secret that ids are hashed with.
pub(super) const OWNER_ONLY: u32 = 0o600;
/// Rights of a ledger: what SQLite gives to a file that it makes.
pub(super) const AS_SQLITE: u32 = 0o644;

/// A file that is being written; removed when it is dropped.
#[derive(Debug)]
pub(super) struct PartFile {
    target: PathBuf,
    path: PathBuf,
}

impl PartFile {
    /// Makes an empty file for a target that does not exist.
    ///
    /// # Errors
    /// `FileExists`, or `File` if it cannot be made.
    pub(super) fn create(target: &Path, mode: u32) -> Result<PartFile> {
        let target =
            std::path::absolute(target).map_err(StoreError::file("find the folder of", target))?;
        if fs::symlink_metadata(&target).is_ok() {
            return Err(StoreError::FileExists(target));
        }
        let mut name = target.file_name().map(OsString::from).unwrap_or_default();
        name.push(format!(".{}.part", std::process::id()));
        let path = target.with_file_name(name);
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path)
            .map_err(StoreError::file("make", &path))?;
        Ok(PartFile { target, path })
    }

    /// Where it lies until it is published.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts it on the disk and gives it its name, unless somebody else has taken that meanwhile.
    pub(super) fn publish(self) -> Result<PathBuf> {
        File::open(&self.path)
            .and_then(|file| file.sync_all())
            .map_err(StoreError::file("sync", &self.path))?;
        match fs::hard_link(&self.path, &self.target) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Err(StoreError::FileExists(self.target.clone()));
            }
            // Some file systems have no second names.
            Err(_) => fs::rename(&self.path, &self.target)
                .map_err(StoreError::file("rename", &self.path))?,
        }
        let folder = self.target.parent().unwrap_or(Path::new("/"));
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(StoreError::file("sync the folder of", &self.target))?;
        Ok(self.target.clone())
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        // After a rename there is none, and SQLite may have left a journal of what was cut off.
        let mut journal = self.path.clone().into_os_string();
        journal.push("-journal");
        let _ = (fs::remove_file(&self.path), fs::remove_file(journal));
    }
}
