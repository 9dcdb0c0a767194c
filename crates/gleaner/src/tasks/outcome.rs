//! How a crawl ended, as its task's result says and as `crawl --json` prints.

use serde::{Deserialize, Serialize};
use store::CrawlRow;
use types::SourceId;

use crate::pipeline::crawl::CrawlReport;

/// Result of all three kinds, and the object that `crawl --json` is built on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CrawlOutcome {
    pub crawl_id: i64,
    pub source_id: i64,
    pub status: String,
    pub resumed: bool,
    pub pages: Pages,
    pub queued: u64,
    pub bytes: u64,
    /// Until searchable by keyword, over all runs of this crawl.
    pub duration_ms: u64,
    pub pages_per_s: f64,
    pub left_out: LeftOutCounts,
    /// New versions without a raw copy, because the archive did not take it;
    /// not there where no raw copies are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_missed: Option<u64>,
    /// Start pages, or scraped URLs, that were not stored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<UrlProblem>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Pages {
    pub found: u64,
    pub fetched: u64,
    pub added: u64,
    pub updated: u64,
    pub unchanged: u64,
    pub failed: u64,
    pub skipped: u64,
}

impl Pages {
    pub fn stored(&self) -> u64 {
        self.added + self.updated + self.unchanged
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct LeftOutCounts {
    pub out_of_scope: u64,
    pub too_deep: u64,
    pub traps: u64,
    pub malformed: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UrlProblem {
    pub url: String,
    pub reason: String,
    pub detail: String,
}

impl CrawlOutcome {
    pub fn new(report: &CrawlReport, source: SourceId, resumed: bool) -> CrawlOutcome {
        let row: &CrawlRow = &report.row;
        let counts = row.counts;
        CrawlOutcome {
            crawl_id: row.id.0,
            source_id: source.0,
            status: if report.interrupted {
                "interrupted".to_owned()
            } else {
                row.status.code().to_owned()
            },
            resumed,
            pages: Pages {
                found: counts.found,
                fetched: counts.fetched,
                added: counts.added,
                updated: counts.updated,
                unchanged: counts.unchanged,
                failed: counts.failed,
                skipped: counts.skipped,
            },
            queued: row.queued,
            bytes: row.bytes,
            duration_ms: u64::try_from(row.active_ms).unwrap_or(0),
            pages_per_s: pages_per_s(row),
            left_out: LeftOutCounts {
                out_of_scope: report.left_out.out_of_scope,
                too_deep: report.left_out.too_deep,
                traps: report.left_out.traps,
                malformed: report.left_out.malformed,
            },
            raw_missed: report.raw_missed,
            errors: problems(report),
        }
    }
}

/// Pages fetched per second of work, to one decimal.
pub fn pages_per_s(row: &CrawlRow) -> f64 {
    if row.active_ms <= 0 {
        return 0.0;
    }
    let seconds = row.active_ms as f64 / 1000.0;
    (row.counts.fetched as f64 / seconds * 10.0).round() / 10.0
}

/// Start pages that ended neither stored nor leading elsewhere.
fn problems(report: &CrawlReport) -> Vec<UrlProblem> {
    report
        .seed_endings
        .iter()
        .filter(|(_, ending)| {
            !matches!(
                ending.reason,
                "redirect" | "canonical" | "noindex" | "listing"
            )
        })
        .map(|(url, ending)| UrlProblem {
            url: url.to_string(),
            reason: ending.reason.to_owned(),
            detail: ending.detail.clone(),
        })
        .collect()
}
