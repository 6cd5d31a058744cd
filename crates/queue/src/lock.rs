//! The lock on the data directory: one process writes, all others only read.
//! The kernel holds the lock for the open file and drops it when the process dies, however it
//! dies; so there is no stale lock to clean up. Dropping the lock releases it explicitly, not by
//! closing alone: a child that is between fork and exec has the open file too, and would go on
//! holding it. The process id in the file only serves the error message and is never trusted for
//! more.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, Write};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::error::QueueError;

/// Name of the lock file in the data directory.
const LOCK_FILE: &str = "lock";

/// Exclusive right to write in a data directory, held until it is dropped or the process ends.
#[derive(Debug)]
pub struct DirectoryLock {
    file: File,
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // Nothing is left to do about a failure: closing the file gives the lock back as well.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

impl DirectoryLock {
    /// Takes the lock, without waiting. Creates the directory if it is missing.
    ///
    /// # Errors
    /// [`QueueError::LockHeld`] names the directory and its holder; [`QueueError::Io`] if the
    /// directory or the file cannot be made.
    pub fn acquire(dir: &Path) -> Result<DirectoryLock, QueueError> {
        std::fs::create_dir_all(dir)
            .map_err(|e| QueueError::io("create the data directory", dir, e))?;
        sync_parent(dir)?;
        let path = dir.join(LOCK_FILE);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| QueueError::io("open the lock file", &path, e))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let pid = holder(&mut file);
                return Err(QueueError::LockHeld { dir: dir.to_path_buf(), pid });
            }
            Err(e) => return Err(QueueError::io("lock", &path, e.into())),
        }
        write_pid(&mut file).map_err(|e| QueueError::io("write the lock file", &path, e))?;
        Ok(DirectoryLock { file })
    }
}

/// Makes the directory's own name durable: without it, power loss after the first start could
/// take the whole directory away, with everything in it.
fn sync_parent(dir: &Path) -> Result<(), QueueError> {
    let parent = match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match File::open(parent).and_then(|file| file.sync_all()) {
        Ok(()) => Ok(()),
        // A parent that we may not even open was not made by us, nor just now.
        Err(e) if e.kind() == ErrorKind::PermissionDenied => Ok(()),
        Err(e) => Err(QueueError::io("sync the parent directory", parent, e)),
    }
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn write_pid(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests;
