//! `ETag` and `If-None-Match` (RFC 9110 §13.1.2): what the client has already
//! is not sent again.

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;

/// Larger answers are sent as they come.
const BYTES_MAX: u64 = 2 * 1024 * 1024;

/// Tags answers in JSON to `GET`.
pub async fn tag(request: Request, next: Next) -> Response {
    if request.method() != Method::GET {
        return next.run(request).await;
    }
    let known = HeaderMap::from_iter(
        request
            .headers()
            .get_all(IF_NONE_MATCH)
            .iter()
            .map(|tags| (IF_NONE_MATCH, tags.clone())),
    );
    let response = next.run(request).await;
    if !may_be_tagged(&response) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(collected) = body.collect().await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let bytes = collected.to_bytes();
    // Weak: it may be compressed on its way.
    let tag = format!("W/\"{}\"", &blake3::hash(&bytes).to_hex()[..32]);
    if let Ok(value) = HeaderValue::from_str(&tag) {
        parts.headers.insert(ETAG, value);
    }
    let asked_again = HeaderValue::from_static("private, no-cache");
    parts.headers.entry(CACHE_CONTROL).or_insert(asked_again);
    if is_known(&known, &tag) {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(CONTENT_TYPE);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(bytes))
}

fn may_be_tagged(response: &Response) -> bool {
    let is_small = response
        .body()
        .size_hint()
        .upper()
        .is_some_and(|bytes| bytes <= BYTES_MAX);
    response.status() == StatusCode::OK && is_json(response.headers()) && is_small
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"))
}

/// True when the request names this tag, or `*`; compared weakly.
pub fn is_known(request: &HeaderMap, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    request
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|tags| tags.to_str().ok())
        .flat_map(|tags| tags.split(','))
        .any(|known| known.trim() == "*" || opaque(known) == opaque(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_weakly() {
        let names = |known: &'static str| {
            let tags = HeaderValue::from_static(known);
            is_known(&HeaderMap::from_iter([(IF_NONE_MATCH, tags)]), "W/\"a\"")
        };
        assert!(names("W/\"a\"") && names("\"a\"") && names("\"b\", W/\"a\"") && names("*"));
        assert!(!names("\"b\"") && !names("a"));
    }
}
