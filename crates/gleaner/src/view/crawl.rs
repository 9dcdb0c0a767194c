//! Crawls: the log of what each of them found.

use serde::Serialize;
use store::{CrawlControl, CrawlRow, ReasonCount};
use utoipa::ToSchema;

use super::rfc3339;
use crate::tasks::pages_per_s;

#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct CrawlView {
    pub id: i64,
    pub source: i64,
    /// `running`, `paused`, `completed`, `failed` or `cancelled`.
    pub status: &'static str,
    /// True once somebody wants it to end.
    pub cancel_requested: bool,
    #[schema(format = DateTime)]
    pub started_at: String,
    #[schema(format = DateTime)]
    pub finished_at: Option<String>,
    /// URLs of pages: the sum of the next five and of those still queued.
    pub found: u64,
    pub added: u64,
    pub updated: u64,
    pub unchanged: u64,
    pub failed: u64,
    pub skipped: u64,
    /// URLs that were answered.
    pub fetched: u64,
    /// URLs that wait, sitemaps and feeds among them.
    pub queued: u64,
    /// Received, as on the wire.
    pub bytes: u64,
    /// Time at work, over all runs of this crawl.
    pub duration_ms: i64,
    pub pages_per_s: f64,
    pub error: Option<String>,
}

impl CrawlView {
    pub fn new(crawl: &CrawlRow) -> CrawlView {
        let counts = crawl.counts;
        CrawlView {
            id: crawl.id.0,
            source: crawl.source.0,
            status: crawl.status.code(),
            cancel_requested: crawl.control == CrawlControl::Cancel,
            started_at: rfc3339(crawl.started_at),
            finished_at: crawl.finished_at.map(rfc3339),
            found: counts.found,
            added: counts.added,
            updated: counts.updated,
            unchanged: counts.unchanged,
            failed: counts.failed,
            skipped: counts.skipped,
            fetched: counts.fetched,
            queued: crawl.queued,
            bytes: crawl.bytes,
            duration_ms: crawl.active_ms,
            pages_per_s: pages_per_s(crawl),
            error: crawl.error.clone(),
        }
    }
}

/// Why URLs did not become pages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReasonView {
    /// `failed`, `skipped`, `resource` for a sitemap or feed, or
    /// `raw` for a stored page whose raw copy is missing.
    pub class: String,
    pub reason: String,
    pub count: u64,
    /// At most five URLs.
    pub examples: Vec<String>,
}

impl ReasonView {
    pub fn new(reason: &ReasonCount) -> ReasonView {
        ReasonView {
            class: reason.class.clone(),
            reason: reason.reason.clone(),
            count: reason.count,
            examples: reason.examples.clone(),
        }
    }
}
