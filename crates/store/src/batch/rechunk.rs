//! New chunks for pages whose content stayed the same.

use types::{CrawlId, SourceId, TenantId};

use super::apply::Session;
use super::prepare::{PreparedChunk, prepare_chunk};
use crate::crawls::OpenCrawl;
use crate::error::Failure;
use crate::model::{NewTask, RechunkReport, Rechunked};
use crate::rebalance::leaving;
use crate::rows::as_i64;
use crate::sql::{execute, first, params};
use crate::tasks;
use crate::{Store, StoreError};

impl Store {
    /// Makes the given chunks those of their pages, and queues `follow_ups` if
    /// any changed. A page that changed since it was read (its `change_seq` is
    /// another one), is gone or holds no chunks of its own is passed over, and
    /// so is one that is being moved to another database.
    /// Chunks whose text stays keep their id and their vectors.
    pub fn rechunk_pages(
        &self,
        tenant: TenantId,
        pages: Vec<Rechunked>,
        follow_ups: Vec<NewTask>,
    ) -> Result<RechunkReport, StoreError> {
        let now = self.now();
        let Some(one) = pages.first().map(|rechunked| rechunked.page) else {
            return Ok(RechunkReport::default());
        };
        let prepare = |page: Rechunked| -> Result<_, Failure> {
            let chunks = page
                .chunks
                .into_iter()
                .map(prepare_chunk)
                .collect::<Result<Vec<PreparedChunk>, Failure>>()?;
            Ok((page.page.0, page.change_seq, chunks))
        };
        let pages = pages
            .into_iter()
            .map(prepare)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|failure| failure.into_store_error("prepare chunks", "memory"))?;
        self.holder(one)?
            .write("save new chunks", move |connection| {
                // Outside any crawl; nothing here asks for its number or its source.
                let crawl = OpenCrawl {
                    id: CrawlId(0),
                    tenant,
                    source: SourceId(0),
                };
                let leaving = leaving(connection)?.map_or(0, |leaving| leaving.source);
                let mut session = Session::new(connection, crawl, now)?;
                let mut report = RechunkReport::default();
                for (page, change_seq, chunks) in &pages {
                    let is_current = first(
                        connection,
                        "SELECT 1 FROM pages p JOIN contents c ON c.id = p.content_id
                     WHERE p.id = ?1 AND p.tenant_id = ?2 AND p.change_seq = ?3 AND p.status = 1
                       AND c.holder_page_id = p.id AND p.source_id <> ?4",
                        params![page, tenant.0, change_seq, leaving],
                        |_| Ok(()),
                    )?;
                    if is_current.is_none() {
                        report.passed_over += 1;
                    } else if session.diff_chunks(*page, chunks)? {
                        report.changed += 1;
                        let change_seq = session.counters.next_change_seq();
                        execute(
                            connection,
                            "UPDATE pages SET chunk_count = ?2, change_seq = ?3 WHERE id = ?1",
                            params![page, as_i64(chunks.len()), change_seq],
                        )?;
                    } else {
                        report.same += 1;
                    }
                }
                session.save()?;
                if report.changed > 0 {
                    tasks::enqueue(connection, &follow_ups, now)?;
                }
                Ok(report)
            })
    }

    /// Settings that the chunks of all pages were made with, as
    /// [`Store::set_chunk_settings`] was told. `None`: unknown.
    pub fn chunk_settings(&self) -> Result<Option<String>, StoreError> {
        self.own()?.read("read the chunk settings", |connection| {
            let sql = "SELECT value FROM meta WHERE key = 'chunk_settings'";
            first(connection, sql, [], |row| row.get(0))
        })
    }

    pub fn set_chunk_settings(&self, settings: &str) -> Result<(), StoreError> {
        let settings = settings.to_owned();
        self.own()?
            .write("save the chunk settings", move |connection| {
                execute(
                    connection,
                    "INSERT INTO meta (key, value) VALUES ('chunk_settings', ?1)
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                    [&settings],
                )?;
                Ok(())
            })
    }
}
