//! `gleaner summarize`

use std::sync::{Arc, PoisonError};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use search::{Filters, SearchRequest};
use store::{Access, SummaryState};
use types::{PageId, SourceId};

use super::here::{Busy, Here};
use super::output::{
    Exit, Paint, data_dir_flag, json_line, line, note, paragraph, shorten, shows_progress,
    thousands,
};
use super::search::search;
use super::text_args::SummarizeArgs;
use crate::app::App;
use crate::operations::summaries::{self as operations, Plan, Selection};
use crate::searching::parse_mode;
use crate::services::Services;
use crate::summaries::batch::{PageDone, Report};
use crate::summaries::estimate::Estimate;
use crate::tasks::{self, Foreground, SummarizeOutcome};
use crate::view::SummaryView;

pub fn run(app: &App, args: &SummarizeArgs) -> Result<Exit> {
    let selection = Selection {
        urls: args.url.clone(),
        pages: args.page.clone(),
        source: args.source,
        query: args.query.clone(),
        limit: args.limit,
        again: operations::again(&args.again)?,
        extractive: args.extractive,
    };
    let store = app.open_store(Access::Write)?;
    let services = Services::start(app, store, Arc::default())?;
    let plan = operations::plan(
        &services.store,
        app.tenant,
        &selection,
        app.clock.now(),
        |query, limit| find(app, query, limit),
    )?;
    if args.dry_run {
        let estimate = operations::preview(&services, app.tenant, &plan)?;
        services.close()?;
        return preview(app, &plan, &estimate);
    }
    let is_of_named_pages = !args.url.is_empty() || !args.page.is_empty();
    let here = Here::start(app, services, &[], false)?;
    let outcome = work(app, args.verbose, &here, &plan)?;
    let named = if is_of_named_pages {
        let rows = here
            .services
            .store
            .page_summaries(app.tenant, &plan.named)?;
        rows.iter().map(SummaryView::new).collect()
    } else {
        Vec::new()
    };
    let stopped = here.stopped();
    here.end()?;
    if app.json {
        json_line(&serde_json::json!({
            "result": outcome, "known": plan.known, "stopped": stopped, "summaries": named,
        }))?;
    } else {
        for summary in &named {
            show(summary)?;
        }
        if plan.pages == 0 {
            line(NOTHING_TO_DO)?;
        } else {
            report(app, &outcome, stopped)?;
        }
    }
    let is_whole = !stopped && outcome.is_whole();
    Ok(if is_whole { Exit::Ok } else { Exit::Partly })
}

const NOTHING_TO_DO: &str =
    "Nothing to do: every page that was chosen has a summary of its present text.";

