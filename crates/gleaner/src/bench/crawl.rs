//! `gleaner bench crawl`: from nothing to searchable, over loopback.
//!
//! The server is part of this process and shares its cores, so what is
//! reported is less than the crawler alone could do. Every run crawls into a
//! fresh data folder; `--data-dir` chooses the disk these lie on.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use store::{Access, NewSource};
use types::CanonicalUrl;

use super::crawl_report::{EVERYTHING, Measured, PARTS, Run, Variant, WITH_EMBEDDING, print, view};
use super::report::{peak_memory_bytes, process_cpu, reset_peak_memory};
use super::site::{BenchSite, Interrupt};
use crate::app::App;
use crate::cli::BenchCrawlArgs;
use crate::cli::output::{Exit, json_line, note};
use crate::config::EmbedProvider;
use crate::pipeline::progress::{Progress, Stage};
use crate::pipeline::settings::SourceSettings;
use crate::pipeline::start::{self, CrawlOrder};
use crate::pipeline::visit::Depth;
use crate::services::Services;
use crate::tasks::{self, Worker};

pub fn run(app: &App, args: &BenchCrawlArgs) -> Result<Exit> {
    let site = BenchSite::serve(&args.dir, Duration::from_millis(args.latency_ms))?;
    if args.serve_only {
        return site.serve_until_interrupted(app);
    }
    if args.runs == 0 {
        bail!("--runs must be at least 1");
    }
    let mut variants = vec![];
    if args.stages {
        variants.extend(PARTS);
    }
    variants.push(EVERYTHING);
    if args.stages && app.config.embed.provider != EmbedProvider::Off {
        variants.push(WITH_EMBEDDING);
    }
    let interrupt = Interrupt::listen()?;
    let mut runs: Vec<Vec<Run>> = vec![Vec::new(); variants.len()];
    // In turns: whatever else slows the machine down for a while then falls on
    // all variants, and their ratios hold.
    for number in 1..=args.runs {
        for (variant, runs) in variants.iter().zip(&mut runs) {
            let run = run_once(app, args, &site, *variant, &interrupt)?;
            note(format!(
                "run {number} of {}, {}: {:.0} pages/s",
                args.runs,
                variant.name,
                run.pages_per_s()
            ));
            runs.push(run);
        }
    }
    let measured = variants
        .into_iter()
        .zip(runs)
        .map(|(variant, runs)| Measured::of(variant, runs))
        .collect::<Result<Vec<_>>>()?;
    if app.json {
        json_line(&view(args, &site, &measured))?;
    } else {
        print(args, &site, &measured)?;
    }
    Ok(Exit::Ok)
}

fn run_once(
    app: &App,
    args: &BenchCrawlArgs,
    site: &BenchSite,
    variant: Variant,
    interrupt: &Interrupt,
) -> Result<Run> {
    let stop = interrupt.rearm()?;
    let folder = fresh_folder(app)?;
    let app = bench_app(app, args, folder.path());
    let store = app.open_store(Access::Write)?;
    let seeds = vec![site.seed()?];
    let progress: Arc<Progress> = Arc::default();
    let services = if variant.index {
        Services::start(&app, store, progress.clone())?
    } else {
        Services::without_index(&app, store, progress.clone())?
    };
    let services = Arc::new(services.with_typed_seeds(seeds.clone()));
    let order = order(&services, variant, seeds)?;
    let embedder = if variant.embed {
        services.embedder()?
    } else {
        None
    };
    let worker = match &embedder {
        Some(_) => Some(Worker::start(
            &services,
            tasks::options(&app, &[tasks::EMBED]),
        )?),
        None => None,
    };
    let can_measure_memory = reset_peak_memory();
    let requests_before = site.requests();
    let cpu_before = process_cpu();
    let tokens = || {
        embedder
            .as_ref()
            .map_or(0, |embedder| embedder.stats().tokens)
    };
    let tokens_before = tokens();
    let begun = Instant::now();
    let report = start::run(&services, &services.store, &order, &progress, stop)?;
    // What is left then is the backlog, which is not what is measured.
    let took = begun.elapsed();
    let cpu = process_cpu() - cpu_before;
    let memory_peak_bytes = peak_memory_bytes().filter(|_| can_measure_memory);
    let tokens_embedded = tokens() - tokens_before;
    interrupt.check()?;
    if let Some(worker) = worker {
        worker.join()?;
    }
    let counts = report.row.counts;
    let pages = if variant.depth == Depth::Store {
        counts.added + counts.updated + counts.unchanged
    } else {
        counts.fetched
    };
    if pages == 0 {
        bail!("no page of the site was crawled from {}", site.start_url());
    }
    let run = Run {
        pages,
        failed: counts.failed,
        requests: site.requests() - requests_before,
        wire_bytes: report.row.bytes,
        chunks: services.store.stats()?.chunks,
        took,
        cpu,
        stages: Stage::ALL
            .iter()
            .map(|stage| (*stage, progress.stage_time(*stage)))
            .collect(),
        fetch_p50: progress.fetch_quantile(0.5),
        fetch_p95: progress.fetch_quantile(0.95),
        memory_peak_bytes,
        tokens_embedded,
    };
    drop(embedder);
    if let Ok(services) = Arc::try_unwrap(services) {
        // Ends the embedder: the next run must not share the cores with it.
        services.close()?;
    }
    Ok(run)
}

fn order(services: &Services, variant: Variant, seeds: Vec<CanonicalUrl>) -> Result<CrawlOrder> {
    let (app, store) = (&services.app, &services.store);
    let source = store.ensure_source(NewSource {
        tenant: app.tenant,
        name: "bench".to_owned(),
        seeds: seeds.iter().map(ToString::to_string).collect(),
        policy: "{}".to_owned(),
    })?;
    let crawl = store.start_crawl(source, "{}", start::seed_urls(&seeds))?;
    Ok(CrawlOrder {
        tenant: app.tenant,
        crawl,
        seeds,
        settings: app.config.crawl.clone(),
        record_rules: None,
        follow: true,
        depth: variant.depth,
        follow_ups_after: Duration::ZERO,
        follow_ups: if variant.embed {
            vec![tasks::embed(app.tenant)]
        } else {
            Vec::new()
        },
    })
}

pub(super) fn fresh_folder(app: &App) -> Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("gleaner-bench-");
    if !app.data_dir_given {
        return builder.tempdir().context("make a temporary data folder");
    }
    let dir = app.data_dir();
    std::fs::create_dir_all(dir)
        .and_then(|()| builder.tempdir_in(dir))
        .with_context(|| format!("make a temporary folder in {}", dir.display()))
}

/// The user's settings, but for those that would stop the crawl early or get
/// URLs from elsewhere than links.
fn bench_app(app: &App, args: &BenchCrawlArgs, data_dir: &Path) -> App {
    let mut app = app.clone();
    app.stay_embedded();
    app.config.data_dir = data_dir.to_owned();
    let crawl = &mut app.config.crawl;
    crawl.pages_max = 0;
    crawl.depth_max = 0;
    crawl.sitemaps = false;
    crawl.include.clear();
    crawl.exclude.clear();
    "host".clone_into(&mut crawl.scope);
    let settings = SourceSettings {
        concurrency: Some(args.concurrency),
        delay_ms: Some(0),
        ..SourceSettings::default()
    };
    app.config.crawl = settings.over(&app.config.crawl);
    app
}
