//! Crawling a source: the same code for a person's `gleaner crawl`, a
//! worker's scheduled run and a list of URLs to scrape.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::Context;
use extract::RecordRules;
use serde::{Deserialize, Serialize};
use store::{CrawlControl, CrawlStatus, NewSource, NewTask, Store, TakenUp};
use types::{CanonicalUrl, CrawlId, FailReason, SourceId};

use super::kind::{Outcome, RetryDelay, StopReason, TaskContext, TaskFailure, TaskKind};
use super::new::{self, CRAWL, SCRAPE, SCRAPE_BATCH};
use super::outcome::CrawlOutcome;
use super::summarize;
use crate::app::parse_seed;
use crate::pipeline::crawl::CrawlReport;
use crate::pipeline::progress::Progress;
use crate::pipeline::settings::SourceSettings;
use crate::pipeline::start::{self, CrawlOrder, clean_up, policy_json, seed_urls};
use crate::pipeline::visit::Depth;

/// Payload of [`CRAWL`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrawlPayload {
    pub source: i64,
    /// False: chunks are left pending for whoever embeds next.
    #[serde(default = "yes")]
    pub embed: bool,
    /// Only these URLs, and nothing they link to: a recrawl of known pages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
}

/// Payload of [`SCRAPE`] and [`SCRAPE_BATCH`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScrapePayload {
    pub urls: Vec<String>,
    /// Kept with the task, for whoever groups pages by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brand: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
}

fn yes() -> bool {
    true
}

/// Crawls a source: takes an unfinished crawl of it up again, or begins one.
#[derive(Debug)]
pub struct CrawlSource;

impl TaskKind for CrawlSource {
    fn name(&self) -> &'static str {
        CRAWL
    }

    fn retry(&self) -> RetryDelay {
        RetryDelay::Crawl
    }

    fn goes_on(&self) -> bool {
        true
    }

    fn run(&self, context: &TaskContext) -> Result<Outcome, TaskFailure> {
        let payload: CrawlPayload = context.payload()?;
        let services = &context.services;
        let store = context.store()?;
        let source = SourceId(payload.source);
        let row = store
            .source(source)?
            .filter(|row| row.tenant == context.task.tenant && row.removed_at.is_none())
            .ok_or_else(|| permanent(format!("there is no source {source}")))?;
        let settings = SourceSettings::from_json(&row.settings).map_err(TaskFailure::Permanent)?;
        let record_rules = settings
            .record_rules()
            .map_err(|error| permanent(format!("the source's record rules: {error}")))?
            .map(Arc::new);
        let settings = settings.over(&services.app.config.crawl);
        let then = Then {
            embed: payload.embed,
            summarize: settings.summarize,
        };
        let urls = if payload.urls.is_empty() {
            &row.seeds
        } else {
            &payload.urls
        };
        let order = Order {
            source,
            seeds: seeds(urls)?,
            follow: payload.urls.is_empty(),
            policy: policy_json(&settings),
            settings,
            record_rules,
            embed: payload.embed,
        };
        let (report, outcome) = match order.run(context)? {
            Ended::Finished(finished) => *finished,
            Ended::Early(outcome) => return Ok(outcome),
        };
        super::source_outcome::record(services, &row, &report, &outcome)?;
        clean_up(&services.app, &store)?;
        finished(context, &outcome, &report, then)
    }
}

/// Stores the pages at given URLs, of whatever hosts, and follows no links.
#[derive(Debug)]
pub struct Scrape {
    name: &'static str,
}

impl Scrape {
    pub const ONE: Scrape = Scrape { name: SCRAPE };
    pub const BATCH: Scrape = Scrape { name: SCRAPE_BATCH };
}

/// The source that scraped pages belong to.
pub const SCRAPED: &str = "gleaner:scraped";

impl TaskKind for Scrape {
    fn name(&self) -> &'static str {
        self.name
    }

    fn goes_on(&self) -> bool {
        true
    }

    fn run(&self, context: &TaskContext) -> Result<Outcome, TaskFailure> {
        let payload: ScrapePayload = context.payload()?;
        let services = &context.services;
        let seeds = seeds(&payload.urls)?;
        let settings = SourceSettings {
            concurrency: payload.max_concurrent,
            delay_ms: payload.delay_ms,
            ..SourceSettings::default()
        }
        .over(&services.app.config.crawl);
        let then = Then {
            embed: true,
            summarize: settings.summarize,
        };
        let source = context.store()?.ensure_source(NewSource {
            tenant: context.task.tenant,
            name: "scraped pages".to_owned(),
            seeds: vec![SCRAPED.to_owned()],
            policy: "{}".to_owned(),
        })?;
        let order = Order {
            source,
            seeds,
            follow: false,
            policy: policy_json(&settings),
            settings,
            record_rules: None,
            embed: true,
        };
        let (report, outcome) = match order.run(context)? {
            Ended::Finished(finished) => *finished,
            Ended::Early(outcome) => return Ok(outcome),
        };
        finished(context, &outcome, &report, then)
    }
}

