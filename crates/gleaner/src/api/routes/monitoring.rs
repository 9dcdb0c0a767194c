//! How the service is doing.

use std::collections::BTreeMap;

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use store::Scopes;
use utoipa::{IntoParams, ToSchema};

use super::scaling::WorkerStatus;
use super::tasks::{QueueStatus, limit, read_queue};
use crate::api::caller::Caller;
use crate::api::error::{ApiError, ErrorBody};
use crate::api::extract::Query;
use crate::api::recent::Seen;
use crate::api::state::Api;
use crate::process;
use crate::services::Services;
use crate::view::rfc3339;

const LAST_MAX: usize = 10_000;
const SHOWN_MAX: usize = 1_000;
const BROKEN_HOSTS_MAX: usize = 100;

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Alive {
    pub status: &'static str,
    pub version: &'static str,
}

/// Is the process alive?
#[utoipa::path(get, path = "/health", tag = "monitoring", responses((status = 200, body = Alive)))]
pub async fn health() -> Json<Alive> {
    Json(Alive {
        status: "ok",
        version: env!("CARGO_PKG_VERSION"),
    })
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Ready {
    pub ready: bool,
    pub checks: Vec<Check>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Check {
    /// `database`, `queue`, `model` or `disk`; `leaving` alone while the process is being stopped.
    pub name: &'static str,
    pub ok: bool,
    /// What is wrong, for people.
    pub detail: Option<String>,
}

/// Bytes below which nothing more should be written.
const DISK_FREE_MIN: u64 = 100 * 1024 * 1024;

/// Can it serve? 503 when not
#[utoipa::path(get, path = "/ready", tag = "monitoring",
    responses((status = 200, body = Ready), (status = 503, body = Ready)))]
pub async fn ready(State(api): State<Api>) -> Result<(StatusCode, Json<Ready>), ApiError> {
    if api.services.is_leaving() {
        // At once, however many wait for the database.
        return Ok(answer(leaving()));
    }
    api.run(|api| Ok(look(&api.services))).await
}

/// Whether the process can do its work, and the status that says so.
pub fn look(services: &Services) -> (StatusCode, Json<Ready>) {
    if services.is_leaving() {
        return answer(leaving());
    }
    answer(checks(services))
}

fn answer(ready: Ready) -> (StatusCode, Json<Ready>) {
    let status = if ready.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(ready))
}

/// It answers on for a while, and asks to be sent nothing more.
fn leaving() -> Ready {
    let check = Check {
        name: "leaving",
        ok: false,
        detail: Some("is being stopped".to_owned()),
    };
    Ready {
        ready: false,
        checks: vec![check],
    }
}

/// Paths and causes go to the log: anybody may ask this.
fn checks(services: &Services) -> Ready {
    let check = |name: &'static str, problem: Option<(&str, String)>| {
        if let Some((_, cause)) = &problem {
            tracing::error!(check = name, error = %cause, "not ready");
        }
        Check {
            name,
            ok: problem.is_none(),
            detail: problem.map(|(told, _)| told.to_owned()),
        }
    };
    let database = services.store.stats().err();
    let queue = services.store.next_run_at().err();
    let model = services.model_problem();
    let free = process::disk_free_bytes(services.app.data_dir());
    let checks = vec![
        check(
            "database",
            database.map(|e| ("cannot be read", e.to_string())),
        ),
        check("queue", queue.map(|e| ("cannot be read", e.to_string()))),
        check("model", model.map(|e| ("cannot be loaded", e))),
        check(
            "disk",
            free.filter(|free| *free < DISK_FREE_MIN)
                .map(|free| ("nearly full", format!("{free} bytes are free"))),
        ),
    ];
    Ready {
        ready: checks.iter().all(|check| check.ok),
        checks,
    }
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Stats {
    pub sources: u64,
    /// Pages that their sites still offer.
    pub pages_live: u64,
    pub pages: u64,
    pub chunks: u64,
    pub tasks: QueueStatus,
}

/// Count what is stored
#[utoipa::path(get, path = "/api/v2/stats", tag = "monitoring",
    responses((status = 200, body = Stats), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn stats(State(api): State<Api>, caller: Caller) -> Result<Json<Stats>, ApiError> {
    let caller = caller.must(Scopes::READ)?;
    api.run(move |api| read_stats(api, caller).map(Json)).await
}

fn read_stats(api: &Api, caller: Caller) -> Result<Stats, ApiError> {
    let store = &api.services.store;
    let stored = store.tenant_stats(caller.tenant)?;
    Ok(Stats {
        sources: stored.sources,
        pages_live: stored.pages_live,
        pages: stored.pages,
        chunks: stored.chunks,
        tasks: read_queue(api, caller)?,
    })
}

fn read_vectors(api: &Api) -> Result<VectorStats, ApiError> {
    let vectors = api.services.store.embedding_progress()?;
    Ok(VectorStats {
        done: vectors.done,
        pending: vectors.pending,
        failed: vectors.failed,
    })
}

#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct LastParams {
    /// Of the last so many requests, 1 to 10000; 1000 unless given.
    #[param(minimum = 1, maximum = 10_000)]
    pub last_n: Option<usize>,
}

