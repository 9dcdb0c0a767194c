//! The web dashboard: the files of `dashboard/`, inside the binary.
//!
//! They are the same for everybody and hold no secret, so nobody is asked for
//! a key here; all that they show comes from the API, which does ask.

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use rust_embed::RustEmbed;

use super::error::{ApiError, Code};
use super::etag::is_known;
use super::state::Api;

#[derive(RustEmbed)]
#[folder = "../../dashboard"]
struct Files;

/// The dashboard shows what strangers wrote. Even if markup of theirs got into
/// it, nothing would run: no script but these files, no string ever parsed as
/// markup (trusted types), no style in attributes, nothing sent elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// Asked for again each time, and answered with 304: names carry no version,
/// and files of two versions must not meet in one page.
const CACHE: &str = "no-cache";

pub fn router() -> Router<Api> {
    Router::new()
        .route("/", get(index))
        .route("/assets/{*name}", get(asset))
}

async fn index(headers: HeaderMap) -> Result<Response, ApiError> {
    file("index.html", &headers)
}

/// The path is looked up as it was sent, in a list made when this was built.
/// No name in it needs escapes, so none are decoded.
async fn asset(uri: Uri, headers: HeaderMap) -> Result<Response, ApiError> {
    file(uri.path().trim_start_matches('/'), &headers)
}

fn file(name: &str, headers: &HeaderMap) -> Result<Response, ApiError> {
    let (Some(file), Some(kind)) = (Files::get(name), content_type(name)) else {
        return Err(ApiError::new(Code::NotFound, "there is no such file"));
    };
    // Weak: the body may be sent compressed.
    let hash = file.metadata.sha256_hash();
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let etag = format!("W/\"{hex}\"");
    // A 304 renews the headers of what the browser keeps, the policy as well.
    let fixed = [
        (CACHE_CONTROL, HeaderValue::from_static(CACHE)),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    ];
    if is_known(headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, fixed, [(ETAG, etag)]).into_response());
    }
    let kind = [(CONTENT_TYPE, HeaderValue::from_static(kind))];
    Ok((fixed, kind, [(ETAG, etag)], file.data).into_response())
}

fn content_type(name: &str) -> Option<&'static str> {
    let (_, ending) = name.rsplit_once('.')?;
    match ending {
        "html" => Some("text/html; charset=utf-8"),
        "css" => Some("text/css; charset=utf-8"),
        "js" => Some("text/javascript; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        _ => None,
    }
}
