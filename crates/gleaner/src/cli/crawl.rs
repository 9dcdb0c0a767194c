//! `gleaner crawl` and `gleaner embed`: tasks, run here and watched.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use anyhow::{Context, Result, bail};
use store::{Access, NewSource, SourceEdit, SourceSchedule, Store};
use types::{CanonicalUrl, Priority, SourceId};

use super::args::{CrawlArgs, CrawlSettingsArgs, EmbedWhen};
use super::crawl_report::{CrawlView, WatchedCrawl, report};
use super::here::{Here, LOOK_EVERY};
use super::output::{Exit, json_line, line, note, shows_progress, thousands};
use super::source::typed_over;
use super::summarize;
use crate::app::{App, is_loopback, parse_seed};
use crate::config::{CrawlConfig, EmbedProvider};
use crate::pipeline::progress::Progress;
use crate::pipeline::settings::SourceSettings;
use crate::pipeline::start::policy_json;
use crate::services::Services;
use crate::tasks::{self, CrawlPayload, Foreground};

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
    let mut app = app.clone();
    let allowed = args.allow_private.iter().cloned();
    app.config.fetch.allow_private.extend(allowed);
    let typed = Typed {
        seeds,
        settings: args.settings.clone(),
        embed: args.embed,
        summarize: args.summarize,
    };
    let watched = watched_crawl(&app, &typed)?;
    if app.json {
        json_line(&CrawlView::new(&watched))?;
    } else {
        report(&app, &watched)?;
    }
    Ok(watched.exit())
}

/// A crawl as typed.
#[derive(Clone, Debug)]
pub struct Typed {
    pub seeds: Vec<CanonicalUrl>,
    pub settings: CrawlSettingsArgs,
    pub embed: EmbedWhen,
    /// This once, also if the source does not ask for it.
    pub summarize: bool,
}

/// Runs the crawl of a source as a task of this process, under Ctrl-C and a
/// progress view, embeds what it found unless told otherwise, and summarises it
/// if asked to.
pub fn watched_crawl(app: &App, typed: &Typed) -> Result<WatchedCrawl> {
    let store = app.open_store(Access::Write)?;
    tasks::rechunk_if_needed(app, &store)?;
    let (source, settings) = source_of(app, &store, typed)?;
    let embeds = typed.embed == EmbedWhen::Wait && app.config.embed.provider != EmbedProvider::Off;
    let mut task = tasks::crawl_task(
        app.tenant,
        &CrawlPayload {
            source: source.0,
            embed: typed.embed != EmbedWhen::Off,
            urls: Vec::new(),
        },
    )?;
    task.priority = Priority::HIGH;
    let foreground = Arc::new(Foreground::default());
    let services = Services::start(app, store, foreground.progress.clone())?
        .with_typed_seeds(typed.seeds.clone());
    let mut here = Here::start(
        app,
        services,
        if embeds {
            &[tasks::EMBED, tasks::RECHUNK]
        } else {
            &[]
        },
        shows_progress(app),
    )?;
    if embeds {
        // Says at once if the model cannot be used, not after the crawl.
        here.services.embedder()?;
    }
    let store = here.services.store.shard_of_source(source)?;
    let ending = here.run(&store, task, Some(foreground.clone()), &busy_source(source))?;
    let outcome = foreground
        .outcome
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    let Some(outcome) = outcome else {
        let error = ending
            .error
            .unwrap_or_else(|| "the crawl was stopped".to_owned());
        bail!(error);
    };
    let interrupted = outcome.status == "interrupted";
    if embeds && !interrupted {
        embed_all(&here)?;
    }
    let asks_for_summaries = typed.summarize || settings.summarize;
    let has_pages = outcome.status == "completed" && outcome.pages.stored() > 0;
    let summaries = if asks_for_summaries && has_pages && !here.stopped() {
        here.view.finish();
        summarize::after_crawl(app, &here, source)?
    } else {
        None
    };
    let progress = &foreground.progress;
    let watched = WatchedCrawl {
        stopped: here.stopped(),
        chunks: here.services.store.stats()?.chunks,
        vectors: here.services.store.embedding_progress()?,
        embedded_now: embeds.then(|| progress.texts_embedded.load(Ordering::Relaxed)),
        reasons: here
            .services
            .store
            .crawl_reasons(types::CrawlId(outcome.crawl_id))?,
        outcome,
        summaries,
    };
    here.end()?;
    Ok(watched)
}

