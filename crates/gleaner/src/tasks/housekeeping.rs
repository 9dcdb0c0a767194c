//! Clearing away: finished tasks, old URL rows, vectors nobody uses.

use std::time::Duration;

use serde::Serialize;
use store::{Retention, publish_task, send_task};

use super::kind::{Outcome, TaskContext, TaskFailure, TaskKind};
use super::new::HOUSEKEEPING;
use crate::pipeline::start::clean_up;

/// Finished tasks deleted per write.
const TASKS_PER_STEP: usize = 1000;

#[derive(Debug)]
pub struct Housekeeping;

#[derive(Debug, Serialize)]
struct HousekeepingOutcome {
    tasks_deleted: u64,
    pages_deleted: u64,
    events_deleted: u64,
    raw_removed: u64,
    /// Why some are there still.
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_problem: Option<String>,
}

impl TaskKind for Housekeeping {
    fn name(&self) -> &'static str {
        HOUSEKEEPING
    }

    fn running_max(&self) -> u32 {
        1
    }

    fn run(&self, context: &TaskContext) -> Result<Outcome, TaskFailure> {
        let services = &context.services;
        let store = context.store()?;
        let stop = context.stop();
        let mut tasks_deleted = 0;
        loop {
            let report = store.housekeep_tasks(&Retention::default(), TASKS_PER_STEP)?;
            tasks_deleted += report.succeeded + report.failed + report.cancelled + report.dead;
            if *stop.borrow() {
                return Ok(Outcome::Stopped);
            }
            if !report.more {
                break;
            }
        }
        // What a killed `source remove` left behind.
        let pages_deleted = store.finish_removals()?;
        clean_up(&services.app, &store)?;
        store.housekeep_llm()?;
        let keep_days = services.app.config.webhooks.keep_days.max(1);
        let kept = Duration::from_secs(keep_days.saturating_mul(24 * 3600));
        let mut events_deleted = 0;
        loop {
            let report = store.housekeep_outbox(kept)?;
            events_deleted += report.events;
            if *stop.borrow() {
                return Ok(Outcome::Stopped);
            }
            if !report.more {
                break;
            }
        }
        contract(&store);
        // An archive that is away keeps nothing else from being done.
        let raw = services.raw.as_ref();
        let raw = raw.map(|raw| raw.clean_up(&store, &stop)).transpose();
        if let Err(error) = &raw {
            tracing::warn!(error = format!("{error:#}"), "could not remove raw copies");
        }
        let next = store.next_delivery_at()?;
        let publishing = store.publishing()?;
        let publish = publishing.map(|_| publish_task(services.app.clock.now()));
        let result = serde_json::to_value(HousekeepingOutcome {
            tasks_deleted,
            pages_deleted,
            events_deleted,
            raw_problem: raw.as_ref().err().map(|error| format!("{error:#}")),
            raw_removed: raw.ok().flatten().unwrap_or(0),
        });
        Ok(Outcome::Done {
            result: Some(result.map_err(anyhow::Error::from)?),
            // Should a task that sends or publishes have died, another one goes on.
            follow_ups: next.map(send_task).into_iter().chain(publish).collect(),
        })
    }
}

/// Takes away what only older versions needed, once none of them is left.
/// That it waits, or fails, keeps nothing else from being done.
fn contract(store: &store::Store) {
    if let Err(error) = store.contract() {
        tracing::warn!(%error, "failed to take away what older versions needed");
    }
}
