//! Answers that are kept: computed once for all who ask the same of the same
//! data at the same time, and found again until the data is another.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::body::Bytes;
use axum::http::HeaderName;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use guard::CacheKey;
use serde::{Deserialize, Serialize};
use types::TenantId;
use utoipa::ToSchema;

use super::error::ApiError;
use super::state::Api;

/// Says whether an answer was kept: `hit` or `miss`.
const X_CACHE: HeaderName = HeaderName::from_static("x-cache");

/// What an answer is of; each is counted, and can be cleared, by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Area {
    Pages,
    Records,
    Search,
}

impl Area {
    pub fn as_str(self) -> &'static str {
        match self {
            Area::Pages => "pages",
            Area::Records => "records",
            Area::Search => "search",
        }
    }
}

/// The kept answer of this name, or a new one. The name says all that the
/// answer depends on, so an entry is never wrong, only no longer asked for.
pub fn answer<T: Serialize>(
    api: &Api,
    area: Area,
    tenant: TenantId,
    name: &str,
    make: impl FnOnce() -> Result<T>,
) -> Result<Response, ApiError> {
    let ttl = Duration::from_secs(api.services.app.config.api.cache_ttl_s);
    let key = CacheKey::new(area.as_str(), tenant.0.unsigned_abs(), name);
    if let Some(kept) = api.cache.get(&key) {
        return Ok(as_json(kept, "hit"));
    }
    let made = api.cache.get_or_compute(&key, ttl, || -> Result<Bytes> {
        Ok(Bytes::from(serde_json::to_vec(&make()?)?))
    });
    match made {
        Ok(body) => Ok(as_json(body, "miss")),
        Err(error) => Err(ApiError::of(Arc::as_ref(&error))),
    }
}

fn as_json(body: Bytes, cache: &'static str) -> Response {
    let headers = [(CONTENT_TYPE, "application/json"), (X_CACHE, cache)];
    (headers, body).into_response()
}
