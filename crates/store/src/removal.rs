//! Removing a source, with or without its pages.

use types::{SourceId, TenantId, Timestamp};

use crate::batch::delete_pages;
use crate::crawls::unfinished_crawl;
use crate::error::Failure;
use crate::quotas::discount_source;
use crate::rebalance::check_stays;
use crate::sources::{no_source, read_source};
use crate::sql::{Connection, collect, execute, first, params};
use crate::{Store, StoreError};

impl Store {
    /// Removes a source: it is in no list and never due any more; how many
    /// pages were deleted. With `keep_pages` they stay searchable. Otherwise
    /// they go in several writes, with their versions, and an interrupted
    /// deletion is finished by calling this again or by
    /// [`Store::finish_removals`]. Its crawl log stays.
    ///
    /// A page belongs to the source that it first came in through, also when
    /// others find it, and goes with it. Refused while a crawl of the source
    /// has not ended.
    pub fn remove_source(&self, id: SourceId, keep_pages: bool) -> Result<u64, StoreError> {
        let now = self.now();
        self.holder(id)?
            .write("remove the source", move |connection| {
                mark_removed(connection, id, keep_pages, now)
            })?;
        if keep_pages {
            return Ok(0);
        }
        self.delete_pages_of(id)
    }

    /// Finishes the deletions of pages that were interrupted; how many pages
    /// went.
    pub fn finish_removals(&self) -> Result<u64, StoreError> {
        let sources = self.gather(|shard| {
            shard.read("look for unfinished removals", |connection| {
                collect(connection, PURGING, [], |row| Ok(SourceId(row.get(0)?)))
            })
        })?;
        let mut pages = 0;
        for source in sources.concat() {
            pages += self.delete_pages_of(source)?;
        }
        Ok(pages)
    }

    fn delete_pages_of(&self, id: SourceId) -> Result<u64, StoreError> {
        let mut pages = 0;
        let mut below = i64::MAX;
        loop {
            let now = self.now();
            let step = self
                .holder(id)?
                .write("delete pages of a removed source", move |connection| {
                    delete_step(connection, id, below, now)
                })?;
            pages += step.pages;
            match step.next_below {
                Some(next) => below = next,
                None => return Ok(pages),
            }
        }
    }
}

pub(crate) const PURGING: &str = "SELECT id FROM sources WHERE purging = 1 ORDER BY id";

fn mark_removed(
    connection: &Connection,
    id: SourceId,
    keep_pages: bool,
    now: Timestamp,
) -> Result<(), Failure> {
    if let Some(crawl) = unfinished_crawl(connection, id)? {
        return Err(Failure::conflict(format!(
            "crawl {} of source {id} has not ended; cancel it first",
            crawl.id
        )));
    }
    check_stays(connection, id)?;
    let source = read_source(connection, id)?.ok_or_else(|| no_source(id))?;
    if source.removed_at.is_none() {
        discount_source(connection, source.tenant)?;
    }
    execute(
        connection,
        "UPDATE sources SET removed_at = coalesce(removed_at, ?2), next_due_at = NULL,
           purging = max(purging, ?3)
         WHERE id = ?1",
        params![id.0, now.0, !keep_pages],
    )?;
    Ok(())
}

struct DeleteStep {
    pages: u64,
    /// Where to go on; `None`: all done.
    next_below: Option<i64>,
}

fn delete_step(
    connection: &Connection,
    id: SourceId,
    below: i64,
    now: Timestamp,
) -> Result<DeleteStep, Failure> {
    let done = |pages| DeleteStep {
        pages,
        next_below: None,
    };
    let sql = "SELECT tenant_id FROM sources WHERE id = ?1 AND purging = 1";
    let tenant = first(connection, sql, [id.0], |row| Ok(TenantId(row.get(0)?)))?;
    let Some(tenant) = tenant else {
        // Another process has finished it, or the source is wanted again.
        return Ok(done(0));
    };
    let deleted = delete_pages(connection, tenant, id, below, now)?;
    if deleted.next_below.is_none() {
        let sql = "UPDATE sources SET purging = 0 WHERE id = ?1";
        execute(connection, sql, [id.0])?;
    }
    Ok(DeleteStep {
        pages: deleted.pages,
        next_below: deleted.next_below,
    })
}
