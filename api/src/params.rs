//! Parameters of a query: the query string, decoded and checked for unknown and repeated names.
//!
//! An empty value, as from an unset variable in a script, must be refused: it would select another
//! range than the one meant. Other rules for values are up to the caller.

use axum::extract::{FromRequestParts, Path};
use http::Uri;
use http::request::Parts as RequestParts;
use service::answer::ApiError;
use service::query::{checked, quoted};
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{RefOr, Required};

use crate::error::Error;

/// The one variable segment of a path, decoded.
#[derive(Clone, Debug)]
pub(crate) struct Segment(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut RequestParts, state: &S) -> Result<Segment, ApiError> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(text)) => Ok(Segment(text)),
            Err(_) => {
                let message = "the path cannot be read: its escapes (%..) must decode to UTF-8";
                Err(ApiError::bad_request(message))
            }
        }
    }
}

/// Filters and paging of lists. Forms send these empty for "all" and "the first page".
const MAY_BE_EMPTY: [&str; 4] = ["keyword", "status", "page", "size"];

/// Decoded parameters, each name once.
#[derive(Clone, Debug)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// The parameters of a request, for a call that takes these names.
    pub fn of(uri: &Uri, names: &[&str]) -> Result<Params, Error> {
        let pairs = checked(uri, names, |name, value| {
            if value.is_empty() && !MAY_BE_EMPTY.contains(&name) {
                return Err(format!("{name} must not be empty: give a value or leave it out"));
            }
            Ok(())
        })
        .map_err(Error::Request)?;
        Ok(Params(pairs))
    }

    /// The value of a parameter. Returns `None` if it is missing or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(given, value)| given == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }

    /// A cache key: the call, `more`, and the parameters in canonical order.
    pub fn key(&self, call: &str, more: &[&str]) -> String {
        let given = self.0.iter().filter(|(_, value)| !value.is_empty());
        let mut pairs: Vec<String> =
            given.map(|(name, value)| format!("{name}={value:?}")).collect();
        pairs.sort_unstable();
        let more = more.iter().map(|text| format!("{text:?}"));
        let parts: Vec<String> =
            std::iter::once(call.to_owned()).chain(more).chain(pairs).collect();
        parts.join("&")
    }

    /// A whole number from 1 to `max`, or the default.
    pub fn number(&self, name: &str, default: i64, max: i64) -> Result<i64, Error> {
        Ok(self.within(name, 1, max)?.unwrap_or(default))
    }

    /// A whole number from `min` to `max`, if it is given.
    pub fn within(&self, name: &str, min: i64, max: i64) -> Result<Option<i64>, Error> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let found = text.parse().ok().filter(|number| (min..=max).contains(number));
        found.map(Some).ok_or_else(|| {
            let text = quoted(text);
            Error::Request(format!("{name} must be a whole number from {min} to {max}, not {text}"))
        })
    }

    /// A text of at most `chars_max` characters, if it is given.
    pub fn short(&self, name: &str, chars_max: usize) -> Result<Option<String>, Error> {
        let found = self.get(name).map(str::to_owned);
        if found.as_ref().is_some_and(|text| text.chars().count() > chars_max) {
            let message = format!("{name} must be at most {chars_max} characters");
            return Err(Error::Request(message));
        }
        Ok(found)
    }
}

/// Describes a parameter of the query string. None has to be given.
pub(crate) fn described(
    name: &str,
    description: &str,
    schema: impl Into<RefOr<Schema>>,
) -> ParameterBuilder {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
}

/// Describes a parameter that [`Params::number`] reads.
pub(crate) fn described_number(name: &str, text: &str, default: i64, max: i64) -> Parameter {
    let schema = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(1))
        .maximum(Some(max))
        .default(Some(default.into()));
    described(name, text, schema).build()
}

/// Describes the parameter that selects a namespace.
pub(crate) fn described_scope() -> Parameter {
    let schema = text().default(Some("all".into()));
    described("namespace", "Number or code of a namespace, or `all`.", schema).build()
}

/// A text that must not be empty.
pub(crate) fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).min_length(Some(1))
}

#[cfg(test)]
mod tests;
