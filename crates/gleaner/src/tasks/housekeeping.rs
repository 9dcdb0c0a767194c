//! Clearing away: finished tasks, old URL rows, vectors nobody uses.

use serde::Serialize;
use store::Retention;

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
        let stop = context.stop();
        let mut tasks_deleted = 0;
        loop {
            let report = services
                .store
                .housekeep_tasks(&Retention::default(), TASKS_PER_STEP)?;
            tasks_deleted += report.succeeded + report.failed + report.cancelled + report.dead;
            if *stop.borrow() {
                return Ok(Outcome::Stopped);
            }
            if !report.more {
                break;
            }
        }
        // What a killed `source remove` left behind.
        let pages_deleted = services.store.finish_removals()?;
        clean_up(&services.app, &services.store)?;
        Outcome::done(HousekeepingOutcome {
            tasks_deleted,
            pages_deleted,
        })
    }
}
