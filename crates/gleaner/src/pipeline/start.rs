//! A crawl as a person asks for it: settings become stages, an unfinished
//! crawl of the same seeds is taken up again, and indexing and embedding run
//! beside it.

use std::hash::RandomState;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use chunk::ChunkConfig;
use crossbeam_channel::bounded;
use embed::Embedder;
use extract::ExtractLimits;
use frontier::{BreakerPolicy, PacePolicy, RetryPolicy, Scope, ScopeKind, ScopeRules, UrlPolicy};
use search::{IndexMode, KeywordIndex};
use store::{EmbeddingProgress, FrontierKind, ModelChange, NewSource, NewUrl, Store};
use tokio::sync::watch;
use types::{CanonicalUrl, SourceId, Timestamp};

use super::backlog::{Backlog, BacklogReport};
use super::crawl::{self, CrawlPlan, CrawlReport, CrawlStages};
use super::fetching::Fetching;
use super::index::Indexer;
use super::links::Links;
use super::pdf::PdfLimits;
use super::progress::Progress;
use super::robots::RobotsReader;
use super::visit::{Depth, Visitor};
use crate::app::{App, is_loopback, threads};
use crate::config::CrawlConfig;

/// URLs per host held in memory; the rest waits in the store.
const WINDOW_PER_HOST: usize = 256;
/// Longest `Retry-After` that is waited for; a longer one ends the URL.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(120);
/// Finished crawls of each source whose URL rows are kept.
const CRAWLS_KEPT: usize = 2;
const RETRY_DELAY_MAX: Duration = Duration::from_secs(60);

/// A crawl to run.
#[derive(Clone, Debug)]
pub struct CrawlRequest {
    pub seeds: Vec<CanonicalUrl>,
    /// Set on the command line: they win over the loopback defaults.
    pub concurrency: Option<u32>,
    pub delay_ms: Option<u64>,
    pub allow_private: Vec<String>,
    /// Embed beside and after the crawl.
    pub embedder: Option<Embedder>,
    /// Benchmarks switch stages off.
    pub depth: Depth,
    pub index: bool,
}

/// A crawl that ran.
#[derive(Debug)]
pub struct CrawlResult {
    pub source: SourceId,
    pub resumed: bool,
    pub report: CrawlReport,
    /// From start to searchable by keyword, this run alone.
    pub searchable_after: Duration,
    /// What of that the crawl itself took, over all its runs.
    pub backlog: Option<BacklogReport>,
    pub embedding: EmbeddingProgress,
    pub chunks: u64,
}

