//! `gleaner source log`: every crawl there was, and how its URLs ended.

use anyhow::{Context, Result};
use serde::Serialize;
use store::{CrawlRow, ReasonCount, Store};
use types::{CrawlId, SourceId};

use super::output::{Exit, Paint, bytes, json_line, line, rfc3339, thousands};
use crate::app::App;
use crate::tasks::pages_per_s;

const CRAWLS_LISTED: usize = 200;

/// A crawl as `--json` shows it.
#[derive(Debug, Serialize)]
pub struct CrawlView {
    id: i64,
    status: &'static str,
    started_at: String,
    finished_at: Option<String>,
    found: u64,
    fetched: u64,
    added: u64,
    updated: u64,
    unchanged: u64,
    failed: u64,
    skipped: u64,
    bytes: u64,
    queued: u64,
    /// Time at work, over all runs of this crawl.
    duration_ms: i64,
    pages_per_s: f64,
    error: Option<String>,
}

impl CrawlView {
    pub fn new(crawl: &CrawlRow) -> CrawlView {
        let counts = crawl.counts;
        CrawlView {
            id: crawl.id.0,
            status: crawl.status.code(),
            started_at: rfc3339(crawl.started_at),
            finished_at: crawl.finished_at.map(rfc3339),
            found: counts.found,
            fetched: counts.fetched,
            added: counts.added,
            updated: counts.updated,
            unchanged: counts.unchanged,
            failed: counts.failed,
            skipped: counts.skipped,
            bytes: crawl.bytes,
            queued: crawl.queued,
            duration_ms: crawl.active_ms,
            pages_per_s: pages_per_s(crawl),
            error: crawl.error.clone(),
        }
    }

    /// One line.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{:>4}  {}  {:<11} found {}: added {}, updated {}, unchanged {}, failed {}, skipped {}; {}",
            self.id,
            self.started_at,
            self.status,
            thousands(self.found),
            thousands(self.added),
            thousands(self.updated),
            thousands(self.unchanged),
            thousands(self.failed),
            thousands(self.skipped),
            bytes(self.bytes),
        );
        if self.duration_ms > 0 {
            let seconds = self.duration_ms as f64 / 1000.0;
            text.push_str(&format!(" in {seconds:.1} s, {} pages/s", self.pages_per_s));
        }
        if let Some(error) = &self.error {
            text.push_str(&format!("; {error}"));
        }
        text
    }
}

#[derive(Debug, Serialize)]
struct ReasonView {
    class: String,
    reason: String,
    count: u64,
    examples: Vec<String>,
}

impl From<ReasonCount> for ReasonView {
    fn from(reason: ReasonCount) -> ReasonView {
        ReasonView {
            class: reason.class,
            reason: reason.reason,
            count: reason.count,
            examples: reason.examples,
        }
    }
}

pub fn show(app: &App, store: &Store, source: SourceId, only: Option<CrawlId>) -> Result<Exit> {
    let Some(id) = only else {
        for crawl in &store.crawls(Some(source), CRAWLS_LISTED)? {
            let view = CrawlView::new(crawl);
            if app.json {
                json_line(&view)?;
            } else {
                line(view.text())?;
            }
        }
        return Ok(Exit::Ok);
    };
    let crawl = store
        .crawl(id)
        .ok()
        .filter(|crawl| crawl.source == source)
        .with_context(|| {
            format!("source {source} has no crawl {id}; see `gleaner source log {source}`")
        })?;
    let reasons: Vec<ReasonView> = store
        .crawl_reasons(id)?
        .into_iter()
        .map(ReasonView::from)
        .collect();
    let view = CrawlView::new(&crawl);
    if app.json {
        json_line(&serde_json::json!({"crawl": view, "reasons": reasons}))?;
        return Ok(Exit::Ok);
    }
    line(view.text())?;
    let paint = Paint::stdout();
    for reason in &reasons {
        let what = format!("{} ({})", reason.class, reason.reason);
        let count = thousands(reason.count);
        line(format!("  {} × {}", paint.bold(&count), what))?;
        for url in &reason.examples {
            line(paint.dim(&format!("      {url}")))?;
        }
        let more = reason.count.saturating_sub(reason.examples.len() as u64);
        if more > 0 {
            line(paint.dim(&format!("      and {} more", thousands(more))))?;
        }
    }
    Ok(Exit::Ok)
}
