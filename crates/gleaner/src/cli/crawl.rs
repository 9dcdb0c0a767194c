//! `gleaner crawl` and `gleaner embed`.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use store::{Access, CrawlCounts, Store};

use super::args::{CrawlArgs, EmbedWhen};
use super::live::LiveView;
use super::output::{Exit, Paint, bytes, json_line, line, note, thousands};
use super::stop;
use crate::app::{App, is_loopback, parse_seed};
use crate::pipeline::backlog::Backlog;
use crate::pipeline::progress::Progress;
use crate::pipeline::start::{self, CrawlRequest, CrawlResult};
use crate::pipeline::visit::Depth;

pub fn run(app: &App, args: &CrawlArgs) -> Result<Exit> {
    let seeds = args
        .urls
        .iter()
        .map(|url| parse_seed(url))
        .collect::<Result<Vec<_>>>()?;
    let public = seeds.iter().any(|seed| !is_loopback(seed));
    if public && app.config.fetch.contact_url.is_empty() && app.config.fetch.user_agent.is_empty() {
        note(
            "note: site owners cannot reach you; set fetch.contact_url in gleaner.toml \
             (or GLEANER__FETCH__CONTACT_URL) to a page about your crawler",
        );
    }
    if !app.config.crawl.robots {
        note("note: robots.txt is not obeyed (crawl.robots = false); the crawl records it");
    }
    let store = app.open_store(Access::Write)?;
    let embedder = match args.embed {
        EmbedWhen::Wait => app.embedder()?,
        EmbedWhen::Later | EmbedWhen::Off => None,
    };
    let request = CrawlRequest {
        seeds,
        concurrency: args.concurrency,
        delay_ms: args.delay_ms,
        allow_private: args.allow_private.clone(),
        embedder,
        depth: Depth::Store,
        index: true,
    };
    let (result, interrupted) = with_live_view(app, &store, &request)?;
    let exit = exit_code(&result, interrupted);
    if app.json {
        json_line(&CrawlView::new(&result, interrupted))?;
    } else {
        report(app, &store, &result, interrupted)?;
    }
    store.close()?;
    Ok(exit)
}

/// Runs a crawl under Ctrl-C and a progress view; says whether it was stopped.
pub fn with_live_view(
    app: &App,
    store: &Store,
    request: &CrawlRequest,
) -> Result<(CrawlResult, bool)> {
    let progress = Arc::new(Progress::default());
    let stop = stop::on_ctrl_c()?;
    let show = !app.json && std::io::stderr().is_terminal();
    let view = LiveView::start(progress.clone(), show);
    let result = start::crawl(app, store, request, &progress, &stop, || view.embedding());
    view.finish();
    let stopped = *stop.borrow();
    Ok((result?, stopped))
}

/// `gleaner embed`
pub fn embed(app: &App) -> Result<Exit> {
    let store = app.open_store(Access::Write)?;
    let embedder = app
        .embedder()?
        .context("embedding is off; set embed.provider = \"local\" or \"http\"")?;
    start::use_model(&store, &embedder)?;
    store.retry_failed_chunks()?;
    let progress = Arc::new(Progress::default());
    let stop = stop::on_ctrl_c()?;
    let show = !app.json && std::io::stderr().is_terminal();
    let view = LiveView::start(progress.clone(), show);
    view.embedding();
    let stopped = AtomicBool::new(false);
    let report = std::thread::scope(|scope| {
        let backlog = Backlog {
            store: &store,
            embedder: &embedder,
            progress,
            stop: &stopped,
        };
        let handle = scope.spawn(move || backlog.drain());
        while !handle.is_finished() {
            stopped.store(*stop.borrow(), Ordering::Relaxed);
            std::thread::park_timeout(Duration::from_millis(50));
        }
        handle.join().expect("bug: the backlog panicked")
    })?;
    view.finish();
    start::clean_up(app, &store)?;
    let left = store.embedding_progress()?;
    if app.json {
        json_line(&serde_json::json!({
            "chunks": report.chunks, "embedded": report.embedded, "cached": report.cached,
            "failed": left.failed, "pending": left.pending,
        }))?;
    } else {
        line(format!(
            "Embedded {} chunks ({} texts computed, {} from the cache); {} pending, {} failed",
            thousands(report.chunks),
            thousands(report.embedded),
            thousands(report.cached),
            thousands(left.pending),
            thousands(left.failed),
        ))?;
    }
    store.close()?;
    Ok(if left.pending + left.failed > 0 {
        Exit::Partly
    } else {
        Exit::Ok
    })
}

fn exit_code(result: &CrawlResult, interrupted: bool) -> Exit {
    let counts = result.report.row.counts;
    let stored = counts.added + counts.updated + counts.unchanged;
    if result.report.interrupted || interrupted {
        Exit::Partly
    } else if stored == 0 {
        Exit::Failed
    } else if !failed_seeds(result).is_empty() || result.embedding.failed > 0 {
        Exit::Partly
    } else {
        Exit::Ok
    }
}

/// Start pages that ended neither stored nor in a redirect or canonical page.
fn failed_seeds(result: &CrawlResult) -> Vec<String> {
    result
        .report
        .seed_endings
        .iter()
        .filter(|(_, ending)| {
            !matches!(
                ending.reason,
                "redirect" | "canonical" | "noindex" | "listing"
            )
        })
        .map(|(url, ending)| format!("{url}: {} ({})", ending.detail, ending.reason))
        .collect()
}

/// The object that `crawl --json` ends with.
#[derive(Debug, Serialize)]
pub struct CrawlView {
    crawl_id: i64,
    source_id: i64,
    status: &'static str,
    resumed: bool,
    pages: CountsView,
    chunks: u64,
    vectors: VectorsView,
    bytes: u64,
    duration_ms: u64,
    pages_per_s: f64,
    left_out: LeftOutView,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<String>,
}

