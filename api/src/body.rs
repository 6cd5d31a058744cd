//! Bodies of changes: JSON objects, within a bound, from whom a browser lets send them.

use axum::body::{Body, to_bytes};
use http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use service::answer::ApiError;

/// Reads the body of a change. Its Content-Type must be JSON: that keeps out forms of other sites,
/// which a browser sends without a preflight, even to a development server.
pub(crate) async fn read_json<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
    bytes_max: usize,
) -> Result<T, ApiError> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default();
    if !essence.trim().eq_ignore_ascii_case("application/json") {
        let message = "the Content-Type must be application/json";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    let bytes = to_bytes(body, bytes_max).await.map_err(|_| {
        let message = format!("the body could not be read or is above {bytes_max} bytes");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    })?;
    // serde would also accept an array of the fields in order.
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(ApiError::bad_request("body: must be an object"));
    }
    serde_json::from_slice(&bytes).map_err(|error| ApiError::bad_request(format!("body: {error}")))
}
