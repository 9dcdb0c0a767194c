//! Crawls, the frontier and the batches that fill the store.

use types::{
    CanonicalUrl, Change, Chunk, CrawlId, FailReason, HostKey, Page, PageId, SkipReason, SourceId,
    TaskId, Timestamp, UrlOutcome,
};

use crate::model::NewTask;
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

/// What a crawl is asked to do. Its coordinator hears of it with every batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CrawlControl {
    /// Go on, after a pause as well.
    #[default]
    Run,
    /// Finish what is under way and rest; the crawl's status is `paused`.
    Pause,
    /// Finish what is under way, then end with [`crate::Store::cancel_crawl`].
    Cancel,
}

/// Invariant Q2: once a crawl is completed or cancelled,
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
    pub control: CrawlControl,
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
    /// `failed`, `skipped`, `resource` for a sitemap or feed that could not be read, or
    /// `raw` for a stored version without the raw copy that it should have.
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
    /// End of the owner's lease; without an owner, of the host's rest.
    pub lease_until: Option<Timestamp>,
}

/// The circuit breaker of a host that kept failing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostBreaker {
    pub host: HostKey,
    /// When it opened first, since when the host has not answered well.
    pub broken_since: Timestamp,
    /// No request is sent before.
    pub open_until: Timestamp,
}

/// The answer to asking for a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lease {
    Yours,
    /// Not before `until`: another owner's, or without one the host rests.
    Busy {
        until: Timestamp,
        owner: Option<String>,
    },
}

/// Visits of one crawl that are stored together or not at all.
#[derive(Clone, Debug)]
pub struct CrawlBatch {
    pub crawl: CrawlId,
    pub visits: Vec<Visit>,
    /// Work that the visits give rise to, queued with them. When none of them
    /// is new, as in a batch that is replayed, nothing is queued.
    pub follow_ups: Vec<NewTask>,
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

/// A page that comes from elsewhere than a crawl.
#[derive(Clone, Debug)]
pub struct PageUpsert {
    pub url: CanonicalUrl,
    /// `None`: there is no such page any more.
    pub page: Option<Box<PageVisit>>,
}

/// What became of a [`PageUpsert`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpsertOutcome {
    Stored(Change),
    Removed,
    /// It was to be removed, and there was no live page.
    Absent,
    /// One more live page than the tenant may have; nothing was stored.
    QuotaExceeded,
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
    /// What the crawl is asked to do, as of this batch.
    pub control: CrawlControl,
    pub chunks_pending_added: u64,
    /// New versions with and without a raw copy, where the crawl keeps them.
    pub raw_kept: u64,
    pub raw_missed: u64,
    /// The batch's follow-ups, or the pending tasks that stand for them.
    pub enqueued: Vec<TaskId>,
}

/// The crawl that a task is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakenUp {
    Started(CrawlId),
    Resumed(CrawlId),
    /// The task has run it to its end before, and stored pages by it: its worker
    /// was lost, or it failed, before that was told.
    Ended(CrawlId),
    /// Another task runs it.
    RunBy(TaskId),
}
