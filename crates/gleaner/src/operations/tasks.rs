//! Tasks and crawls: queued, stopped, put to rest, gone on with.

use anyhow::Result;
use store::{Cancelled, CrawlRow, Enqueued, Store};
use types::{Priority, TaskId, TenantId};

use super::sources::{enqueue, seeds};
use crate::app::UsageError;
use crate::tasks::{self, ScrapePayload};

/// Requests at once, and pause between two, that a scrape may ask for.
const CONCURRENT_MAX: u32 = 100;
const DELAY_MS_MAX: u64 = 60_000;

/// Pages to store, with nothing they link to.
#[derive(Clone, Debug)]
pub struct Scrape {
    pub urls: Vec<String>,
    pub brand: Option<String>,
    pub max_concurrent: Option<u32>,
    pub delay_ms: Option<u64>,
    pub priority: Priority,
}

/// One URL is a `scrape`, several are a `scrape_batch`.
pub fn scrape(store: &Store, tenant: TenantId, scrape: Scrape) -> Result<Enqueued> {
    let urls: Vec<String> = seeds(&scrape.urls)?
        .iter()
        .map(ToString::to_string)
        .collect();
    if let Some(requests) = scrape.max_concurrent
        && !(1..=CONCURRENT_MAX).contains(&requests)
    {
        let problem = format!("max_concurrent is 1 to {CONCURRENT_MAX}, not {requests}");
        return Err(UsageError(problem).into());
    }
    if let Some(delay_ms) = scrape.delay_ms
        && delay_ms > DELAY_MS_MAX
    {
        let problem = format!("delay_ms is at most {DELAY_MS_MAX}, not {delay_ms}");
        return Err(UsageError(problem).into());
    }
    let kind = if urls.len() == 1 {
        tasks::SCRAPE
    } else {
        tasks::SCRAPE_BATCH
    };
    let payload = ScrapePayload {
        urls,
        brand: scrape.brand,
        max_concurrent: scrape.max_concurrent,
        delay_ms: scrape.delay_ms,
    };
    let mut task = tasks::task(tenant, kind, &payload)?;
    task.priority = scrape.priority;
    enqueue(
        &store.shard_for(tenant, &[tasks::SCRAPED.to_owned()])?,
        task,
    )
}

/// Cancels a task; that of a crawl takes its crawl with it.
pub fn cancel(store: &Store, tenant: TenantId, id: TaskId) -> Result<Cancelled> {
    let cancelled = store.cancel_task(tenant, id)?;
    if cancelled == Cancelled::Now
        && let Some(crawl) = store.crawl_of_task(id)?
        && !crawl.status.is_finished()
    {
        store.cancel_crawl(crawl.id)?;
    }
    Ok(cancelled)
}

/// The unfinished crawl of a task.
pub fn crawl_of(store: &Store, tenant: TenantId, id: TaskId) -> Result<CrawlRow> {
    let task = store.task(tenant, id)?;
    let crawl = store.crawl_of_task(task.id)?;
    crawl
        .filter(|crawl| !crawl.status.is_finished())
        .ok_or_else(|| {
            let problem = format!(
                "task {id} has no crawl to pause; `--kind {}` pauses its kind",
                task.kind
            );
            UsageError(problem).into()
        })
}
