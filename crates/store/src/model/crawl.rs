//! Sources, crawls, the frontier and the batches that fill the store.

use types::{
    CanonicalUrl, Chunk, CrawlId, FailReason, HostKey, Page, PageId, SkipReason, SourceId,
    TenantId, Timestamp, UrlOutcome,
};

/// A place to crawl. The set of seeds is its identity within a tenant.
#[derive(Clone, Debug)]
pub struct NewSource {
    pub tenant: TenantId,
    pub name: String,
    pub seeds: Vec<String>,
    /// JSON, opaque here.
    pub policy: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SourceRow {
    pub id: SourceId,
    pub tenant: TenantId,
    pub name: String,
    pub seeds: Vec<String>,
    pub policy: String,
    pub created_at: Timestamp,
    /// Live pages whose content came in through this source.
    pub page_count: u64,
    pub last_crawl: Option<CrawlRow>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CrawlStatus {
    Queued,
    Running,
    Paused,
    Completed,
    Failed,
    Cancelled,
}

impl CrawlStatus {
    pub const ALL: &'static [CrawlStatus] = &[
        CrawlStatus::Queued,
        CrawlStatus::Running,
        CrawlStatus::Paused,
        CrawlStatus::Completed,
        CrawlStatus::Failed,
        CrawlStatus::Cancelled,
    ];

    /// Stable code, as stored and as shown.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            CrawlStatus::Queued => "queued",
            CrawlStatus::Running => "running",
            CrawlStatus::Paused => "paused",
            CrawlStatus::Completed => "completed",
            CrawlStatus::Failed => "failed",
            CrawlStatus::Cancelled => "cancelled",
        }
    }

    #[must_use]
    pub fn from_code(code: &str) -> Option<CrawlStatus> {
        CrawlStatus::ALL.iter().copied().find(|s| s.code() == code)
    }

    /// Completed, failed or cancelled: nothing will change any more.
    #[must_use]
    pub fn is_finished(self) -> bool {
        matches!(
            self,
            CrawlStatus::Completed | CrawlStatus::Failed | CrawlStatus::Cancelled
        )
    }
}

/// Invariant Q2: once a crawl is completed,
/// `found == added + updated + unchanged + failed + skipped`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CrawlCounts {
    /// Page URLs ever queued in the crawl. Sitemaps and feeds do not count.
    pub found: u64,
    /// Page URLs whose last visit got a response.
    pub fetched: u64,
    pub added: u64,
    pub updated: u64,
    pub unchanged: u64,
    pub failed: u64,
    pub skipped: u64,
}

impl CrawlCounts {
    /// Page URLs that reached their end.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.added + self.updated + self.unchanged + self.failed + self.skipped
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct CrawlRow {
    pub id: CrawlId,
    pub source: SourceId,
    pub status: CrawlStatus,
    pub started_at: Timestamp,
    pub finished_at: Option<Timestamp>,
    pub counts: CrawlCounts,
    /// Bytes received, as on the wire.
    pub bytes: u64,
    pub policy: String,
    pub error: Option<String>,
    /// URLs still waiting, sitemaps and feeds included.
    pub queued: u64,
    /// Time spent crawling over all runs of this crawl.
    pub active_ms: i64,
}

/// How often one reason ended a URL, with a few of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReasonCount {
    /// `failed`, `skipped`, or `resource` for a sitemap or feed that could not be read.
    pub class: String,
    pub reason: String,
    pub count: u64,
    /// At most five URLs.
    pub examples: Vec<String>,
}

/// What a queued URL is expected to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrontierKind {
    Page,
    Sitemap,
    Feed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewUrl {
    pub url: CanonicalUrl,
    pub kind: FrontierKind,
    /// Links followed from a seed.
    pub depth: u32,
}

/// One queued URL, with what a conditional request needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontierRow {
    pub row: i64,
    pub url: CanonicalUrl,
    pub kind: FrontierKind,
    pub depth: u32,
    /// Visits that ended in a retry so far.
    pub attempt: u32,
    pub not_before: Timestamp,
    /// Validators of the stored live page; none when nothing usable is stored.
    pub etag: Option<String>,
    pub last_modified: Option<String>,
    /// The live page stored under this URL.
    pub page: Option<PageId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRow {
    pub host: HostKey,
    /// HTTP status of the last robots.txt request, 0 when unreachable, `None` before the first.
    pub robots_status: Option<i64>,
    pub robots_body: Vec<u8>,
    pub robots_fetched_at: Option<Timestamp>,
    pub lease_owner: Option<String>,
    pub lease_until: Option<Timestamp>,
    /// Snapshot of the host's circuit breaker; JSON, opaque here.
    pub breaker: Option<String>,
}

/// Visits of one crawl that are stored together or not at all.
#[derive(Clone, Debug)]
pub struct CrawlBatch {
    pub crawl: CrawlId,
    pub visits: Vec<Visit>,
}

/// What came of fetching one frontier row.
#[derive(Clone, Debug)]
pub struct Visit {
    pub row: i64,
    pub url: CanonicalUrl,
    pub status: Option<u16>,
    pub wire_bytes: u64,
    pub result: VisitResult,
    pub discovered: Vec<NewUrl>,
    pub redirect_to: Option<String>,
    /// A response arrived. Counts in `fetched` when the visit ends the URL.
    pub fetched: bool,
}

#[derive(Clone, Debug)]
pub enum VisitResult {
    Page(Box<PageVisit>),
    /// The server says that the stored page is current.
    NotModified,
    Skipped {
        reason: SkipReason,
        detail: String,
    },
    Failed {
        reason: FailReason,
        detail: String,
    },
    /// Stays queued.
    Retry {
        attempt: u32,
        not_before: Timestamp,
        detail: String,
    },
    /// A sitemap or feed was read. Ends the row without counting as a page; on
    /// a row queued as a page it counts as skipped for its content type.
    Resource,
}

#[derive(Clone, Debug)]
pub struct PageVisit {
    pub page: Page,
    /// Ranges lie within `page.text`.
    pub chunks: Vec<Chunk>,
    pub etag: Option<String>,
    pub last_modified: Option<String>,
    pub content_type: Option<String>,
}

/// What a batch did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BatchReport {
    /// How page URLs ended, by frontier row. Rows that were done before, stay
    /// queued or were sitemaps and feeds are not listed.
    pub outcomes: Vec<(i64, UrlOutcome)>,
    /// URLs newly queued, by host.
    pub queued: Vec<(HostKey, u64)>,
    /// Global change counter after the batch.
    pub change_seq: i64,
    /// The crawl's counts after the batch.
    pub counts: CrawlCounts,
    pub chunks_pending_added: u64,
}
