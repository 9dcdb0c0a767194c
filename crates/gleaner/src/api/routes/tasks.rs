//! Tasks: queue a scrape, follow it, stop it.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use store::{Cancelled, Scopes, TaskFilter};
use types::{Priority, TaskId, TaskState};
use utoipa::{IntoParams, ToSchema};

use crate::api::caller::Caller;
use crate::api::error::{ApiError, Code, ErrorBody};
use crate::api::extract::{Body, Path, Query};
use crate::api::state::Api;
use crate::api::stream;
use crate::operations::tasks::{self as operations, Scrape};
use crate::tasks::KINDS;
use crate::view::{FieldName, Fields, QueueView, Selected, TaskView};

pub const LIST_MAX: usize = 500;
const LIST_DEFAULT: usize = 50;
const WAIT_FOR_WORKER: &str = "queued";

/// A priority: `high`, `default`, `low`, one of them with a level such as
/// `low:3`, or a level of the default class as a number, 0 (first) to 9.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum PriorityInput {
    Level(PriorityLevel),
    Name(PriorityName),
}

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(minimum = 0, maximum = 9)]
pub struct PriorityLevel(u8);

#[derive(Clone, Debug, Deserialize, ToSchema)]
#[schema(pattern = "^((high|default|low)(:[0-9])?|[0-9])$")]
pub struct PriorityName(String);

impl PriorityInput {
    pub fn read(given: Option<PriorityInput>) -> Result<Priority, ApiError> {
        let text = match given {
            None => return Ok(Priority::DEFAULT),
            Some(PriorityInput::Level(level)) => level.0.to_string(),
            Some(PriorityInput::Name(name)) => name.0,
        };
        text.parse()
            .map_err(|error| ApiError::invalid(format!("priority: {error}")))
    }
}

/// A page to store.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct ScrapeInput {
    #[schema(example = "https://example.org/product")]
    pub url: String,
    /// Kept with the task, for whoever groups pages by it.
    pub brand: Option<String>,
    pub priority: Option<PriorityInput>,
}

/// Pages to store.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct ScrapeBatchInput {
    /// At most 1000.
    #[schema(example = json!(["https://example.org/p1", "https://example.org/p2"]))]
    pub urls: Vec<String>,
    pub brand: Option<String>,
    /// Requests at once.
    #[schema(minimum = 1, maximum = 100)]
    pub max_concurrent: Option<u32>,
    /// Between two requests to one host.
    #[schema(maximum = 60_000)]
    pub delay_ms: Option<u64>,
    pub priority: Option<PriorityInput>,
}

/// A task that was queued, or one that stands for it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Queued {
    pub task_id: i64,
    pub status: &'static str,
    /// False: an equal task was waiting already.
    pub created: bool,
}

impl Queued {
    pub fn new(enqueued: &store::Enqueued) -> Queued {
        Queued {
            task_id: enqueued.id.0,
            status: WAIT_FOR_WORKER,
            created: enqueued.created,
        }
    }
}

