//! Rows to structs, in one place.

use types::{
    Chunk, ChunkId, ContentHash, CrawlId, PageId, SourceId, TenantId, TextHash, Timestamp,
};

use crate::codec;
use crate::error::Failure;
use crate::model::{
    ChunkRow, CrawlControl, CrawlCounts, CrawlRow, CrawlStatus, EmbedState, FrontierKind, PageRow,
    PageStatus,
};
use crate::sql::Row;

/// A limit or count as the database takes it.
pub(crate) fn as_i64(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn count(row: &Row<'_>, index: usize) -> Result<u64, Failure> {
    let stored: i64 = row.get(index)?;
    u64::try_from(stored).map_err(|_| Failure::corrupt(format!("a count is negative: {stored}")))
}

pub(crate) fn small(row: &Row<'_>, index: usize) -> Result<u32, Failure> {
    row.get(index)
}

fn offset(row: &Row<'_>, index: usize) -> Result<usize, Failure> {
    let stored: i64 = row.get(index)?;
    usize::try_from(stored)
        .map_err(|_| Failure::corrupt(format!("an offset is negative: {stored}")))
}

pub(crate) fn hash_16(row: &Row<'_>, index: usize) -> Result<[u8; 16], Failure> {
    row.get(index)
}

pub(crate) fn content_hash(row: &Row<'_>, index: usize) -> Result<ContentHash, Failure> {
    Ok(ContentHash(row.get(index)?))
}

pub(crate) fn time(row: &Row<'_>, index: usize) -> Result<Option<Timestamp>, Failure> {
    let stored: Option<i64> = row.get(index)?;
    Ok(stored.map(Timestamp))
}

/// `SELECT` of the columns that [`page_row`] reads, of a page `p` and its
/// content `c`.
macro_rules! page_columns {
    () => {
        concat!(
            "SELECT p.id, p.tenant_id, p.source_id, p.status, p.url, p.host, p.title, ",
            "p.description, p.author, p.published_at, p.modified_at, p.language, p.canonical, ",
            "p.content_hash, p.simhash, p.version, p.etag, p.last_modified, p.content_type, ",
            "p.fetched_at, p.changed_at, p.first_seen_at, p.near_duplicate_of, p.chunk_count, ",
            "p.change_seq, c.holder_page_id, c.text_bytes"
        )
    };
}
pub(crate) use page_columns;

/// [`page_columns`] with the given ending, or with more columns behind them
/// and the given ending.
macro_rules! select_pages {
    ($ending:literal) => {
        crate::rows::select_pages!("", $ending)
    };
    ($columns:literal, $ending:literal) => {
        concat!(
            crate::rows::page_columns!(),
            $columns,
            " FROM pages p JOIN contents c ON c.id = p.content_id ",
            $ending
        )
    };
}
pub(crate) use select_pages;

/// Columns of [`select_pages`]; more ones start here.
pub(crate) const PAGE_COLUMNS: usize = 27;

pub(crate) fn page_row(row: &Row<'_>) -> Result<PageRow, Failure> {
    let id: i64 = row.get(0)?;
    let status = match row.get(3)? {
        0i64 => PageStatus::Gone,
        1 => PageStatus::Live,
        other => return Err(Failure::corrupt(format!("unknown page status {other}"))),
    };
    let holder: Option<i64> = row.get(25)?;
    let simhash: i64 = row.get(14)?;
    let near: Option<i64> = row.get(22)?;
    Ok(PageRow {
        id: PageId(id),
        tenant: TenantId(row.get(1)?),
        source: SourceId(row.get(2)?),
        status,
        url: row.get(4)?,
        host: row.get(5)?,
        title: row.get(6)?,
        description: row.get(7)?,
        author: row.get(8)?,
        published_at: time(row, 9)?,
        modified_at: time(row, 10)?,
        language: row.get(11)?,
        canonical: row.get(12)?,
        content_hash: ContentHash(row.get(13)?),
        simhash: simhash.cast_unsigned(),
        version: small(row, 15)?,
        etag: row.get(16)?,
        last_modified: row.get(17)?,
        content_type: row.get(18)?,
        fetched_at: Timestamp(row.get(19)?),
        changed_at: Timestamp(row.get(20)?),
        first_seen_at: Timestamp(row.get(21)?),
        duplicate_of: holder
            .filter(|holder| status == PageStatus::Live && *holder != id)
            .map(PageId),
        near_duplicate_of: near.map(PageId),
        chunk_count: small(row, 23)?,
        change_seq: row.get(24)?,
        text_bytes: count(row, 26)?,
    })
}

macro_rules! select_chunks {
    ($ending:literal) => {
        concat!(
            "SELECT id, page_id, position, start_byte, end_byte, tokens, embed_state, hash, ",
            "language, section, heading_path, keywords, tldr, embed_error FROM chunks ",
            $ending
        )
    };
}
pub(crate) use select_chunks;

pub(crate) fn chunk_row(row: &Row<'_>) -> Result<ChunkRow, Failure> {
    let embed_state = match row.get(6)? {
        0i64 => EmbedState::Pending,
        1 => EmbedState::Done,
        2 => EmbedState::Failed(row.get::<Option<String>>(13)?.unwrap_or_default()),
        other => return Err(Failure::corrupt(format!("unknown embed state {other}"))),
    };
    Ok(ChunkRow {
        id: ChunkId(row.get(0)?),
        page: PageId(row.get(1)?),
        chunk: Chunk {
            position: small(row, 2)?,
            range: offset(row, 3)?..offset(row, 4)?,
            tldr: row.get(12)?,
            section: row.get(9)?,
            heading_path: codec::decode_strings(row.text(10)?)?,
            keywords: codec::decode_strings(row.text(11)?)?,
            language: row.get(8)?,
            tokens: small(row, 5)?,
            hash: TextHash(hash_16(row, 7)?),
        },
        embed_state,
    })
}

macro_rules! select_crawls {
    ($ending:literal) => {
        concat!(
            "SELECT id, source_id, status, started_at, finished_at, found, fetched, added, ",
            "updated, unchanged, failed, skipped, queued, bytes, active_ms, policy, error, ",
            "cancel_requested FROM crawls ",
            $ending
        )
    };
}
pub(crate) use select_crawls;

pub(crate) fn crawl_row(row: &Row<'_>) -> Result<CrawlRow, Failure> {
    let status = crawl_status(row, 2)?;
    Ok(CrawlRow {
        id: CrawlId(row.get(0)?),
        source: SourceId(row.get(1)?),
        status,
        control: crawl_control(status, row.get(17)?),
        started_at: Timestamp(row.get(3)?),
        finished_at: time(row, 4)?,
        counts: crawl_counts(row, 5)?,
        queued: count(row, 12)?,
        bytes: count(row, 13)?,
        active_ms: row.get(14)?,
        policy: row.get(15)?,
        error: row.get(16)?,
    })
}

pub(crate) fn crawl_status(row: &Row<'_>, index: usize) -> Result<CrawlStatus, Failure> {
    let status: String = row.get(index)?;
    CrawlStatus::from_code(&status)
        .ok_or_else(|| Failure::corrupt(format!("unknown crawl status {status}")))
}

/// That a crawl is to rest is its status; that it is to end, a mark beside it.
pub(crate) fn crawl_control(status: CrawlStatus, cancel_requested: bool) -> CrawlControl {
    if cancel_requested {
        CrawlControl::Cancel
    } else if status == CrawlStatus::Paused {
        CrawlControl::Pause
    } else {
        CrawlControl::Run
    }
}

/// Seven columns from `start` on, in the order of the struct.
pub(crate) fn crawl_counts(row: &Row<'_>, start: usize) -> Result<CrawlCounts, Failure> {
    Ok(CrawlCounts {
        found: count(row, start)?,
        fetched: count(row, start + 1)?,
        added: count(row, start + 2)?,
        updated: count(row, start + 3)?,
        unchanged: count(row, start + 4)?,
        failed: count(row, start + 5)?,
        skipped: count(row, start + 6)?,
    })
}

pub(crate) fn kind_code(kind: FrontierKind) -> i64 {
    match kind {
        FrontierKind::Page => 0,
        FrontierKind::Sitemap => 1,
        FrontierKind::Feed => 2,
    }
}

pub(crate) fn kind_from_code(code: i64) -> Result<FrontierKind, Failure> {
    match code {
        0 => Ok(FrontierKind::Page),
        1 => Ok(FrontierKind::Sitemap),
        2 => Ok(FrontierKind::Feed),
        other => Err(Failure::corrupt(format!("unknown frontier kind {other}"))),
    }
}
