//! What the cache keeps.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use store::Scopes;
use utoipa::ToSchema;

use crate::api::cached::Area;
use crate::api::caller::Caller;
use crate::api::error::{ApiError, ErrorBody};
use crate::api::extract::Body;
use crate::api::state::Api;

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

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClearInput {
    /// Everything unless given.
    pub area: Option<Area>,
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
    input: Option<Body<ClearInput>>,
) -> Result<Json<Cleared>, ApiError> {
    let caller = caller.must(Scopes::WRITE)?;
    let area = input.and_then(|Body(input)| input.area).map(Area::as_str);
    api.run(move |api| {
        let scope = caller.tenant.0.unsigned_abs();
        let removed = api.cache.clear(area, Some(scope));
        Ok(Json(Cleared { removed }))
    })
    .await
}
