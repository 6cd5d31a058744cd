//! Parts of the description of an API (OpenAPI 3.1) that several calls share.
//!
//! A handler describes its own parameters and answers. What a layer answers in its place is added
//! where the layer is put around the routes, and what the server itself answers by
//! [`by_server`], so that no call can leave it out. Nothing here answers a request.

use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{Components, ContentBuilder, HttpMethod, OpenApi, Ref, RefOr};
use utoipa::openapi::{Response, ResponseBuilder};
use utoipa::{PartialSchema as _, ToSchema as _};

use crate::answer::Failure;

/// An error in the envelope.
pub fn failure(description: &str) -> ResponseBuilder {
    let schema = Ref::from_schema_name(Failure::name());
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new().description(description).content("application/json", content)
}

/// An error in the envelope that says when to try again.
pub fn failure_to_retry(description: &str) -> ResponseBuilder {
    let seconds = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1));
    failure(description).header("Retry-After", header("Seconds to wait.", seconds))
}

/// A header of an answer.
pub fn header(description: &str, schema: impl Into<RefOr<Schema>>) -> Header {
    HeaderBuilder::new().schema(Some(schema)).description(Some(description)).build()
}

/// A header of an answer whose value is a text.
pub fn text_header(description: &str) -> Header {
    header(description, ObjectBuilder::new().schema_type(Type::String))
}

/// Every operation of a description, with path and method.
pub fn operations(api: &mut OpenApi) -> impl Iterator<Item = (&str, HttpMethod, &mut Operation)> {
    api.paths.paths.iter_mut().flat_map(|(path, item)| {
        let PathItem { get, put, post, delete, patch, .. } = item;
        let each = [
            (HttpMethod::Get, get),
            (HttpMethod::Put, put),
            (HttpMethod::Post, post),
            (HttpMethod::Delete, delete),
            (HttpMethod::Patch, patch),
        ];
        each.into_iter()
            .filter_map(|(method, found)| Some((path.as_str(), method, found.as_mut()?)))
    })
}

/// Adds an answer to an operation that does not describe one of this status.
pub fn also(operation: &mut Operation, status: &str, response: ResponseBuilder) {
    let response: RefOr<Response> = response.into();
    operation.responses.responses.entry(status.to_owned()).or_insert(response);
}

/// Adds what the server answers in place of any call.
pub fn by_server(api: &mut OpenApi) {
    for (path, _, operation) in operations(api) {
        if operation.request_body.is_some() {
            also(operation, "408", failure("The body came too slowly."));
        }
        also(operation, "500", failure("An internal error; the log has its cause."));
        // A process that is starting is alive, and says so.
        if path != "/healthz" {
            also(operation, "503", failure_to_retry("The process is starting."));
        }
    }
    let components = api.components.get_or_insert_with(Components::new);
    components.schemas.insert(Failure::name().into_owned(), Failure::schema());
}

#[cfg(test)]
mod tests;
