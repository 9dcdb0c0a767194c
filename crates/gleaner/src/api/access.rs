//! Who is asking, and what they may do.
//!
//! A key names tenant and scopes. Without one, a server on loopback takes
//! whoever reaches it for its owner: the default tenant with every scope. Then
//! a web page that the owner visits must not speak in their name, so requests
//! from other sites are refused: by `Host` (a name that was rebound to
//! loopback) and by `Origin` and `Sec-Fetch-Site` (a page that sends forms).

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use store::Scopes;

use super::caller::Caller;
use super::error::{ApiError, Code};
use super::limits;
use super::state::{ABSENT, ASKING, Api};
use crate::keys::ApiKey;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;

/// Names the shards that did not answer, when an answer lacks what they have.
const X_PARTIAL: HeaderName = HeaderName::from_static("x-partial");

/// Finds out who is asking and whether they ask too much, before any handler runs.
pub async fn know_caller(
    State(api): State<Api>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let caller = match key_of(request.headers())? {
        Some(key) => by_key(&api, limits::peer(&request), key).await?,
        None => owner(&api, &request)?,
    };
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or(request.uri().path(), MatchedPath::as_str);
    let spent = limits::spend(&api, caller, request.method(), route).await?;
    request.extensions_mut().insert(caller);
    let now = api.services.app.clock.now();
    if api.keys.count(caller.tenant, caller.key, now) {
        write_use(&api);
    }
    let absent = Arc::new(Mutex::new(BTreeSet::new()));
    let answering = ABSENT.scope(absent.clone(), next.run(request));
    let mut response = ASKING.scope(caller.tenant, answering).await;
    tell_absent(&absent, response.headers_mut());
    response.extensions_mut().insert(caller);
    if let Some(spent) = spent {
        limits::tell(&spent, response.headers_mut());
    }
    Ok(response)
}

/// Says that a list or a count lacks what some databases have.
fn tell_absent(absent: &Mutex<BTreeSet<String>>, headers: &mut HeaderMap) {
    let absent = absent.lock().unwrap_or_else(PoisonError::into_inner);
    if absent.is_empty() {
        return;
    }
    let names: Vec<&str> = absent.iter().map(String::as_str).collect();
    if let Ok(names) = HeaderValue::from_str(&names.join(", ")) {
        headers.insert(X_PARTIAL, names);
    }
}

/// Beside the request: it is only book-keeping.
fn write_use(api: &Api) {
    let api = api.clone();
    tokio::task::spawn_blocking(move || {
        let now = api.services.app.clock.now();
        if let Err(error) = api.keys.write(&api.services.store, now) {
            tracing::warn!(error = %format!("{error:#}"), "could not write the use of API keys");
        }
    });
}

/// `Authorization: Bearer KEY` or `X-API-Key: KEY`.
fn key_of(headers: &HeaderMap) -> Result<Option<ApiKey>, ApiError> {
    let refused = || {
        let message = "send the key as `Authorization: Bearer gl_…`";
        ApiError::new(Code::Unauthorized, message)
    };
    let text = if let Some(value) = headers.get(AUTHORIZATION) {
        let value = value.to_str().map_err(|_| refused())?;
        let (scheme, key) = value.split_once(' ').ok_or_else(refused)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(refused());
        }
        key.trim()
    } else if let Some(value) = headers.get("x-api-key") {
        value.to_str().map_err(|_| refused())?.trim()
    } else {
        return Ok(None);
    };
    let key = ApiKey::parse(text);
    key.map(Some).ok_or_else(unknown_key)
}

fn unknown_key() -> ApiError {
    ApiError::new(Code::Unauthorized, "there is no such API key")
}

