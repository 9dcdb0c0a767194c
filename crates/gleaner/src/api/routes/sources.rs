//! Sources: what is crawled again and again.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use store::{IntervalBounds, Scopes, SourceSchedule};
use types::{Priority, SourceId};
use utoipa::{IntoParams, ToSchema};

use super::tasks::{PriorityInput, Queued, limit};
use crate::api::caller::Caller;
use crate::api::error::{ApiError, ErrorBody};
use crate::api::extract::{Body, Path, Query, object};
use crate::api::state::Api;
use crate::operations::sources::{self as operations, AddSource, EditSource};
use crate::pipeline::settings::SourceSettings;
use crate::view::{FieldName, Fields, Selected, SourceView};

/// A source to crawl now and then.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceInput {
    /// Where its crawls begin; at most 1000.
    #[schema(example = json!(["https://example.org/news/"]))]
    pub urls: Vec<String>,
    /// The first URL's host unless given.
    pub name: Option<String>,
    #[serde(default)]
    #[serde(deserialize_with = "object")]
    pub schedule: ScheduleInput,
    /// How its crawls differ from the configuration.
    #[serde(default)]
    #[serde(deserialize_with = "object")]
    pub settings: SourceSettings,
    /// Queue its first crawl at once.
    #[serde(default)]
    pub crawl_now: bool,
}

/// When a source is crawled; nothing: only when asked.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleInput {
    #[schema(minimum = 60, maximum = 316_224_000)]
    pub every_s: Option<u64>,
    /// Five fields in UTC, or `@daily` and the like.
    pub cron: Option<String>,
    /// Shortest and longest interval of one that follows how much changes.
    pub adaptive: Option<AdaptiveInput>,
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AdaptiveInput {
    #[schema(minimum = 60, maximum = 316_224_000)]
    pub min_s: u64,
    #[schema(minimum = 60, maximum = 316_224_000)]
    pub max_s: u64,
}

impl From<ScheduleInput> for SourceSchedule {
    fn from(input: ScheduleInput) -> SourceSchedule {
        SourceSchedule {
            every: input.every_s.map(Duration::from_secs),
            cron: input.cron,
            adaptive: input.adaptive.map(|bounds| IntervalBounds {
                min: Duration::from_secs(bounds.min_s),
                max: Duration::from_secs(bounds.max_s),
            }),
        }
    }
}

const LIST_DEFAULT: usize = 100;
const LIST_MAX: usize = 500;
const PART_CHARS_MAX: usize = 200;

#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SourceListParams {
    /// Part of the name or of a start URL.
    #[param(max_length = 200)]
    pub q: Option<String>,
    /// Go on behind this source: `next` of the answer before.
    pub after: Option<i64>,
    /// 1 to 500; 100 unless given.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<usize>,
    /// Only these fields of each row, separated by commas; all unless given.
    #[param(inline, style = Form, explode = false, value_type = Option<Vec<SourceField>>, max_items = 64)]
    pub fields: Option<String>,
}

// Named, since utoipa composes the schemas of generic types itself.
type SelectedSource = Selected<SourceView>;
type SourceField = FieldName<SourceView>;

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SourceList {
    pub sources: Vec<SelectedSource>,
    /// For `after`, when there may be more.
    pub next: Option<i64>,
}

