//! `gleaner source list|show`

use anyhow::{Context, Result};
use serde::Serialize;
use store::{Access, CrawlRow, SourceRow};
use types::SourceId;

use super::args::SourceCommand;
use super::output::{Exit, Paint, json_line, line, rfc3339, thousands};
use crate::app::App;

const CRAWLS_SHOWN: usize = 20;

pub fn run(app: &App, command: &SourceCommand) -> Result<Exit> {
    let store = app.open_store(Access::Read)?;
    match command {
        SourceCommand::List => {
            let sources = store.sources(app.tenant)?;
            if app.json {
                for source in &sources {
                    json_line(&SourceView::new(source))?;
                }
                return Ok(Exit::Ok);
            }
            if sources.is_empty() {
                line("No sources yet. Start with: gleaner crawl https://…")?;
            }
            let paint = Paint::stdout();
            for source in &sources {
                let last = source.last_crawl.as_ref().map_or_else(
                    || "never crawled".to_owned(),
                    |crawl| format!("{} {}", crawl.status.code(), rfc3339(crawl.started_at)),
                );
                line(format!(
                    "{:>4}  {}  {} pages  {}",
                    source.id,
                    paint.bold(&source.seeds.join(" ")),
                    thousands(source.page_count),
                    paint.dim(&last)
                ))?;
            }
        }
        SourceCommand::Show { id } => {
            let source = store
                .source(SourceId(*id))?
                .filter(|source| source.tenant == app.tenant)
                .with_context(|| format!("there is no source {id}; see `gleaner source list`"))?;
            let crawls = store.crawls(Some(source.id), CRAWLS_SHOWN)?;
            if app.json {
                let crawls: Vec<CrawlView> = crawls.iter().map(CrawlView::new).collect();
                let policy: serde_json::Value =
                    serde_json::from_str(&source.policy).unwrap_or_default();
                json_line(&serde_json::json!({
                    "source": SourceView::new(&source), "policy": policy, "crawls": crawls,
                }))?;
                return Ok(Exit::Ok);
            }
            let paint = Paint::stdout();
            line(paint.bold(&format!("Source {}: {}", source.id, source.name)))?;
            for seed in &source.seeds {
                line(format!("  start   {seed}"))?;
            }
            line(format!("  pages   {}", thousands(source.page_count)))?;
            line(format!("  policy  {}", source.policy))?;
            line("  crawls")?;
            for crawl in &crawls {
                let counts = crawl.counts;
                line(format!(
                    "    {:>4}  {}  {:<11} found {}, added {}, updated {}, unchanged {}, failed {}, skipped {}",
                    crawl.id,
                    rfc3339(crawl.started_at),
                    crawl.status.code(),
                    counts.found,
                    counts.added,
                    counts.updated,
                    counts.unchanged,
                    counts.failed,
                    counts.skipped,
                ))?;
            }
        }
    }
    Ok(Exit::Ok)
}

#[derive(Debug, Serialize)]
struct SourceView {
    id: i64,
    name: String,
    seeds: Vec<String>,
    pages: u64,
    created_at: String,
    last_crawl: Option<CrawlView>,
}

#[derive(Debug, Serialize)]
struct CrawlView {
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
    error: Option<String>,
}

impl SourceView {
    fn new(source: &SourceRow) -> SourceView {
        SourceView {
            id: source.id.0,
            name: source.name.clone(),
            seeds: source.seeds.clone(),
            pages: source.page_count,
            created_at: rfc3339(source.created_at),
            last_crawl: source.last_crawl.as_ref().map(CrawlView::new),
        }
    }
}

impl CrawlView {
    fn new(crawl: &CrawlRow) -> CrawlView {
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
            error: crawl.error.clone(),
        }
    }
}
