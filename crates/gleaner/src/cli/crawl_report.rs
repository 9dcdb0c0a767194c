//! What `gleaner crawl` prints of a crawl, for people and for programs.

use anyhow::Result;
use serde::Serialize;
use store::EmbeddingProgress;

use super::output::{Exit, Paint, bytes, data_dir_flag, line, thousands};
use super::summarize;
use crate::app::App;
use crate::tasks::{self, CrawlOutcome, Pages, SummarizeOutcome};

/// A crawl that ran before somebody's eyes.
#[derive(Clone, Debug)]
pub struct WatchedCrawl {
    pub outcome: CrawlOutcome,
    /// Stopped while crawling, or while embedding.
    pub stopped: bool,
    pub chunks: u64,
    pub vectors: EmbeddingProgress,
    /// Texts whose vectors were computed now; `None` when that was not asked for.
    pub embedded_now: Option<u64>,
    /// `None` when they were not asked for, or another process makes them.
    pub summaries: Option<SummarizeOutcome>,
    pub reasons: Vec<store::ReasonCount>,
}

impl WatchedCrawl {
    pub fn interrupted(&self) -> bool {
        self.outcome.status == "interrupted"
    }

    pub fn exit(&self) -> Exit {
        if self.interrupted() || self.stopped {
            Exit::Partly
        } else if self.outcome.pages.stored() == 0 {
            Exit::Failed
        } else if !self.outcome.errors.is_empty()
            || self.vectors.failed > 0
            || (self.embedded_now.is_some() && self.vectors.pending > 0)
            || self.summaries.as_ref().is_some_and(|made| !made.is_whole())
        {
            Exit::Partly
        } else {
            Exit::Ok
        }
    }
}

/// The object that `crawl --json` ends with.
#[derive(Debug, Serialize)]
pub struct CrawlView<'a> {
    crawl_id: i64,
    source_id: i64,
    status: &'a str,
    resumed: bool,
    pages: Pages,
    chunks: u64,
    vectors: VectorsView,
    bytes: u64,
    duration_ms: u64,
    pages_per_s: f64,
    left_out: tasks::LeftOutCounts,
    /// Where raw copies are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_missed: Option<u64>,
    /// Of this source; where they were asked for, and made here.
    #[serde(skip_serializing_if = "Option::is_none")]
    summaries: Option<&'a SummarizeOutcome>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<String>,
}

#[derive(Debug, Serialize)]
struct VectorsView {
    done: u64,
    pending: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    embedded_now: Option<u64>,
}

impl CrawlView<'_> {
    pub fn new(watched: &WatchedCrawl) -> CrawlView<'_> {
        let outcome = &watched.outcome;
        CrawlView {
            crawl_id: outcome.crawl_id,
            source_id: outcome.source_id,
            status: &outcome.status,
            resumed: outcome.resumed,
            pages: outcome.pages,
            chunks: watched.chunks,
            vectors: VectorsView {
                done: watched.vectors.done,
                pending: watched.vectors.pending,
                embedded_now: watched.embedded_now,
            },
            bytes: outcome.bytes,
            duration_ms: outcome.duration_ms,
            pages_per_s: outcome.pages_per_s,
            left_out: outcome.left_out,
            raw_missed: outcome.raw_missed,
            summaries: watched.summaries.as_ref(),
            errors: outcome.errors.iter().map(problem).collect(),
        }
    }
}

fn problem(problem: &tasks::UrlProblem) -> String {
    format!("{}: {} ({})", problem.url, problem.detail, problem.reason)
}