/// Requests of one route, or of all.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct RouteStats {
    pub requests: u64,
    /// Answered with 4xx or 5xx.
    pub errors: u64,
    pub error_rate: f64,
    pub mean_ms: f64,
    pub p50_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RequestStats {
    pub all: RouteStats,
    pub routes: BTreeMap<String, RouteStats>,
}

/// Time the last requests
#[utoipa::path(get, path = "/api/v2/metrics/stats", tag = "monitoring", params(LastParams),
    responses((status = 200, body = RequestStats), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn request_stats(
    State(api): State<Api>,
    caller: Caller,
    Query(params): Query<LastParams>,
) -> Result<Json<RequestStats>, ApiError> {
    let caller = caller.must(Scopes::READ)?;
    let last = limit(params.last_n, 1_000, LAST_MAX)?;
    let seen = api.recent.of(caller.tenant, |_| true, last);
    let mut by_route: BTreeMap<String, Vec<&Seen>> = Default::default();
    for request in &seen {
        let route = format!("{} {}", request.method, request.route);
        by_route.entry(route).or_default().push(request);
    }
    Ok(Json(RequestStats {
        all: route_stats(seen.iter()),
        routes: by_route
            .into_iter()
            .map(|(route, seen)| (route, route_stats(seen.into_iter())))
            .collect(),
    }))
}

fn route_stats<'a>(seen: impl Iterator<Item = &'a Seen>) -> RouteStats {
    let mut times = Vec::new();
    let mut errors = 0u64;
    for request in seen {
        times.push(request.took.as_secs_f64() * 1000.0);
        errors += u64::from(request.status >= 400);
    }
    times.sort_by(f64::total_cmp);
    let Some(max) = times.last().copied() else {
        return RouteStats::default();
    };
    // Nearest rank, to the microsecond.
    let rounded = |ms: f64| (ms * 1000.0).round() / 1000.0;
    let at = |share: f64| {
        let rank = (times.len() as f64 * share).ceil().max(1.0) as usize;
        rounded(times[rank.min(times.len()) - 1])
    };
    let requests = times.len() as f64;
    RouteStats {
        requests: times.len() as u64,
        errors,
        error_rate: (errors as f64 / requests * 1e4).round() / 1e4,
        mean_ms: rounded(times.iter().sum::<f64>() / requests),
        p50_ms: at(0.5),
        p95_ms: at(0.95),
        p99_ms: at(0.99),
        max_ms: rounded(max),
    }
}

const THRESHOLD_MS_MAX: u64 = 24 * 60 * 60 * 1000;

#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SlowParams {
    /// At most a day; 1000 unless given.
    #[param(minimum = 0, maximum = 86_400_000)]
    pub threshold_ms: Option<u64>,
    /// 1 to 1000; 100 unless given.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
}

