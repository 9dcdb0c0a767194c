//! What derived indexes are built and kept up to date from.
//!
//! Every page whose text, chunks or description changed gets the next number
//! of one global counter, and so does every vector. An index remembers the
//! last number it applied and replays what came after; numbers become visible
//! in their order, because one writer gives them out and commits.

use types::{ChunkId, PageId, TenantId};

use crate::codec;
use crate::counters;
use crate::error::Failure;
use crate::pages::chunks_of;
use crate::records::record_of;
use crate::rows::{PAGE_COLUMNS, as_i64, page_row, select_pages};
use crate::shard::Shard;
use crate::sql::{Connection, collect, first, params};
use crate::{ChangeSeqs, IndexDoc, PageChange, PageRow, PageStatus, Store, StoreError, StoreStats};

impl Store {
    /// The last change number given out.
    pub fn change_seq(&self) -> Result<i64, StoreError> {
        self.own()?.read("read the change number", |connection| {
            counters::value(connection, "change_seq")
        })
    }

    /// The newest change of any page: what the keyword index has to reach.
    /// Vectors take numbers of the same sequence but are none of its business.
    pub fn pages_change_seq(&self) -> Result<i64, StoreError> {
        pages_change_seq(self.own()?)
    }

    /// [`Store::pages_change_seq`] of each database that answers.
    pub fn pages_change_seqs(&self) -> Result<ChangeSeqs, StoreError> {
        let seqs = self.gather(|shard| Ok((shard.number(), pages_change_seq(shard)?)))?;
        let mut all = ChangeSeqs::default();
        for (shard, seq) in seqs {
            all.advance(shard, seq);
        }
        Ok(all)
    }

    /// Pages with a change number above `seq`, in its order. A page appears
    /// once, with its newest number.
    pub fn pages_changed_since(
        &self,
        tenant: Option<TenantId>,
        seq: i64,
        limit: usize,
    ) -> Result<Vec<PageChange>, StoreError> {
        self.own()?.read("read page changes", |connection| {
            collect(
                connection,
                PAGES_CHANGED,
                params![seq, tenant.map(|t| t.0), as_i64(limit)],
                |row| {
                    let status: i64 = row.get(2)?;
                    Ok(PageChange {
                        page: PageId(row.get(0)?),
                        seq: row.get(1)?,
                        live: status == 1,
                    })
                },
            )
        })
    }

    /// All that an indexer needs of the given pages, in the order asked; pages
    /// that do not exist are left out.
    pub fn index_docs(&self, pages: &[PageId]) -> Result<Vec<IndexDoc>, StoreError> {
        self.by_ids(
            pages,
            |doc: &IndexDoc| doc.page.id,
            |shard, pages| {
                shard.read("read pages to index", |connection| {
                    let docs = pages.iter().map(|page| index_doc(connection, *page));
                    docs.filter_map(Result::transpose).collect()
                })
            },
        )
    }

    /// Ids of the chunks that each page holds now, in the order asked; empty for
    /// pages that are gone or duplicates. A page whose chunks changed, moved or
    /// vanished always has a new change number, so replaying
    /// [`Store::pages_changed_since`] through this tells an index what to drop.
    pub fn page_chunk_ids(
        &self,
        pages: &[PageId],
    ) -> Result<Vec<(PageId, Vec<ChunkId>)>, StoreError> {
        let mut known = self
            .by_ids(
                pages,
                |(page, _)| *page,
                |shard, pages| {
                    let all: Vec<(PageId, Vec<ChunkId>)> =
                        shard.read("read chunk ids", |connection| {
                            let sql = "SELECT id FROM chunks WHERE page_id = ?1 ORDER BY position";
                            let ids_of = |page: &PageId| {
                                let ids = collect(connection, sql, [page.0], |row| {
                                    Ok(ChunkId(row.get(0)?))
                                })?;
                                Ok((*page, ids))
                            };
                            pages.iter().map(ids_of).collect()
                        })?;
                    Ok(all
                        .into_iter()
                        .filter(|(_, chunks): &(_, Vec<_>)| !chunks.is_empty())
                        .collect())
                },
            )?
            .into_iter()
            .peekable();
        let next = |page: &PageId| {
            let chunks = known.next_if(|(known, _)| known == page);
            (*page, chunks.map_or_else(Vec::new, |(_, chunks)| chunks))
        };
        Ok(pages.iter().map(next).collect())
    }

