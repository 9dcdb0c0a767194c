//! Crawls: the log of runs, and their control.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use store::{CrawlControl, CrawlRow, Scopes};
use types::{CrawlId, SourceId};
use utoipa::{IntoParams, ToSchema};

use super::tasks::limit;
use crate::api::caller::Caller;
use crate::api::error::{ApiError, Code, ErrorBody};
use crate::api::extract::{Path, Query};
use crate::api::state::Api;
use crate::api::stream;
use crate::operations::{crawls as operations, sources};
use crate::view::{CrawlView, FieldName, Fields, ReasonView, Selected};

const LIST_DEFAULT: usize = 50;
const LIST_MAX: usize = 500;

#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct CrawlListParams {
    /// Of this source; of all sources unless given.
    pub source: Option<i64>,
    /// Go on below this crawl: `next` of the answer before.
    pub before: Option<i64>,
    /// 1 to 500; 50 unless given.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<usize>,
    /// Only these fields of each row, separated by commas; all unless given.
    #[param(inline, style = Form, explode = false, value_type = Option<Vec<CrawlField>>, max_items = 64)]
    pub fields: Option<String>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CrawlList {
    pub crawls: Vec<SelectedCrawl>,
    /// For `before`, when there may be more.
    pub next: Option<i64>,
}

// Named, since utoipa composes the schemas of generic types itself.
type SelectedCrawl = Selected<NamedCrawl>;
type CrawlField = FieldName<NamedCrawl>;

/// A crawl in a list of crawls of several sources.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct NamedCrawl {
    #[serde(flatten)]
    pub crawl: CrawlView,
    /// Null when the source was removed.
    pub source_name: Option<String>,
}

/// List crawls, newest first
#[utoipa::path(get, path = "/api/v2/crawls", tag = "crawls", params(CrawlListParams),
    responses((status = 200, body = CrawlList), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(params): Query<CrawlListParams>,
) -> Result<Json<CrawlList>, ApiError> {
    let caller = caller.must(Scopes::READ)?;
    let limit = limit(params.limit, LIST_DEFAULT, LIST_MAX)?;
    let fields = Fields::<NamedCrawl>::read(params.fields.as_deref())?;
    api.run(move |api| {
        let store = &api.services.store;
        let source = params
            .source
            .map(|id| sources::find(store, caller.tenant, SourceId(id)))
            .transpose()?
            .map(|source| source.id);
        let before = params.before.map(CrawlId);
        let rows = store.tenant_crawls(caller.tenant, source, before, limit)?;
        let mut ids: Vec<SourceId> = rows.iter().map(|crawl| crawl.source).collect();
        ids.sort_unstable();
        ids.dedup();
        let names = store.source_names(caller.tenant, &ids)?;
        let last = rows.last().map(|crawl| crawl.id.0);
        let named = |crawl: &CrawlRow| NamedCrawl {
            crawl: CrawlView::new(crawl),
            source_name: names.get(&crawl.source).cloned(),
        };
        Ok(Json(CrawlList {
            next: last.filter(|_| rows.len() == limit),
            crawls: rows.iter().map(|crawl| fields.of(named(crawl))).collect(),
        }))
    })
    .await
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CrawlShown {
    pub crawl: CrawlView,
    /// Why URLs did not become pages, with examples.
    pub reasons: Vec<ReasonView>,
}

/// Show a crawl
#[utoipa::path(get, path = "/api/v2/crawls/{id}", tag = "crawls", params(("id" = i64, Path)),
    responses((status = 200, body = CrawlShown), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Json<CrawlShown>, ApiError> {
    let caller = caller.must(Scopes::READ)?;
    api.run(move |api| {
        let store = &api.services.store;
        let crawl = operations::find(store, caller.tenant, CrawlId(id))?;
        let reasons = store.crawl_reasons(crawl.id)?;
        Ok(Json(CrawlShown {
            crawl: CrawlView::new(&crawl),
            reasons: reasons.iter().map(ReasonView::new).collect(),
        }))
    })
    .await
}

/// Follow a crawl
///
/// Server-sent events: `progress` with the crawl for each new state, `end` with its last one.
/// Resumes with `Last-Event-ID`.
#[utoipa::path(get, path = "/api/v2/crawls/{id}/events", tag = "crawls", params(("id" = i64, Path)),
    responses((status = 200, body = String, content_type = "text/event-stream"),
        (status = 204, description = "The last event was heard already"),
        (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn events(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<i64>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let caller = caller.must(Scopes::READ)?;
    let states = api
        .run(move |api| api.events.watch_crawl(caller.tenant, CrawlId(id)))
        .await?;
    Ok(stream::events(states, &headers))
}

/// Pause a crawl
///
/// What is under way is finished and stored.
#[utoipa::path(post, path = "/api/v2/crawls/{id}/pause", tag = "crawls", params(("id" = i64, Path)),
    responses((status = 200, body = CrawlView), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn pause(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Json<CrawlView>, ApiError> {
    control(&api, caller, id, CrawlControl::Pause).await
}

/// Go on with a paused crawl
#[utoipa::path(post, path = "/api/v2/crawls/{id}/resume", tag = "crawls", params(("id" = i64, Path)),
    responses((status = 200, body = CrawlView), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn resume(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Json<CrawlView>, ApiError> {
    control(&api, caller, id, CrawlControl::Run).await
}

/// End a crawl before its time
///
/// What it has stored stays.
#[utoipa::path(post, path = "/api/v2/crawls/{id}/cancel", tag = "crawls", params(("id" = i64, Path)),
    responses((status = 200, body = CrawlView), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn cancel(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Json<CrawlView>, ApiError> {
    control(&api, caller, id, CrawlControl::Cancel).await
}

async fn control(
    api: &Api,
    caller: Caller,
    id: i64,
    control: CrawlControl,
) -> Result<Json<CrawlView>, ApiError> {
    let caller = caller.must(Scopes::WRITE)?;
    api.run(move |api| {
        let store = &api.services.store;
        let crawl = operations::find(store, caller.tenant, CrawlId(id))?;
        if crawl.status.is_finished() {
            let message = format!("crawl {id} has ended ({})", crawl.status.code());
            return Err(ApiError::new(Code::Conflict, message));
        }
        let changed: CrawlRow = operations::control(store, caller.tenant, &crawl, control)?;
        Ok(Json(CrawlView::new(&changed)))
    })
    .await
}
