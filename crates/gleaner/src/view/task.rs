//! Tasks and the queue.

use serde::Serialize;
use store::{QueueCount, TaskRow};
use utoipa::ToSchema;

use super::{json, rfc3339};

#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct TaskView {
    pub id: i64,
    /// The same as `id`.
    pub task_id: i64,
    pub kind: String,
    /// `scheduled`, `queued`, `running`, `succeeded`, `failed`, `cancelled` or `dead`.
    pub state: &'static str,
    /// A class and a level within it, such as `high:5`; 0 goes first.
    pub priority: String,
    #[schema(value_type = Object)]
    pub payload: serde_json::Value,
    /// Attempts begun.
    pub attempt: u32,
    pub attempts_max: u32,
    #[schema(format = DateTime)]
    pub enqueued_at: String,
    /// When it is, or was, due.
    #[schema(format = DateTime)]
    pub run_at: String,
    #[schema(format = DateTime)]
    pub started_at: Option<String>,
    #[schema(format = DateTime)]
    pub finished_at: Option<String>,
    /// Who runs it, or ran it last.
    pub worker: Option<String>,
    pub cancel_requested: bool,
    /// Why it was put off.
    pub waiting_for: Option<String>,
    /// Of the last attempt that had one.
    pub error: Option<String>,
    /// What it came to; kept for an hour. Its shape depends on `kind`.
    pub result: Option<serde_json::Value>,
    pub progress: ProgressView,
    /// Grows with each progress written.
    pub progress_seq: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ProgressView {
    pub completed: u64,
    pub total: Option<u64>,
    /// What is being worked on, such as a URL.
    pub current: Option<String>,
    pub errors: u64,
}

impl TaskView {
    pub fn new(task: &TaskRow) -> TaskView {
        TaskView {
            id: task.id.0,
            task_id: task.id.0,
            kind: task.kind.clone(),
            state: task.state.code(),
            priority: task.priority.to_string(),
            payload: json(&task.payload),
            attempt: task.attempt,
            attempts_max: task.attempts_max,
            enqueued_at: rfc3339(task.enqueued_at),
            run_at: rfc3339(task.run_at),
            started_at: task.started_at.map(rfc3339),
            finished_at: task.finished_at.map(rfc3339),
            worker: task.worker.clone(),
            cancel_requested: task.cancel_requested,
            waiting_for: task.waiting_for.clone(),
            error: task.error.clone(),
            result: task.result.as_deref().map(json),
            progress: ProgressView {
                completed: task.progress.completed,
                total: task.progress.total,
                current: task.progress.current.clone(),
                errors: task.progress.errors,
            },
            progress_seq: task.progress_seq,
        }
    }
}

/// One kind of task in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct QueueView {
    pub kind: String,
    /// Nothing of this kind is begun until it is resumed.
    pub paused: bool,
    pub scheduled: u64,
    pub queued: u64,
    pub running: u64,
    pub succeeded_ever: u64,
    pub failed_ever: u64,
    pub cancelled_ever: u64,
    pub dead: u64,
    /// When the queued task that waits longest was due.
    #[schema(format = DateTime)]
    pub oldest_queued: Option<String>,
}

impl QueueView {
    pub fn new(count: &QueueCount, paused: bool) -> QueueView {
        QueueView {
            kind: count.kind.clone(),
            paused,
            scheduled: count.scheduled,
            queued: count.queued,
            running: count.running,
            succeeded_ever: count.ever.succeeded,
            failed_ever: count.ever.failed,
            cancelled_ever: count.ever.cancelled,
            dead: count.dead,
            oldest_queued: count.oldest_queued.map(rfc3339),
        }
    }
}
