//! Authentication: a key in `Authorization: Bearer`, or none in development mode.
//!
//! Only the SHA-256 of a key is kept; a caller's key is hashed and compared in constant time. A key
//! is never logged and never part of an answer.

use std::fmt;
use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};

use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use sha2::{Digest, Sha256};
use utoipa::openapi::HttpMethod;
use utoipa::openapi::security::SecurityRequirement;
use utoipa_axum::router::OpenApiRouter;

use crate::answer::ApiError;
use crate::describe::{also, failure, operations, text_header};
use crate::error::Error;

/// Longest key, bytes; a longer one is refused before it is hashed.
const KEY_BYTES_MAX: usize = 512;

/// SHA-256 of a key: what may be stored of it.
pub type KeyHash = [u8; 32];

/// How a route is guarded.
#[derive(Clone, Debug)]
pub enum Access {
    /// `--dev`: no authentication. [`check_listen`] keeps this off the network.
    Dev,
    /// Requires the key with this hash.
    Key(Verifier),
}

/// The flags `--dev` and `--dev-any-address`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DevMode {
    /// Keys are required; any address is allowed.
    Off,
    /// No key is required, so loopback only.
    Loopback,
    /// No key is required; something else restricts access.
    AnyAddress,
}

/// Compares keys with one hash.
#[derive(Clone)]
pub struct Verifier {
    sha256: KeyHash,
}

impl Verifier {
    /// For the key with this hash.
    pub fn new(sha256: KeyHash) -> Verifier {
        Verifier { sha256 }
    }

    /// Whether this is the key; takes the same time wherever it differs.
    pub fn is_key(&self, key: &str) -> bool {
        let hash = hash_key(key);
        let difference = hash
            .iter()
            .zip(&self.sha256)
            .fold(0_u8, |difference, (left, right)| black_box(difference | (left ^ right)));
        black_box(difference) == 0
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(..)")
    }
}

/// The stored hash of a key.
pub fn hash_key(key: &str) -> KeyHash {
    Sha256::digest(key.as_bytes()).into()
}

/// Checks the headers of a request.
///
/// # Errors
/// 401 with a message that distinguishes a missing key, another scheme and a wrong key.
pub fn authorize(access: &Access, headers: &HeaderMap) -> Result<(), ApiError> {
    let Access::Key(verifier) = access else { return Ok(()) };
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Err(refused("no key given, send it as `Authorization: Bearer <key>`"));
    };
    if values.next().is_some() {
        return Err(refused("more than one Authorization header"));
    }
    let Some((scheme, key)) = value.to_str().ok().and_then(|text| text.split_once(' ')) else {
        return Err(refused("the Authorization header is not of the form `Bearer <key>`"));
    };
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(refused("the Authorization scheme must be Bearer"));
    }
    let key = key.trim_matches(' ');
    if key.len() > KEY_BYTES_MAX || !verifier.is_key(key) {
        return Err(refused("the key is not the right one"));
    }
    Ok(())
}

/// Name of the key in a description.
pub const SECURITY_SCHEME: &str = "admin_key";

/// Puts [`require_key`] and [`require_own_origin`] before every route of a router, and describes
/// what they ask for and answer.
pub fn guard<S>(router: OpenApiRouter<S>, access: &Access) -> OpenApiRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    let mut guarded = router
        .route_layer(from_fn_with_state(access.clone(), require_own_origin))
        .route_layer(from_fn_with_state(access.clone(), require_key));
    for (_, method, operation) in operations(guarded.get_openapi_mut()) {
        let scopes: [&str; 0] = [];
        operation.security = Some(vec![SecurityRequirement::new(SECURITY_SCHEME, scopes)]);
        let refused = failure("The key is missing or not the right one.");
        let scheme = text_header("`Bearer`.");
        also(operation, "401", refused.header("WWW-Authenticate", scheme));
        if method != HttpMethod::Get {
            let text = "With `--dev`: a web page of another machine sent it (`Origin`).";
            also(operation, "403", failure(text));
        }
    }
    guarded
}

/// Middleware that lets only requests with the right key pass.
///
/// `router.route_layer(axum::middleware::from_fn_with_state(access, require_key))` guards the
/// routes of a router and leaves its 404 open.
pub async fn require_key(State(access): State<Access>, request: Request, next: Next) -> Response {
    match authorize(&access, request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => {
            let mut response = error.into_response();
            let bearer = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
            response
        }
    }
}

/// Prevents cross-site requests from changing anything in development mode, where no key stops
/// them.
///
/// A browser names the page that a changing request comes from in `Origin`; programs send none.
/// Allowed origins are those of this machine, on any port, such as a development server.
///
/// # Errors
/// 403 for a changing request from a foreign origin.
pub fn check_origin(access: &Access, method: &Method, headers: &HeaderMap) -> Result<(), ApiError> {
    let is_change = !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    if matches!(access, Access::Key(_)) || !is_change {
        return Ok(());
    }
    if headers.get_all(header::ORIGIN).iter().all(is_own_origin) {
        return Ok(());
    }
    let message = "a web page of another origin may not do this in development mode";
    Err(ApiError::new(StatusCode::FORBIDDEN, message))
}

/// Middleware of [`check_origin`], to be used as [`require_key`].
pub async fn require_own_origin(
    State(access): State<Access>,
    request: Request,
    next: Next,
) -> Response {
    match check_origin(&access, request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// Whether an origin is a page of this machine; `null`, a page that hides where it is from, is not.
fn is_own_origin(origin: &HeaderValue) -> bool {
    let uri = origin.to_str().ok().and_then(|text| text.parse::<Uri>().ok());
    let Some(uri) = uri.filter(|uri| uri.scheme().is_some()) else { return false };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let address = host.parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

/// Keeps development mode off the network. Call it for every listener before it is opened.
///
/// # Errors
/// No key would be required on an address that others can reach.
pub fn check_listen(name: &'static str, address: SocketAddr, dev: DevMode) -> Result<(), Error> {
    match dev {
        DevMode::Off | DevMode::AnyAddress => Ok(()),
        DevMode::Loopback if address.ip().to_canonical().is_loopback() => Ok(()),
        DevMode::Loopback => Err(Error::DevNotLoopback { name, address }),
    }
}

fn refused(message: &str) -> ApiError {
    ApiError::new(StatusCode::UNAUTHORIZED, message)
}

#[cfg(test)]
mod tests;
