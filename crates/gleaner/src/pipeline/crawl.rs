//! One crawl from seeds to the last commit.
//!
//! The coordinator ([`super::coordinator`]) runs on one async thread: it decides
//! what is next, starts requests, and hears of results. Around it stand the CPU
//! pool ([`super::visit`]), the writer ([`super::write`]), the indexer
//! ([`super::index`]) and the embedding backlog ([`super::backlog`]), each a
//! thread of its own. Nothing is remembered here that the store does not know:
//! after a crash the same command finds the queued rows and goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Context, Result};
use store::{CrawlControl, CrawlRow};
use tokio::sync::{mpsc, watch};
use types::{CanonicalUrl, SkipReason};

use super::archive::Archiver;
use super::coordinator::{Channels, Coordinated, Coordinator, Event};
use super::fetching::Job;
use super::lease::keep_leases;
use super::links::LeftOut;
use super::plan::{CrawlPlan, CrawlStages};
use super::write::{Ending, Visited, Writer};

/// How a crawl ended.
#[derive(Debug)]
pub struct CrawlReport {
    pub row: CrawlRow,
    /// Stopped with work left, by the caller or by the crawl's control.
    pub interrupted: bool,
    pub control: CrawlControl,
    pub left_out: LeftOut,
    /// New versions without a raw copy; `None` where none are kept.
    pub raw_missed: Option<u64>,
    /// Start pages that were not stored, and why.
    pub seed_endings: Vec<(CanonicalUrl, Ending)>,
}

/// A run of a crawl, whose end is not in the store yet.
pub(super) struct Ran {
    pub(super) interrupted: bool,
    pub(super) seed_endings: Vec<(CanonicalUrl, Ending)>,
}

/// Works until nothing is queued any more, or until `stop` is set or the crawl
/// is asked to pause or to end. What is under way is finished and stored in any
/// case.
pub(super) fn run(
    plan: &CrawlPlan,
    stages: &CrawlStages,
    stop: watch::Receiver<bool>,
) -> Result<Ran> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the network runtime")?;
    let taken_up = stages.store.crawl(plan.crawl)?;
    let (events_in, events) = mpsc::unbounded_channel();
    let (jobs_in, jobs) = crossbeam_channel::bounded::<Job>(plan.pipeline_pages_max + 1);
    let (visits_in, visits) = crossbeam_channel::bounded::<Visited>(plan.pipeline_pages_max + 1);
    let body_bytes = Arc::new(AtomicU64::new(0));
    let leases_done = AtomicBool::new(false);
    let (lease_bell, lease_timer) = crossbeam_channel::bounded::<()>(1);

    let outcome = std::thread::scope(|scope| -> Result<Coordinated> {
        for worker in 0..plan.cpu_threads {
            let (jobs, visits_in) = (jobs.clone(), visits_in.clone());
            let (visitor, body_bytes) = (&stages.visitor, body_bytes.clone());
            let permits = &stages.permits;
            std::thread::Builder::new()
                .name(format!("extract-{worker}"))
                .spawn_scoped(scope, move || {
                    visitor.visit_all(permits, &jobs, &visits_in, &body_bytes);
                })
                .context("start an extraction thread")?;
        }
        drop(jobs);
        let (visits, archiver) = match &stages.raw {
            None => (visits, None),
            Some(raw) => {
                let (out, archived) =
                    crossbeam_channel::bounded::<Visited>(plan.pipeline_pages_max + 1);
                let archiver = Archiver {
                    store: stages.store.clone(),
                    raw: raw.clone(),
                    permits: stages.permits.clone(),
                    tenant: plan.tenant,
                    source: taken_up.source,
                    crawl: plan.crawl,
                };
                (archived, Some((archiver, visits, out)))
            }
        };
        if let Some((archiver, visits, out)) = archiver {
            let body_bytes = body_bytes.clone();
            std::thread::Builder::new()
                .name("archive".into())
                .spawn_scoped(scope, move || archiver.run(&visits, &out, &body_bytes))
                .context("start the archive thread")?;
        }
        let writer = Writer {
            store: stages.store.clone(),
            crawl: plan.crawl,
            source: taken_up.source,
            counts: taken_up.counts,
            batch_pages: plan.batch_pages,
            progress: stages.progress.clone(),
            metrics: stages.metrics.clone(),
            window: stages.window.clone(),
            follow_ups: plan.follow_ups.clone(),
            follow_ups_after: plan.follow_ups_after,
            clock: stages.clock.clone(),
            archives: stages.raw.is_some(),
        };
        let written = events_in.clone();
        std::thread::Builder::new()
            .name("writer".into())
            .spawn_scoped(scope, move || {
                // The coordinator is gone only once it has ended the crawl.
                writer.run(&visits, |event| drop(written.send(Event::Written(event))));
            })
            .context("start the writer thread")?;
        let (store, clock) = (stages.store.clone(), stages.clock.clone());
        let leases_done = &leases_done;
        std::thread::Builder::new()
            .name("leases".into())
            .spawn_scoped(scope, move || {
                keep_leases(
                    &store,
                    &plan.lease_owner,
                    clock.as_ref(),
                    &lease_timer,
                    leases_done,
                );
            })
            .context("start the lease thread")?;

        let channels = Channels {
            events: events_in,
            jobs: jobs_in,
            visits: visits_in,
            body_bytes: body_bytes.clone(),
        };
        let coordinated = Coordinator::new(plan, stages, channels, stop.clone())
            .and_then(|coordinator| runtime.block_on(coordinator.run(events, stop)));
        // Requests still under way after an error hold the stages' channels open.
        drop(runtime);
        leases_done.store(true, Ordering::Relaxed);
        drop(lease_bell);
        coordinated
    })?;

    let now = stages.clock.now();
    for (host, rest_until) in &outcome.resting {
        stages
            .store
            .release_host_lease(host, &plan.lease_owner, *rest_until)?;
    }
    stages.store.release_host_leases(&plan.lease_owner, now)?;
    if !outcome.interrupted && outcome.limit_reached {
        let detail = format!("more than {} pages", plan.pages_max);
        stages
            .store
            .skip_queued(plan.crawl, SkipReason::PageLimit, &detail)?;
    }
    Ok(Ran {
        interrupted: outcome.interrupted,
        seed_endings: outcome.seed_endings,
    })
}
