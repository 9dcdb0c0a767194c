//! Settings become the stages of a crawl, which then runs until its pages are
//! searchable.

use std::hash::RandomState;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use chunk::ChunkConfig;
use extract::{ExtractLimits, RecordRules};
use frontier::{BreakerPolicy, PacePolicy, RetryPolicy, Scope, ScopeKind, ScopeRules, UrlPolicy};
use store::{FrontierKind, NewTask, NewUrl, Store};
use tokio::sync::watch;
use types::{CanonicalUrl, CrawlId, TenantId, Timestamp};

use super::crawl::{self, CrawlReport};
use super::fetching::Fetching;
use super::links::{LeftOut, Links};
use super::pdf::PdfLimits;
use super::plan::{CrawlPlan, CrawlStages};
use super::progress::Progress;
use super::robots::RobotsReader;
use super::visit::{Depth, Visitor};
use crate::app::{App, is_loopback, threads};
use crate::config::CrawlConfig;
use crate::services::Services;

/// URLs per host held in memory; the rest waits in the store.
const WINDOW_PER_HOST: usize = 256;
/// Longest `Retry-After` that is waited for; a longer one ends the URL.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(120);
/// Finished crawls of each source whose URL rows are kept.
const CRAWLS_KEPT: usize = 2;
const RETRY_DELAY_MAX: Duration = Duration::from_secs(60);

/// A crawl to run: it exists in the store, with its seeds queued.
#[derive(Clone, Debug)]
pub struct CrawlOrder {
    pub tenant: TenantId,
    pub crawl: CrawlId,
    pub seeds: Vec<CanonicalUrl>,
    pub settings: CrawlConfig,
    /// The source's own rules for records.
    pub record_rules: Option<Arc<RecordRules>>,
    /// Whether links, sitemaps and feeds lead on from the seeds.
    pub follow: bool,
    /// Benchmarks switch stages off.
    pub depth: Depth,
    /// Enqueued with each batch of pages, to run `follow_ups_after` it at the latest.
    pub follow_ups: Vec<NewTask>,
    pub follow_ups_after: Duration,
}

/// Runs a crawl until it is searchable, or stopped. `store` has the crawl's
/// database alone.
pub fn run(
    services: &Services,
    store: &Store,
    order: &CrawlOrder,
    progress: &Arc<Progress>,
    stop: watch::Receiver<bool>,
) -> Result<CrawlReport> {
    let start = Instant::now();
    let (plan, stages) = plan(services, store, order, progress)?;
    let ran = crawl::run(&plan, &stages, stop);
    // Also after a failure: what was stored can be found.
    let flushed = services.flush_index();
    let active_ms = i64::try_from(start.elapsed().as_millis()).unwrap_or(i64::MAX);
    let ran = match (ran, flushed) {
        (Ok(ran), Ok(())) => ran,
        (ran, flushed) => {
            store.add_active_ms(order.crawl, active_ms)?;
            flushed?;
            return Err(ran
                .err()
                .context("bug: neither the crawl nor the index failed")?);
        }
    };
    let row = if ran.interrupted {
        services.metrics.crawls.ended("interrupted");
        store.add_active_ms(order.crawl, active_ms)?;
        store.crawl(order.crawl)?
    } else {
        services.metrics.crawls.ended("completed");
        // Its end and its figures are seen together.
        store.complete_crawl(order.crawl, active_ms)?
    };
    progress.set_counts(&row.counts);
    let keeps_raw = stages.raw.is_some();
    Ok(CrawlReport {
        raw_missed: raw_missed(store, order.crawl, keeps_raw)?,
        interrupted: ran.interrupted,
        control: row.control,
        left_out: stages.links.left_out(),
        seed_endings: ran.seed_endings,
        row,
    })
}

/// The report of a crawl that has reached its end already, perhaps in another
/// process. What was left out on the way is known to nobody any more.
pub fn report_of_ended(services: &Services, store: &Store, crawl: CrawlId) -> Result<CrawlReport> {
    services.flush_index()?;
    let row = store.crawl(crawl)?;
    Ok(CrawlReport {
        raw_missed: raw_missed(store, crawl, services.raw.is_some())?,
        interrupted: false,
        control: row.control,
        left_out: LeftOut::default(),
        seed_endings: Vec::new(),
        row,
    })
}

fn raw_missed(store: &Store, crawl: CrawlId, keeps_raw: bool) -> Result<Option<u64>> {
    if !keeps_raw {
        return Ok(None);
    }
    let reasons = store.crawl_reasons(crawl)?;
    let missed = reasons.iter().filter(|reason| reason.class == "raw");
    Ok(Some(missed.map(|reason| reason.count).sum()))
}

