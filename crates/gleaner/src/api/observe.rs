//! Every request gets an id, is timed, counted and, when it failed, remembered.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;

use super::caller::Caller;
use super::recent::Seen;
use super::state::Api;

const ID_BYTES_MAX: usize = 64;

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The outermost layer of the API.
pub async fn observe(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let id = request_id(&request);
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    let method = request.method().to_string();
    if let Ok(value) = HeaderValue::from_str(&id) {
        request.headers_mut().insert(REQUEST_ID, value);
    }
    let span = tracing::info_span!("request", id = %id, method = %method, route = %route);
    let start = Instant::now();
    let mut response = next.run(request).instrument(span).await;
    let took = start.elapsed();
    let status = response.status().as_u16();
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    // As the layer inside found out.
    let tenant = response
        .extensions()
        .get::<Caller>()
        .map(|caller| caller.tenant);
    api.services.metrics.http.answered(&route, status, took);
    if status >= 500 {
        tracing::warn!(request = %id, %method, %route, status, took_ms = took.as_millis() as u64, "a request failed");
    }
    let seen = Seen {
        id,
        at: api.services.app.clock.now(),
        tenant,
        method,
        route,
        status,
        took,
    };
    if let Some(log) = &api.log {
        log.add(&seen);
    }
    api.recent.add(seen);
    response
}

/// The caller's own, when it can stand in a log line; else a new one.
fn request_id(request: &Request) -> String {
    let given = request.headers().get(REQUEST_ID);
    let given = given.and_then(|id| id.to_str().ok()).filter(|id| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        !id.is_empty() && id.len() <= ID_BYTES_MAX && id.bytes().all(plain)
    });
    given.map_or_else(new_id, str::to_owned)
}

fn new_id() -> String {
    use std::hash::{BuildHasher, RandomState};
    format!("{:016x}", RandomState::new().hash_one(0))
}