    /// Every chunk id there is, ascending. Reads the whole index: for checks and rebuilds.
    pub fn live_chunk_ids(&self) -> Result<Vec<ChunkId>, StoreError> {
        let mut ids = self
            .gather(|shard| {
                shard.read("read all chunk ids", |connection| {
                    collect(connection, "SELECT id FROM chunks ORDER BY id", [], |row| {
                        Ok(ChunkId(row.get(0)?))
                    })
                })
            })?
            .concat();
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    /// How often the server ended one of two transactions of this database that
    /// waited for each other, since its statistics began. `None` for an embedded
    /// database, which has one writer at a time and so none that could.
    pub fn deadlocks(&self) -> Result<Option<u64>, StoreError> {
        let counts = self.gather(|shard| {
            shard.read("count deadlocks", |connection| {
                shard.location().deadlocks(connection)
            })
        })?;
        Ok(counts.into_iter().sum())
    }

    pub fn stats(&self) -> Result<StoreStats, StoreError> {
        self.gather(|shard| {
            shard.read("read the statistics", |connection| {
                let value = |name| -> Result<u64, Failure> {
                    let stored = counters::value(connection, name)?;
                    u64::try_from(stored).map_err(|_| {
                        Failure::corrupt(format!("counter {name} is negative: {stored}"))
                    })
                };
                let pending = value("chunks_pending")?;
                let failed = value("chunks_failed")?;
                Ok(StoreStats {
                    pages: value("pages")?,
                    pages_live: value("pages_live")?,
                    chunks: pending + failed + value("chunks_done")?,
                    chunks_pending: pending,
                    chunks_failed: failed,
                    vectors: value("vectors")?,
                    change_seq: counters::value(connection, "change_seq")?,
                    disk_bytes: shard.location().disk_bytes(connection)?,
                })
            })
        })
        .map(|parts| {
            parts
                .into_iter()
                .fold(StoreStats::default(), StoreStats::and)
        })
    }
}

fn pages_change_seq(shard: &Shard) -> Result<i64, StoreError> {
    shard.read("read the newest page change", |connection| {
        let newest = first(
            connection,
            "SELECT change_seq FROM pages ORDER BY change_seq DESC LIMIT 1",
            [],
            |row| row.get(0),
        )?;
        Ok(newest.unwrap_or(0))
    })
}

pub(crate) const PAGES_CHANGED: &str = "
    SELECT id, change_seq, status FROM pages
    WHERE change_seq > ?1 AND (CAST(?2 AS BIGINT) IS NULL OR tenant_id = ?2)
    ORDER BY change_seq LIMIT ?3";

/// Two statements for each page: everything but the chunks comes in one row.
fn index_doc(connection: &Connection, id: PageId) -> Result<Option<IndexDoc>, Failure> {
    let doc = first(connection, INDEX_DOC, [id.0], |row| {
        let page = page_row(row)?;
        let mut doc = IndexDoc {
            page,
            content: None,
            chunks: Vec::new(),
            open_graph: Vec::new(),
            structured: None,
            record: None,
        };
        if has_chunks(&doc.page) {
            doc.content = Some(codec::decode_content(row.blob(PAGE_COLUMNS)?)?);
            let facts = row.blob_or_null(PAGE_COLUMNS + 1)?;
            (doc.open_graph, doc.structured) = codec::decode_facts(facts)?;
        }
        Ok(doc)
    })?;
    let Some(mut doc) = doc else {
        return Ok(None);
    };
    if has_chunks(&doc.page) {
        doc.chunks = chunks_of(connection, id)?;
        doc.record = record_of(connection, id)?;
    }
    Ok(Some(doc))
}

const INDEX_DOC: &str = select_pages!(
    ", c.body, d.facts",
    "LEFT JOIN page_details d ON d.page_id = p.id WHERE p.id = ?1"
);

fn has_chunks(page: &PageRow) -> bool {
    page.status == PageStatus::Live && page.duplicate_of.is_none()
}