#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ErrorParams {
    /// 1 to 1000; 100 unless given.
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<usize>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SeenList {
    /// Newest first.
    pub requests: Vec<SeenView>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SeenView {
    /// As in the answer's `x-request-id` and in the log.
    pub request_id: String,
    #[schema(format = DateTime)]
    pub at: String,
    pub method: String,
    pub route: String,
    pub status: u16,
    pub took_ms: f64,
}

impl SeenView {
    fn list(seen: Vec<Seen>) -> Json<SeenList> {
        let requests = seen
            .into_iter()
            .map(|seen| SeenView {
                request_id: seen.id,
                at: rfc3339(seen.at),
                method: seen.method,
                route: seen.route,
                status: seen.status,
                took_ms: (seen.took.as_secs_f64() * 1e6).round() / 1000.0,
            })
            .collect();
        Json(SeenList { requests })
    }
}

/// List requests that took long
#[utoipa::path(get, path = "/api/v2/metrics/slow-requests", tag = "monitoring", params(SlowParams),
    responses((status = 200, body = SeenList), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn slow_requests(
    State(api): State<Api>,
    caller: Caller,
    Query(params): Query<SlowParams>,
) -> Result<Json<SeenList>, ApiError> {
    let caller = caller.must(Scopes::READ)?;
    let limit = limit(params.limit, 100, SHOWN_MAX)?;
    let threshold_ms = params.threshold_ms.unwrap_or(1_000);
    if threshold_ms > THRESHOLD_MS_MAX {
        let message = format!("threshold_ms is at most {THRESHOLD_MS_MAX}, not {threshold_ms}");
        return Err(ApiError::invalid(message));
    }
    let least = Duration::from_millis(threshold_ms);
    Ok(SeenView::list(api.recent.of(
        caller.tenant,
        |seen| seen.took >= least,
        limit,
    )))
}

/// List requests that failed
#[utoipa::path(get, path = "/api/v2/metrics/errors", tag = "monitoring", params(ErrorParams),
    responses((status = 200, body = SeenList), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn errors(
    State(api): State<Api>,
    caller: Caller,
    Query(params): Query<ErrorParams>,
) -> Result<Json<SeenList>, ApiError> {
    let caller = caller.must(Scopes::READ)?;
    let limit = limit(params.limit, 100, SHOWN_MAX)?;
    Ok(SeenView::list(api.recent.of(
        caller.tenant,
        |seen| seen.status >= 400,
        limit,
    )))
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct VectorStats {
    /// Chunks that have their vectors, wait for them, and cannot get them.
    pub done: u64,
    pub pending: u64,
    pub failed: u64,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SystemStatus {
    /// `ok`, or `degraded` when a check fails.
    pub status: &'static str,
    pub version: &'static str,
    pub uptime_s: u64,
    pub memory_bytes: Option<u64>,
    pub cpu_s: f64,
    pub checks: Vec<Check>,
    pub stats: Stats,
    /// Of all tenants; for an admin.
    pub vectors: Option<VectorStats>,
    /// Of the last 1000 requests.
    pub requests: RouteStats,
    pub event_streams: usize,
    /// What this process takes from the queue; null when it takes nothing. For an admin of the default tenant.
    pub worker: Option<WorkerStatus>,
    /// Hosts that kept failing the caller's crawls and are left alone, longest first; at most 100.
    pub broken_hosts: Vec<BrokenHost>,
    /// What this process depends on; for an admin of the default tenant.
    pub services: Option<Vec<ServiceStatus>>,
}

pub fn breaker_state(state: guard::BreakerState) -> &'static str {
    match state {
        guard::BreakerState::Closed => "closed",
        guard::BreakerState::Open => "open",
        guard::BreakerState::HalfOpen => "half_open",
    }
}

/// The circuit breaker of a service that is asked over the network.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ServiceStatus {
    pub name: String,
    /// `closed` (it is asked), `open` (it is left alone) or `half_open` (one call finds out).
    pub breaker: &'static str,
    /// Up to now.
    pub failures_in_a_row: u32,
    /// Until when it is left alone.
    #[schema(format = DateTime)]
    pub open_until: Option<String>,
}

impl ServiceStatus {
    fn new(breaker: &guard::BreakerSnapshot) -> ServiceStatus {
        ServiceStatus {
            name: breaker.name.to_string(),
            breaker: breaker_state(breaker.state),
            failures_in_a_row: breaker.failures,
            open_until: breaker.retry_at.map(rfc3339),
        }
    }
}

/// A host whose circuit breaker is open.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct BrokenHost {
    /// Scheme, name and port.
    pub host: String,
    /// When it opened first.
    #[schema(format = DateTime)]
    pub broken_since: String,
    /// No request is sent before.
    #[schema(format = DateTime)]
    pub open_until: String,
}

fn broken_hosts(api: &Api, caller: Caller) -> Result<Vec<BrokenHost>, ApiError> {
    let open = api
        .services
        .store
        .open_breakers(caller.tenant, BROKEN_HOSTS_MAX)?;
    let shown = open.into_iter().map(|breaker| BrokenHost {
        host: breaker.host.to_string(),
        broken_since: rfc3339(breaker.broken_since),
        open_until: rfc3339(breaker.open_until),
    });
    Ok(shown.collect())
}

/// Everything in one
#[utoipa::path(get, path = "/api/v2/system/status", tag = "monitoring",
    responses((status = 200, body = SystemStatus), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn system_status(
    State(api): State<Api>,
    caller: Caller,
) -> Result<Json<SystemStatus>, ApiError> {
    let caller = caller.must(Scopes::READ)?;
    api.run(move |api| {
        let ready = checks(&api.services);
        let seen = api.recent.of(caller.tenant, |_| true, 1_000);
        let services = || {
            api.services
                .breakers()
                .iter()
                .map(ServiceStatus::new)
                .collect()
        };
        Ok(Json(SystemStatus {
            status: if ready.ready { "ok" } else { "degraded" },
            version: env!("CARGO_PKG_VERSION"),
            uptime_s: api.started.elapsed().as_secs(),
            memory_bytes: process::resident_bytes(),
            cpu_s: process::cpu_seconds(),
            checks: ready.checks,
            stats: read_stats(api, caller)?,
            vectors: caller
                .must_run_the_service()
                .is_ok()
                .then(|| read_vectors(api))
                .transpose()?,
            requests: route_stats(seen.iter()),
            event_streams: api.events.streams(),
            worker: caller
                .must_run_the_service()
                .ok()
                .and_then(|_| WorkerStatus::of(&api.services)),
            broken_hosts: broken_hosts(api, caller)?,
            services: caller.must_run_the_service().is_ok().then(services),
        }))
    })
    .await
}
