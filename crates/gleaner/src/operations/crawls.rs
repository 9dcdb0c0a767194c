//! Crawls: found, put to rest, gone on with, ended.

use anyhow::Result;
use store::{CrawlControl, CrawlRow, Store, StoreError, StoreErrorKind, TaskRow};
use types::{CrawlId, TenantId};

use super::tasks;

pub fn find(store: &Store, tenant: TenantId, id: CrawlId) -> Result<CrawlRow> {
    Ok(store.crawl_of_tenant(tenant, id)?)
}

/// What the crawl is asked to do from now on.
pub fn control(
    store: &Store,
    tenant: TenantId,
    crawl: &CrawlRow,
    control: CrawlControl,
) -> Result<CrawlRow> {
    let task = match store.task_of_crawl(crawl.id)? {
        Some(id) => existing(store.task(tenant, id))?,
        None => None,
    };
    if control == CrawlControl::Cancel && task.as_ref().is_none_or(|task| !is_alive(task)) {
        // Nobody would hear of it.
        return Ok(store.cancel_crawl(crawl.id)?);
    }
    store.request_crawl_control(crawl.id, control)?;
    if let Some(task) = task {
        match control {
            CrawlControl::Pause => {}
            CrawlControl::Cancel => drop(tasks::cancel(store, tenant, task.id)?),
            CrawlControl::Run => match store.hurry_task(tenant, task.id) {
                Ok(()) => {}
                // It has not come to rest yet, or is queued anyway.
                Err(error) if error.kind() == StoreErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
            },
        }
    }
    Ok(store.crawl(crawl.id)?)
}

fn is_alive(task: &TaskRow) -> bool {
    !task.state.is_finished()
}

/// Finished tasks are cleared away before their crawls.
fn existing(task: Result<TaskRow, StoreError>) -> Result<Option<TaskRow>> {
    match task {
        Ok(task) => Ok(Some(task)),
        Err(error) if error.kind() == StoreErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}