async fn by_key(api: &Api, peer: Option<IpAddr>, key: ApiKey) -> Result<Caller, ApiError> {
    let hash = key.hash();
    let row = match api.keys.get(&hash) {
        Some(row) => row,
        None => {
            // Whoever tries keys is slowed down before the store is asked. Keys that
            // open something count for nothing: many tenants may share an address.
            limits::may_guess(api, peer).await?;
            let row = api
                .run(move |api| Ok(api.keys.ask(&api.services.store, &hash)?))
                .await?;
            if row.is_none() {
                limits::spend_on_guess(api, peer).await?;
            }
            row
        }
    };
    let row = row.ok_or_else(unknown_key)?;
    let now = api.services.app.clock.now();
    let problem = if row.revoked_at.is_some() {
        Some("this API key was revoked")
    } else if row.expires_at.is_some_and(|end| end <= now) {
        Some("this API key has expired")
    } else if !row.tenant_active {
        Some("the tenant of this API key is not active")
    } else {
        None
    };
    match problem {
        Some(problem) => Err(ApiError::new(Code::Unauthorized, problem)),
        None => Ok(Caller {
            tenant: row.tenant,
            scopes: row.scopes,
            key: Some(row.id),
        }),
    }
}

/// Without a key: whoever reaches a server on loopback.
fn owner(api: &Api, request: &Request) -> Result<Caller, ApiError> {
    let (method, headers) = (request.method(), request.headers());
    if !api.listen.ip().is_loopback() {
        let message = "this server is reachable from outside and asks for an API key: send \
                       `Authorization: Bearer gl_…`";
        return Err(ApiError::new(Code::Unauthorized, message));
    }
    if !host_is_local(headers, api.listen) {
        let message = "without an API key this server answers only to its loopback address";
        return Err(ApiError::new(Code::Forbidden, message));
    }
    let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    if !reads && is_foreign(headers) {
        let message = "without an API key no other web site may change anything here";
        return Err(ApiError::new(Code::Forbidden, message));
    }
    Ok(Caller {
        tenant: api.services.app.tenant,
        scopes: Scopes::ADMIN,
        key: None,
    })
}

/// `localhost`, a loopback address, or nothing (HTTP/1.0).
fn host_is_local(headers: &HeaderMap, listen: SocketAddr) -> bool {
    let Some(host) = headers.get(HOST) else {
        return true;
    };
    let Ok(host) = host.to_str() else {
        return false;
    };
    is_local(host) || host == listen.to_string()
}

fn is_local(authority: &str) -> bool {
    let Ok(authority) = authority.parse::<axum::http::uri::Authority>() else {
        return false;
    };
    let host = authority.host().trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

/// Sent by a page of another site.
fn is_foreign(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if matches!(text("sec-fetch-site"), Some("cross-site")) {
        return true;
    }
    match headers.get(ORIGIN).map(|origin| origin.to_str()) {
        None => false,
        Some(Err(_)) => true,
        Some(Ok(origin)) => {
            let authority = origin.split_once("://").map(|(_, authority)| authority);
            !authority.is_some_and(is_local)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                let name = axum::http::HeaderName::from_static(name);
                (name, axum::http::HeaderValue::from_static(value))
            })
            .collect()
    }

    #[track_caller]
    fn check_host(host: &'static str, local: bool) {
        let listen = "127.0.0.1:8080".parse().expect("an address");
        assert_eq!(
            host_is_local(&headers(&[("host", host)]), listen),
            local,
            "{host}"
        );
    }

    #[test]
    fn only_loopback_names_are_local() {
        check_host("localhost:8080", true);
        check_host("LOCALHOST", true);
        check_host("127.0.0.1:8080", true);
        check_host("127.9.9.9", true);
        check_host("[::1]:8080", true);
        check_host("evil.example:8080", false);
        check_host("localhost.evil.example", false);
        check_host("127.0.0.1.evil.example", false);
        check_host("10.0.0.1", false);
    }

    #[test]
    fn pages_of_other_sites_are_foreign() {
        assert!(!is_foreign(&headers(&[])));
        assert!(!is_foreign(&headers(&[(
            "origin",
            "http://127.0.0.1:8080"
        )])));
        assert!(!is_foreign(&headers(&[(
            "origin",
            "http://localhost:3000"
        )])));
        assert!(is_foreign(&headers(&[("origin", "https://evil.example")])));
        assert!(is_foreign(&headers(&[("origin", "null")])));
        assert!(is_foreign(&headers(&[("sec-fetch-site", "cross-site")])));
        assert!(!is_foreign(&headers(&[("sec-fetch-site", "same-origin")])));
    }
}
