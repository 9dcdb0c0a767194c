//! Summaries: asked for, listed, shown.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use search::{Filters, SearchRequest};
use serde::{Deserialize, Serialize};
use store::{Scopes, SummaryCursor, SummaryFilter, SummaryState};
use types::{PageId, SourceId, TenantId};
use utoipa::{IntoParams, ToSchema};

use super::tasks::limit;
use crate::api::caller::Caller;
use crate::api::error::{ApiError, Code, ErrorBody};
use crate::api::extract::{Body, Path, Query};
use crate::api::state::Api;
use crate::operations::summaries::{self as operations, Selection};
use crate::searching::parse_mode;
use crate::summaries::estimate::Estimate;
use crate::view::{FieldName, Fields, Selected, SummaryView};

const LIST_DEFAULT: usize = 50;
const LIST_MAX: usize = 500;
const QUERY_CHARS_MAX: usize = 1_000;

/// Pages to summarise: named, of a source, found by a query, or all.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SummariesInput {
    /// Pages by URL, as they were crawled.
    #[serde(default)]
    #[schema(example = json!(["https://example.org/news/today"]), max_items = 10_000)]
    pub urls: Vec<String>,
    /// Pages by id.
    #[serde(default)]
    #[schema(max_items = 10_000)]
    pub page_ids: Vec<i64>,
    /// All pages of a source.
    pub source: Option<i64>,
    /// Pages that a search finds, best first; ten unless `limit` says otherwise.
    #[schema(max_length = 1000)]
    pub query: Option<String>,
    /// At most so many pages.
    #[schema(minimum = 1, maximum = 10_000)]
    pub limit: Option<usize>,
    /// Also pages whose summary is `failed` or `fallback`.
    #[serde(default)]
    #[schema(example = json!(["fallback"]))]
    pub again: Vec<String>,
    /// Of the pages' own sentences, also where a language model is configured.
    #[serde(default)]
    pub extractive: bool,
    /// Say what it would take; ask nobody and write nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// What was queued.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SummariesQueued {
    /// One for each database that has such pages; none when there is nothing to do.
    pub task_ids: Vec<i64>,
    /// Pages that will be summarised.
    pub pages: u64,
    /// Pages that were named and have a summary of their present text.
    pub known: u64,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SummariesEstimate {
    pub estimate: Estimate,
    pub known: u64,
}

/// Summarise pages
///
/// Queues the work and returns at once; a page whose text has a summary is passed over. With
/// `dry_run` the answer is an estimate, with status 200, and nothing is queued.
#[utoipa::path(post, path = "/api/v2/summaries", tag = "summaries", request_body = SummariesInput,
    responses((status = 200, body = SummariesEstimate), (status = 202, body = SummariesQueued),
        (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn summarize(
    State(api): State<Api>,
    caller: Caller,
    Body(input): Body<SummariesInput>,
) -> Result<Response, ApiError> {
    let scope = if input.dry_run {
        Scopes::READ
    } else {
        Scopes::WRITE
    };
    let caller = caller.must(scope)?;
    let query = input.query.as_deref().unwrap_or_default();
    if query.chars().count() > QUERY_CHARS_MAX {
        let message = format!("a query has at most {QUERY_CHARS_MAX} characters");
        return Err(ApiError::invalid(message));
    }
    let selection = Selection {
        again: operations::again(&input.again)?,
        urls: input.urls,
        pages: input.page_ids,
        source: input.source,
        query: input.query,
        limit: input.limit,
        extractive: input.extractive,
    };
    api.run(move |api| {
        let services = &api.services;
        let now = services.app.clock.now();
        let find = |query: &str, limit| find(api, caller.tenant, query, limit);
        let plan = operations::plan(&services.store, caller.tenant, &selection, now, find)?;
        let (pages, known) = (plan.pages, plan.known);
        if input.dry_run {
            let estimate = operations::preview(services, caller.tenant, &plan)?;
            return Ok(Json(SummariesEstimate { estimate, known }).into_response());
        }
        let ids = operations::enqueue(caller.tenant, plan)?;
        let queued = SummariesQueued {
            task_ids: ids.iter().map(|id| id.0).collect(),
            pages,
            known,
        };
        Ok((StatusCode::ACCEPTED, Json(queued)).into_response())
    })
    .await
}

fn find(api: &Api, tenant: TenantId, query: &str, limit: usize) -> anyhow::Result<Vec<PageId>> {
    let request = SearchRequest {
        tenant,
        query: query.to_owned(),
        mode: parse_mode(&api.services.app.config.search.mode)?,
        limit,
        filters: Filters::default(),
        ..SearchRequest::default()
    };
    let found = api.searching.search(&request)?;
    Ok(found.hits.iter().map(|hit| hit.page).collect())
}

#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SummaryListParams {
    pub source: Option<i64>,
    /// `done`, `fallback` or `failed`.
    pub status: Option<String>,
    /// Go on behind the answer before: its `next`.
    pub cursor: Option<String>,
    /// 1 to 500; 50 unless given.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<usize>,
    /// Only these fields of each row, separated by commas; all unless given.
    #[param(inline, style = Form, explode = false, value_type = Option<Vec<SummaryField>>, max_items = 64)]
    pub fields: Option<String>,
}

// Named, since utoipa composes the schemas of generic types itself.
type SelectedSummary = Selected<SummaryView>;
type SummaryField = FieldName<SummaryView>;

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SummaryList {
    pub summaries: Vec<SelectedSummary>,
    /// How far the tenant's live pages are summarised.
    pub stats: SummaryStatsView,
    /// For `cursor`, when there may be more.
    pub next: Option<String>,
}

#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct SummaryStatsView {
    pub done: u64,
    pub fallback: u64,
    pub failed: u64,
    /// Never summarised, or not with the text they have.
    pub waiting: u64,
}

