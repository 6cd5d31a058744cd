//! Unit tests of `asset`.

use super::*;

fn headers(accept: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(accept))])
}

#[test]
fn gzip_is_sent_to_whom_it_is_welcome() {
    for accept in ["gzip", "br, GZIP;q=0.1", "*", "deflate, gzip", "gzip; q=1.0", "*;q=0, gzip"] {
        assert!(takes_gzip(&headers(accept)), "{accept}");
    }
    for accept in ["", "br", "gzip;q=0", "identity", "*;q=0", "*, gzip;q=0", "gzipped"] {
        assert!(!takes_gzip(&headers(accept)), "{accept}");
    }
    assert!(!takes_gzip(&HeaderMap::new()));
}

#[tokio::test]
async fn both_forms_of_a_file_are_the_same_text_under_different_tags() {
    let text = "a text that is worth packing ".repeat(40);
    let Body::Both { packed, .. } = Body::packing(text.clone()) else { panic!("both forms") };
    let leaked: &'static [u8] = Box::leak(packed.to_vec().into_boxed_slice());
    for body in [Body::packing(text.clone()), Body::Packed(leaked)] {
        let asset = Asset::new("text/plain", POLICY, body);
        let (plain, packed) = (asset.answer(&HeaderMap::new()), asset.answer(&headers("gzip")));
        assert_ne!(plain.headers()[ETAG], packed.headers()[ETAG]);
        assert_eq!(packed.headers()[CONTENT_ENCODING], "gzip");
        assert!(!plain.headers().contains_key(CONTENT_ENCODING));
        for (response, is_packed) in [(plain, false), (packed, true)] {
            assert_eq!(response.headers()[VARY], "accept-encoding");
            let mut known = headers(if is_packed { "gzip" } else { "identity" });
            known.insert(IF_NONE_MATCH, response.headers()[ETAG].clone());
            assert_eq!(asset.answer(&known).status(), StatusCode::NOT_MODIFIED);
            let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.expect("a body");
            let body = if is_packed { unpacked(&body) } else { body };
            assert_eq!(body, text.as_bytes());
        }
    }
}
