//! What the cache keeps.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use store::Scopes;
use utoipa::ToSchema;

use crate::api::caller::Caller;
use crate::api::error::{ApiError, ErrorBody};
use crate::api::state::Api;

const AREAS: [&str; 1] = ["search"];

#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct CacheTier {
    pub hits: u64,
    pub misses: u64,
    /// Of those asked for; null before the first.
    pub hit_rate: Option<f64>,
    pub entries: u64,
    pub bytes: u64,
    pub evictions: u64,
}

impl From<&guard::TierStats> for CacheTier {
    fn from(tier: &guard::TierStats) -> CacheTier {
        CacheTier {
            hits: tier.hits,
            misses: tier.misses,
            hit_rate: tier.hit_rate(),
            entries: tier.entries,
            bytes: tier.bytes,
            evictions: tier.evictions,
        }
    }
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CacheArea {
    pub memory: CacheTier,
    pub disk: CacheTier,
    /// Answers that were made, and that others waited for.
    pub computed: u64,
    pub shared: u64,
}

impl From<&guard::AreaStats> for CacheArea {
    fn from(area: &guard::AreaStats) -> CacheArea {
        CacheArea {
            memory: (&area.memory).into(),
            disk: (&area.disk).into(),
            computed: area.computed,
            shared: area.shared,
        }
    }
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CacheStats {
    pub total: CacheArea,
    pub areas: BTreeMap<String, CacheArea>,
    /// False: memory alone is used.
    pub disk_works: bool,
}

/// Count what the cache keeps
///
/// Of all tenants together: for an admin.
#[utoipa::path(get, path = "/api/v2/cache/stats", tag = "monitoring",
    responses((status = 200, body = CacheStats), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn stats(State(api): State<Api>, caller: Caller) -> Result<Json<CacheStats>, ApiError> {
    caller.must_run_the_service()?;
    api.run(|api| {
        let stats = api.cache.stats();
        Ok(Json(CacheStats {
            total: (&stats.total).into(),
            areas: stats
                .areas
                .iter()
                .map(|(name, area)| (name.clone(), area.into()))
                .collect(),
            disk_works: stats.disk_state == guard::DiskState::On,
        }))
    })
    .await
}

#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClearInput {
    /// `search`; everything unless given.
    pub area: Option<String>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Cleared {
    pub removed: u64,
}

/// Clear the caller's part of the cache
///
/// The body may be left out.
#[utoipa::path(post, path = "/api/v2/cache/clear", tag = "monitoring", request_body = Option<ClearInput>,
    responses((status = 200, body = Cleared), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn clear(
    State(api): State<Api>,
    caller: Caller,
    body: Bytes,
) -> Result<Json<Cleared>, ApiError> {
    let caller = caller.must(Scopes::WRITE)?;
    let input: ClearInput = if body.is_empty() {
        ClearInput::default()
    } else {
        serde_json::from_slice(&body).map_err(|error| ApiError::invalid(error.to_string()))?
    };
    if let Some(area) = &input.area
        && !AREAS.contains(&area.as_str())
    {
        let message = format!("there is no area `{area}`; there are {}", AREAS.join(", "));
        return Err(ApiError::invalid(message));
    }
    api.run(move |api| {
        let scope = caller.tenant.0.unsigned_abs();
        let removed = api.cache.clear(input.area.as_deref(), Some(scope));
        Ok(Json(Cleared { removed }))
    })
    .await
}