/// A crawl as a task runs it.
struct Order {
    source: SourceId,
    seeds: Vec<CanonicalUrl>,
    follow: bool,
    policy: String,
    settings: crate::config::CrawlConfig,
    record_rules: Option<Arc<RecordRules>>,
    embed: bool,
}

enum Ended {
    Finished(Box<(CrawlReport, CrawlOutcome)>),
    /// It will go on in another run.
    Early(Outcome),
}

/// A source that another task crawls is tried again after so long.
const BUSY_FOR: Duration = Duration::from_secs(60);
/// A paused crawl waits until it is resumed, or for so long.
const PAUSED_FOR: Duration = Duration::from_secs(365 * 24 * 3600);

impl Order {
    fn run(self, context: &TaskContext) -> Result<Ended, TaskFailure> {
        let services = &context.services;
        let store = context.store()?;
        let taken_up = store.take_up_crawl(
            context.id(),
            self.source,
            &self.policy,
            seed_urls(&self.seeds),
            !self.follow,
        )?;
        let (crawl, resumed) = match taken_up {
            TakenUp::Started(crawl) => (crawl, false),
            TakenUp::Resumed(crawl) => (crawl, true),
            TakenUp::Ended(crawl) => return self.told_again(context, &store, crawl),
            TakenUp::RunBy(other) => {
                return Ok(Ended::Early(Outcome::Later {
                    after: BUSY_FOR,
                    why: format!("task {other} crawls this source"),
                }));
            }
        };
        let follow_ups = if self.embed && services.embeds() {
            vec![new::embed(context.task.tenant)]
        } else {
            Vec::new()
        };
        // Who watches a crawl wants its vectors as soon as it ends.
        let follow_ups_after = match context.foreground {
            Some(_) => Duration::ZERO,
            None => new::EMBED_LINGER,
        };
        let order = CrawlOrder {
            tenant: context.task.tenant,
            crawl,
            seeds: self.seeds,
            settings: self.settings,
            record_rules: self.record_rules,
            follow: self.follow,
            depth: Depth::Store,
            follow_ups,
            follow_ups_after,
        };
        let progress = match &context.foreground {
            Some(foreground) => foreground.progress.clone(),
            None => Arc::default(),
        };
        let shown = progress.clone();
        context.show(move || gauge(&shown));
        let mut report = start::run(services, &store, &order, &progress, context.stop())?;
        let cancelled = report.control == CrawlControl::Cancel
            || context.stop_reason() == Some(StopReason::Cancelled);
        if report.interrupted && cancelled {
            report.row = store.cancel_crawl(crawl)?;
            report.interrupted = false;
        }
        if context.stop_reason() == Some(StopReason::Cancelled) && context.foreground.is_none() {
            return Ok(Ended::Early(Outcome::Stopped));
        }
        let outcome = CrawlOutcome::new(&report, self.source, resumed);
        let pages = outcome.pages;
        tracing::info!(
            crawl = outcome.crawl_id,
            source = outcome.source_id,
            status = %outcome.status,
            found = pages.found,
            added = pages.added,
            updated = pages.updated,
            unchanged = pages.unchanged,
            failed = pages.failed,
            skipped = pages.skipped,
            pages_per_s = outcome.pages_per_s,
            "crawled"
        );
        if let Some(foreground) = &context.foreground {
            *foreground
                .outcome
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = Some(outcome.clone());
        }
        if !report.interrupted {
            return Ok(Ended::Finished(Box::new((report, outcome))));
        }
        Ok(Ended::Early(if context.stop_reason().is_some() {
            Outcome::Stopped
        } else {
            Outcome::Later {
                after: PAUSED_FOR,
                why: "paused".to_owned(),
            }
        }))
    }