/// List summaries, newest first
#[utoipa::path(get, path = "/api/v2/summaries", tag = "summaries", params(SummaryListParams),
    responses((status = 200, body = SummaryList), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(params): Query<SummaryListParams>,
) -> Result<Json<SummaryList>, ApiError> {
    let caller = caller.must(Scopes::READ)?;
    let limit = limit(params.limit, LIST_DEFAULT, LIST_MAX)?;
    let fields = Fields::<SummaryView>::read(params.fields.as_deref())?;
    let state = params.status.as_deref().map(|code| {
        SummaryState::from_code(code).ok_or_else(|| {
            ApiError::invalid(format!("status is done, fallback or failed, not `{code}`"))
        })
    });
    let cursor = params.cursor.as_deref().map(|text| {
        SummaryCursor::decode(text)
            .map_err(|_| ApiError::invalid("cursor: take it from `next` of the answer before"))
    });
    let cursor = cursor.transpose()?;
    let filter = SummaryFilter {
        source: params.source.map(SourceId),
        state: state.transpose()?,
    };
    api.run(move |api| {
        let store = &api.services.store;
        let rows = store.summaries(caller.tenant, &filter, cursor, limit)?;
        let stats = store.summary_stats(caller.tenant)?;
        let last = rows.last().filter(|_| rows.len() == limit);
        Ok(Json(SummaryList {
            next: last.map(|row| SummaryCursor::behind(row).encode()),
            summaries: rows
                .iter()
                .map(|row| fields.of(SummaryView::new(row)))
                .collect(),
            stats: SummaryStatsView {
                done: stats.done,
                fallback: stats.fallback,
                failed: stats.failed,
                waiting: stats.waiting,
            },
        }))
    })
    .await
}

/// Show the summary of a page
#[utoipa::path(get, path = "/api/v2/pages/{id}/summary", tag = "summaries", params(("id" = i64, Path)),
    responses((status = 200, body = SummaryView), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Json<SummaryView>, ApiError> {
    let caller = caller.must(Scopes::READ)?;
    api.run(move |api| {
        let store = &api.services.store;
        let page = store.page_of_tenant(caller.tenant, PageId(id))?;
        let page = page.ok_or_else(|| ApiError::not_found("page", id))?;
        let row = store.summary(caller.tenant, page.id)?;
        let row = row.ok_or_else(|| {
            let message = format!("page {id} has no summary; POST /api/v2/summaries makes one");
            ApiError::new(Code::NotFound, message)
        })?;
        Ok(Json(SummaryView::new(&row)))
    })
    .await
}
