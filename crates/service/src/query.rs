//! Parameters of a request: the query string, decoded, and its names checked.
//!
//! An unknown name is refused and not ignored, because a misspelt query would otherwise be answered
//! as a different one. Values are checked by the caller.

use axum::extract::{FromRequestParts, Query};
use http::Uri;
use http::request::Parts;

use crate::answer::ApiError;

/// Characters of a client's value that a message repeats.
const QUOTED_CHARS_MAX: usize = 64;

/// The parameters of a request to a call that takes these names, each at most once.
///
/// # Errors
/// A sentence that names the parameter.
pub fn parameters(uri: &Uri, names: &[&str]) -> Result<Vec<(String, String)>, String> {
    checked(uri, names, |_, _| Ok(()))
}

/// Like `parameters`, with a rule for each name and value. Reports the first invalid parameter.
///
/// # Errors
/// A sentence that names the parameter.
pub fn checked(
    uri: &Uri,
    names: &[&str],
    rule: impl Fn(&str, &str) -> Result<(), String>,
) -> Result<Vec<(String, String)>, String> {
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|_| "the query string cannot be read".to_owned())?;
    for (idx, (name, value)) in pairs.iter().enumerate() {
        if !names.contains(&name.as_str()) {
            let known = match names {
                [] => "takes none".to_owned(),
                names => format!("takes {}", names.join(", ")),
            };
            return Err(format!("unknown parameter {}: {known}", quoted(name)));
        }
        if pairs[..idx].iter().any(|(earlier, _)| earlier == name) {
            return Err(format!("parameter {name} is given twice"));
        }
        rule(name, value)?;
    }
    Ok(pairs)
}

/// A value of a client as a message shows it: in quotes, escaped, cut.
#[must_use]
pub fn quoted(value: &str) -> String {
    let head: String = value.chars().take(QUOTED_CHARS_MAX).collect();
    let tail = if head.len() < value.len() { ".." } else { "" };
    format!("{head:?}{tail}")
}

/// Makes a call refuse every parameter, as an argument of its handler.
#[derive(Clone, Copy, Debug)]
pub struct NoParameters;

impl<S: Sync> FromRequestParts<S> for NoParameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<NoParameters, ApiError> {
        parameters(&parts.uri, &[]).map(|_| NoParameters).map_err(ApiError::bad_request)
    }
}

#[cfg(test)]
mod tests;
