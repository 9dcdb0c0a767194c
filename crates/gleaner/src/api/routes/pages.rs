//! Pages: what was stored, and what it was before.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use store::{
    NotesPatch, PageContent, PageCursor, PageFilter, PageRow, PageSort, PageStatus, Scopes, Store,
};
use types::{PageId, SourceId, TenantId};
use utoipa::{IntoParams, ToSchema};

use super::tasks::limit;
use crate::api::cached::{self, Area};
use crate::api::caller::Caller;
use crate::api::error::{ApiError, Code, ErrorBody};
use crate::api::extract::{Body, Path, Query};
use crate::api::state::Api;
use crate::diff;
use crate::operations::moment;
use crate::view::{
    FieldName, Fields, NotesView, PageFullView, PageView, RecordView, Selected, SimilarView,
    SummaryView, VersionView,
};

const LIST_DEFAULT: usize = 50;
const LIST_MAX: usize = 500;
const URL_CHARS_MAX: usize = 2_048;
/// Of the status and the tags in notes.
const NOTE_CHARS_MAX: usize = 64;

#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PageListParams {
    pub source: Option<i64>,
    /// Exact host name.
    pub host: Option<String>,
    pub status: Option<StatusInput>,
    /// BCP 47 primary subtag.
    pub language: Option<String>,
    /// Beginning of the URL.
    #[param(max_length = 2048)]
    pub url_prefix: Option<String>,
    /// Published at or after this moment (RFC 3339).
    #[param(format = DateTime)]
    pub published_from: Option<String>,
    /// Published before this moment.
    #[param(format = DateTime)]
    pub published_to: Option<String>,
    /// Changed at or after this moment.
    #[param(format = DateTime)]
    pub changed_since: Option<String>,
    /// Noted as favorite, or not.
    pub favorite: Option<bool>,
    /// Noted as applied for, or not.
    pub applied: Option<bool>,
    /// Noted status.
    #[param(max_length = 64)]
    pub note_status: Option<String>,
    /// Noted tag.
    #[param(max_length = 64)]
    pub tag: Option<String>,
    /// The order they were found unless given.
    pub sort: Option<SortInput>,
    /// The other way round.
    pub descending: Option<bool>,
    /// Go on behind the answer before: its `next`.
    pub cursor: Option<String>,
    /// 1 to 500; 50 unless given.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<usize>,
    /// Only these fields of each row, separated by commas; all unless given.
    #[param(inline, style = Form, explode = false, value_type = Option<Vec<PageField>>, max_items = 64)]
    pub fields: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StatusInput {
    Live,
    /// The site no longer offers it.
    Gone,
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SortInput {
    Id,
    FetchedAt,
    ChangedAt,
    /// Undated pages last.
    PublishedAt,
    Title,
}

impl From<SortInput> for PageSort {
    fn from(sort: SortInput) -> PageSort {
        match sort {
            SortInput::Id => PageSort::Id,
            SortInput::FetchedAt => PageSort::FetchedAt,
            SortInput::ChangedAt => PageSort::ChangedAt,
            SortInput::PublishedAt => PageSort::PublishedAt,
            SortInput::Title => PageSort::Title,
        }
    }
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PageList {
    pub pages: Vec<SelectedPage>,
    /// For `cursor`, when there may be more.
    pub next: Option<String>,
}

// Named, since utoipa composes the schemas of generic types itself.
type SelectedPage = Selected<NotedPage>;
type PageField = FieldName<NotedPage>;

/// A page with what people noted about it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct NotedPage {
    #[serde(flatten)]
    pub page: PageView,
    pub notes: Option<NotesView>,
}

/// List pages
#[utoipa::path(get, path = "/api/v2/pages", tag = "pages", params(PageListParams),
    responses((status = 200, body = PageList), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(params): Query<PageListParams>,
) -> Result<Response, ApiError> {
    let caller = caller.must(Scopes::READ)?;
    let limit = limit(params.limit, LIST_DEFAULT, LIST_MAX)?;
    let status = params.status.map(|status| match status {
        StatusInput::Live => PageStatus::Live,
        StatusInput::Gone => PageStatus::Gone,
    });
    for (name, text, most) in [
        ("url_prefix", &params.url_prefix, URL_CHARS_MAX),
        ("note_status", &params.note_status, NOTE_CHARS_MAX),
        ("tag", &params.tag, NOTE_CHARS_MAX),
    ] {
        if text
            .as_ref()
            .is_some_and(|text| text.chars().count() > most)
        {
            return Err(ApiError::invalid(format!(
                "{name} has at most {most} characters"
            )));
        }
    }
    let fields = Fields::<NotedPage>::read(params.fields.as_deref())?;
    let sort = params.sort.map_or(PageSort::Id, PageSort::from);
    let descending = params.descending.unwrap_or(false);
    let cursor = params.cursor.as_deref().map(|text| {
        PageCursor::decode(text)
            .map_err(|_| ApiError::invalid("cursor: take it from `next` of the answer before"))
    });
    let filter = PageFilter {
        tenant: caller.tenant,
        source: params.source.map(SourceId),
        host: params.host.map(|host| host.to_ascii_lowercase()),
        status,
        language: params.language,
        url_prefix: params.url_prefix,
        published_from: moment("published_from", params.published_from.as_deref())?,
        published_to: moment("published_to", params.published_to.as_deref())?,
        changed_since: moment("changed_since", params.changed_since.as_deref())?,
        favorite: params.favorite,
        applied: params.applied,
        note_status: params.note_status,
        tag: params.tag,
        sort,
        descending,
        cursor: cursor.transpose()?,
        limit,
    };
    api.run(move |api| {
        let store = &api.services.store;
        let tenant = filter.tenant;
        // All that the answer depends on.
        let version = store.tenant_version(tenant)?;
        let name = format!("{version:?} {filter:?} {fields:?}");
        cached::answer(api, Area::Pages, tenant, &name, || {
            let rows = store.pages(&filter)?;
            let ids: Vec<PageId> = rows.iter().map(|page| page.id).collect();
            let notes = store.page_notes(tenant, &ids)?;
            let noted = |page: &PageRow| NotedPage {
                page: PageView::new(page),
                notes: notes.iter().find(|n| n.page == page.id).map(NotesView::new),
            };
            let last = rows.last().filter(|_| rows.len() == limit);
            Ok(PageList {
                next: last.map(|page| PageCursor::behind(page, sort, descending).encode()),
                pages: rows.iter().map(|page| fields.of(noted(page))).collect(),
            })
        })
    })
    .await
}

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NotesInput {
    pub favorite: Option<bool>,
    pub applied: Option<bool>,
    /// Such as `interview`; empty: none.
    #[schema(max_length = 64)]
    pub status: Option<String>,
    /// At most 16 KiB of UTF-8.
    #[schema(max_length = 16384)]
    pub notes: Option<String>,
    /// Replaces all tags.
    #[schema(max_items = 32)]
    pub tags: Option<Vec<String>>,
}

/// Note something about a page
///
/// What is not named stays. Notes survive recrawls and updates of the page.
#[utoipa::path(patch, path = "/api/v2/pages/{id}/notes", tag = "pages", params(("id" = i64, Path)), request_body = NotesInput,
    responses((status = 200, body = NotesView), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn note(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<i64>,
    Body(input): Body<NotesInput>,
) -> Result<Json<NotesView>, ApiError> {
    let caller = caller.must(Scopes::WRITE)?;
    api.run(move |api| {
        let patch = NotesPatch {
            favorite: input.favorite,
            applied: input.applied,
            status: input.status,
            notes: input.notes,
            tags: input.tags,
        };
        let store = &api.services.store;
        let notes = store.set_page_notes(caller.tenant, PageId(id), patch)?;
        Ok(Json(NotesView::new(&notes)))
    })
    .await
}

fn find(store: &Store, tenant: TenantId, id: i64) -> Result<PageRow, ApiError> {
    let page = store.page_of_tenant(tenant, PageId(id))?;
    page.ok_or_else(|| ApiError::not_found("page", id))
}

/// A page with its content and what people noted about it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PageShown {
    #[serde(flatten)]
    pub full: PageFullView,
    pub notes: Option<NotesView>,
    /// Whether what the server answered is kept: `GET /api/v2/pages/{id}/raw`.
    pub raw: bool,
    /// What it says in short, where somebody asked for that.
    pub summary: Option<SummaryView>,
}

/// Show a page with its content
#[utoipa::path(get, path = "/api/v2/pages/{id}", tag = "pages", params(("id" = i64, Path)),
    responses((status = 200, body = PageShown), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Json<PageShown>, ApiError> {
    let caller = caller.must(Scopes::READ)?;
    api.run(move |api| {
        let store = &api.services.store;
        let page = find(store, caller.tenant, id)?;
        let content = store.page_content(page.id)?.unwrap_or_default();
        let detail = store.page_detail(page.id)?.unwrap_or_default();
        let chunks = store.chunks(page.id)?;
        let record = store.record_of(page.id)?;
        let record = record.as_ref().map(RecordView::from);
        let notes = store.page_notes(caller.tenant, &[page.id])?;
        Ok(Json(PageShown {
            full: PageFullView::new(&page, content, &detail, &chunks, record),
            notes: notes.first().map(NotesView::new),
            raw: store
                .raw_key(caller.tenant, page.id, page.version)?
                .is_some(),
            summary: store
                .summary(caller.tenant, page.id)?
                .as_ref()
                .map(SummaryView::new),
        }))
    })
    .await
}

#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SimilarParams {
    /// 1 to 100; 10 unless given.
    #[param(minimum = 1, maximum = 100)]
    pub limit: Option<usize>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SimilarList {
    /// Nearest first.
    pub similar: Vec<SimilarView>,
}

/// Find pages like this one
///
/// By meaning: a page whose passages have no vectors yet answers with a conflict.
#[utoipa::path(get, path = "/api/v2/pages/{id}/similar", tag = "pages", params(("id" = i64, Path), SimilarParams),
    responses((status = 200, body = SimilarList), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn similar(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<i64>,
    Query(params): Query<SimilarParams>,
) -> Result<Json<SimilarList>, ApiError> {
    let caller = caller.must(Scopes::READ)?;
    let limit = limit(params.limit, 10, 100)?;
    api.run(move |api| {
        let store = &api.services.store;
        let page = find(store, caller.tenant, id)?;
        // What a duplicate says lies with the page that has the passages.
        let holder = page.duplicate_of.unwrap_or(page.id);
        let found = api.searching.similar(caller.tenant, holder, limit)?;
        let found = found.ok_or_else(|| {
            let message = format!("page {id} has no vectors (yet)");
            ApiError::new(Code::Conflict, message)
        })?;
        let mut similar = Vec::with_capacity(found.len());
        for (other, similarity) in found {
            let other = store.page_of_tenant(caller.tenant, other)?;
            let other = other.filter(|other| other.id != page.id);
            similar.extend(other.map(|other| SimilarView::new(similarity, &other)));
        }
        Ok(Json(SimilarList { similar }))
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
    let caller = caller.must(Scopes::READ)?;
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
#[serde(deny_unknown_fields)]
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
    let caller = caller.must(Scopes::READ)?;
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
