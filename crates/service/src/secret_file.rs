//! Files that hold one secret: a key or a password.
//!
//! Editors, shells and secret stores leave a byte order mark before it, and blanks and line breaks
//! behind it; these are no part of it. An invalid secret is refused with the name of the file and
//! the reason, before it fails elsewhere as a wrong key. The secret itself is never shown.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use crate::error::Error;

/// Longest secret in bytes: a token with claims is one or two thousand.
const SECRET_BYTES_MAX: usize = 4 * 1024;
/// Longest file: the secret, and room for what editors leave around it.
const FILE_BYTES_MAX: u64 = 2 * SECRET_BYTES_MAX as u64;
/// Some editors begin a file with it.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Reads a key: printable ASCII characters, as a header can carry them.
///
/// # Errors
/// `SecretFile` if the file cannot be read, `SecretContent` if it does not hold a valid key.
pub fn read_key(path: &Path) -> Result<String, Error> {
    let text = read(path)?;
    let key = text.trim_ascii();
    let fault = match key {
        _ if !key.is_ascii() => Some("it has characters beyond ASCII"),
        _ if key.contains(['\n', '\r']) => Some("it has more than one line"),
        _ if key.contains([' ', '\t']) => Some("it has blanks inside"),
        _ => fault(key),
    };
    taken(path, key, fault)
}

/// Reads a password: text of one line, also with blanks inside or before it.
///
/// # Errors
/// As `read_key`.
pub fn read_password(path: &Path) -> Result<String, Error> {
    let text = read(path)?;
    let password = text.trim_ascii_end();
    let fault = match password {
        _ if password.contains(['\n', '\r']) => Some("it has more than one line"),
        _ => fault(password),
    };
    taken(path, password, fault)
}

/// Why a text is not a valid secret.
fn fault(secret: &str) -> Option<&'static str> {
    match secret {
        "" => Some("it is empty"),
        _ if secret.contains('\0') => Some(UTF_16),
        _ if secret.chars().any(char::is_control) => Some("it has control characters"),
        _ if secret.len() > SECRET_BYTES_MAX => Some(TOO_LARGE),
        _ => None,
    }
}

const TOO_LARGE: &str = "it is too large";
const UTF_16: &str = "it is UTF-16 or no text; save it as UTF-8";

fn taken(path: &Path, secret: &str, fault: Option<&'static str>) -> Result<String, Error> {
    match fault {
        None => Ok(secret.to_owned()),
        Some(reason) => Err(Error::SecretContent { path: path.to_owned(), reason }),
    }
}

/// The text of a file without its byte order mark.
fn read(path: &Path) -> Result<String, Error> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|source: io::Error| Error::SecretFile { path: path.to_owned(), source })?;
    let unfit = |reason| Err(Error::SecretContent { path: path.to_owned(), reason });
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return unfit(TOO_LARGE);
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&text).to_owned()),
        Err(_) => unfit(UTF_16),
    }
}

#[cfg(test)]
mod tests;
