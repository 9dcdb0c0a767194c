//! What a crawl writes: visits with their pages, chunks and links, in one
//! transaction.
//!
//! Everything that needs no database (hashing, compressing, serialising) is
//! done on the caller's thread by `prepare`; the writer's thread only runs SQL.

mod apply;
mod chunks;
mod delete;
mod near;
mod page;
mod prepare;
mod rechunk;
mod upsert;

pub(crate) use apply::Session;
pub(crate) use delete::{DELETE_CONTENT, delete_pages};
pub(crate) use near::is_representative;
#[cfg(test)]
pub(crate) use page::PAGES_BELOW;
pub(crate) use page::{PAGE_BY_URL, StoredPage, stored_page_by_id};

use types::{SourceId, TenantId};

use crate::{
    BatchReport, CrawlBatch, NewTask, PageUpsert, RawCopies, Store, StoreError, UpsertOutcome,
};

impl Store {
    /// Stores a batch of visits, all or nothing.
    ///
    /// - A row that is already done is passed over, so replaying a batch after
    ///   a crash changes nothing.
    /// - A page is `Added` when its URL has no live page, `Updated` when its
    ///   content hash differs from the stored one (a new version), otherwise
    ///   `Unchanged`. One that would be `Added` beyond the tenant's
    ///   [`crate::Quota::pages_max`] is skipped instead, and nothing of it is
    ///   stored. Chunks keep their id, and with it their vectors, as long
    ///   as their hash stays.
    /// - A page with the same content as another live page of the tenant is
    ///   stored as its duplicate, without chunks. When the one that holds the
    ///   chunks changes or goes, the oldest duplicate takes them over.
    /// - A stored page goes (loses its chunks, keeps its versions) when it is
    ///   not found, asks not to be indexed, names another URL as canonical or
    ///   redirects permanently. Other failures leave it as it was.
    /// - Follow-ups are queued only when at least one row was not done before.
    /// - A `NotModified` without a stored live page counts as a failed visit.
    pub fn commit_batch(&self, batch: CrawlBatch) -> Result<BatchReport, StoreError> {
        self.commit(batch, None)
    }

    /// `copies`: of a crawl that keeps raw copies.
    pub(crate) fn commit(
        &self,
        batch: CrawlBatch,
        copies: Option<RawCopies>,
    ) -> Result<BatchReport, StoreError> {
        let now = self.now();
        let crawl = batch.crawl;
        let follow_ups = batch.follow_ups;
        let visits = batch
            .visits
            .into_iter()
            .map(prepare::prepare)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|failure| failure.into_store_error("prepare the batch", "memory"))?;
        self.holder(crawl)?
            .write("save the batch", move |connection| {
                apply::apply(
                    connection,
                    crawl,
                    &visits,
                    copies.as_ref(),
                    &follow_ups,
                    now,
                )
            })
    }

    /// Stores pages that come from elsewhere than a crawl, or takes them away,
    /// all or nothing, by the rules of [`Store::commit_batch`]: writing the same
    /// pages again changes nothing. A live page stays with the source that has
    /// it; others become pages of `source`. How each ended, in the order given.
    ///
    /// Follow-ups are queued when there are new chunks. Fails when the tenant
    /// has no such source.
    pub fn upsert_pages(
        &self,
        tenant: TenantId,
        source: SourceId,
        pages: Vec<PageUpsert>,
        follow_ups: Vec<NewTask>,
    ) -> Result<Vec<UpsertOutcome>, StoreError> {
        let now = self.now();
        let pages = pages
            .into_iter()
            .map(upsert::prepare_upsert)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|failure| failure.into_store_error("prepare the pages", "memory"))?;
        self.holder(source)?
            .write("save the pages", move |connection| {
                upsert::upsert(connection, tenant, source, &pages, &follow_ups, now)
            })
    }
}