/// The source with these seeds. What is typed wins over the configuration. A
/// source with a schedule keeps the settings that were not typed; any other
/// one is crawled just as the command says, but for its record rules and
/// whether it is summarised: they are of the site, not of one crawl.
fn source_of(app: &App, store: &Store, typed: &Typed) -> Result<(SourceId, CrawlConfig)> {
    let seeds: Vec<String> = typed.seeds.iter().map(ToString::to_string).collect();
    let source = store.ensure_source(NewSource {
        tenant: app.tenant,
        name: typed
            .seeds
            .first()
            .map_or_else(String::new, |seed| seed.host().to_owned()),
        seeds,
        policy: "{}".to_owned(),
    })?;
    let known = store.source(source)?.context("bug: the source vanished")?;
    let known_settings = SourceSettings::from_json(&known.settings)?;
    let before = if known.schedule == SourceSchedule::default() {
        SourceSettings {
            record: known_settings.record,
            summarize: known_settings.summarize,
            ..SourceSettings::default()
        }
    } else {
        known_settings
    };
    let settings = typed_over(&before, &typed.settings)?;
    let crawl = settings.over(&app.config.crawl);
    let edit = SourceEdit {
        settings: Some(settings.to_json()?),
        policy: Some(policy_json(&crawl)),
        ..SourceEdit::default()
    };
    store.edit_source(source, edit)?;
    Ok((source, crawl))
}

fn busy_source(source: SourceId) -> impl Fn(i64, &str) -> String {
    move |task, worker| {
        format!(
            "source {source} is being crawled already, by process {} (task {task}); \
             `gleaner task watch {task}` follows it",
            worker.split('-').next().unwrap_or(worker)
        )
    }
}

/// Waits until no chunk is pending, whoever embeds them, or an endpoint is
/// down: they stay pending then.
fn embed_all(here: &Here) -> Result<()> {
    here.view.embedding();
    let store = &here.services.store;
    let tenant = here.services.app.tenant;
    let put_off_before = tasks::put_off(store, tenant, tasks::EMBED)?;
    // What was put off before is tried again now.
    tasks::enqueue_embedding(store, tenant)?;
    let mut enqueued = 0;
    loop {
        if here.stopped() {
            here.worker.stop();
            return Ok(());
        }
        let vectors = store.embedding_progress()?;
        let progress = &here.services.progress;
        progress.vectors_done.store(vectors.done, Ordering::Relaxed);
        progress
            .vectors_pending
            .store(vectors.pending, Ordering::Relaxed);
        if vectors.pending == 0 {
            return Ok(());
        }
        let put_off = tasks::put_off(store, tenant, tasks::EMBED)?;
        if let Some(now) = put_off.into_iter().find(|p| !put_off_before.contains(p)) {
            note(now.why);
            return Ok(());
        }
        if !tasks::is_at_work(store, tasks::EMBED)? {
            // Its attempts are used up, or it ended just before more came.
            if enqueued == 3 {
                return Ok(());
            }
            enqueued += 1;
            tasks::enqueue_embedding(store, tenant)?;
        }
        std::thread::park_timeout(LOOK_EVERY);
    }
}

/// `gleaner embed`
pub fn embed(app: &App) -> Result<Exit> {
    if app.config.embed.provider == EmbedProvider::Off {
        bail!("embedding is off; set embed.provider = \"local\" or \"http\"");
    }
    let store = app.open_store(Access::Write)?;
    let progress: Arc<Progress> = Arc::default();
    let before = store.embedding_progress()?;
    let services = Services::start(app, store, progress.clone())?;
    let here = Here::start(app, services, &[tasks::EMBED], shows_progress(app))?;
    here.services.embedder()?.context("bug: embedding is on")?;
    here.services.store.retry_failed_chunks()?;
    embed_all(&here)?;
    let left = here.services.store.embedding_progress()?;
    let stopped = here.stopped();
    here.end()?;
    let chunks = left.done.saturating_sub(before.done);
    let embedded = progress.texts_embedded.load(Ordering::Relaxed);
    let cached = progress.texts_cached.load(Ordering::Relaxed);
    if app.json {
        json_line(&serde_json::json!({
            "chunks": chunks, "embedded": embedded, "cached": cached,
            "failed": left.failed, "pending": left.pending,
        }))?;
    } else {
        line(format!(
            "Embedded {} chunks ({} texts computed, {} from the cache); {} pending, {} failed",
            thousands(chunks),
            thousands(embedded),
            thousands(cached),
            thousands(left.pending),
            thousands(left.failed),
        ))?;
    }
    Ok(if stopped || left.pending + left.failed > 0 {
        Exit::Partly
    } else {
        Exit::Ok
    })
}