/// Runs a crawl until it is searchable and, with an embedder, until its backlog
/// is done. `on_searchable` is called between the two.
pub fn crawl(
    app: &App,
    store: &Store,
    request: &CrawlRequest,
    progress: &Arc<Progress>,
    stop: &watch::Receiver<bool>,
    on_searchable: impl FnOnce(),
) -> Result<CrawlResult> {
    let settings = &app.config.crawl;
    let rules = scope_rules(settings)?;
    let mut scope = Scope::new(&request.seeds, &rules).context("read the crawl's scope")?;
    let source = store.ensure_source(NewSource {
        tenant: app.tenant,
        name: request
            .seeds
            .first()
            .map_or_else(String::new, |seed| seed.host().to_owned()),
        seeds: request
            .seeds
            .iter()
            .map(|seed| seed.as_str().to_owned())
            .collect(),
        policy: policy_json(settings, request),
    })?;
    let unfinished = store.unfinished_crawl(source)?;
    let resumed = unfinished.is_some();
    let crawl_id = match unfinished {
        Some(row) => {
            for target in store.seed_redirects(row.id)? {
                if let Ok(seed) = CanonicalUrl::parse(&target) {
                    scope.add_seed(&seed);
                }
            }
            row.id
        }
        None => store.start_crawl(source, &policy_json(settings, request), seed_urls(request))?,
    };
    if let Some(embedder) = &request.embedder {
        use_model(store, embedder)?;
    }

    let url_policy = url_policy(app);
    let links = Arc::new(Links::new(url_policy, scope, settings.redirects_max));
    let fetcher = app.fetcher(&request.seeds, &request.allow_private)?;
    let extract_limits = ExtractLimits {
        links_max: app.config.extract.links_max,
        text_bytes_max: app.config.extract.text_bytes_max,
        ..ExtractLimits::default()
    };
    let stages = CrawlStages {
        store: store.clone(),
        fetching: Fetching {
            fetcher: fetcher.clone(),
            retry: RetryPolicy {
                attempts_max: settings.attempts_max,
                base: Duration::from_millis(settings.retry_base_ms),
                cap: RETRY_DELAY_MAX,
                retry_after_cap: RETRY_AFTER_MAX,
            },
            clock: app.clock.clone(),
            random: RandomState::new(),
        },
        robots: RobotsReader {
            store: store.clone(),
            fetcher,
            clock: app.clock.clone(),
            ttl: Duration::from_secs(settings.robots_ttl_hours * 3600),
            obey: settings.robots,
        },
        visitor: Visitor {
            store: store.clone(),
            tenant: app.tenant,
            links: links.clone(),
            progress: progress.clone(),
            extract_limits,
            chunk_config: chunk_config(app)?,
            pdf: app.config.extract.pdf.then(|| PdfLimits {
                timeout: Duration::from_secs(app.config.extract.pdf_timeout_s),
                memory_mb: app.config.extract.pdf_memory_mb,
                text_bytes_max: app.config.extract.text_bytes_max,
            }),
            follow_nofollow: settings.follow_nofollow,
            read_feeds: settings.feeds,
            depth: request.depth,
        },
        links,
        clock: app.clock.clone(),
        progress: progress.clone(),
    };
    let plan = CrawlPlan {
        crawl: crawl_id,
        seeds: request.seeds.clone(),
        pace: pace(settings, request),
        pages_max: settings.pages_max,
        pipeline_pages_max: settings.pipeline_pages_max,
        pipeline_bytes_max: settings.pipeline_bytes_max,
        cpu_threads: threads(settings.cpu_threads),
        batch_pages: settings.batch_pages,
        sitemaps: settings.sitemaps,
    };

    let start = Instant::now();
    let stop_backlog = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut bells = Vec::new();
        let indexer = if request.index {
            let (bell, rung) = bounded(1);
            bells.push(bell);
            let heap_bytes = app.config.index.heap_mb * 1024 * 1024;
            let index = KeywordIndex::open_with(&app.index_dir(), IndexMode::Write, heap_bytes)?;
            let indexer = Indexer {
                store: store.clone(),
                index,
                commit_every: Duration::from_millis(app.config.index.commit_ms),
                progress: progress.clone(),
            };
            Some(scope.spawn(move || indexer.follow(&rung)))
        } else {
            None
        };
        let backlog = request.embedder.as_ref().map(|embedder| {
            let (bell, rung) = bounded(1);
            bells.push(bell);
            let stop_backlog = &stop_backlog;
            let progress = progress.clone();
            scope.spawn(move || {
                Backlog {
                    store,
                    embedder,
                    progress,
                    stop: stop_backlog,
                }
                .follow(&rung)
            })
        });
        let report = crawl::run(&plan, &stages, bells, stop.clone());
        let failed = report.is_err();
        if failed || *stop.borrow() {
            stop_backlog.store(true, Ordering::Relaxed);
        }
        let indexed = indexer.map(|handle| handle.join().expect("bug: the indexer panicked"));
        let report = report?;
        indexed
            .transpose()
            .context("update the keyword index; `gleaner reindex` rebuilds it")?;
        let searchable_after = start.elapsed();

        let backlog = match backlog {
            None => None,
            Some(handle) => {
                on_searchable();
                while !handle.is_finished() {
                    if *stop.borrow() {
                        stop_backlog.store(true, Ordering::Relaxed);
                    }
                    std::thread::park_timeout(Duration::from_millis(50));
                }
                Some(
                    handle
                        .join()
                        .expect("bug: the backlog panicked")
                        .context("embed chunks")?,
                )
            }
        };
        clean_up(app, store)?;
        Ok(CrawlResult {
            source,
            resumed,
            report,
            searchable_after,
            backlog,
            embedding: store.embedding_progress()?,
            chunks: store.stats()?.chunks,
        })
    })
}

/// Drops what has done its service: URL rows of crawls long finished, and
/// cached vectors of texts that nobody has used for a while.
pub fn clean_up(app: &App, store: &Store) -> Result<()> {
    store.prune_frontier(CRAWLS_KEPT)?;
    let kept_ms = i64::try_from(app.config.embed.cache_days).unwrap_or(i64::MAX);
    let kept_ms = kept_ms.saturating_mul(24 * 3600 * 1000);
    store.purge_vector_cache(Timestamp(app.clock.now().0.saturating_sub(kept_ms)))?;
    Ok(())
}

