//! The built-in page: a few files compiled into the program.
//!
//! It gets its numbers from the API, like any other client, and contains none itself. Its content
//! security policy must not let it load anything from elsewhere or be framed.

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::HeaderMap;
use http::StatusCode;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};

/// Own files only, no framing, no forms to elsewhere.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'self'; \
                      frame-ancestors 'none'; object-src 'none'";

/// One file of the page.
#[derive(Clone, Copy, Debug)]
struct Asset {
    path: &'static str,
    content_type: &'static str,
    text: &'static str,
}

const ASSETS: [Asset; 5] = [
    Asset {
        path: "/",
        content_type: "text/html; charset=utf-8",
        text: include_str!("../assets/index.html"),
    },
    Asset {
        path: "/assets/app.js",
        content_type: "text/javascript; charset=utf-8",
        text: include_str!("../assets/app.js"),
    },
    Asset {
        path: "/assets/chart.js",
        content_type: "text/javascript; charset=utf-8",
        text: include_str!("../assets/chart.js"),
    },
    Asset {
        path: "/assets/style.css",
        content_type: "text/css; charset=utf-8",
        text: include_str!("../assets/style.css"),
    },
    Asset {
        path: "/assets/favicon.svg",
        content_type: "image/svg+xml",
        text: include_str!("../assets/favicon.svg"),
    },
];

/// The routes of the page.
pub(crate) fn routes() -> Router {
    ASSETS.into_iter().fold(Router::new(), |router, asset| {
        router.route(asset.path, get(move |headers| async move { asset.answer(&headers) }))
    })
}

/// The paths of its files.
pub(crate) fn paths() -> impl Iterator<Item = &'static str> {
    ASSETS.into_iter().map(|asset| asset.path)
}

impl Asset {
    /// The file, or 304 if the client has it. Browsers revalidate every time, so that a new
    /// program is never used with old files.
    fn answer(self, headers: &HeaderMap) -> Response {
        let etag = format!("\"{:08x}\"", fingerprint(self.text.as_bytes()));
        let known = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
        let is_known = known.is_some_and(|known| known.split(',').any(|tag| tag.trim() == etag));
        let headers = [
            (CONTENT_TYPE, self.content_type.to_owned()),
            (CACHE_CONTROL, "no-cache".to_owned()),
            (ETAG, etag),
            (CONTENT_SECURITY_POLICY, POLICY.to_owned()),
            (X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
            (REFERRER_POLICY, "no-referrer".to_owned()),
        ];
        if is_known {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        (headers, self.text).into_response()
    }
}

/// FNV-1a, 32 bits: tells two versions of a file apart, nothing more.
const fn fingerprint(bytes: &[u8]) -> u32 {
    let mut hash: u32 = 0x811c_9dc5;
    let mut idx = 0;
    while idx < bytes.len() {
        hash = (hash ^ bytes[idx] as u32).wrapping_mul(0x0100_0193);
        idx += 1;
    }
    hash
}