#[derive(Debug, Serialize)]
struct CountsView {
    found: u64,
    fetched: u64,
    added: u64,
    updated: u64,
    unchanged: u64,
    failed: u64,
    skipped: u64,
}

#[derive(Debug, Serialize)]
struct VectorsView {
    done: u64,
    pending: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    embedded_now: Option<u64>,
}

#[derive(Debug, Serialize)]
struct LeftOutView {
    out_of_scope: u64,
    too_deep: u64,
    traps: u64,
    malformed: u64,
}

impl CrawlView {
    pub fn new(result: &CrawlResult, interrupted: bool) -> CrawlView {
        let row = &result.report.row;
        let CrawlCounts {
            found,
            fetched,
            added,
            updated,
            unchanged,
            failed,
            skipped,
        } = row.counts;
        let left_out = result.report.left_out;
        CrawlView {
            crawl_id: row.id.0,
            source_id: result.source.0,
            status: if interrupted && result.report.interrupted {
                "interrupted"
            } else {
                row.status.code()
            },
            resumed: result.resumed,
            pages: CountsView {
                found,
                fetched,
                added,
                updated,
                unchanged,
                failed,
                skipped,
            },
            chunks: result.chunks,
            vectors: VectorsView {
                done: result.embedding.done,
                pending: result.embedding.pending,
                embedded_now: result.backlog.map(|backlog| backlog.embedded),
            },
            bytes: row.bytes,
            duration_ms: duration_ms(result),
            pages_per_s: (pages_per_s(result) * 10.0).round() / 10.0,
            left_out: LeftOutView {
                out_of_scope: left_out.out_of_scope,
                too_deep: left_out.too_deep,
                traps: left_out.traps,
                malformed: left_out.malformed,
            },
            errors: failed_seeds(result),
        }
    }
}

/// Until searchable by keyword, over all runs of this crawl.
fn duration_ms(result: &CrawlResult) -> u64 {
    let earlier_and_this = u64::try_from(result.report.row.active_ms).unwrap_or(0);
    earlier_and_this.max(u64::try_from(result.searchable_after.as_millis()).unwrap_or(u64::MAX))
}

fn pages_per_s(result: &CrawlResult) -> f64 {
    let seconds = duration_ms(result) as f64 / 1000.0;
    if seconds > 0.0 {
        result.report.row.counts.fetched as f64 / seconds
    } else {
        0.0
    }
}

pub fn report(app: &App, store: &Store, result: &CrawlResult, interrupted: bool) -> Result<()> {
    let paint = Paint::stdout();
    let row = &result.report.row;
    let counts = row.counts;
    let stored = counts.added + counts.updated + counts.unchanged;
    let seconds = duration_ms(result) as f64 / 1000.0;
    let headline = if result.report.interrupted {
        paint.yellow("Stopped; everything so far is kept.")
    } else if stored == 0 {
        paint.red("Nothing was stored.")
    } else {
        paint.green("Searchable.")
    };
    line(format!(
        "{headline} {} pages fetched in {seconds:.1} s ({:.0} pages/s, {})",
        thousands(counts.fetched),
        pages_per_s(result),
        bytes(row.bytes),
    ))?;
    line(format!(
        "  found {} = added {} + updated {} + unchanged {} + failed {} + skipped {}{}",
        thousands(counts.found),
        thousands(counts.added),
        thousands(counts.updated),
        thousands(counts.unchanged),
        thousands(counts.failed),
        thousands(counts.skipped),
        if row.queued > 0 {
            format!(" + queued {}", thousands(row.queued))
        } else {
            String::new()
        },
    ))?;
    for reason in store.crawl_reasons(row.id)? {
        let label = format!("{} {}", reason.class, reason.reason);
        let example = reason.examples.first().map_or("", String::as_str);
        line(format!(
            "  {label:<24} {:>6}  {}",
            thousands(reason.count),
            paint.dim(&format!("e.g. {example}"))
        ))?;
    }
    let left_out = result.report.left_out;
    if left_out.traps > 0 {
        line(format!(
            "  {} links left out as endless (calendars, session ids)",
            left_out.traps
        ))?;
    }
    let vectors = result.embedding;
    line(format!(
        "  {} chunks; vectors: {} done, {} pending{}",
        thousands(result.chunks),
        thousands(vectors.done),
        thousands(vectors.pending),
        if vectors.failed > 0 {
            format!(", {} failed", vectors.failed)
        } else {
            String::new()
        },
    ))?;
    for problem in failed_seeds(result) {
        line(format!(
            "  {} {problem}",
            paint.red("start page not stored:")
        ))?;
    }
    if result.report.interrupted {
        line("  Run the same command again to go on.")?;
    } else if stored == 0 {
        line(format!("  {}", advice(result)))?;
    } else {
        if interrupted || vectors.pending > 0 {
            line("  `gleaner embed` computes the pending vectors; keyword search works now.")?;
        }
        line(format!(
            "  Try: {}",
            paint.cyan(&format!("gleaner search{} '…'", data_dir_flag(app)))
        ))?;
    }
    Ok(())
}

/// `--data-dir X` when this run was given one, so that hints can be pasted.
pub fn data_dir_flag(app: &App) -> String {
    if app.data_dir_given {
        format!(" --data-dir {}", app.data_dir().display())
    } else {
        String::new()
    }
}

/// What to do when no page could be stored.
fn advice(result: &CrawlResult) -> &'static str {
    let reason = result
        .report
        .seed_endings
        .first()
        .map_or("", |(_, ending)| ending.reason);
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