/// Makes the embedder's model the store's model; other vectors are dropped
/// and embedded again.
pub fn use_model(store: &Store, embedder: &Embedder) -> Result<()> {
    match store.set_embedding_model(embedder.model_id(), embedder.dims())? {
        ModelChange::Changed { repending } if repending > 0 => {
            tracing::info!(
                chunks = repending,
                "the embedding model changed; embedding again"
            );
        }
        _ => {}
    }
    Ok(())
}

pub fn chunk_config(app: &App) -> Result<ChunkConfig> {
    let settings = &app.config.chunk;
    let config = ChunkConfig {
        tokens_max: settings.tokens_max,
        tokens_overlap: settings.tokens_overlap,
        tokens_min: settings.tokens_min,
        tldr_words_max: settings.tldr_words_max,
        keywords_max: settings.keywords_max,
    };
    config
        .validate()
        .map_err(|problem| anyhow::anyhow!("in [chunk]: {problem}"))?;
    Ok(config)
}

fn url_policy(app: &App) -> UrlPolicy {
    let defaults = UrlPolicy::default();
    let mut strip_params = defaults.strip_params;
    strip_params.extend(app.config.crawl.strip_params.iter().cloned());
    UrlPolicy {
        strip_params,
        sort_query: app.config.crawl.sort_query,
        url_bytes_max: app.config.fetch.url_bytes_max,
    }
}

fn scope_rules(settings: &CrawlConfig) -> Result<ScopeRules> {
    let kind: ScopeKind = settings.scope.parse().map_err(|_| {
        anyhow::anyhow!("scope is host, domain or subpath, not `{}`", settings.scope)
    })?;
    Ok(ScopeRules {
        kind,
        include: settings.include.clone(),
        exclude: settings.exclude.clone(),
        depth_max: (settings.depth_max > 0).then_some(settings.depth_max),
    })
}

fn pace(settings: &CrawlConfig, request: &CrawlRequest) -> PacePolicy {
    let local = request.seeds.iter().all(is_loopback);
    let (per_host, delay_ms) = if local {
        (
            settings.loopback_concurrency_per_host,
            settings.loopback_delay_ms,
        )
    } else {
        (settings.concurrency_per_host, settings.delay_ms)
    };
    PacePolicy {
        delay: Duration::from_millis(request.delay_ms.unwrap_or(delay_ms)),
        concurrency_per_host: request.concurrency.unwrap_or(per_host),
        concurrency: request.concurrency.unwrap_or(settings.concurrency),
        crawl_delay_max: Duration::from_millis(settings.crawl_delay_max_ms),
        breaker: BreakerPolicy {
            failures: settings.breaker_failures,
            open_for: Duration::from_secs(settings.breaker_open_s),
            breaker_wait_max: Duration::from_secs(settings.breaker_wait_max_s),
        },
        window_per_host: WINDOW_PER_HOST,
    }
}

fn seed_urls(request: &CrawlRequest) -> Vec<NewUrl> {
    request
        .seeds
        .iter()
        .map(|url| NewUrl {
            url: url.clone(),
            kind: seed_kind(url),
            depth: 0,
        })
        .collect()
}

/// A seed that names a sitemap by its path is read as one; everything else
/// is a page until its content says otherwise.
fn seed_kind(url: &CanonicalUrl) -> FrontierKind {
    let path = url.as_url().path().to_ascii_lowercase();
    let is_sitemap = path.rsplit('/').next().is_some_and(|name| {
        name.contains("sitemap") && (name.ends_with(".xml") || name.ends_with(".xml.gz"))
    });
    if is_sitemap {
        FrontierKind::Sitemap
    } else {
        FrontierKind::Page
    }
}

/// What the crawl was asked to do, kept with it for the record.
fn policy_json(settings: &CrawlConfig, request: &CrawlRequest) -> String {
    serde_json::json!({
        "scope": settings.scope,
        "include": settings.include,
        "exclude": settings.exclude,
        "depth_max": settings.depth_max,
        "pages_max": settings.pages_max,
        "delay_ms": request.delay_ms.unwrap_or(settings.delay_ms),
        "robots": settings.robots,
        "allow_private": request.allow_private,
    })
    .to_string()
}