/// List sources, oldest first
#[utoipa::path(get, path = "/api/v2/sources", tag = "sources", params(SourceListParams),
    responses((status = 200, body = SourceList), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(params): Query<SourceListParams>,
) -> Result<Json<SourceList>, ApiError> {
    let caller = caller.must(Scopes::READ)?;
    let limit = limit(params.limit, LIST_DEFAULT, LIST_MAX)?;
    let fields = Fields::<SourceView>::read(params.fields.as_deref())?;
    let after = params.after.map(SourceId);
    let part = params.q.unwrap_or_default().trim().to_owned();
    if part.chars().count() > PART_CHARS_MAX {
        let message = format!("q has at most {PART_CHARS_MAX} characters");
        return Err(ApiError::invalid(message));
    }
    api.run(move |api| {
        let (store, tenant) = (&api.services.store, caller.tenant);
        let rows = if part.is_empty() {
            store.sources_page(tenant, after, limit)?
        } else {
            store.sources_with(tenant, &part, after, limit)?
        };
        let last = rows.last().map(|source| source.id.0);
        let selected = |source| fields.of(SourceView::new(source));
        Ok(Json(SourceList {
            next: last.filter(|_| rows.len() == limit),
            sources: rows.iter().map(selected).collect(),
        }))
    })
    .await
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SourceAdded {
    pub source: SourceView,
    /// Of its first crawl, when that was asked for.
    pub task_id: Option<i64>,
}

/// Add a source
#[utoipa::path(post, path = "/api/v2/sources", tag = "sources", request_body = SourceInput,
    responses((status = 201, body = SourceAdded), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn add(
    State(api): State<Api>,
    caller: Caller,
    Body(input): Body<SourceInput>,
) -> Result<(StatusCode, Json<SourceAdded>), ApiError> {
    let caller = caller.must(Scopes::WRITE)?;
    api.run(move |api| {
        let (app, store) = (&api.services.app, &api.services.store);
        check_schedule(&input.schedule)?;
        let add = AddSource {
            name: input.name,
            urls: input.urls,
            schedule: input.schedule.into(),
            settings: input.settings,
            crawl_now: input.crawl_now,
        };
        let source = operations::add(app, store, caller.tenant, add)?;
        let queued = input
            .crawl_now
            .then(|| operations::crawl(store, caller.tenant, source.id, &[], Priority::HIGH))
            .transpose()?;
        let added = SourceAdded {
            source: SourceView::new(&source),
            task_id: queued.map(|queued| queued.id.0),
        };
        Ok((StatusCode::CREATED, Json(added)))
    })
    .await
}

/// Shorter intervals than this would be no schedule but a loop.
const EVERY_S_MIN: u64 = 60;
const EVERY_S_MAX: u64 = 316_224_000;

fn check_schedule(schedule: &ScheduleInput) -> Result<(), ApiError> {
    let bounds = schedule.adaptive.map_or([None, None], |bounds| {
        [Some(bounds.min_s), Some(bounds.max_s)]
    });
    for seconds in [schedule.every_s].into_iter().chain(bounds).flatten() {
        if !(EVERY_S_MIN..=EVERY_S_MAX).contains(&seconds) {
            return Err(ApiError::invalid(format!(
                "an interval is {EVERY_S_MIN} s to {EVERY_S_MAX} s, not {seconds}"
            )));
        }
    }
    Ok(())
}

/// Show a source
#[utoipa::path(get, path = "/api/v2/sources/{id}", tag = "sources", params(("id" = i64, Path)),
    responses((status = 200, body = SourceView), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Json<SourceView>, ApiError> {
    let caller = caller.must(Scopes::READ)?;
    api.run(move |api| {
        let source = operations::find(&api.services.store, caller.tenant, SourceId(id))?;
        Ok(Json(SourceView::new(&source)))
    })
    .await
}

/// What is to be another; what is not named stays.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SourcePatch {
    /// Replaces where its crawls begin. They are what a source is known by: those of another
    /// source are refused, and so is a change while a crawl of it has not ended. Pages that the
    /// new ones do not lead to stay as they are.
    pub urls: Option<Vec<String>>,
    pub name: Option<String>,
    /// False: not crawled by schedule.
    pub active: Option<bool>,
    /// Replaces the schedule; `{}` removes it.
    #[serde(default, deserialize_with = "object")]
    pub schedule: Option<ScheduleInput>,
    /// Replaces the settings.
    #[serde(default, deserialize_with = "object")]
    pub settings: Option<SourceSettings>,
}

/// Change a source
#[utoipa::path(patch, path = "/api/v2/sources/{id}", tag = "sources", params(("id" = i64, Path)), request_body = SourcePatch,
    responses((status = 200, body = SourceView), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn edit(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<i64>,
    Body(patch): Body<SourcePatch>,
) -> Result<Json<SourceView>, ApiError> {
    let caller = caller.must(Scopes::WRITE)?;
    api.run(move |api| {
        let (app, store) = (&api.services.app, &api.services.store);
        if let Some(schedule) = &patch.schedule {
            check_schedule(schedule)?;
        }
        let edit = EditSource {
            urls: patch.urls,
            name: patch.name,
            active: patch.active,
            schedule: patch.schedule.map(SourceSchedule::from),
            settings: patch.settings,
        };
        let source = operations::edit(app, store, caller.tenant, SourceId(id), edit)?;
        Ok(Json(SourceView::new(&source)))
    })
    .await
}

#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct RemoveParams {
    /// Its pages stay searchable.
    #[serde(default)]
    #[param(required = false)]
    pub keep_pages: bool,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SourceRemoved {
    pub id: i64,
    pub pages_deleted: u64,
}

/// Remove a source, with its pages unless told otherwise
#[utoipa::path(delete, path = "/api/v2/sources/{id}", tag = "sources", params(("id" = i64, Path), RemoveParams),
    responses((status = 200, body = SourceRemoved), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn remove(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<i64>,
    Query(params): Query<RemoveParams>,
) -> Result<Json<SourceRemoved>, ApiError> {
    let caller = caller.must(Scopes::WRITE)?;
    api.run(move |api| {
        let store = &api.services.store;
        let source = operations::find(store, caller.tenant, SourceId(id))?;
        let pages_deleted = store.remove_source(source.id, params.keep_pages)?;
        if pages_deleted > 0 && api.services.raw.is_some() {
            // A worker removes their raw copies, now rather than within the hour.
            store.enqueue_everywhere(vec![crate::tasks::housekeeping(api.services.app.tenant)])?;
        }
        Ok(Json(SourceRemoved { id, pages_deleted }))
    })
    .await
}

#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CrawlInput {
    /// Only these pages, and nothing they link to.
    #[serde(default)]
    pub urls: Vec<String>,
    /// `high` unless given.
    pub priority: Option<PriorityInput>,
}

/// Crawl a source now
///
/// Queues the work; an equal crawl that waits already stands for it.
#[utoipa::path(post, path = "/api/v2/sources/{id}/crawl", tag = "sources", params(("id" = i64, Path)), request_body = CrawlInput,
    responses((status = 202, body = Queued), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn crawl(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<i64>,
    Body(input): Body<CrawlInput>,
) -> Result<(StatusCode, Json<Queued>), ApiError> {
    let caller = caller.must(Scopes::WRITE)?;
    let priority = match input.priority {
        None => Priority::HIGH,
        given => PriorityInput::read(given)?,
    };
    api.run(move |api| {
        let store = &api.services.store;
        let queued = operations::crawl(store, caller.tenant, SourceId(id), &input.urls, priority)?;
        Ok((StatusCode::ACCEPTED, Json(Queued::new(&queued))))
    })
    .await
}
