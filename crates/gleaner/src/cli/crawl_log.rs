//! `gleaner source log`: every crawl there was, and how its URLs ended.

use anyhow::{Context, Result};
use store::Store;
use types::{CrawlId, SourceId};

use super::output::{Exit, Paint, bytes, json_line, line, thousands};
use crate::app::App;
use crate::view::{CrawlView, ReasonView};

const CRAWLS_LISTED: usize = 200;

/// One line.
pub fn text(crawl: &CrawlView) -> String {
    let mut text = format!(
        "{:>4}  {}  {:<11} found {}: added {}, updated {}, unchanged {}, failed {}, skipped {}; {}",
        crawl.id,
        crawl.started_at,
        crawl.status,
        thousands(crawl.found),
        thousands(crawl.added),
        thousands(crawl.updated),
        thousands(crawl.unchanged),
        thousands(crawl.failed),
        thousands(crawl.skipped),
        bytes(crawl.bytes),
    );
    if crawl.duration_ms > 0 {
        let seconds = crawl.duration_ms as f64 / 1000.0;
        text.push_str(&format!(
            " in {seconds:.1} s, {} pages/s",
            crawl.pages_per_s
        ));
    }
    if let Some(error) = &crawl.error {
        text.push_str(&format!("; {error}"));
    }
    text
}

pub fn show(app: &App, store: &Store, source: SourceId, only: Option<CrawlId>) -> Result<Exit> {
    let Some(id) = only else {
        for crawl in &store.crawls(source, CRAWLS_LISTED)? {
            let view = CrawlView::new(crawl);
            if app.json {
                json_line(&view)?;
            } else {
                line(text(&view))?;
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
    let reasons = store.crawl_reasons(id)?;
    let reasons: Vec<ReasonView> = reasons.iter().map(ReasonView::new).collect();
    let view = CrawlView::new(&crawl);
    if app.json {
        json_line(&serde_json::json!({"crawl": view, "reasons": reasons}))?;
        return Ok(Exit::Ok);
    }
    line(text(&view))?;
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