/// Store one page
///
/// Queues the work and returns at once. The page's links are not followed.
#[utoipa::path(post, path = "/api/v2/tasks/scrape/async", tag = "tasks", request_body = ScrapeInput,
    responses((status = 202, body = Queued), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn scrape(
    State(api): State<Api>,
    caller: Caller,
    Body(input): Body<ScrapeInput>,
) -> Result<(StatusCode, Json<Queued>), ApiError> {
    let caller = caller.must(Scopes::WRITE)?;
    let scrape = Scrape {
        urls: vec![input.url],
        brand: input.brand,
        max_concurrent: None,
        delay_ms: None,
        priority: PriorityInput::read(input.priority)?,
    };
    queue(&api, caller, scrape).await
}

/// Store several pages
///
/// One task for all; its result lists those that could not be stored.
#[utoipa::path(post, path = "/api/v2/scrape/batch", tag = "tasks", request_body = ScrapeBatchInput,
    responses((status = 202, body = Queued), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn scrape_batch(
    State(api): State<Api>,
    caller: Caller,
    Body(input): Body<ScrapeBatchInput>,
) -> Result<(StatusCode, Json<Queued>), ApiError> {
    let caller = caller.must(Scopes::WRITE)?;
    let scrape = Scrape {
        urls: input.urls,
        brand: input.brand,
        max_concurrent: input.max_concurrent,
        delay_ms: input.delay_ms,
        priority: PriorityInput::read(input.priority)?,
    };
    queue(&api, caller, scrape).await
}

async fn queue(
    api: &Api,
    caller: Caller,
    scrape: Scrape,
) -> Result<(StatusCode, Json<Queued>), ApiError> {
    let queued = api
        .run(move |api| {
            Ok(operations::scrape(
                &api.services.store,
                caller.tenant,
                scrape,
            )?)
        })
        .await?;
    Ok((StatusCode::ACCEPTED, Json(Queued::new(&queued))))
}

#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct TaskListParams {
    /// One or more states, separated by commas.
    pub state: Option<String>,
    pub kind: Option<String>,
    /// Go on below this task: `next` of the answer before.
    pub before: Option<i64>,
    /// 1 to 500; 50 unless given.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<usize>,
    /// Only these fields of each row, separated by commas; all unless given.
    #[param(inline, style = Form, explode = false, value_type = Option<Vec<TaskField>>, max_items = 64)]
    pub fields: Option<String>,
}

// Named, since utoipa composes the schemas of generic types itself.
type SelectedTask = Selected<TaskView>;
type TaskField = FieldName<TaskView>;

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TaskList {
    pub tasks: Vec<SelectedTask>,
    /// For `before`, when there may be more.
    pub next: Option<i64>,
}

/// List tasks, newest first
#[utoipa::path(get, path = "/api/v2/tasks", tag = "tasks", params(TaskListParams),
    responses((status = 200, body = TaskList), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn list(
    State(api): State<Api>,
    caller: Caller,
    Query(params): Query<TaskListParams>,
) -> Result<Json<TaskList>, ApiError> {
    let caller = caller.must(Scopes::READ)?;
    let states = params.state.as_deref().unwrap_or_default();
    let states = states
        .split(',')
        .filter(|code| !code.is_empty())
        .map(|code| {
            TaskState::from_code(code)
                .ok_or_else(|| ApiError::invalid(format!("there is no task state `{code}`")))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let limit = limit(params.limit, LIST_DEFAULT, LIST_MAX)?;
    let fields = Fields::<TaskView>::read(params.fields.as_deref())?;
    let filter = TaskFilter {
        states,
        kind: params.kind,
        parent: None,
        before: params.before.map(TaskId),
        limit,
    };
    api.run(move |api| {
        let rows = api.services.store.tasks(caller.tenant, &filter)?;
        let last = rows.last().map(|task| task.id.0);
        Ok(Json(TaskList {
            next: last.filter(|_| rows.len() == limit),
            tasks: rows
                .iter()
                .map(|task| fields.of(TaskView::new(task)))
                .collect(),
        }))
    })
    .await
}

/// A list's page size within its bounds.
pub fn limit(given: Option<usize>, default: usize, max: usize) -> Result<usize, ApiError> {
    match given {
        None => Ok(default),
        Some(limit) if (1..=max).contains(&limit) => Ok(limit),
        Some(limit) => Err(ApiError::invalid(format!(
            "limit is 1 to {max}, not {limit}"
        ))),
    }
}

/// Show a task
#[utoipa::path(get, path = "/api/v2/tasks/{id}", tag = "tasks", params(("id" = i64, Path)),
    responses((status = 200, body = TaskView), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Json<TaskView>, ApiError> {
    let caller = caller.must(Scopes::READ)?;
    api.run(move |api| {
        let task = api.services.store.task(caller.tenant, TaskId(id))?;
        Ok(Json(TaskView::new(&task)))
    })
    .await
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TaskChanged {
    pub task_id: i64,
    /// `cancelled`, `cancelling` (it is told to stop) or `queued`.
    pub status: &'static str,
}

/// Cancel a task
///
/// What waits is cancelled at once; what runs is told to stop and keeps what it has stored.
#[utoipa::path(delete, path = "/api/v2/tasks/{id}", tag = "tasks", params(("id" = i64, Path)),
    responses((status = 200, body = TaskChanged), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn cancel(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Json<TaskChanged>, ApiError> {
    let caller = caller.must(Scopes::WRITE)?;
    api.run(move |api| {
        let store = &api.services.store;
        let status = match operations::cancel(store, caller.tenant, TaskId(id))? {
            Cancelled::Now => "cancelled",
            Cancelled::Requested => "cancelling",
        };
        Ok(Json(TaskChanged {
            task_id: id,
            status,
        }))
    })
    .await
}

/// Queue a dead, failed or cancelled task again
#[utoipa::path(post, path = "/api/v2/tasks/{id}/retry", tag = "tasks", params(("id" = i64, Path)),
    responses((status = 200, body = TaskChanged), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn retry(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Json<TaskChanged>, ApiError> {
    let caller = caller.must(Scopes::WRITE)?;
    api.run(move |api| {
        api.services.store.retry_task(caller.tenant, TaskId(id))?;
        Ok(Json(TaskChanged {
            task_id: id,
            status: "queued",
        }))
    })
    .await
}

/// Follow a task
///
/// Server-sent events: `progress` with the task for each new state, `end` with its last one.
/// Resumes with `Last-Event-ID`.
#[utoipa::path(get, path = "/api/v2/tasks/{id}/events", tag = "tasks", params(("id" = i64, Path)),
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
        .run(move |api| api.events.watch_task(caller.tenant, TaskId(id)))
        .await?;
    Ok(stream::events(states, &headers))
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct QueueStatus {
    /// Waiting for a worker.
    pub queued: u64,
    /// Waiting for their time.
    pub scheduled: u64,
    pub running: u64,
    pub kinds: Vec<QueueView>,
}

/// Count tasks by kind and state
#[utoipa::path(get, path = "/api/v2/tasks/queue/status", tag = "tasks",
    responses((status = 200, body = QueueStatus), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn queue_status(
    State(api): State<Api>,
    caller: Caller,
) -> Result<Json<QueueStatus>, ApiError> {
    let caller = caller.must(Scopes::READ)?;
    api.run(move |api| read_queue(api, caller).map(Json)).await
}

pub fn read_queue(api: &Api, caller: Caller) -> Result<QueueStatus, ApiError> {
    let store = &api.services.store;
    let paused = store.paused_queues()?;
    let is_paused = |kind: &str| {
        paused
            .iter()
            .any(|queue| queue.kind.as_deref().is_none_or(|paused| paused == kind))
    };
    let counts = store.queue_status(Some(caller.tenant))?;
    Ok(QueueStatus {
        queued: counts.iter().map(|count| count.queued).sum(),
        scheduled: counts.iter().map(|count| count.scheduled).sum(),
        running: counts.iter().map(|count| count.running).sum(),
        kinds: counts
            .iter()
            .map(|count| QueueView::new(count, is_paused(&count.kind)))
            .collect(),
    })
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct QueueChanged {
    pub kind: String,
    /// `paused` or `running`.
    pub status: &'static str,
    /// False: it was so already.
    pub changed: bool,
}

/// Pause a kind of task
///
/// Of all tenants; what runs goes on.
#[utoipa::path(post, path = "/api/v2/tasks/queue/{kind}/pause", tag = "tasks", params(("kind" = String, Path)),
    responses((status = 200, body = QueueChanged), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn pause_queue(
    State(api): State<Api>,
    caller: Caller,
    Path(kind): Path<String>,
) -> Result<Json<QueueChanged>, ApiError> {
    set_paused(&api, caller, kind, true).await
}

/// Go on with a kind of task
#[utoipa::path(post, path = "/api/v2/tasks/queue/{kind}/resume", tag = "tasks", params(("kind" = String, Path)),
    responses((status = 200, body = QueueChanged), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn resume_queue(
    State(api): State<Api>,
    caller: Caller,
    Path(kind): Path<String>,
) -> Result<Json<QueueChanged>, ApiError> {
    set_paused(&api, caller, kind, false).await
}

async fn set_paused(
    api: &Api,
    caller: Caller,
    kind: String,
    pause: bool,
) -> Result<Json<QueueChanged>, ApiError> {
    caller.must_run_the_service()?;
    if !KINDS.contains(&kind.as_str()) {
        let message = format!(
            "there is no task kind `{kind}`; there are {}",
            KINDS.join(", ")
        );
        return Err(ApiError::new(Code::NotFound, message));
    }
    api.run(move |api| {
        let store = &api.services.store;
        let changed = if pause {
            store.pause_queue(Some(&kind))?
        } else {
            store.resume_queue(Some(&kind))?
        };
        Ok(Json(QueueChanged {
            kind,
            status: if pause { "paused" } else { "running" },
            changed,
        }))
    })
    .await
}
