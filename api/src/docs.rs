//! The description of the API (OpenAPI 3.1) at `/openapi.json`, and the page that shows it at
//! `/docs`.
//!
//! The description is collected from the handlers while the routes are put together, completed and
//! rendered once. The page is Swagger UI, whose files are part of the program (api/assets/docs);
//! its policy lets it load nothing from elsewhere, and it only ever asks this process.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use serde_json::Value;
use service::auth::SECURITY_SCHEME;
use service::describe::{by_server, operations};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{Components, Content, InfoBuilder, License, OpenApi, Ref, RefOr, Schema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::asset::{Asset, Body, POLICY};

/// As that of the page; Swagger UI also has its icons in its style sheet, as `data:`.
const DOCS_POLICY: &str = "default-src 'self'; img-src 'self' data:; base-uri 'none'; \
                           form-action 'self'; frame-ancestors 'none'; object-src 'none'";
/// What the description says first.
const ABOUT: &str = include_str!("../assets/docs/about.md");
/// Examples, from real answers: see api/assets/docs/README.md.
const EXAMPLES: &str = include_str!("../assets/docs/examples.json");
/// Groups of calls, in the order in which they are shown.
const TAGS: [(&str, &str); 7] = [
    ("Metrics", "Committed numbers over a range of time."),
    ("Usage", "Who used the tokens."),
    ("Tokens", "Counting the tokens of a text."),
    ("Namespaces", "The tenants."),
    ("Dead letters", "What was not counted, and sending it again."),
    ("Health", "For probes and Prometheus; no key is asked for."),
    ("Pages", "For people, and this description; no key is asked for."),
];
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

/// The files that the page loads: path, content type and bytes.
const FILES: [(&str, &str, Bytes); 5] = [
    ("/assets/docs/icon.svg", IMAGE, Bytes::Text(include_str!("../assets/docs/icon.svg"))),
    ("/assets/docs/docs.js", SCRIPT, Bytes::Text(include_str!("../assets/docs/docs.js"))),
    ("/assets/docs/docs.css", STYLE, Bytes::Text(include_str!("../assets/docs/docs.css"))),
    (
        "/assets/docs/swagger-ui-bundle.js",
        SCRIPT,
        Bytes::Packed(include_bytes!("../assets/docs/swagger-ui-bundle.js.gz")),
    ),
    (
        "/assets/docs/swagger-ui.css",
        STYLE,
        Bytes::Packed(include_bytes!("../assets/docs/swagger-ui.css.gz")),
    ),
];

/// The bytes of a file of the page.
#[derive(Clone, Copy)]
enum Bytes {
    Text(&'static str),
    Packed(&'static [u8]),
}

/// The description: empty until every route is known, among them its own. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Description(Arc<OnceLock<Asset>>);

impl Description {
    /// Completes what was collected from the routes, and renders it.
    pub fn complete(&self, mut api: OpenApi, version: &str) {
        by_server(&mut api);
        api.info = InfoBuilder::new()
            .title("Gatemeter API")
            .version(version)
            .description(Some(ABOUT))
            .license(Some(License::new("Apache-2.0")))
            .build();
        let tag = |(name, text)| TagBuilder::new().name(name).description(Some(text)).build();
        api.tags = Some(TAGS.map(tag).into());
        let bearer = Http::builder().scheme(HttpAuthScheme::Bearer).description(Some(
            "The admin key, as in the file `admin.key`. With `--dev` none is asked for.",
        ));
        let components = api.components.get_or_insert_with(Components::new);
        components.add_security_scheme(SECURITY_SCHEME, SecurityScheme::Http(bearer.build()));
        refer_to_data(components);
        let examples = serde_json::from_str(EXAMPLES).expect("the file is JSON: a test reads it");
        add_examples(&mut api, &examples);
        let text = serde_json::to_string_pretty(&api).expect("a description is JSON");
        let asset = Asset::new("application/json", POLICY, Body::packing(text));
        // The routes are put together once.
        let _ = self.0.set(asset);
    }
}

/// Lets every envelope refer to the schema of its data, which the derived ones repeat.
fn refer_to_data(components: &mut Components) {
    for (name, schema) in &mut components.schemas {
        let data = name.strip_prefix("Success_").map(Ref::from_schema_name);
        if let (RefOr::T(Schema::Object(envelope)), Some(data)) = (schema, data) {
            envelope.properties.insert("data".to_owned(), data.into());
        }
    }
}

/// The examples of answers by call, of errors by call and status or by status alone, and of bodies
/// by call.
fn add_examples(api: &mut OpenApi, examples: &Value) {
    for (_, _, operation) in operations(api) {
        let id = operation.operation_id.clone().unwrap_or_default();
        if let Some(RefOr::T(body)) = &mut operation.request_body {
            add_example(body.content.values_mut(), &examples["bodies"][&id]);
        }
        for (status, response) in &mut operation.responses.responses {
            let example = match status.as_str() {
                "200" | "201" => &examples["answers"][&id],
                error => match &examples["errors"][format!("{id} {error}")] {
                    Value::Null => &examples["errors"][error],
                    own => own,
                },
            };
            if let RefOr::T(response) = response {
                let json = response.content.iter_mut().filter(|(media_type, _)| {
                    ["application/json", "text/event-stream"].contains(&media_type.as_str())
                });
                add_example(json.map(|(_, content)| content), example);
            }
        }
    }
}

fn add_example<'a>(contents: impl Iterator<Item = &'a mut RefOr<Content>>, example: &Value) {
    for content in contents {
        if let (RefOr::T(content), false) = (content, example.is_null()) {
            content.example = Some(example.clone());
        }
    }
}

/// The routes of description and page, with their description.
pub(crate) fn described_routes(description: &Description) -> OpenApiRouter {
    let html = include_str!("../assets/docs/index.html");
    let body = Body::Plain(html.as_bytes().into());
    let file = Asset::new("text/html; charset=utf-8", DOCS_POLICY, body);
    let shown = OpenApiRouter::default().routes(routes!(docs)).with_state(file);
    OpenApiRouter::default().routes(routes!(openapi)).with_state(description.clone()).merge(shown)
}

/// The routes of the files that the page loads.
pub(crate) fn files() -> Router {
    let add = |router, (path, content_type, bytes): (&str, _, _)| {
        let body = match bytes {
            Bytes::Text(text) => Body::Plain(text.as_bytes().into()),
            Bytes::Packed(bytes) => Body::Packed(bytes),
        };
        Asset::new(content_type, POLICY, body).serve(router, path)
    };
    FILES.into_iter().fold(Router::new(), add)
}

/// The paths of these files.
pub(crate) fn paths() -> impl Iterator<Item = &'static str> {
    FILES.into_iter().map(|(path, _, _)| path)
}

/// This description, as OpenAPI 3.1.
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "openapi", tag = "Pages",
    responses(
        (status = 200, description = "The description.", body = Object),
        (status = 304, description = "The client has it (`If-None-Match`)."),
    ),
)]
async fn openapi(State(description): State<Description>, headers: HeaderMap) -> Response {
    description.0.get().expect("it is complete before anything is served").answer(&headers)
}

/// This description as a page.
#[utoipa::path(
    get, path = "/docs", operation_id = "docs", tag = "Pages",
    responses(
        (status = 200, description = "The page.", body = String, content_type = "text/html"),
        (status = 304, description = "The client has it (`If-None-Match`)."),
    ),
)]
async fn docs(State(page): State<Asset>, headers: HeaderMap) -> Response {
    page.answer(&headers)
}
