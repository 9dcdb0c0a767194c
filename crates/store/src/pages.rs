//! Reading pages, their content, versions and chunks. Rows of version 0, left
//! of deleted pages for the indexes, are no pages here.

use types::{ChunkId, ContentHash, PageId, TenantId, Timestamp};

use crate::codec;
use crate::error::Failure;
use crate::rows::{chunk_row, page_row, select_chunks, select_pages, small};
use crate::sql::{Connection, Parameters, collect, first, params};
use crate::{ChunkRow, PageContent, PageDetail, PageRow, Store, StoreError, VersionRow};

impl Store {
    pub fn page(&self, id: PageId) -> Result<Option<PageRow>, StoreError> {
        self.find(id, |shard| {
            shard.read("read the page", |connection| page_by_id(connection, id))
        })
    }

    /// Like [`Store::page`]; another tenant's page does not exist (T1).
    pub fn page_of_tenant(
        &self,
        tenant: TenantId,
        id: PageId,
    ) -> Result<Option<PageRow>, StoreError> {
        self.find(id, |shard| {
            shard.read("read the page", |connection| {
                first(
                    connection,
                    select_pages!("WHERE p.id = ?1 AND p.tenant_id = ?2 AND p.version > 0"),
                    [id.0, tenant.0],
                    page_row,
                )
            })
        })
    }

    pub fn page_by_url(&self, tenant: TenantId, url: &str) -> Result<Option<PageRow>, StoreError> {
        self.find_anywhere(|shard| {
            shard.read("look up the page", |connection| {
                first(
                    connection,
                    select_pages!("WHERE p.tenant_id = ?1 AND p.url = ?2 AND p.version > 0"),
                    params![tenant.0, url],
                    page_row,
                )
            })
        })
    }

    /// The pages among `ids` that exist, in the order asked.
    pub fn pages_by_ids(&self, ids: &[PageId]) -> Result<Vec<PageRow>, StoreError> {
        self.by_ids(
            ids,
            |page: &PageRow| page.id,
            |shard, ids| {
                shard.read("read pages", |connection| {
                    let pages = ids.iter().map(|id| page_by_id(connection, *id));
                    pages.filter_map(Result::transpose).collect()
                })
            },
        )
    }

    /// Content of the newest version; that of a page that is gone, too.
    pub fn page_content(&self, id: PageId) -> Result<Option<PageContent>, StoreError> {
        self.find(id, |shard| {
            shard.read("read the page's content", |connection| {
                content(
                    connection,
                    "SELECT c.body FROM pages p JOIN contents c ON c.id = p.content_id
                 WHERE p.id = ?1 AND p.version > 0",
                    [id.0],
                )
            })
        })
    }

    pub fn page_detail(&self, id: PageId) -> Result<Option<PageDetail>, StoreError> {
        self.find(id, |shard| {
            shard.read("read the page's details", |connection| {
                first(
                    connection,
                    "SELECT facts, links FROM page_details WHERE page_id = ?1",
                    [id.0],
                    |row| {
                        let facts: Option<Vec<u8>> = row.get(0)?;
                        let links: Vec<u8> = row.get(1)?;
                        let (open_graph, structured) = codec::decode_facts(facts.as_deref())?;
                        let (links, images) = codec::decode_links(&links)?;
                        Ok(PageDetail {
                            links,
                            images,
                            open_graph,
                            structured,
                        })
                    },
                )
            })
        })
    }

    /// Oldest first.
    pub fn page_versions(&self, id: PageId) -> Result<Vec<VersionRow>, StoreError> {
        self.holder(id)?
            .read("list the page's versions", |connection| {
                collect(
                    connection,
                    "SELECT v.page_id, v.version, c.content_hash, v.title, v.seen_at,
                   CASE WHEN v.raw_key IS NULL THEN 0 ELSE 1 END
                 FROM page_versions v JOIN contents c ON c.id = v.content_id
                 WHERE v.page_id = ?1 ORDER BY v.version",
                    [id.0],
                    |row| {
                        Ok(VersionRow {
                            page: PageId(row.get(0)?),
                            version: small(row, 1)?,
                            content_hash: ContentHash(row.get(2)?),
                            title: row.get(3)?,
                            seen_at: Timestamp(row.get(4)?),
                            has_raw: row.get(5)?,
                        })
                    },
                )
            })
    }

