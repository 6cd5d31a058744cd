//! The built-in page: a few files compiled into the program.
//!
//! It gets its numbers from the API, like any other client, and contains none itself. Its content
//! security policy must not let it load anything from elsewhere or be framed.

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::asset::Asset;

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// The files that the page loads: path, content type and text.
const FILES: [(&str, &str, &str); 4] = [
    ("/assets/app.js", SCRIPT, include_str!("../assets/app.js")),
    ("/assets/chart.js", SCRIPT, include_str!("../assets/chart.js")),
    ("/assets/style.css", STYLE, include_str!("../assets/style.css")),
    ("/assets/favicon.svg", "image/svg+xml", include_str!("../assets/favicon.svg")),
];

/// The route of the page, with its description.
pub(crate) fn described_route() -> OpenApiRouter {
    let file = Asset::text(HTML, include_str!("../assets/index.html"));
    OpenApiRouter::default().routes(routes!(page)).with_state(file)
}

/// The routes of the files that it loads.
pub(crate) fn files() -> Router {
    let add = |router, (path, content_type, text): (&str, _, _)| {
        Asset::text(content_type, text).serve(router, path)
    };
    FILES.into_iter().fold(Router::new(), add)
}

/// The paths of these files.
pub(crate) fn paths() -> impl Iterator<Item = &'static str> {
    FILES.into_iter().map(|(path, _, _)| path)
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
