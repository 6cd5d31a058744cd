//! A file of the pages, as it is sent: with a tag, packed if that is worth it, and with a policy
//! under which nothing is loaded from elsewhere.
//!
//! All of them are made when the routes are, from bytes that are part of the program or were
//! rendered once; nothing is read or fetched for a request.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode};

/// Own files only, no framing, no forms to elsewhere.
pub(crate) const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'self'; \
                                 frame-ancestors 'none'; object-src 'none'";

/// The bytes of a file.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    /// As they are.
    Plain(Bytes),
    /// Packed with gzip only: a client that does not take that gets them unpacked.
    Packed(&'static [u8]),
    /// Both ways.
    Both { plain: Bytes, packed: Bytes },
}

/// How long clients use a file without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// They ask each time, so that a new program is never used with old files.
    Revalidate,
    /// Its name has a hash of its content: another content has another name.
    Forever,
}

/// One file. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Asset(Arc<File>);

#[derive(Clone, Debug)]
struct File {
    content_type: &'static str,
    policy: &'static str,
    keep: Keep,
    body: Body,
    /// Fingerprint of the bytes.
    print: u32,
}

impl Keep {
    fn directives(self) -> &'static str {
        match self {
            Keep::Revalidate => "no-cache",
            Keep::Forever => "public, max-age=31536000, immutable",
        }
    }
}

impl Body {
    /// A text, both as it is and packed.
    pub fn packing(text: String) -> Body {
        let mut packer = GzEncoder::new(Vec::new(), Compression::default());
        let packed = packer.write_all(text.as_bytes()).and_then(|()| packer.finish());
        let packed = packed.expect("a Vec takes every write").into();
        Body::Both { plain: text.into(), packed }
    }
}

impl Asset {
    pub fn new(content_type: &'static str, policy: &'static str, body: Body) -> Asset {
        let print = match &body {
            Body::Plain(bytes) | Body::Both { plain: bytes, .. } => fingerprint(bytes),
            Body::Packed(bytes) => fingerprint(bytes),
        };
        Asset(Arc::new(File { content_type, policy, keep: Keep::Revalidate, body, print }))
    }

    /// The same, kept in another way: [`Asset::new`] has it revalidated.
    pub fn kept(self, keep: Keep) -> Asset {
        Asset(Arc::new(File { keep, ..Arc::unwrap_or_clone(self.0) }))
    }

    /// Adds a route that answers with it.
    pub fn serve(self, router: Router, path: &str) -> Router {
        router.route(path, get(move |headers: HeaderMap| async move { self.answer(&headers) }))
    }

    /// The file, or 304 if the client has it.
    pub fn answer(&self, headers: &HeaderMap) -> Response {
        let File { content_type, policy, keep, body, print } = &*self.0;
        let (bytes, is_packed) = match body {
            Body::Plain(bytes) => (bytes.clone(), false),
            Body::Packed(bytes) if takes_gzip(headers) => (Bytes::from_static(bytes), true),
            Body::Packed(bytes) => (unpacked(bytes), false),
            Body::Both { packed, .. } if takes_gzip(headers) => (packed.clone(), true),
            Body::Both { plain, .. } => (plain.clone(), false),
        };
        // Two forms of a file are told apart by their tags too.
        let etag = if is_packed { format!("\"{print:08x}z\"") } else { format!("\"{print:08x}\"") };
        let known = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
        let is_known = known.is_some_and(|known| known.split(',').any(|tag| tag.trim() == etag));
        let mut response = match is_known {
            true => StatusCode::NOT_MODIFIED.into_response(),
            false => bytes.into_response(),
        };
        let mut set = |name, text| {
            response.headers_mut().insert(name, HeaderValue::from_static(text));
        };
        set(CONTENT_TYPE, content_type);
        set(CACHE_CONTROL, keep.directives());
        set(CONTENT_SECURITY_POLICY, policy);
        set(X_CONTENT_TYPE_OPTIONS, "nosniff");
        set(REFERRER_POLICY, "no-referrer");
        if is_packed {
            set(CONTENT_ENCODING, "gzip");
        }
        if !matches!(body, Body::Plain(_)) {
            set(VARY, "accept-encoding");
        }
        let etag = HeaderValue::from_str(&etag).expect("hex digits in quotes");
        response.headers_mut().insert(ETAG, etag);
        response
    }
}

/// Whether a client takes gzip: it names it, or everything, with a weight above 0.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let weight = |name: &str| {
        let values = headers.get_all(ACCEPT_ENCODING).iter();
        let texts = values.filter_map(|value| value.to_str().ok());
        texts.flat_map(|text| text.split(',')).find_map(|item| {
            let (coding, rest) = item.split_once(';').unwrap_or((item, ""));
            let weight = rest.trim().strip_prefix("q=").and_then(|q| q.trim().parse().ok());
            coding.trim().eq_ignore_ascii_case(name).then_some(weight.unwrap_or(1.0_f32))
        })
    };
    weight("gzip").or_else(|| weight("*")).is_some_and(|weight| weight > 0.0)
}

fn unpacked(bytes: &[u8]) -> Bytes {
    let mut plain = Vec::new();
    let unpacking = GzDecoder::new(bytes).read_to_end(&mut plain);
    unpacking.expect("what is part of the program is whole: a test unpacks it");
    plain.into()
}

/// FNV-1a, 32 bits: tells two versions of a file apart, nothing more.
fn fingerprint(bytes: &[u8]) -> u32 {
    let add = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    bytes.iter().fold(0x811c_9dc5, add)
}

#[cfg(test)]
mod tests;
