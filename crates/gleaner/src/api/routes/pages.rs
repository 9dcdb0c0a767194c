//! Pages: what was stored, and what it was before.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use store::{PageContent, PageFilter, PageRow, PageStatus, Store};
use types::{PageId, SourceId, TenantId};
use utoipa::{IntoParams, ToSchema};

use super::tasks::limit;
use crate::api::access::{Caller, Scope};
use crate::api::error::{ApiError, Code, ErrorBody};
use crate::api::extract::{Path, Query};
use crate::api::state::Api;
use crate::diff;
use crate::view::{PageFullView, PageView, VersionView};

const LIST_DEFAULT: usize = 50;
const LIST_MAX: usize = 500;

#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageListParams {
    pub source: Option<i64>,
    /// Exact host name.
    pub host: Option<String>,
    pub status: Option<StatusInput>,
    /// BCP 47 primary subtag.
    pub language: Option<String>,
    /// Go on behind this page: `next` of the answer before.
    pub after: Option<i64>,
    /// 1 to 500; 50 unless given.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<usize>,
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StatusInput {
    Live,
    /// The site no longer offers it.
    Gone,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PageList {
    pub pages: Vec<PageView>,
    /// For `after`, when there may be more.
    pub next: Option<i64>,
}

/// List pages, in the order they were found
#[utoipa::path(get, path = "/api/v2/pages", tag = "pages", params(PageListParams),
    responses((status = 200, body = PageList), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(params): Query<PageListParams>,
) -> Result<Json<PageList>, ApiError> {
    let caller = caller.must(Scope::Read)?;
    let limit = limit(params.limit, LIST_DEFAULT, LIST_MAX)?;
    let status = params.status.map(|status| match status {
        StatusInput::Live => PageStatus::Live,
        StatusInput::Gone => PageStatus::Gone,
    });
    let filter = PageFilter {
        tenant: caller.tenant,
        source: params.source.map(SourceId),
        host: params.host.map(|host| host.to_ascii_lowercase()),
        status,
        language: params.language,
        after: params.after.map(PageId),
        limit,
        ..PageFilter::default()
    };
    api.run(move |api| {
        let rows = api.services.store.pages(&filter)?;
        let last = rows.last().map(|page| page.id.0);
        Ok(Json(PageList {
            next: last.filter(|_| rows.len() == limit),
            pages: rows.iter().map(PageView::new).collect(),
        }))
    })
    .await
}

fn find(store: &Store, tenant: TenantId, id: i64) -> Result<PageRow, ApiError> {
    let page = store.page(PageId(id))?.filter(|page| page.tenant == tenant);
    page.ok_or_else(|| ApiError::not_found("page", id))
}

/// Show a page with its content
#[utoipa::path(get, path = "/api/v2/pages/{id}", tag = "pages", params(("id" = i64, Path)),
    responses((status = 200, body = PageFullView), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Json<PageFullView>, ApiError> {
    let caller = caller.must(Scope::Read)?;
    api.run(move |api| {
        let store = &api.services.store;
        let page = find(store, caller.tenant, id)?;
        let content = store.page_content(page.id)?.unwrap_or_default();
        let detail = store.page_detail(page.id)?.unwrap_or_default();
        let chunks = store.chunks(page.id)?;
        Ok(Json(PageFullView::new(&page, content, &detail, &chunks)))
    })
    .await
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct VersionList {
    /// Oldest first.
    pub versions: Vec<VersionView>,
}

/// List the versions of a page
#[utoipa::path(get, path = "/api/v2/pages/{id}/versions", tag = "pages", params(("id" = i64, Path)),
    responses((status = 200, body = VersionList), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn versions(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Json<VersionList>, ApiError> {
    let caller = caller.must(Scope::Read)?;
    api.run(move |api| {
        let store = &api.services.store;
        let page = find(store, caller.tenant, id)?;
        let versions = store.page_versions(page.id)?;
        Ok(Json(VersionList {
            versions: versions.iter().map(VersionView::new).collect(),
        }))
    })
    .await
}

#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DiffParams {
    /// The one before `to` unless given.
    #[param(minimum = 1)]
    pub from: Option<u32>,
    /// The newest unless given.
    #[param(minimum = 1)]
    pub to: Option<u32>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PageDiff {
    pub page_id: i64,
    pub from: u32,
    pub to: u32,
    /// Of the Markdown, all of it.
    pub lines: Vec<DiffLine>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DiffLine {
    /// `+` added, `-` removed, a space for what stayed.
    pub op: String,
    pub text: String,
}

/// Compare two versions of a page, line by line
#[utoipa::path(get, path = "/api/v2/pages/{id}/diff", tag = "pages", params(("id" = i64, Path), DiffParams),
    responses((status = 200, body = PageDiff), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn compare(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<i64>,
    Query(params): Query<DiffParams>,
) -> Result<Json<PageDiff>, ApiError> {
    let caller = caller.must(Scope::Read)?;
    api.run(move |api| {
        let store = &api.services.store;
        let page = find(store, caller.tenant, id)?;
        let to = params.to.unwrap_or(page.version);
        let from = params.from.unwrap_or_else(|| to.saturating_sub(1));
        if from == 0 && params.from.is_none() && page.version == 1 {
            let message = format!("page {id} has only one version; there is nothing to compare");
            return Err(ApiError::new(Code::Conflict, message));
        }
        let read = |version: u32| -> Result<PageContent, ApiError> {
            let content = store.version_content(page.id, version)?;
            content.ok_or_else(|| ApiError::not_found("version", version))
        };
        let (old, new) = (read(from)?, read(to)?);
        let lines = diff::lines(&old.markdown, &new.markdown)
            .into_iter()
            .map(|change| DiffLine {
                op: change.op.to_string(),
                text: change.text.to_owned(),
            })
            .collect();
        Ok(Json(PageDiff {
            page_id: id,
            from,
            to,
            lines,
        }))
    })
    .await
}