fn plan(
    services: &Services,
    store: &Store,
    order: &CrawlOrder,
    progress: &Arc<Progress>,
) -> Result<(CrawlPlan, CrawlStages)> {
    let (app, settings) = (&services.app, &order.settings);
    let mut rules = scope_rules(settings)?;
    if !order.follow {
        rules.depth_max = Some(0);
    }
    let mut scope = Scope::new(&order.seeds, &rules).context("read the crawl's scope")?;
    // What the seeds of a crawl taken up again redirected to is in scope too.
    for target in store.seed_redirects(order.crawl)? {
        if let Ok(seed) = CanonicalUrl::parse(&target) {
            scope.add_seed(&seed);
        }
    }
    let links = Arc::new(Links::new(url_policy(app), scope, settings.redirects_max));
    let fetcher = app.fetcher(&services.typed_seeds, &[])?;
    // Benchmarks that store nothing keep nothing.
    let raw = services.raw.clone().filter(|_| order.depth == Depth::Store);
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
            keeps_heads: raw.is_some(),
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
            tenant: order.tenant,
            links: links.clone(),
            progress: progress.clone(),
            metrics: services.metrics.clone(),
            extract_limits: extract_limits(app),
            record_rules: order.record_rules.clone(),
            chunk_config: chunk_config(app)?,
            pdf: app.config.extract.pdf.then(|| PdfLimits {
                timeout: Duration::from_secs(app.config.extract.pdf_timeout_s),
                memory_mb: app.config.extract.pdf_memory_mb,
                text_bytes_max: app.config.extract.text_bytes_max,
            }),
            follow_nofollow: settings.follow_nofollow,
            read_feeds: settings.feeds && order.follow,
            depth: order.depth,
        },
        links,
        permits: services.permits.clone(),
        window: services.window.clone(),
        clock: app.clock.clone(),
        progress: progress.clone(),
        metrics: services.metrics.clone(),
        raw,
    };
    let plan = CrawlPlan {
        crawl: order.crawl,
        tenant: order.tenant,
        lease_owner: format!("{}:crawl{}", store.instance(), order.crawl),
        seeds: order.seeds.clone(),
        pace: pace(settings, &order.seeds),
        pages_max: settings.pages_max,
        pipeline_pages_max: settings.pipeline_pages_max,
        pipeline_bytes_max: settings.pipeline_bytes_max,
        cpu_threads: threads(settings.cpu_threads),
        batch_pages: settings.batch_pages,
        sitemaps: settings.sitemaps && order.follow,
        follow_ups: order.follow_ups.clone(),
        follow_ups_after: order.follow_ups_after,
    };
    Ok((plan, stages))
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

pub fn extract_limits(app: &App) -> ExtractLimits {
    ExtractLimits {
        links_max: app.config.extract.links_max,
        text_bytes_max: app.config.extract.text_bytes_max,
        ..ExtractLimits::default()
    }
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

/// The scope of a crawl, or what is wrong with its settings.
pub fn scope_of(seeds: &[CanonicalUrl], settings: &CrawlConfig) -> Result<Scope> {
    Scope::new(seeds, &scope_rules(settings)?).context("read the crawl's scope")
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

fn pace(settings: &CrawlConfig, seeds: &[CanonicalUrl]) -> PacePolicy {
    let local = seeds.iter().all(is_loopback);
    let (per_host, delay_ms) = if local {
        (
            settings.loopback_concurrency_per_host,
            settings.loopback_delay_ms,
        )
    } else {
        (settings.concurrency_per_host, settings.delay_ms)
    };
    PacePolicy {
        delay: Duration::from_millis(delay_ms),
        concurrency_per_host: per_host,
        concurrency: settings.concurrency,
        crawl_delay_max: Duration::from_millis(settings.crawl_delay_max_ms),
        breaker: BreakerPolicy {
            failures: settings.breaker_failures,
            open_for: Duration::from_secs(settings.breaker_open_s),
            breaker_wait_max: Duration::from_secs(settings.breaker_wait_max_s),
        },
        window_per_host: WINDOW_PER_HOST,
    }
}

/// Seeds as rows of the frontier.
pub fn seed_urls(seeds: &[CanonicalUrl]) -> Vec<NewUrl> {
    seeds
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

/// What a crawl was asked to do, kept with it for the record.
pub fn policy_json(settings: &CrawlConfig) -> String {
    serde_json::json!({
        "scope": settings.scope,
        "include": settings.include,
        "exclude": settings.exclude,
        "depth_max": settings.depth_max,
        "pages_max": settings.pages_max,
        "delay_ms": settings.delay_ms,
        "robots": settings.robots,
    })
    .to_string()
}