/// What waits of a source that was just crawled. The task that its crawl has
/// queued, if it did, is the one that runs here; `None`: another process does.
pub fn after_crawl(app: &App, here: &Here, source: SourceId) -> Result<Option<SummarizeOutcome>> {
    let selection = Selection {
        source: Some(source.0),
        ..Selection::default()
    };
    let plan = operations::plan(
        &here.services.store,
        app.tenant,
        &selection,
        app.clock.now(),
        |_, _| bail!("bug: nothing is searched for"),
    )?;
    match work(app, false, here, &plan) {
        Ok(outcome) => Ok(Some(outcome)),
        Err(error) if error.is::<Busy>() => {
            note(error.to_string());
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn find(app: &App, query: &str, limit: usize) -> Result<Vec<PageId>> {
    let request = SearchRequest {
        tenant: app.tenant,
        query: query.to_owned(),
        mode: parse_mode(&app.config.search.mode)?,
        limit,
        filters: Filters::default(),
        ..SearchRequest::default()
    };
    let found = search(app, &request).context("search for the pages")?;
    Ok(found.hits.iter().map(|hit| hit.page).collect())
}

/// One database after the other, each by a task that runs here.
fn work(app: &App, verbose: bool, here: &Here, plan: &Plan) -> Result<SummarizeOutcome> {
    let bar = shows_progress(app).then(|| progress_bar(plan.pages));
    let mut total = SummarizeOutcome {
        ended: "done".to_owned(),
        ..SummarizeOutcome::default()
    };
    for (store, payload) in &plan.parts {
        if here.stopped() {
            total.ended = "stopped".to_owned();
            break;
        }
        let (bar_here, before, verbose) = (bar.clone(), total.pages, verbose && !app.json);
        let on_page = move |done: &PageDone, report: &Report| {
            if let Some(bar) = &bar_here {
                bar.set_position(before + report.pages());
            }
            if verbose {
                let told = page_line(done);
                match &bar_here {
                    Some(bar) => bar.suspend(|| drop(line(told))),
                    None => drop(line(told)),
                }
            }
        };
        let foreground = Arc::new(Foreground {
            on_page: Some(Box::new(on_page)),
            ..Foreground::default()
        });
        let task = tasks::summarize_task(app.tenant, payload)?;
        let busy = |task: i64, worker: &str| {
            format!(
                "these pages are being summarised already, by process {} (task {task}); \
                 `gleaner task watch {task}` follows it",
                worker.split('-').next().unwrap_or(worker)
            )
        };
        let ending = here.run(store, task, Some(foreground.clone()), &busy)?;
        let summary = &foreground.summary;
        let part = summary
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(part) = part else {
            bail!(ending.error.unwrap_or_else(|| "it was stopped".to_owned()));
        };
        add(&mut total, part);
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    Ok(total)
}

fn add(total: &mut SummarizeOutcome, part: SummarizeOutcome) {
    total.pages += part.pages;
    total.done += part.done;
    total.fallback += part.fallback;
    total.failed += part.failed;
    total.unsaved += part.unsaved;
    total.seconds += part.seconds;
    total.llm.add(&part.llm);
    total.model = part.model;
    if part.ended != "done" {
        total.ended = part.ended;
    }
}

fn progress_bar(pages: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(pages), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template(
        "{bar:30.cyan/dim} {pos}/{len} pages summarised, {elapsed} so far, {eta} left",
    );
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}

fn page_line(done: &PageDone) -> String {
    let paint = Paint::stdout();
    let state = match done.state {
        SummaryState::Done => paint.green("done    "),
        SummaryState::Fallback => paint.yellow("fallback"),
        SummaryState::Failed => paint.red("failed  "),
    };
    let mut told = format!("{state} {}", done.url);
    if done.figures.tokens() > 0 {
        let seconds = done.figures.took().as_secs_f64();
        let tokens = thousands(done.figures.tokens());
        told.push_str(&paint.dim(&format!("  {tokens} tokens, {seconds:.1} s")));
    }
    if !done.is_saved {
        told.push_str(&paint.dim("  not kept: the page has changed or was summarised meanwhile"));
    }
    if let Some(error) = &done.error {
        told.push_str(&format!("\n         {}", shorten(error, 160)));
    }
    told
}

/// A summary for a person to read.
pub fn show(summary: &SummaryView) -> Result<()> {
    let paint = Paint::stdout();
    line(paint.bold(&summary.title))?;
    line(format!("  {}", paint.green(&summary.url)))?;
    paragraph("  ", &summary.summary)?;
    for point in &summary.key_points {
        paragraph("  - ", point)?;
    }
    if !summary.entities.is_empty() {
        let names = summary
            .entities
            .iter()
            .map(|e| format!("{} ({})", e.name, e.kind));
        paragraph("  ", &paint.dim(&names.collect::<Vec<_>>().join(", ")))?;
    }
    let by = match (summary.status, summary.model.as_str()) {
        ("done", model) => format!("by {model}"),
        ("fallback", _) => "of the page's own sentences".to_owned(),
        (status, _) => status.to_owned(),
    };
    let error = summary.error.as_deref();
    let error = error.map(|error| format!(": {}", shorten(error, 160)));
    let age = if summary.current {
        ""
    } else {
        "; the page has changed since"
    };
    line(paint.dim(&format!("  {by}{}{age}\n", error.unwrap_or_default())))
}

fn preview(app: &App, plan: &Plan, estimate: &Estimate) -> Result<Exit> {
    if app.json {
        json_line(&serde_json::json!({ "estimate": estimate, "known": plan.known }))?;
        return Ok(Exit::Ok);
    }
    let pages = thousands(estimate.pages);
    if estimate.pages == 0 {
        line(NOTHING_TO_DO)?;
    } else if estimate.model.is_empty() {
        line(format!(
            "Would summarise {pages} pages by their own sentences: no language model is asked, it costs nothing."
        ))?;
    } else {
        line(format!(
            "Would summarise {pages} pages by {}:",
            estimate.model
        ))?;
        line(format!(
            "  about {} calls, {} tokens in, {} tokens out",
            thousands(estimate.calls),
            thousands(estimate.tokens_in),
            thousands(estimate.tokens_out),
        ))?;
        match (estimate.cost, &estimate.currency) {
            (Some(cost), Some(currency)) => line(format!("  about {cost:.2} {currency}"))?,
            _ => line("  no price is configured for this model (llm.prices)")?,
        }
        line(format!(
            "  at least {} by the configured limits",
            minutes(estimate.seconds_min)
        ))?;
    }
    line("Nothing was asked and nothing was written.")?;
    Ok(Exit::Ok)
}

fn minutes(seconds: u64) -> String {
    if seconds < 120 {
        format!("{seconds} s")
    } else {
        format!("{} min", seconds.div_ceil(60))
    }
}

/// What became of the pages that waited.
pub fn report(app: &App, outcome: &SummarizeOutcome, stopped: bool) -> Result<()> {
    let paint = Paint::stdout();
    let headline = if stopped || outcome.ended == "stopped" {
        paint.yellow("Stopped; everything so far is kept.")
    } else if outcome.ended == "budget" {
        paint.yellow("The tenant's tokens of the day are used up; the rest goes on tomorrow.")
    } else {
        paint.green("Summarised.")
    };
    let by = if outcome.model.is_empty() {
        format!("{} by their own sentences", thousands(outcome.fallback))
    } else {
        format!(
            "{} by {}, {} by their own sentences",
            thousands(outcome.done),
            outcome.model,
            thousands(outcome.fallback),
        )
    };
    line(format!(
        "{headline} {} pages in {:.1} s: {by}{}",
        thousands(outcome.pages),
        outcome.seconds,
        if outcome.failed > 0 {
            format!(", {} without any text", thousands(outcome.failed))
        } else {
            String::new()
        },
    ))?;
    let figures = &outcome.llm;
    if figures.calls() > 0 {
        line(format!(
            "  {} calls in {} requests, {} failed; {} tokens in, {} out; {:.1} s a call",
            thousands(figures.calls()),
            thousands(figures.attempts),
            thousands(figures.calls_failed),
            thousands(figures.tokens_in),
            thousands(figures.tokens_out),
            figures.took().as_secs_f64() / figures.calls() as f64,
        ))?;
    }
    if outcome.unsaved > 0 {
        line(format!(
            "  {} were not kept: their pages have changed or were summarised meanwhile",
            thousands(outcome.unsaved)
        ))?;
    }
    if stopped || outcome.ended != "done" {
        line("  Run the same command again to go on.")?;
    } else if outcome.fallback > 0 && !outcome.model.is_empty() {
        line(format!(
            "  Again: {}",
            paint.cyan(&format!(
                "gleaner summarize{} --again fallback",
                data_dir_flag(app)
            ))
        ))?;
    } else if outcome.model.is_empty() && outcome.llm.calls() == 0 {
        note(
            "note: no language model is configured ([llm] in gleaner.toml); sentences of the pages stand in",
        );
    }
    Ok(())
}