pub fn report(app: &App, watched: &WatchedCrawl) -> Result<()> {
    let paint = Paint::stdout();
    let outcome = &watched.outcome;
    let counts = outcome.pages;
    let stored = counts.stored();
    let seconds = outcome.duration_ms as f64 / 1000.0;
    let headline = if watched.interrupted() {
        paint.yellow("Stopped; everything so far is kept.")
    } else if stored == 0 {
        paint.red("Nothing was stored.")
    } else {
        paint.green("Searchable.")
    };
    line(format!(
        "{headline} {} pages fetched in {seconds:.1} s ({:.0} pages/s, {})",
        thousands(counts.fetched),
        outcome.pages_per_s,
        bytes(outcome.bytes),
    ))?;
    line(format!(
        "  found {} = added {} + updated {} + unchanged {} + failed {} + skipped {}{}",
        thousands(counts.found),
        thousands(counts.added),
        thousands(counts.updated),
        thousands(counts.unchanged),
        thousands(counts.failed),
        thousands(counts.skipped),
        if outcome.queued > 0 {
            format!(" + queued {}", thousands(outcome.queued))
        } else {
            String::new()
        },
    ))?;
    let reasons = watched.reasons.iter();
    for reason in reasons.filter(|reason| reason.class != "raw") {
        let label = format!("{} {}", reason.class, reason.reason);
        let example = reason.examples.first().map_or("", String::as_str);
        line(format!(
            "  {label:<24} {:>6}  {}",
            thousands(reason.count),
            paint.dim(&format!("e.g. {example}"))
        ))?;
    }
    if outcome.left_out.traps > 0 {
        line(format!(
            "  {} links left out as endless (calendars, session ids)",
            outcome.left_out.traps
        ))?;
    }
    if let Some(missed) = outcome.raw_missed.filter(|missed| *missed > 0) {
        line(format!(
            "  {} {} pages are stored without a raw copy; `gleaner doctor` looks at the archive",
            paint.yellow("archive:"),
            thousands(missed),
        ))?;
    }
    let vectors = watched.vectors;
    line(format!(
        "  {} chunks; vectors: {} done, {} pending{}",
        thousands(watched.chunks),
        thousands(vectors.done),
        thousands(vectors.pending),
        if vectors.failed > 0 {
            format!(", {} failed", vectors.failed)
        } else {
            String::new()
        },
    ))?;
    for error in &outcome.errors {
        line(format!(
            "  {} {}",
            paint.red("start page not stored:"),
            problem(error)
        ))?;
    }
    if watched.interrupted() {
        line("  Run the same command again to go on.")?;
    } else if stored == 0 {
        line(format!("  {}", advice(outcome)))?;
    } else {
        if watched.stopped || vectors.pending > 0 {
            line("  `gleaner embed` computes the pending vectors; keyword search works now.")?;
        }
        line(format!(
            "  Try: {}",
            paint.cyan(&format!("gleaner search{} '…'", data_dir_flag(app)))
        ))?;
    }
    match &watched.summaries {
        Some(made) if made.pages + made.unsaved == 0 && made.is_whole() => {
            line("Nothing to summarise: every page has a summary of its present text.")
        }
        Some(made) => summarize::report(app, made, watched.stopped),
        None => Ok(()),
    }
}

/// What to do when no page could be stored.
fn advice(outcome: &CrawlOutcome) -> &'static str {
    let reason = outcome
        .errors
        .first()
        .map_or("", |problem| problem.reason.as_str());
    match reason {
        "dns" => "Check the spelling of the host name and this machine's network.",
        "connect" => "Nothing answers there; check the port, or whether the server is up.",
        "tls" => {
            "No secure connection: a server without TLS wants http://, one with a certificate of your own authority fetch.ca_file."
        }
        "timeout" => "The server answers too slowly; raise fetch.total_timeout_ms to wait longer.",
        "private_address" => {
            "Private addresses are refused; add --allow-private CIDR if this network is yours."
        }
        "robots" => "The site's robots.txt disallows the start page for crawlers.",
        "robots_unreachable" => "robots.txt cannot be read, so nothing may be fetched; try later.",
        "not_found" | "client_error" => "Check the address in a browser, then crawl that one.",
        "server_error" | "throttled" => {
            "The server has trouble; try again later, or with --delay-ms."
        }
        "content_type" => "Start from an HTML page, a sitemap or a feed.",
        "too_large" => "The body is over fetch.body_bytes_max; raise it if you trust the site.",
        "redirect_loop" => "The address redirects in a circle; try the one a browser ends at.",
        "empty" => "The page has no text of its own (perhaps it is built by scripts).",
        _ => "`--log info` shows what happened.",
    }
}
