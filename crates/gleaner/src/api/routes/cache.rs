//! What the cache keeps.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use store::Scopes;
use utoipa::ToSchema;

use crate::api::cached::{AnswerStats, Area};
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

#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct CacheArea {
    pub memory: CacheTier,
    pub disk: CacheTier,
    /// Of all processes. What lies there is not counted: `entries`, `bytes` and `evictions` are 0.
    pub redis: CacheTier,
    /// Answers that were made, and that others waited for.
    pub computed: u64,
    pub shared: u64,
}

impl CacheArea {
    fn new(here: &guard::AreaStats, shared: Option<&guard::AreaStats>) -> CacheArea {
        let mut memory = here.memory;
        let shared = shared.copied().unwrap_or_default();
        memory.add(&shared.memory);
        CacheArea {
            memory: (&memory).into(),
            disk: (&here.disk).into(),
            redis: (&shared.disk).into(),
            computed: here.computed + shared.computed,
            shared: here.shared + shared.shared,
        }
    }
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CacheStats {
    pub total: CacheArea,
    pub areas: BTreeMap<String, CacheArea>,
    /// False: memory alone is used, or Redis.
    pub disk_works: bool,
    /// Whether answers are shared by way of Redis now; null when they are not to be.
    pub redis_works: Option<bool>,
}

/// Count what the cache keeps
///
/// Of all tenants together, by this process: for an admin.
#[utoipa::path(get, path = "/api/v2/cache/stats", tag = "monitoring",
    responses((status = 200, body = CacheStats), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn stats(State(api): State<Api>, caller: Caller) -> Result<Json<CacheStats>, ApiError> {
    caller.must_run_the_service()?;
    api.run(|api| Ok(Json(CacheStats::new(&api.answers.stats()))))
        .await
}

impl CacheStats {
    fn new(stats: &AnswerStats) -> CacheStats {
        let none = guard::AreaStats::default();
        let shared = stats.shared.as_ref();
        let names = shared.into_iter().flat_map(|shared| shared.areas.keys());
        let names: BTreeSet<&String> = stats.here.areas.keys().chain(names).collect();
        let areas = names.into_iter().map(|name| {
            let here = stats.here.areas.get(name).unwrap_or(&none);
            let shared = shared.and_then(|shared| shared.areas.get(name));
            (name.clone(), CacheArea::new(here, shared))
        });
        CacheStats {
            areas: areas.collect(),
            total: CacheArea::new(&stats.here.total, shared.map(|shared| &shared.total)),
            disk_works: stats.here.disk_state == guard::DiskState::On,
            redis_works: shared.map(|shared| shared.disk_state == guard::DiskState::On),
        }
    }
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
    let area = input.and_then(|Body(input)| input.area);
    api.run(move |api| {
        let removed = api.answers.clear(area, caller.tenant);
        Ok(Json(Cleared { removed }))
    })
    .await
}
