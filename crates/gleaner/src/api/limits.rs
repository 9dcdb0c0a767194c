//! How much a caller may ask: GCRA per key (see `guard`), weighed by route.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use guard::{Decision, Quota};
use types::TenantId;

use super::caller::Caller;
use super::error::{ApiError, Code};
use super::state::Api;

/// A refusal is held back for so long.
const HELD_FOR: Duration = Duration::from_millis(100);

/// Keys that are none that one address may try in a minute.
const GUESSES: Quota = Quota {
    requests: 60,
    per: Duration::from_secs(60),
    burst: 60,
};

/// Counts a request against its key. The owner on loopback is not limited.
pub async fn spend(
    api: &Api,
    caller: Caller,
    method: &Method,
    route: &str,
) -> Result<Option<Decision>, ApiError> {
    let Some(key) = caller.key else {
        return Ok(None);
    };
    let Some(quota) = quota(api, caller.tenant).await? else {
        return Ok(None);
    };
    let now = api.services.app.clock.now();
    let cost = cost(method, route).min(quota.burst);
    let name = key.0.to_le_bytes();
    let decision = api.limiter.check(name, quota, cost, now).await;
    if decision.allowed {
        return Ok(Some(decision));
    }
    api.services.metrics.http.refused();
    // Whoever asks again without waiting would keep the server busy refusing.
    if let Ok(_held) = api.held.try_acquire() {
        tokio::time::sleep(HELD_FOR).await;
    }
    let wait = decision.retry_after.unwrap_or(quota.per);
    let message = format!(
        "this key may ask {} times in {} s",
        quota.requests,
        quota.per.as_secs()
    );
    let mut error = ApiError::new(Code::RateLimited, message).after(seconds_up(wait).max(1));
    tell(&decision, error.headers.get_or_insert_default());
    Err(error)
}

/// Where a request came from.
pub fn peer(request: &Request) -> Option<IpAddr> {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    peer.map(|ConnectInfo(peer)| peer.ip())
}

/// Fails when too many keys that are none came from the address lately.
pub async fn may_guess(api: &Api, peer: Option<IpAddr>) -> Result<(), ApiError> {
    let Some(decision) = guesses(api, peer, 0).await else {
        return Ok(());
    };
    if decision.remaining > 0 {
        return Ok(());
    }
    Err(guessed_too_much(api, &decision))
}

/// Counts a key that is none against the address it came from.
pub async fn spend_on_guess(api: &Api, peer: Option<IpAddr>) -> Result<(), ApiError> {
    match guesses(api, peer, 1).await {
        Some(decision) if !decision.allowed => Err(guessed_too_much(api, &decision)),
        _ => Ok(()),
    }
}

/// `None` when nobody knows where the request came from.
async fn guesses(api: &Api, peer: Option<IpAddr>, cost: u32) -> Option<Decision> {
    let key = format!("guess {}", peer?);
    let now = api.services.app.clock.now();
    Some(api.limiter.check(key, GUESSES, cost, now).await)
}

fn guessed_too_much(api: &Api, decision: &Decision) -> ApiError {
    api.services.metrics.http.refused();
    // At the steady rate the next one is free after so long.
    let one = GUESSES.per / GUESSES.requests;
    let wait = seconds_up(decision.retry_after.unwrap_or(one)).max(1);
    let message = "too many keys were tried from this address";
    ApiError::new(Code::RateLimited, message).after(wait)
}

/// The tenant's own limit, else the configured one; `None`: no limit.
async fn quota(api: &Api, tenant: TenantId) -> Result<Option<Quota>, ApiError> {
    let own = match api.quotas.get(tenant) {
        Some(own) => own,
        None => {
            let read = api
                .run_for(tenant, move |api| Ok(api.services.store.quota(tenant)?))
                .await?;
            api.quotas.put(tenant, read);
            read
        }
    };
    if let Some(requests) = own.requests_per_minute {
        return Ok(Some(Quota::new(requests, Duration::from_secs(60))));
    }
    let limits = &api.services.app.config.api;
    let per = Duration::from_secs(limits.rate_per_s.max(1));
    Ok((limits.rate_requests > 0).then(|| Quota::new(limits.rate_requests, per)))
}

/// Requests that stand for many, by what they make the server do; all others
/// count once, searches among them. A tenth of the default limit at most, so
/// that nobody runs into it with a handful of calls.
const COSTS: [(Method, &str, u32); 10] = [
    // Reads or writes any number of pages.
    (Method::POST, "/api/v2/pages/bulk", 10),
    (Method::GET, "/api/v2/export", 10),
    // Queues work on many pages.
    (Method::POST, "/api/v2/scrape/batch", 5),
    (Method::POST, "/api/v2/sources", 5),
    (Method::POST, "/api/v2/sources/{id}/crawl", 5),
    (Method::POST, "/api/v2/summaries", 5),
    (
        Method::POST,
        "/api/v1/web-knowledge/websites/create-and-crawl/",
        5,
    ),
    // Searches, reads what it found, and may ask a model.
    (Method::POST, "/api/v2/ask", 5),
    // What was kept is computed again.
    (Method::POST, "/api/v2/cache/clear", 5),
    // Compares with every passage.
    (Method::GET, "/api/v2/pages/{id}/similar", 2),
];

/// `route` is the path with the names of its parameters.
fn cost(method: &Method, route: &str) -> u32 {
    // HEAD is answered as GET is, without the body.
    let method = match method {
        &Method::HEAD => &Method::GET,
        method => method,
    };
    let heavy = COSTS
        .iter()
        .find(|(of, path, _)| of == method && *path == route);
    heavy.map_or(1, |(_, _, cost)| *cost)
}

/// What is left, in the answer.
pub fn tell(decision: &Decision, headers: &mut HeaderMap) {
    let pairs = [
        ("x-ratelimit-limit", u64::from(decision.limit)),
        ("x-ratelimit-remaining", u64::from(decision.remaining)),
        ("x-ratelimit-reset", seconds_up(decision.reset_after)),
    ];
    for (name, value) in pairs {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
    }
}

fn seconds_up(time: Duration) -> u64 {
    time.as_millis()
        .div_ceil(1000)
        .try_into()
        .unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heavy_routes_are_routes_and_documented() {
        let document = crate::api::document_json().expect("a document");
        let document: serde_json::Value = serde_json::from_str(&document).expect("JSON");
        let guide = include_str!("../../../../docs/guides/server.md");
        for (method, path, cost) in COSTS {
            let operation = &document["paths"][path][method.as_str().to_lowercase()];
            assert!(operation.is_object(), "{method} {path}");
            let row = format!("| `{method} {path}` | {cost} |");
            assert!(guide.contains(&row), "docs/guides/server.md lacks {row}");
        }
    }
}
