//! The scheduler: due sources become crawl tasks.
//!
//! Any number of schedulers may run. Each due source is taken in one
//! transaction that also says when it is due next, so it is enqueued once; a
//! source that was due several times while no scheduler ran is caught up once.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use store::Store;

use crate::app::App;
use crate::tasks::{self, CrawlPayload};

/// Sources taken per look at the store.
const SOURCES_PER_STEP: usize = 200;
const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(3600);

/// What one check did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Crawls enqueued.
    pub enqueued: u64,
    /// Due, but a crawl of the source waits already.
    pub waiting: u64,
}

pub struct Scheduler {
    app: App,
    store: Store,
    cleaned: Option<types::Timestamp>,
}

impl Scheduler {
    pub fn new(app: &App, store: &Store) -> Scheduler {
        Scheduler {
            app: app.clone(),
            store: store.clone(),
            cleaned: None,
        }
    }

    /// Enqueues a crawl of every source that is due.
    pub fn check(&mut self) -> Result<Checked> {
        let now = self.app.clock.now();
        let mut checked = Checked::default();
        loop {
            let due = self.store.due_sources(now, SOURCES_PER_STEP)?;
            let full = due.len() == SOURCES_PER_STEP;
            for source in due {
                let next_due = match tasks::next_due(&source.schedule, source.interval, now) {
                    Ok(next_due) => next_due,
                    Err(error) => {
                        // A schedule that cannot be read is nobody's turn to run.
                        tracing::error!(source = %source.id, %error, "the source's schedule cannot be used");
                        None
                    }
                };
                let task = tasks::crawl_task(
                    source.tenant,
                    &CrawlPayload {
                        source: source.id.0,
                        embed: true,
                        urls: Vec::new(),
                    },
                )?;
                match self.store.schedule_source(source.id, next_due, task)? {
                    Some(enqueued) if enqueued.created => checked.enqueued += 1,
                    Some(_) => checked.waiting += 1,
                    None => {}
                }
            }
            if !full {
                break;
            }
        }
        let clean = self
            .cleaned
            .is_none_or(|at| now.since(at) >= HOUSEKEEPING_EVERY);
        if clean {
            self.store
                .enqueue_everywhere(vec![tasks::housekeeping(self.app.tenant)])?;
            self.cleaned = Some(now);
        }
        tracing::info!(
            enqueued = checked.enqueued,
            waiting = checked.waiting,
            "looked for due sources"
        );
        Ok(checked)
    }

    /// True when a source has become due since. Trouble with the store is left
    /// to the next check, which tells of it.
    pub fn something_is_due(&self) -> bool {
        let now = self.app.clock.now();
        matches!(self.store.next_source_due(), Ok(Some(due)) if due <= now)
    }

    /// How long to wait for the next check.
    pub fn pause(&self) -> Duration {
        Duration::from_secs(self.app.config.scheduler.check_s.max(1))
    }
}
