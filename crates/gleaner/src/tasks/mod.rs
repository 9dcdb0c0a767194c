//! Durable work: everything that may take long or fail is a task in the store.
//!
//! [`worker`] claims and runs tasks, [`watch`] looks after those that run,
//! [`slots`] decides how many, [`kind`] says what a task is and [`new`] how it
//! is enqueued, [`mod@queues`] which kinds a process takes and [`scaling`] how many
//! processes there should be. Each kind of task has a file of its own; `gleaner crawl` runs
//! the same ones in the foreground.

mod crawl;
mod embed;
mod events;
mod foreman;
mod housekeeping;
mod kind;
mod new;
mod outcome;
mod queues;
mod rechunk;
mod run;
mod scaling;
mod shared;
mod slots;
mod source_outcome;
mod summarize;
mod watch;
mod webhooks;
mod worker;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use store::{PUBLISH_EVENTS, Store, TaskFilter};
use types::{TaskId, TaskState, TenantId, Timestamp};

pub use crawl::{CrawlPayload, SCRAPED, ScrapePayload, crawl_task};
pub use kind::{Foreground, Outcome, TaskContext, TaskFailure, TaskKind};
pub use new::{
    EMBED, KINDS, RECHUNK, SCRAPE, SCRAPE_BATCH, SUMMARIZE, TIMEOUT, embed, housekeeping, task,
};
pub use outcome::{CrawlOutcome, LeftOutCounts, Pages, UrlProblem, pages_per_s};
pub use queues::queues;
pub use rechunk::rechunk_if_needed;
pub use scaling::{KindScale, Scale, ScalingMeter, ScalingPolicy};
pub use shared::{Ending, LEASE_FOR, WorkerOptions};
pub use slots::{LoadMeter, SlotPolicy};
pub use source_outcome::next_due;
pub use summarize::{SummarizeOutcome, SummarizePayload, summarize_task};
pub use worker::Worker;

use crate::app::App;
use crate::publishing;
use crate::services::Services;

/// A worker that knows every kind and takes `claims` from the queue. Events are
/// published only by who has the settings for it.
pub fn options(app: &App, claims: &[&'static str]) -> WorkerOptions {
    let settings = &app.config.worker;
    let publishes = publishing::is_configured(&app.config.events);
    let claims = claims.iter().copied();
    let claims = claims.filter(|kind| *kind != PUBLISH_EVENTS || publishes);
    WorkerOptions {
        kinds: kinds(),
        claims: claims.collect(),
        slots: SlotPolicy {
            min: settings.slots_min.max(1),
            max: settings.slots_max.max(1),
            cpu_max: settings.cpu_max,
            memory_bytes_max: settings.memory_mb * 1024 * 1024,
        },
        grace: Duration::from_secs(settings.grace_s),
    }
}

/// One of each kind.
fn kinds() -> Vec<Arc<dyn TaskKind>> {
    vec![
        Arc::new(crawl::CrawlSource),
        Arc::new(crawl::Scrape::ONE),
        Arc::new(crawl::Scrape::BATCH),
        Arc::new(embed::EmbedPending),
        Arc::new(rechunk::Rechunk),
        Arc::new(summarize::Summarize),
        Arc::new(housekeeping::Housekeeping),
        Arc::new(webhooks::SendEvents),
        Arc::new(events::PublishEvents::default()),
    ]
}

/// What the queue asks for now, of the kinds that `wanted` chooses.
pub fn suggest_scale(
    services: &Services,
    policy: &ScalingPolicy,
    wanted: impl Fn(&str) -> bool,
) -> Result<Scale> {
    let load = services.store.queue_load()?;
    let now = services.app.clock.now();
    let scale = services
        .scaling
        .suggest(&load, &kinds(), policy, now, wanted);
    Ok(scale)
}

/// A task that said itself that it goes on later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutOff {
    pub task: TaskId,
    pub until: Timestamp,
    pub why: String,
}

/// The tasks of this kind that were put off, the newest 50.
pub fn put_off(store: &Store, tenant: TenantId, kind: &str) -> Result<Vec<PutOff>> {
    let filter = TaskFilter {
        kind: Some(kind.to_owned()),
        states: vec![TaskState::Scheduled],
        ..TaskFilter::default()
    };
    let scheduled = store.tasks(tenant, &filter)?.into_iter();
    let put_off = scheduled.filter_map(|task| {
        Some(PutOff {
            task: task.id,
            until: task.run_at,
            why: task.waiting_for?,
        })
    });
    Ok(put_off.collect())
}

/// Queues the embedding of what waits for vectors, in each database that has any.
pub fn enqueue_embedding(store: &Store, tenant: TenantId) -> Result<()> {
    for shard in store.shards() {
        if shard.embedding_progress()?.pending > 0 {
            shard.enqueue_tasks(vec![embed(tenant)])?;
        }
    }
    Ok(())
}

/// True while a task of the kind waits or runs.
pub fn is_at_work(store: &Store, kind: &str) -> Result<bool> {
    let counts = store.queue_status(None)?;
    Ok(counts
        .iter()
        .any(|count| count.kind == kind && count.scheduled + count.queued + count.running > 0))
}
