//! Stored pages, their versions and chunks.

use types::{
    Block, Chunk, ChunkId, ContentHash, Image, Link, PageId, Record, SourceId, TenantId, Timestamp,
};

use super::cursor::{PageCursor, PageSort};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PageStatus {
    Live,
    /// The site no longer offers it. Its content and versions stay, its chunks do not.
    Gone,
}

impl PageStatus {
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            PageStatus::Live => "live",
            PageStatus::Gone => "gone",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct PageRow {
    pub id: PageId,
    pub tenant: TenantId,
    pub source: SourceId,
    pub url: String,
    pub host: String,
    pub status: PageStatus,
    pub title: String,
    pub description: Option<String>,
    pub author: Option<String>,
    pub published_at: Option<Timestamp>,
    pub modified_at: Option<Timestamp>,
    pub language: Option<String>,
    pub canonical: Option<String>,
    pub content_hash: ContentHash,
    pub simhash: u64,
    /// 1 for the first content, one more for each different one.
    pub version: u32,
    pub etag: Option<String>,
    pub last_modified: Option<String>,
    pub content_type: Option<String>,
    pub fetched_at: Timestamp,
    pub changed_at: Timestamp,
    pub first_seen_at: Timestamp,
    /// The live page that holds the same content and the chunks of it.
    pub duplicate_of: Option<PageId>,
    /// The page this one nearly equalled when its own content was last
    /// compared; that page may have changed or gone since.
    pub near_duplicate_of: Option<PageId>,
    pub chunk_count: u32,
    pub text_bytes: u64,
    pub change_seq: i64,
}

/// Which pages to list, and in which order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageFilter {
    pub tenant: TenantId,
    pub source: Option<SourceId>,
    pub host: Option<String>,
    pub status: Option<PageStatus>,
    pub language: Option<String>,
    /// What the URL starts with, as it is stored: `https://example.org/docs/`.
    pub url_prefix: Option<String>,
    /// Published then or later.
    pub published_from: Option<Timestamp>,
    /// Published before.
    pub published_to: Option<Timestamp>,
    /// Changed then or later.
    pub changed_since: Option<Timestamp>,
    /// Noted so, or with `Some(false)` not: as most pages, without any notes.
    pub favorite: Option<bool>,
    /// Like `favorite`.
    pub applied: Option<bool>,
    /// The status in the page's notes.
    pub note_status: Option<String>,
    pub tag: Option<String>,
    pub sort: PageSort,
    pub descending: bool,
    /// The end of the previous call, in the same order with the same filter.
    pub cursor: Option<PageCursor>,
    pub limit: usize,
}

impl Default for PageFilter {
    fn default() -> PageFilter {
        PageFilter {
            tenant: TenantId::DEFAULT,
            source: None,
            host: None,
            status: None,
            language: None,
            url_prefix: None,
            published_from: None,
            published_to: None,
            changed_since: None,
            favorite: None,
            applied: None,
            note_status: None,
            tag: None,
            sort: PageSort::Id,
            descending: false,
            cursor: None,
            limit: 100,
        }
    }
}

/// The readable content of one version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageContent {
    pub text: String,
    pub markdown: String,
    pub blocks: Vec<Block>,
}

/// The parts of a page beside its content, of the newest version only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageDetail {
    pub links: Vec<Link>,
    pub images: Vec<Image>,
    pub open_graph: Vec<(String, String)>,
    pub structured: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRow {
    pub page: PageId,
    pub version: u32,
    pub content_hash: ContentHash,
    pub title: String,
    pub seen_at: Timestamp,
    /// What the server answered is kept.
    pub has_raw: bool,
}

/// A page that a crawl is about to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewVersion {
    pub url: String,
    pub hash: ContentHash,
}

/// Raw copies that are not as they should be yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawWaiting {
    /// Objects of deleted versions that are still there.
    pub removals: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EmbedState {
    Pending,
    Done,
    /// With the reason.
    Failed(String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct ChunkRow {
    pub id: ChunkId,
    pub page: PageId,
    pub chunk: Chunk,
    pub embed_state: EmbedState,
}

/// A page that is not what it was at an earlier change number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageChange {
    pub page: PageId,
    pub seq: i64,
    pub live: bool,
}

/// All an indexer needs of one page.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexDoc {
    pub page: PageRow,
    /// `None` for a page that is gone or a duplicate: it has nothing to index.
    pub content: Option<PageContent>,
    /// In the order of their positions; empty where `content` is `None`.
    pub chunks: Vec<ChunkRow>,
    pub open_graph: Vec<(String, String)>,
    pub structured: Option<String>,
    pub record: Option<Record>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Pages ever stored.
    pub pages: u64,
    pub pages_live: u64,
    pub chunks: u64,
    pub chunks_pending: u64,
    pub chunks_failed: u64,
    pub vectors: u64,
    pub change_seq: i64,
    /// Database and write-ahead log.
    pub disk_bytes: u64,
}

impl StoreStats {
    pub(crate) fn and(self, other: StoreStats) -> StoreStats {
        StoreStats {
            pages: self.pages + other.pages,
            pages_live: self.pages_live + other.pages_live,
            chunks: self.chunks + other.chunks,
            chunks_pending: self.chunks_pending + other.chunks_pending,
            chunks_failed: self.chunks_failed + other.chunks_failed,
            vectors: self.vectors + other.vectors,
            change_seq: self.change_seq + other.change_seq,
            disk_bytes: self.disk_bytes + other.disk_bytes,
        }
    }
}

/// New chunks of a page whose content stays.
#[derive(Clone, Debug)]
pub struct Rechunked {
    pub page: PageId,
    /// Of the page as it was read: a later change makes the chunks stale.
    pub change_seq: i64,
    pub chunks: Vec<Chunk>,
}

/// Pages by what came of their new chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RechunkReport {
    pub changed: u64,
    pub same: u64,
    /// Changed meanwhile, gone, or without chunks of their own.
    pub passed_over: u64,
}