    pub fn version_content(
        &self,
        id: PageId,
        version: u32,
    ) -> Result<Option<PageContent>, StoreError> {
        self.find(id, |shard| {
            shard.read("read a version's content", |connection| {
                content(
                    connection,
                    "SELECT c.body FROM page_versions v JOIN contents c ON c.id = v.content_id
                 WHERE v.page_id = ?1 AND v.version = ?2",
                    [id.0, i64::from(version)],
                )
            })
        })
    }

    /// Live pages whose chunks are those of `id`, oldest first.
    pub fn duplicates_of(&self, id: PageId) -> Result<Vec<PageId>, StoreError> {
        self.holder(id)?.read("list duplicates", |connection| {
            collect(
                connection,
                "SELECT d.id FROM pages p
                 JOIN contents c ON c.id = p.content_id AND c.holder_page_id = p.id
                 JOIN pages d ON d.content_id = c.id AND d.status = 1 AND d.id <> p.id
                 WHERE p.id = ?1 ORDER BY d.id",
                [id.0],
                |row| Ok(PageId(row.get(0)?)),
            )
        })
    }

    /// Chunks of the page's newest version, in the order of its text.
    pub fn chunks(&self, page: PageId) -> Result<Vec<ChunkRow>, StoreError> {
        self.holder(page)?
            .read("read the page's chunks", |connection| {
                chunks_of(connection, page)
            })
    }

    /// The chunks among `ids` that exist, in the order asked.
    pub fn chunks_by_ids(&self, ids: &[ChunkId]) -> Result<Vec<ChunkRow>, StoreError> {
        self.by_ids(
            ids,
            |chunk: &ChunkRow| chunk.id,
            |shard, ids| {
                shard.read("read chunks", |connection| {
                    let sql = select_chunks!("WHERE id = ?1");
                    let chunks = ids
                        .iter()
                        .map(|id| first(connection, sql, [id.0], chunk_row));
                    chunks.filter_map(Result::transpose).collect()
                })
            },
        )
    }

    /// Which page each chunk belongs to; chunks that are no more are left out.
    pub fn chunk_pages(&self, ids: &[ChunkId]) -> Result<Vec<(ChunkId, PageId)>, StoreError> {
        self.by_ids(
            ids,
            |(chunk, _)| *chunk,
            |shard, ids| {
                shard.read("look up chunks", |connection| {
                    let sql = "SELECT page_id FROM chunks WHERE id = ?1";
                    let pages = ids.iter().map(|id| {
                        first(connection, sql, [id.0], |row| {
                            Ok((*id, PageId(row.get(0)?)))
                        })
                    });
                    pages.filter_map(Result::transpose).collect()
                })
            },
        )
    }
}

pub(crate) fn page_by_id(connection: &Connection, id: PageId) -> Result<Option<PageRow>, Failure> {
    first(
        connection,
        select_pages!("WHERE p.id = ?1 AND p.version > 0"),
        [id.0],
        page_row,
    )
}

pub(crate) fn chunks_of(connection: &Connection, page: PageId) -> Result<Vec<ChunkRow>, Failure> {
    collect(
        connection,
        select_chunks!("WHERE page_id = ?1 ORDER BY position"),
        [page.0],
        chunk_row,
    )
}

fn content(
    connection: &Connection,
    sql: &str,
    parameters: impl Parameters,
) -> Result<Option<PageContent>, Failure> {
    first(connection, sql, parameters, |row| {
        let body: Vec<u8> = row.get(0)?;
        codec::decode_content(&body)
    })
}
