//! Which namespaces a question is about, and the answer that says so to the request counter.

use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::CACHE_CONTROL;
use serde::Serialize;
use service::answer::Answer;
use service::http_metrics::NamespaceLabel;
use service::query::quoted;
use store::{NamespaceRow, Reader};

use crate::error::Error;

/// The word for all namespaces.
const ALL: &str = "all";

/// The namespaces that a question is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All of them.
    All,
    /// One.
    One(NamespaceRow),
}

impl Scope {
    /// Reads `all`, the number of a namespace or its code.
    pub async fn of(reader: &mut Reader, text: &str) -> Result<Scope, Error> {
        if text == ALL {
            return Ok(Scope::All);
        }
        let found = match text.parse() {
            Ok(id) => reader.namespace_by_id(id).await?,
            Err(_) => reader.namespace_by_code(text).await?,
        };
        found.map(Scope::One).ok_or_else(|| Error::NoNamespace(quoted(text)))
    }

    /// The code of the one namespace.
    pub fn code(&self) -> Option<&str> {
        match self {
            Scope::All => None,
            Scope::One(namespace) => Some(&namespace.code),
        }
    }

    /// The word that an answer names it by.
    pub fn label(&self) -> &str {
        self.code().unwrap_or(ALL)
    }
}

/// An answer about these namespaces. Its numbers are those of a moment: nobody may keep them.
pub(crate) fn answered<T: Serialize>(scope: &Scope, data: T) -> Response {
    let mut response = Answer::ok(data).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(code) = scope.code() {
        response.extensions_mut().insert(NamespaceLabel(code.to_owned()));
    }
    response
}
