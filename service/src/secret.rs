//! Secrets that others give us, such as the password for Kafka: from a variable, or from a file.
//!
//! A secret goes straight to whoever needs it. It is no setting, for settings are printed, and no
//! error or log line holds it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use crate::error::Error;

/// Holds the password for Kafka. One underscore after the section: it is no setting.
pub const KAFKA_PASSWORD: &str = "GATEMETER_KAFKA_SASL_PASSWORD";

/// No honest secret is longer.
const SECRET_BYTES_MAX: u64 = 4_096;

/// The secret in a variable of this process, or else the first line of a file.
///
/// # Errors
/// There is neither, or the file cannot be read, is empty or too long.
pub fn secret(variable: &'static str, file: Option<&Path>) -> Result<String, Error> {
    choose(variable, std::env::var(variable).ok(), file)
}

fn choose(
    variable: &'static str,
    value: Option<String>,
    file: Option<&Path>,
) -> Result<String, Error> {
    match (value.filter(|value| !value.is_empty()), file) {
        (Some(value), _) => Ok(value),
        (None, None) => Err(Error::SecretMissing { variable }),
        (None, Some(path)) => {
            read(path).map_err(|source| Error::SecretRead { path: path.to_owned(), source })
        }
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text)?;
    let secret = text.lines().next().unwrap_or_default();
    if secret.is_empty() || text.len() as u64 > SECRET_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "no secret of a sensible length"));
    }
    Ok(secret.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: Option<&str>, content: Option<&str>) -> Result<String, String> {
        let folder = tempfile::tempdir().expect("a temp folder");
        let path = folder.path().join("secret");
        if let Some(content) = content {
            std::fs::write(&path, content).expect("a file");
        }
        let file = content.map(|_| path.as_path());
        choose("VARIABLE", value.map(str::to_owned), file).map_err(|error| error.to_string())
    }

    #[test]
    fn variable_goes_over_the_file_and_one_of_them_must_be_there() {
        assert_eq!(check(Some("a"), Some("b\n")).as_deref(), Ok("a"));
        assert_eq!(check(None, Some("b\n")).as_deref(), Ok("b"));
        assert_eq!(check(Some(""), Some("b")).as_deref(), Ok("b"));
        let error = check(None, None).expect_err("there is none");
        assert_eq!(error, "no secret: set VARIABLE, or name a file that holds it");
    }

    #[test]
    fn file_without_a_sensible_secret_is_refused_without_its_content() {
        for content in ["", "\nx", &"y".repeat(5_000)] {
            let error = check(None, Some(content)).expect_err("it is refused");
            assert!(error.starts_with("cannot read the secret in ") && !error.contains('y'));
        }
    }
}
