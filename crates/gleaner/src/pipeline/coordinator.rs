//! The coordinator of a crawl: one async thread that asks the [`Dispatcher`]
//! what is next, starts requests, and hears what became of them. It remembers
//! nothing that the store does not know.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use crossbeam_channel::Sender;
use frontier::{Dispatcher, Next, QueuedUrl, UrlKind};
use store::{CrawlControl, FrontierKind, FrontierRow, NewUrl, Visit, VisitResult};
use tokio::sync::{mpsc, watch};
use types::{CanonicalUrl, FailReason, HostKey, SkipReason, Timestamp};

use super::archive::Raw;
use super::breakers::Breakers;
use super::fetching::{Job, Response, Signal};
use super::lease::{HostLease, stopped};
use super::plan::{CrawlPlan, CrawlStages};
use super::progress::Stage;
use super::robots::HostRules;
use super::window::Share;
use super::write::{Ending, Visited, Written};

/// How soon a crawl that waits for a slow host hears that it should pause or end.
const CONTROL_EVERY: Duration = Duration::from_secs(1);

/// What the rest of the pipeline tells the coordinator.
pub(super) enum Event {
    Robots {
        host: HostKey,
        rules: Result<(HostRules, bool)>,
    },
    Fetched {
        host: HostKey,
        signal: Signal,
    },
    Written(Written),
}

pub(super) struct Coordinated {
    pub(super) interrupted: bool,
    pub(super) limit_reached: bool,
    pub(super) seed_endings: Vec<(CanonicalUrl, Ending)>,
    /// Hosts asked a moment ago, and when they may be asked again (P1 holds
    /// from one crawl to the next).
    pub(super) resting: Vec<(HostKey, Timestamp)>,
}

pub(super) struct Coordinator<'a> {
    plan: &'a CrawlPlan,
    stages: &'a CrawlStages,
    dispatcher: Dispatcher,
    rules: HashMap<HostKey, HostRules>,
    /// Visits between dispatch and commit; of pages among them.
    outstanding: usize,
    outstanding_pages: u64,
    /// Of what all crawls may have under way.
    share: Share,
    /// Pages stored by this crawl.
    stored: u64,
    seed_rows: HashMap<i64, CanonicalUrl>,
    seed_endings: Vec<(CanonicalUrl, Ending)>,
    breakers: Breakers,
    control: CrawlControl,
    stop: watch::Receiver<bool>,
    channels: Channels,
}

/// How the coordinator speaks to the other stages.
pub(super) struct Channels {
    pub(super) events: mpsc::UnboundedSender<Event>,
    pub(super) jobs: Sender<Job>,
    pub(super) visits: Sender<Visited>,
    /// Of bodies on their way through the pipeline.
    pub(super) body_bytes: Arc<AtomicU64>,
}