    /// The end of a crawl whose task did not get to tell of it: nothing is
    /// asked for a second time.
    fn told_again(
        &self,
        context: &TaskContext,
        store: &Store,
        crawl: CrawlId,
    ) -> Result<Ended, TaskFailure> {
        let report = start::report_of_ended(&context.services, store, crawl)?;
        tracing::info!(crawl = crawl.0, source = self.source.0, "had been crawled");
        let outcome = CrawlOutcome::new(&report, self.source, true);
        Ok(Ended::Finished(Box::new((report, outcome))))
    }
}

fn gauge(progress: &Progress) -> types::Progress {
    types::Progress {
        completed: progress.done.load(Ordering::Relaxed),
        total: Some(progress.found.load(Ordering::Relaxed)),
        current: progress.current(),
        errors: progress.failed.load(Ordering::Relaxed),
    }
}

/// What follows on a crawl.
#[derive(Clone, Copy, Debug)]
struct Then {
    embed: bool,
    summarize: bool,
}

/// A crawl that stored nothing is a failed task: for another attempt when the
/// reason may pass, for good otherwise. In the foreground the person decides.
fn finished(
    context: &TaskContext,
    outcome: &CrawlOutcome,
    report: &CrawlReport,
    then: Then,
) -> Result<Outcome, TaskFailure> {
    let is_cancelled = report.row.status == CrawlStatus::Cancelled;
    if is_cancelled || outcome.pages.stored() > 0 || context.foreground.is_some() {
        // Who cancels a crawl does not want it to cost any more.
        let summarize = then.summarize && !is_cancelled;
        return done(context, outcome, Then { summarize, ..then });
    }
    let Some(problem) = outcome.errors.first() else {
        return done(context, outcome, then);
    };
    let error = anyhow::anyhow!("{}: {} ({})", problem.url, problem.detail, problem.reason);
    if may_pass(&problem.reason) {
        Err(TaskFailure::Transient(error))
    } else {
        Err(TaskFailure::Permanent(error))
    }
}

/// What still waits for its vectors need not wait for more of this crawl, and
/// summaries of its pages begin. Both are queued in the transaction that ends
/// the task: a task that is killed before it asks for them when it is run again,
/// one that has ended is not run again.
fn done(context: &TaskContext, outcome: &CrawlOutcome, then: Then) -> Result<Outcome, TaskFailure> {
    let services = &context.services;
    let tenant = context.task.tenant;
    let store = context.store()?;
    let mut follow_ups = Vec::new();
    let embeds = then.embed && services.embeds() && context.foreground.is_none();
    if embeds && store.embedding_progress()?.pending > 0 {
        follow_ups.push(new::embed(tenant));
    }
    if then.summarize && outcome.pages.stored() > 0 {
        let source = SourceId(outcome.source_id);
        follow_ups.extend(summarize::after_crawl(&store, tenant, source)?);
    }
    let result = serde_json::to_value(outcome).map_err(|e| TaskFailure::Permanent(e.into()))?;
    Ok(Outcome::Done {
        result: Some(result),
        follow_ups,
    })
}

fn may_pass(reason: &str) -> bool {
    use FailReason::{
        BreakerOpen, Connect, Dns, RobotsUnreachable, ServerError, Throttled, Timeout,
    };
    let passing = [
        Dns,
        Connect,
        Timeout,
        ServerError,
        Throttled,
        RobotsUnreachable,
        BreakerOpen,
    ];
    FailReason::from_code(reason).is_some_and(|reason| passing.contains(&reason))
}

fn seeds(urls: &[String]) -> Result<Vec<CanonicalUrl>, TaskFailure> {
    urls.iter()
        .map(|url| parse_seed(url))
        .collect::<anyhow::Result<Vec<_>>>()
        .and_then(|seeds| {
            (!seeds.is_empty())
                .then_some(seeds)
                .context("there is no URL to start from")
        })
        .map_err(TaskFailure::Permanent)
}

fn permanent(message: String) -> TaskFailure {
    TaskFailure::Permanent(anyhow::anyhow!(message))
}

/// Tasks that crawl, as they are enqueued.
pub fn crawl_task(tenant: types::TenantId, payload: &CrawlPayload) -> anyhow::Result<NewTask> {
    let mut task = new::task(tenant, CRAWL, payload)?;
    if payload.urls.is_empty() {
        task.dedupe = Some(crawl_key(SourceId(payload.source)));
    }
    task.attempts_max = 4;
    Ok(task)
}

/// At most one crawl of a source waits.
pub fn crawl_key(source: SourceId) -> String {
    format!("crawl:{source}")
}
