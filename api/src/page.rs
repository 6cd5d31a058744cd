//! The built-in page: the files of `frontend/dist`, compiled into the program by api/build.rs.
//!
//! It gets its numbers from the API, like any other client, and contains none itself. The script
//! shows what the address names, so every address of the page has the same text. Its content
//! security policy must not let it load anything from elsewhere or be framed.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use http::HeaderMap;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{ObjectBuilder, Required, Type};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::asset::{Asset, Body, Keep, POLICY};

/// The text that the script is loaded from.
const INDEX: &str = "/index.html";
/// The addresses of the page but `/`, as `frontend/src/app` has them: path, operation and what is
/// shown there.
const VIEWS: [(&str, &str, &str); 5] = [
    ("/usage", "pageUsage", "The built-in page: who used the tokens."),
    ("/upstreams", "pageUpstreams", "The built-in page: upstreams and models."),
    ("/pipeline", "pagePipeline", "The built-in page: what became of the events."),
    ("/namespaces", "pageNamespaces", "The built-in page: the tenants."),
    ("/namespaces/{code}", "pageNamespace", "The built-in page: one tenant."),
];

/// A file: path, content type, how clients keep it, and its bytes.
type File = (&'static str, &'static str, Keep, Body);

/// Every file of the front end.
fn built() -> impl Iterator<Item = File> {
    let files: &[File] = &include!(concat!(env!("OUT_DIR"), "/page.rs"));
    files.iter().cloned()
}

/// The addresses of the page, with their description.
pub(crate) fn described_routes() -> OpenApiRouter {
    let index = built().find(|(path, ..)| *path == INDEX);
    let (_, content_type, keep, body) = index.expect("api/build.rs looks for it");
    let file = Asset::new(content_type, POLICY, body).kept(keep);
    let mut router = OpenApiRouter::default().routes(routes!(page));
    for (path, id, summary) in VIEWS {
        router = router.route(path, get(page));
        let paths = &mut router.get_openapi_mut().paths.paths;
        let mut item = paths.get("/").expect("it was added above").clone();
        let operation = item.get.as_mut().expect("the page is fetched");
        operation.operation_id = Some(id.to_owned());
        operation.summary = Some(summary.to_owned());
        operation.parameters = path.contains("{code}").then(|| vec![code().into()]);
        paths.insert(path.to_owned(), item);
    }
    router.with_state(file)
}

/// The code of a namespace, as a part of an address.
fn code() -> Parameter {
    ParameterBuilder::new()
        .name("code")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("Code of a namespace. The page says so if there is none of that code."))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).min_length(Some(1))))
        .build()
}

/// The routes of the files that it loads.
pub(crate) fn files() -> Router {
    let loaded = built().filter(|(path, ..)| *path != INDEX);
    loaded.fold(Router::new(), |router, (path, content_type, keep, body)| {
        Asset::new(content_type, POLICY, body).kept(keep).serve(router, path)
    })
}

/// The paths of these files.
pub(crate) fn paths() -> impl Iterator<Item = &'static str> {
    built().map(|(path, ..)| path).filter(|path| *path != INDEX)
}

/// The built-in page.
#[utoipa::path(
    get, path = "/", operation_id = "page", tag = "Pages",
    responses(
        (status = 200, description = "The page.", body = String, content_type = "text/html"),
        (status = 304, description = "The client has it (`If-None-Match`)."),
    ),
)]
async fn page(State(page): State<Asset>, headers: HeaderMap) -> Response {
    page.answer(&headers)
}
