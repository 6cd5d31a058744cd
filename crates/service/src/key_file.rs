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
/// Owner reads and writes, nobody else does anything.
const MODE: u32 = 0o600;

/// A key file that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyFile {
    /// Whether this call made it, so that the caller can say so.
    pub created: bool,
    /// SHA-256 of the key, as it is to be stored.
    pub sha256: KeyHash,
}

/// Reads the key file, or makes it if there is none. Its folder must exist.
///
/// Only call it while no hash of this key is stored: an operator may take the file away later, and
/// the key must stay the same.
///
/// # Errors
/// The file cannot be read or made, or holds something that is no key.
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
        // Somebody else was faster; theirs is the key.
        Err(source) if source.kind() == io::ErrorKind::AlreadyExists => read(path),
        Err(source) => Err(failed("make", path, source)),
    }
}

/// What is wrong with a key file that is there and does not hold the key of this hash: whoever
/// takes its content for the key is refused. Nothing is wrong with one that was taken away.
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
        tracing::warn!(path = %path.display(), "key file can be read by others, chmod 600 it");
    }
    match URL_SAFE_NO_PAD.decode(&key) {
        Ok(bits) if bits.len() == KEY_BYTES => {
            Ok(KeyFile { created: false, sha256: hash_key(&key) })
        }
        _ => Err(Error::KeyFileContent { path: path.to_owned() }),
    }
}

/// Writes the key beside its place, then gives it its name; fails if the name is taken.
fn make(path: &Path, key: &str) -> io::Result<()> {
    let beside = beside(path);
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&beside)?;
    writeln!(file, "{key}")?;
    file.sync_all()?;
    // A hard link, for it refuses to replace what is there, which a rename would not.
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
mod tests {
    use super::*;
    use crate::auth::Verifier;

    #[test]
    fn first_start_makes_a_key_and_the_next_one_reads_it() {
        let dir = tempfile::tempdir().expect("a temp folder");
        let path = dir.path().join("ingest.key");
        let made = ensure_key(&path).expect("the folder is empty");
        assert!(made.created);
        let text = fs::read_to_string(&path).expect("the file is there");
        let key = text.trim_end();
        assert_eq!(key.len(), KEY_LETTERS);
        assert!(Verifier::new(made.sha256).is_key(key));
        let mode = fs::metadata(&path).expect("the file is there").permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        let read = ensure_key(&path).expect("the key is whole");
        assert_eq!(read, KeyFile { created: false, sha256: made.sha256 });
        assert_eq!(fs::read_dir(dir.path()).expect("the folder").count(), 1);
    }

    #[test]
    fn crash_before_the_name_was_given_leaves_room_for_a_whole_key() {
        let dir = tempfile::tempdir().expect("a temp folder");
        let path = dir.path().join("ingest.key");
        fs::write(beside(&path), "half a k").expect("a left-over");
        assert!(ensure_key(&path).expect("a whole key").created);
        assert!(!beside(&path).exists());
    }

    #[test]
    fn two_keys_are_never_the_same() {
        let dir = tempfile::tempdir().expect("a temp folder");
        let one = ensure_key(&dir.path().join("admin.key")).expect("made");
        let two = ensure_key(&dir.path().join("ingest.key")).expect("made");
        assert_ne!(one.sha256, two.sha256);
    }

    #[test]
    fn file_is_never_replaced_whatever_it_holds() {
        let dir = tempfile::tempdir().expect("a temp folder");
        let path = dir.path().join("ingest.key");
        let longer = URL_SAFE_NO_PAD.encode([7_u8; 64]);
        for content in [&b""[..], b"too short", b"\xff\xfe", longer.as_bytes()] {
            fs::write(&path, content).expect("a file");
            let error = ensure_key(&path).expect_err("it holds no key").to_string();
            assert!(error.contains("does not hold a key") && error.contains("delete it"));
            assert_eq!(fs::read(&path).expect("still there"), content);
        }
    }

    #[test]
    fn key_that_an_editor_saved_again_is_the_same_key() {
        let dir = tempfile::tempdir().expect("a temp folder");
        let path = dir.path().join("ingest.key");
        let made = ensure_key(&path).expect("made");
        let key = fs::read_to_string(&path).expect("the file is there");
        for text in [format!("\u{feff}{}\r\n", key.trim()), format!("{} \t\n\n", key.trim())] {
            fs::write(&path, text).expect("a file");
            assert_eq!(ensure_key(&path).expect("a key").sha256, made.sha256);
        }
        let folder = dir.path().join("folder.key");
        fs::create_dir(&folder).expect("a folder");
        let error = ensure_key(&folder).expect_err("a folder is no key").to_string();
        assert!(error.contains("cannot read the key file") && error.contains("folder.key"));
    }

    #[test]
    fn file_that_holds_another_key_or_none_misleads() {
        let dir = tempfile::tempdir().expect("a temp folder");
        let path = dir.path().join("ingest.key");
        let made = ensure_key(&path).expect("made");
        assert_eq!(misleads(&path, made.sha256), None);
        fs::remove_file(&path).expect("it is there");
        assert_eq!(misleads(&path, made.sha256), None);
        ensure_key(&path).expect("another one");
        let told = misleads(&path, made.sha256).expect("it is another one");
        assert!(told.starts_with("the key in ") && told.ends_with("is another one"), "{told}");
        fs::write(&path, "no key").expect("a file");
        let told = misleads(&path, made.sha256).expect("it holds none");
        assert!(told.contains("does not hold a key") && !told.contains("no key"), "{told}");
    }

    #[test]
    fn folder_that_is_missing_is_named() {
        let dir = tempfile::tempdir().expect("a temp folder");
        let error = ensure_key(&dir.path().join("gone/ingest.key")).expect_err("no folder");
        assert!(error.to_string().contains("cannot make the key file"));
        assert!(error.to_string().contains("gone/ingest.key"));
    }
}
