//! Sources.

use serde::Serialize;
use store::SourceRow;
use utoipa::ToSchema;

use super::{CrawlView, json, rfc3339};

#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct SourceView {
    pub id: i64,
    pub name: String,
    /// Where its crawls begin.
    pub seeds: Vec<String>,
    /// Live pages.
    pub pages: u64,
    #[schema(format = DateTime)]
    pub created_at: String,
    /// False: not crawled by schedule.
    pub active: bool,
    pub every_s: Option<u64>,
    /// Five fields, in UTC.
    pub cron: Option<String>,
    /// Bounds of an adaptive interval.
    pub adaptive: Option<AdaptiveView>,
    /// What an adaptive interval has arrived at.
    pub interval_s: Option<u64>,
    #[schema(format = DateTime)]
    pub next_due_at: Option<String>,
    #[schema(format = DateTime)]
    pub last_crawled_at: Option<String>,
    pub failures_in_a_row: u32,
    /// Why it is flagged, if it is.
    pub trouble: Option<String>,
    /// How its crawls differ from the configuration.
    #[schema(value_type = Object)]
    pub settings: serde_json::Value,
    pub last_crawl: Option<CrawlView>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AdaptiveView {
    pub min_s: u64,
    pub max_s: u64,
}

impl SourceView {
    pub fn new(source: &SourceRow) -> SourceView {
        let schedule = &source.schedule;
        SourceView {
            id: source.id.0,
            name: source.name.clone(),
            seeds: source.seeds.clone(),
            pages: source.page_count,
            created_at: rfc3339(source.created_at),
            active: source.active,
            every_s: schedule.every.map(|every| every.as_secs()),
            cron: schedule.cron.clone(),
            adaptive: schedule.adaptive.map(|bounds| AdaptiveView {
                min_s: bounds.min.as_secs(),
                max_s: bounds.max.as_secs(),
            }),
            interval_s: source.interval.map(|interval| interval.as_secs()),
            next_due_at: source.next_due_at.map(rfc3339),
            last_crawled_at: source.last_crawled_at.map(rfc3339),
            failures_in_a_row: source.failures_in_a_row,
            trouble: source.trouble.clone(),
            settings: json(&source.settings),
            last_crawl: source.last_crawl.as_ref().map(CrawlView::new),
        }
    }
}
