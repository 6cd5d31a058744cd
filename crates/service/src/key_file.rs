//! The key files of the first start: made once, readable by their owner alone.
//!
//! 256 random bits go out as base64url, complete and synced before the file has its name, so that a
//! crash leaves either no key or a whole one. The caller stores the hash; the key itself is only in
//! the file, and is never logged.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::auth::{KeyHash, hash_key};
use crate::error::Error;
use crate::secret_file::read_key;

const KEY_BYTES: usize = 32;
/// Base64url of 32 bytes without padding.
#[cfg(test)]
const KEY_LETTERS: usize = 43;
/// Read and write for the owner only.
const MODE: u32 = 0o600;

/// An existing key file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyFile {
    /// Whether this call created it, so that the caller can report it.
    pub created: bool,
    /// SHA-256 of the key, to be stored.
    pub sha256: KeyHash,
}

/// Reads the key file, or creates it if it is missing. Its folder must exist.
///
/// Only call it while no hash of this key is stored: an operator may remove the file later, and the
/// key must stay the same.
///
/// # Errors
/// The file cannot be read or created, or does not hold a valid key.
pub fn ensure_key(path: &Path) -> Result<KeyFile, Error> {
    match read(path) {
        Err(Error::KeyFile { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    let mut bits = [0_u8; KEY_BYTES];
    getrandom::fill(&mut bits)
        .map_err(|error| failed("make", path, io::Error::other(error.to_string())))?;
    let key = URL_SAFE_NO_PAD.encode(bits);
    match make(path, &key) {
        Ok(()) => Ok(KeyFile { created: true, sha256: hash_key(&key) }),
        // Another process was faster; its key is used.
        Err(source) if source.kind() == io::ErrorKind::AlreadyExists => read(path),
        Err(source) => Err(failed("make", path, source)),
    }
}

/// The fault of an existing key file that does not hold the key of this hash: its content would be
/// refused. A deleted file is not a fault.
#[must_use]
pub fn misleads(path: &Path, sha256: KeyHash) -> Option<String> {
    match read(path) {
        Ok(key) if key.sha256 == sha256 => None,
        Err(Error::KeyFile { source, .. }) if source.kind() == io::ErrorKind::NotFound => None,
        Ok(_) => Some(format!("the key in {} is another one", path.display())),
        Err(error) => Some(crate::error::chain(&error)),
    }
}

fn read(path: &Path) -> Result<KeyFile, Error> {
    let key = read_key(path).map_err(|error| match error {
        Error::SecretFile { path, source } => failed("read", &path, source),
        Error::SecretContent { path, .. } => Error::KeyFileContent { path },
        other => other,
    })?;
    let metadata = fs::metadata(path).map_err(|source| failed("read", path, source))?;
    if metadata.permissions().mode() & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "key file is readable by others, chmod it to 600");
    }
    match URL_SAFE_NO_PAD.decode(&key) {
        Ok(bits) if bits.len() == KEY_BYTES => {
            Ok(KeyFile { created: false, sha256: hash_key(&key) })
        }
        _ => Err(Error::KeyFileContent { path: path.to_owned() }),
    }
}

/// Writes the key to a temporary file, then links it to its name; fails if the name is taken.
fn make(path: &Path, key: &str) -> io::Result<()> {
    let beside = beside(path);
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&beside)?;
    writeln!(file, "{key}")?;
    file.sync_all()?;
    // A hard link, because it never replaces an existing file, which a rename would.
    let linked = fs::hard_link(&beside, path);
    fs::remove_file(&beside)?;
    linked?;
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

fn failed(act: &'static str, path: &Path, source: io::Error) -> Error {
    Error::KeyFile { act, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