impl<'a> Coordinator<'a> {
    pub(super) fn new(
        plan: &'a CrawlPlan,
        stages: &'a CrawlStages,
        channels: Channels,
        stop: watch::Receiver<bool>,
    ) -> Result<Coordinator<'a>> {
        Ok(Coordinator {
            plan,
            stages,
            dispatcher: Dispatcher::new(plan.pace),
            rules: HashMap::new(),
            outstanding: 0,
            outstanding_pages: 0,
            share: stages.window.enter(),
            stored: 0,
            seed_rows: HashMap::new(),
            seed_endings: Vec::new(),
            breakers: Breakers::load(&stages.store, plan.tenant)?,
            control: CrawlControl::Run,
            stop,
            channels,
        })
    }

    pub(super) async fn run(
        mut self,
        mut events: mpsc::UnboundedReceiver<Event>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<Coordinated> {
        let row = self.stages.store.crawl(self.plan.crawl)?;
        self.stages.progress.set_counts(&row.counts);
        self.count_stored(&row.counts);
        self.control = row.control;
        for host in self.stages.store.queued_hosts(self.plan.crawl)? {
            self.add_work(&host);
        }
        let mut interrupted = *stop.borrow();
        let mut stoppable = true;
        loop {
            while let Ok(event) = events.try_recv() {
                self.hear(event)?;
            }
            interrupted |= self.control != CrawlControl::Run;
            if interrupted {
                self.dispatcher.stop();
            }
            let wait_until = if self.may_dispatch() || interrupted {
                match self.dispatcher.next(self.stages.clock.now()) {
                    Next::Fetch(url) => {
                        self.fetch(url);
                        continue;
                    }
                    Next::Robots(host) => {
                        self.read_robots(host);
                        continue;
                    }
                    Next::Refill { host, after_row } => {
                        self.refill(&host, after_row)?;
                        continue;
                    }
                    Next::Refuse(url) => {
                        self.refuse(url);
                        continue;
                    }
                    Next::Wait(until) => Some(until),
                    Next::Busy => None,
                    Next::Done if self.outstanding == 0 && self.dispatcher.in_flight() == 0 => {
                        break;
                    }
                    Next::Done => None,
                }
            } else if self.limit_reached() && self.outstanding == 0 {
                break;
            } else {
                None
            };
            let now = self.stages.clock.now();
            // With nothing to hear of, the crawl's control is looked up.
            let pause = wait_until.map_or(CONTROL_EVERY, |until| until.since(now));
            let pause = pause.min(CONTROL_EVERY);
            tokio::select! {
                event = events.recv() => {
                    let event = event.context("bug: the event channel closed")?;
                    self.hear(event)?;
                }
                () = tokio::time::sleep(pause) => {
                    if pause == CONTROL_EVERY {
                        self.control = self.stages.store.crawl_control(self.plan.crawl)?;
                    }
                }
                changed = stop.changed(), if stoppable && !interrupted => {
                    stoppable = changed.is_ok();
                    interrupted = *stop.borrow();
                }
            }
        }
        let now = self.stages.clock.now();
        let resting = self
            .dispatcher
            .hosts()
            .filter(|host| host.next_allowed > now)
            .map(|host| (host.host.clone(), host.next_allowed))
            .collect();
        // Interrupted only counts when work is left.
        let queued = self.stages.store.crawl(self.plan.crawl)?.queued;
        Ok(Coordinated {
            interrupted: interrupted && queued > 0 && !self.limit_reached(),
            limit_reached: self.limit_reached(),
            seed_endings: self.seed_endings,
            resting,
        })
    }

    fn limit_reached(&self) -> bool {
        self.plan.pages_max > 0 && self.stored >= self.plan.pages_max
    }

    /// Full pipelines and the page limit hold new requests back.
    fn may_dispatch(&mut self) -> bool {
        self.share.set(self.outstanding);
        let below_limit =
            self.plan.pages_max == 0 || self.stored + self.outstanding_pages < self.plan.pages_max;
        below_limit
            && self.outstanding < self.plan.pipeline_pages_max
            && self.share.has_room()
            && self.channels.body_bytes.load(Ordering::Relaxed) < self.plan.pipeline_bytes_max
    }

    fn hear(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Robots { host, rules } => {
                let (rules, requested) = rules?;
                self.robots_known(&host, rules, requested)
            }
            Event::Fetched { host, signal } => {
                self.stages
                    .progress
                    .in_flight
                    .fetch_sub(1, Ordering::Relaxed);
                self.dispatcher
                    .finished(&host, self.stages.clock.now(), signal.signal);
                if let Some(again) = signal.retry {
                    self.dispatcher.retry(again);
                }
                Ok(self.breakers.heard(&self.dispatcher, &host)?)
            }
            Event::Written(Written::Committed {
                report,
                visits,
                pages,
                endings,
            }) => {
                self.outstanding -= visits;
                self.outstanding_pages -= pages;
                self.control = report.control;
                self.count_stored(&report.counts);
                for (host, _) in &report.queued {
                    self.add_work(host);
                }
                for ending in endings {
                    if let Some(url) = self.seed_rows.get(&ending.row) {
                        self.seed_endings.push((url.clone(), ending));
                    }
                }
                Ok(())
            }
            Event::Written(Written::Failed(error)) => {
                Err(error).context("save crawled pages; what was saved before is safe")
            }
        }
    }

    fn add_work(&mut self, host: &HostKey) {
        let now = self.stages.clock.now();
        self.breakers.meet(&mut self.dispatcher, host, now);
        self.dispatcher.add_work(host);
    }

    fn count_stored(&mut self, counts: &store::CrawlCounts) {
        self.stored = counts.added + counts.updated + counts.unchanged;
    }

    fn fetch(&mut self, url: QueuedUrl) {
        self.outstanding += 1;
        self.outstanding_pages += u64::from(url.kind == UrlKind::Page);
        self.stages
            .progress
            .in_flight
            .fetch_add(1, Ordering::Relaxed);
        self.stages.progress.set_current(url.url.as_str());
        let fetching = self.stages.fetching.clone();
        let progress = self.stages.progress.clone();
        let metrics = self.stages.metrics.clone();
        let (events, jobs) = (self.channels.events.clone(), self.channels.jobs.clone());
        let body_bytes = self.channels.body_bytes.clone();
        tokio::spawn(async move {
            let host = url.url.host_key();
            let start = Instant::now();
            let (job, signal) = fetching.run(url).await;
            let took = start.elapsed();
            progress.add_time(Stage::Fetch, took);
            metrics.crawls.requested(job.status, took);
            metrics.crawls.body_bytes.inc_by(job.wire_bytes);
            body_bytes.fetch_add(job.bytes(), Ordering::Relaxed);
            // The channel holds as many jobs as may be outstanding, so this
            // never blocks; it fails only while the crawl is ending in an error.
            let _ = jobs.send(job);
            let _ = events.send(Event::Fetched { host, signal });
        });
    }

    fn read_robots(&mut self, host: HostKey) {
        let (robots, events) = (self.stages.robots.clone(), self.channels.events.clone());
        let lease = HostLease {
            store: self.stages.store.clone(),
            clock: self.stages.clock.clone(),
            owner: self.plan.lease_owner.clone(),
            host: host.clone(),
        };
        let mut stop = self.stop.clone();
        tokio::spawn(async move {
            let rules = tokio::select! {
                // Only stopped crawls give up; their rows stay queued.
                () = stopped(&mut stop) => Ok((unleased(), false)),
                leased = lease.wait() => match leased {
                    Ok(()) => robots.rules(&host).await,
                    Err(error) => Err(error),
                },
            };
            let _ = events.send(Event::Robots { host, rules });
        });
    }

    fn robots_known(&mut self, host: &HostKey, rules: HostRules, requested: bool) -> Result<()> {
        let now = self.stages.clock.now();
        let (delay, mut sitemaps) = match &rules {
            HostRules::Known(robots) => (robots.crawl_delay(), robots.sitemaps().to_vec()),
            HostRules::Unreachable { .. } => (None, Vec::new()),
        };
        let is_known = matches!(rules, HostRules::Known(_));
        self.dispatcher.robots_known(host, delay, now, requested);
        self.rules.insert(host.clone(), rules);
        let is_seed_host = self.plan.seeds.iter().any(|seed| seed.host_key() == *host);
        if self.plan.sitemaps && is_known && is_seed_host {
            if sitemaps.is_empty() {
                sitemaps.push(format!("{host}/sitemap.xml"));
            }
            let urls: Vec<NewUrl> = sitemaps
                .iter()
                .filter_map(|url| self.stages.links.canonical(url))
                .map(|url| NewUrl {
                    url,
                    kind: FrontierKind::Sitemap,
                    depth: 0,
                })
                .collect();
            for (host, _) in self.stages.store.add_urls(self.plan.crawl, urls)? {
                self.add_work(&host);
            }
        }
        Ok(())
    }

    /// Gives the dispatcher its next URLs of a host; what robots.txt forbids
    /// ends here, before it can be requested (invariant P2).
    fn refill(&mut self, host: &HostKey, after_row: i64) -> Result<()> {
        let window = self.dispatcher.refill_rows_max();
        let mut after_row = after_row;
        loop {
            let rows = self
                .stages
                .store
                .queued_urls(self.plan.crawl, host, after_row, window)?;
            let more = rows.len() == window;
            after_row = rows.last().map_or(after_row, |row| row.row);
            let mut allowed = Vec::with_capacity(rows.len());
            for row in rows {
                if row.depth == 0 && row.kind == FrontierKind::Page {
                    self.seed_rows.insert(row.row, row.url.clone());
                }
                match self.forbidden(host, &row) {
                    None => allowed.push(queued_url(row)),
                    Some(result) => self.end_unfetched(row.row, row.url, row.kind, result)?,
                }
            }
            // An answer without rows would tell the dispatcher that the host is done.
            if !allowed.is_empty() || !more {
                self.dispatcher.refill(host, allowed, more);
                return Ok(());
            }
        }
    }

    fn forbidden(&self, host: &HostKey, row: &FrontierRow) -> Option<VisitResult> {
        match self.rules.get(host)? {
            HostRules::Known(robots) if robots.allowed(row.url.path_and_query()) => None,
            HostRules::Known(_) => Some(VisitResult::Skipped {
                reason: SkipReason::Robots,
                detail: "disallowed by robots.txt".to_owned(),
            }),
            HostRules::Unreachable { reason, detail } => Some(VisitResult::Failed {
                reason: *reason,
                detail: detail.clone(),
            }),
        }
    }

    fn refuse(&mut self, url: QueuedUrl) {
        let detail = "the host failed too often; its circuit breaker is open".to_owned();
        let response = Response::Failed {
            reason: FailReason::BreakerOpen,
            detail,
        };
        self.outstanding += 1;
        self.outstanding_pages += u64::from(url.kind == UrlKind::Page);
        let job = Job {
            url,
            status: None,
            wire_bytes: 0,
            response,
            received: Instant::now(),
        };
        // Fails only while the crawl is ending in an error.
        let _ = self.channels.jobs.send(job);
    }

    fn end_unfetched(
        &mut self,
        row: i64,
        url: CanonicalUrl,
        kind: FrontierKind,
        result: VisitResult,
    ) -> Result<()> {
        self.outstanding += 1;
        let kind = url_kind(kind);
        let is_page = kind == UrlKind::Page;
        self.outstanding_pages += u64::from(is_page);
        let visit = Visit {
            row,
            url,
            status: None,
            wire_bytes: 0,
            result: if is_page {
                result
            } else {
                VisitResult::Resource
            },
            discovered: Vec::new(),
            redirect_to: None,
            fetched: false,
        };
        self.channels
            .visits
            .send(Visited {
                kind,
                visit,
                received: Instant::now(),
                raw: Raw::None,
            })
            .context("bug: the writer ended before the crawl")
    }
}

fn unleased() -> HostRules {
    HostRules::Unreachable {
        reason: FailReason::BreakerOpen,
        detail: "stopped while another crawl was at this host".to_owned(),
    }
}

fn url_kind(kind: FrontierKind) -> UrlKind {
    match kind {
        FrontierKind::Page => UrlKind::Page,
        FrontierKind::Sitemap => UrlKind::Sitemap,
        FrontierKind::Feed => UrlKind::Feed,
    }
}

fn queued_url(row: FrontierRow) -> QueuedUrl {
    QueuedUrl {
        row: row.row,
        url: row.url,
        kind: url_kind(row.kind),
        depth: row.depth,
        attempt: row.attempt,
        not_before: row.not_before,
        etag: row.etag,
        last_modified: row.last_modified,
    }
}
