//! One run of a task: from its kind's code to what the store is told.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use store::TaskEnd;

use super::kind::{Outcome, RetryDelay, StopReason, TaskContext, TaskFailure, TaskKind};

/// Runs a task; a panic in it is its failure and nobody else's.
pub(super) fn run_one(
    kinds: &HashMap<&'static str, Arc<dyn TaskKind>>,
    context: &TaskContext,
) -> (TaskEnd, Vec<store::NewTask>) {
    let task = &context.task;
    let span =
        tracing::info_span!("task", id = %task.id, kind = %task.kind, attempt = task.attempt);
    let _entered = span.enter();
    let Some(kind) = kinds.get(task.kind.as_str()) else {
        let error = format!("no worker here knows tasks of kind `{}`", task.kind);
        return (TaskEnd::Failed { error }, Vec::new());
    };
    let started = Instant::now();
    let ran = catch_unwind(AssertUnwindSafe(|| kind.run(context))).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        Err(TaskFailure::Transient(anyhow::anyhow!(
            "the task panicked: {text}"
        )))
    });
    let mut follow_ups = Vec::new();
    let ran = ran.map(|outcome| match outcome {
        Outcome::Done {
            result,
            follow_ups: more,
        } => {
            follow_ups = more;
            Outcome::Done {
                result,
                follow_ups: Vec::new(),
            }
        }
        other => other,
    });
    let end = end_of(context, Some(kind.as_ref()), ran);
    let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    match &end {
        TaskEnd::Failed { error } | TaskEnd::Retry { error, .. } => {
            tracing::warn!(took_ms, %error, "task failed");
        }
        TaskEnd::Snooze { why, .. } => tracing::info!(took_ms, %why, "task put off"),
        TaskEnd::Succeeded { .. } => tracing::info!(took_ms, "task done"),
        TaskEnd::Released | TaskEnd::Cancelled => tracing::info!(took_ms, "task stopped"),
    }
    (end, follow_ups)
}

/// What the store is told.
pub(super) fn end_of(
    context: &TaskContext,
    kind: Option<&dyn TaskKind>,
    ran: Result<Outcome, TaskFailure>,
) -> TaskEnd {
    let task = &context.task;
    let now = context.services.app.clock.now();
    let retry = |error: String| {
        let delay = kind.map_or(RetryDelay::Exponential, TaskKind::retry);
        // Spreads tasks that failed together; needs no better randomness.
        let random =
            task.id.0.unsigned_abs().wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ now.0.unsigned_abs();
        TaskEnd::Retry {
            error,
            at: now.plus(delay.after(task.attempt, random >> 8)),
        }
    };
    match ran {
        Ok(Outcome::Done { result, .. }) => TaskEnd::Succeeded {
            result: result.map(|value| value.to_string()),
        },
        Ok(Outcome::Later { after, why }) => TaskEnd::Snooze {
            at: now.plus(after),
            why,
        },
        Ok(Outcome::Stopped) => match context.stop_reason() {
            Some(StopReason::Cancelled) => TaskEnd::Cancelled,
            Some(StopReason::TimedOut) if kind.is_some_and(TaskKind::goes_on) => TaskEnd::Snooze {
                at: now,
                why: "its time slice was over; it goes on".to_owned(),
            },
            Some(StopReason::TimedOut) => {
                retry(format!("timed out after {} s", task.timeout.as_secs_f64()))
            }
            Some(StopReason::Shutdown | StopReason::Lost) | None => TaskEnd::Released,
        },
        Err(TaskFailure::Permanent(error)) => TaskEnd::Failed {
            error: format!("{error:#}"),
        },
        Err(TaskFailure::Transient(error)) => retry(format!("{error:#}")),
    }
}
