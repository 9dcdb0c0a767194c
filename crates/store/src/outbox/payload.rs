//! What events say: schema 1. Fields are only ever added to it; anything else
//! is another schema. `docs/reference/events.md` lists them for people,
//! `docs/reference/events.schema.json` for programs.

use serde::Serialize;
use types::{CrawlId, SourceId, Timestamp};

use crate::frontier::cut;
use crate::model::{CrawlCounts, CrawlRow, Day};

/// Characters of a title; some sites put whole articles there.
const TITLE_CHARS_MAX: usize = 300;

#[derive(Serialize)]
pub(crate) struct CrawlStarted {
    pub(crate) crawl_id: i64,
    pub(crate) source_id: i64,
    pub(crate) started_at: String,
}

#[derive(Serialize)]
pub(crate) struct CrawlFinished {
    crawl_id: i64,
    source_id: i64,
    status: &'static str,
    error: Option<String>,
    started_at: String,
    finished_at: String,
    pages: Pages,
    bytes: u64,
}

#[derive(Serialize)]
struct Pages {
    found: u64,
    fetched: u64,
    added: u64,
    updated: u64,
    unchanged: u64,
    failed: u64,
    skipped: u64,
}

impl CrawlFinished {
    pub(crate) fn new(row: &CrawlRow, finished_at: Timestamp) -> CrawlFinished {
        let CrawlCounts {
            found,
            fetched,
            added,
            updated,
            unchanged,
            failed,
            skipped,
        } = row.counts;
        CrawlFinished {
            crawl_id: row.id.0,
            source_id: row.source.0,
            status: row.status.code(),
            error: row.error.as_deref().map(|error| cut(error).to_owned()),
            started_at: rfc3339(row.started_at),
            finished_at: rfc3339(finished_at),
            pages: Pages {
                found,
                fetched,
                added,
                updated,
                unchanged,
                failed,
                skipped,
            },
            bytes: row.bytes,
        }
    }
}

/// A page that is new, or has another content or record.
#[derive(Serialize)]
pub(crate) struct PageChanged<'p> {
    pub(crate) page_id: i64,
    pub(crate) source_id: i64,
    /// None for a page that no crawl found.
    pub(crate) crawl_id: Option<i64>,
    pub(crate) url: &'p str,
    pub(crate) title: String,
    pub(crate) language: Option<&'p str>,
    pub(crate) version: u32,
    pub(crate) content_hash: String,
    pub(crate) published_at: Option<String>,
    /// What is another: `content`, `record`; none of a page that is new.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) changed: &'p [&'static str],
}

#[derive(Serialize)]
pub(crate) struct PageRemoved<'p> {
    pub(crate) page_id: i64,
    pub(crate) source_id: i64,
    /// `None`: it went with its source.
    pub(crate) crawl_id: Option<i64>,
    pub(crate) url: &'p str,
}

#[derive(Serialize)]
pub(crate) struct TaskFailed<'t> {
    pub(crate) task_id: i64,
    pub(crate) kind: &'t str,
    /// `failed`: another attempt would not help; `dead`: they are used up.
    pub(crate) state: &'static str,
    pub(crate) attempts: u32,
    pub(crate) error: Option<&'t str>,
}

#[derive(Serialize)]
pub(crate) struct SourceTroubled<'s> {
    pub(crate) source_id: i64,
    pub(crate) name: String,
    pub(crate) failures_in_a_row: u32,
    pub(crate) trouble: &'s str,
}

/// A tenant has used most of the tokens that it may use in a day.
#[derive(Serialize)]
pub(crate) struct BudgetWarning {
    /// In UTC: `2026-11-23`.
    pub(crate) day: String,
    pub(crate) tokens_used: u64,
    pub(crate) tokens_max: u64,
}

/// A call was refused, since the tenant may not use so many tokens today.
#[derive(Serialize)]
pub(crate) struct BudgetExhausted {
    pub(crate) day: String,
    pub(crate) tokens_used: u64,
    /// Set aside by calls under way.
    pub(crate) tokens_reserved: u64,
    pub(crate) tokens_asked: u64,
    pub(crate) tokens_max: u64,
}

impl CrawlStarted {
    pub(crate) fn new(crawl: CrawlId, source: SourceId, at: Timestamp) -> CrawlStarted {
        CrawlStarted {
            crawl_id: crawl.0,
            source_id: source.0,
            started_at: rfc3339(at),
        }
    }
}

pub(crate) fn title(full: &str) -> String {
    full.chars().take(TITLE_CHARS_MAX).collect()
}

/// A day as `2026-11-23`.
pub(crate) fn date(day: Day) -> String {
    let start = rfc3339(day.start());
    start.split('T').next().unwrap_or_default().to_owned()
}

/// In UTC, to the second. A time out of range is shown as its number.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_second(at.0.div_euclid(1000))
        .map_or_else(|_| at.0.to_string(), |t| t.to_string())
}
