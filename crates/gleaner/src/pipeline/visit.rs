//! The CPU stage: a response becomes a visit, ready to be committed.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use chunk::ChunkConfig;
use crossbeam_channel::{Receiver, Sender};
use extract::{ExtractInput, ExtractLimits, Extracted, RecordRules, Sitemap};
use frontier::{QueuedUrl, UrlKind};
use store::{FrontierKind, NewUrl, PageVisit, Store, Visit, VisitResult};
use types::{CanonicalUrl, FailReason, Link, Page, SkipReason, TenantId};

use super::archive::{Raw, RawAnswer};
use super::fetching::{Body, Job, Response};
use super::links::{Links, RedirectVerdict};
use super::pdf::{self, PdfLimits};
use super::permits::CpuPermits;
use super::progress::{Progress, Stage};
use super::write::Visited;
use crate::metrics::Metrics;

/// Children of sitemap indexes nest at most this deep.
const SITEMAP_DEPTH_MAX: u32 = 3;

/// How far each response is processed; less than everything only in benchmarks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Links only: nothing is extracted or stored.
    Links,
    /// Extracted, then dropped.
    Extract,
    /// Extracted and chunked, then dropped.
    Chunk,
    /// Stored.
    Store,
}

#[derive(Debug)]
pub struct Visitor {
    pub store: Store,
    pub tenant: TenantId,
    pub links: Arc<Links>,
    pub progress: Arc<Progress>,
    pub metrics: Arc<Metrics>,
    pub extract_limits: ExtractLimits,
    /// The source's own rules for records.
    pub record_rules: Option<Arc<RecordRules>>,
    pub chunk_config: ChunkConfig,
    pub pdf: Option<PdfLimits>,
    pub follow_nofollow: bool,
    pub read_feeds: bool,
    pub depth: Depth,
}

impl Visitor {
    /// Visits what comes in until nothing more can.
    pub fn visit_all(
        &self,
        permits: &CpuPermits,
        jobs: &Receiver<Job>,
        visits: &Sender<Visited>,
        body_bytes: &AtomicU64,
    ) {
        while let Ok(mut job) = jobs.recv() {
            let (bytes, kind, received) = (job.bytes(), job.url.kind, job.received);
            let answer = raw_answer(&mut job.response);
            let visit = {
                let _permit = permits.take();
                self.visit(job)
            };
            let raw = match (answer, &visit.result) {
                (Some(answer), VisitResult::Page(_)) => Raw::Answer(answer),
                _ => Raw::None,
            };
            body_bytes.fetch_sub(bytes - raw.bytes(), Ordering::Relaxed);
            let visited = Visited {
                kind,
                visit,
                received,
                raw,
            };
            if visits.send(visited).is_err() {
                return;
            }
        }
    }

    pub fn visit(&self, job: Job) -> Visit {
        let Job {
            url: queued,
            status,
            wire_bytes,
            response,
            ..
        } = job;
        let mut visit = Visit {
            row: queued.row,
            url: queued.url.clone(),
            status,
            wire_bytes,
            result: VisitResult::Resource,
            discovered: Vec::new(),
            redirect_to: None,
            fetched: status.is_some(),
        };
        visit.result = match response {
            Response::Retry {
                attempt,
                not_before,
                detail,
            } => VisitResult::Retry {
                attempt,
                not_before,
                detail,
            },
            Response::Failed { .. } if queued.kind != UrlKind::Page => VisitResult::Resource,
            Response::Failed { reason, detail } => VisitResult::Failed { reason, detail },
            Response::Redirect { to } => self.redirect(&queued, to, &mut visit),
            Response::NotModified => {
                self.known_links(&queued, &mut visit);
                VisitResult::NotModified
            }
            Response::Unwanted { content_type } => skipped(SkipReason::ContentType, content_type),
            Response::Body(body) => match queued.kind {
                UrlKind::Sitemap => self.sitemap(&queued, &body, &mut visit),
                UrlKind::Feed => self.feed(&queued, &body, &mut visit),
                UrlKind::Page => self.page(&queued, body, &mut visit),
            },
        };
        visit
    }

    fn redirect(
        &self,
        queued: &QueuedUrl,
        to: Result<CanonicalUrl, String>,
        visit: &mut Visit,
    ) -> VisitResult {
        let target = match to {
            Ok(target) => target,
            Err(location) => {
                let detail = format!("redirects to no URL: {location}");
                return VisitResult::Failed {
                    reason: FailReason::RedirectLoop,
                    detail,
                };
            }
        };
        let problem = match self.links.redirect(&queued.url, &target) {
            RedirectVerdict::Follow => None,
            RedirectVerdict::Circle => Some(format!("redirect circle by way of {target}")),
            RedirectVerdict::TooLong => Some("too many redirects in a row".to_owned()),
        };
        if let Some(detail) = problem {
            return VisitResult::Failed {
                reason: FailReason::RedirectLoop,
                detail,
            };
        }
        // A site that moved (http to https, to www) is crawled where it is now.
        if queued.depth == 0 && queued.kind == UrlKind::Page {
            self.links.add_seed(&target);
        }
        visit.redirect_to = Some(target.as_str().to_owned());
        let kind = frontier_kind(queued.kind);
        visit.discovered = self
            .links
            .admit(std::iter::once(target.as_str()), kind, queued.depth);
        if queued.kind == UrlKind::Page {
            skipped(SkipReason::Redirect, target.as_str())
        } else {
            VisitResult::Resource
        }
    }

    /// An unchanged page leads where it led before.
    fn known_links(&self, queued: &QueuedUrl, visit: &mut Visit) {
        let page = self
            .store
            .page_by_url(self.tenant, queued.url.as_str())
            .ok()
            .flatten();
        let Some(page) = page else { return };
        match self.store.page_detail(page.id) {
            Ok(Some(detail)) => visit.discovered = self.follow(&detail.links, queued.depth),
            Ok(None) => {}
            Err(error) => tracing::warn!(url = %queued.url, %error, "could not read known links"),
        }
    }

    fn follow(&self, links: &[Link], depth: u32) -> Vec<NewUrl> {
        let followed = links
            .iter()
            .filter(|link| self.follow_nofollow || !link.nofollow)
            .map(|link| link.url.as_str());
        self.progress.timed(Stage::Links, || {
            self.links
                .admit(followed, FrontierKind::Page, depth.saturating_add(1))
        })
    }

    fn sitemap(&self, queued: &QueuedUrl, body: &Body, visit: &mut Visit) -> VisitResult {
        match extract::parse_sitemap(&body.bytes, queued.url.as_url(), &self.extract_limits) {
            Ok(sitemap) => self.listed(queued, &sitemap, visit),
            Err(error) => tracing::info!(url = %queued.url, %error, "could not read a sitemap"),
        }
        VisitResult::Resource
    }

    /// What a sitemap lists is one click from the start, however deep it lies.
    fn listed(&self, queued: &QueuedUrl, sitemap: &Sitemap, visit: &mut Visit) {
        let pages = sitemap.entries.iter().map(|entry| entry.url.as_str());
        visit.discovered = self.links.admit(pages, FrontierKind::Page, 1);
        if queued.depth < SITEMAP_DEPTH_MAX {
            let children = sitemap.children.iter().map(|entry| entry.url.as_str());
            let depth = queued.depth + 1;
            let children = self.links.admit(children, FrontierKind::Sitemap, depth);
            visit.discovered.extend(children);
        }
    }

    fn feed(&self, queued: &QueuedUrl, body: &Body, visit: &mut Visit) -> VisitResult {
        match extract::parse_feed(&body.bytes, queued.url.as_url(), &self.extract_limits) {
            Ok(feed) => {
                let entries = feed.entries.iter().map(|entry| entry.url.as_str());
                visit.discovered = self.links.admit(entries, FrontierKind::Page, 1);
            }
            Err(error) => tracing::info!(url = %queued.url, %error, "could not read a feed"),
        }
        VisitResult::Resource
    }

    fn page(&self, queued: &QueuedUrl, body: Body, visit: &mut Visit) -> VisitResult {
        let url = queued.url.as_url();
        let input = ExtractInput {
            bytes: &body.bytes,
            content_type: body.content_type.as_deref(),
            url,
            x_robots_tag: &body.x_robots_tag,
            link_canonical: body.link_canonical.as_deref(),
        };
        if self.depth == Depth::Links {
            let found = self.progress.timed(Stage::Extract, || {
                extract::extract_links(&input, &self.extract_limits)
            });
            visit.discovered = self.follow(&found.links, queued.depth);
            return skipped(SkipReason::Empty, "links only");
        }
        let extracted = self.progress.timed(Stage::Extract, || {
            extract::extract_with_rules(&input, &self.extract_limits, self.record_rules.as_deref())
        });
        let page = match extracted {
            Ok(Extracted::Page(page)) => *page,
            Ok(Extracted::Pdf) => match &self.pdf {
                None => return skipped(SkipReason::ContentType, "application/pdf (pdf = false)"),
                Some(limits) => match pdf::extract_in_child(&body.bytes, url, limits) {
                    Ok(mut page) => {
                        // A file without a title of its own is known by its name.
                        if page.title.is_empty() {
                            page.title = file_name(url);
                        }
                        page
                    }
                    Err(error) => {
                        let detail = format!("{error:#}");
                        return VisitResult::Failed {
                            reason: FailReason::Extract,
                            detail,
                        };
                    }
                },
            },
            Ok(Extracted::Feed(feed)) => {
                let entries = feed.entries.iter().map(|entry| entry.url.as_str());
                let depth = queued.depth.saturating_add(1);
                visit.discovered = self.links.admit(entries, FrontierKind::Page, depth);
                let detail = format!("a feed; {} entries followed", feed.entries.len());
                return skipped(SkipReason::Listing, detail);
            }
            Ok(Extracted::Sitemap(sitemap)) => {
                self.listed(queued, &sitemap, visit);
                let detail = format!("a sitemap; {} entries followed", sitemap.entries.len());
                return skipped(SkipReason::Listing, detail);
            }
            Ok(Extracted::Unsupported { content_type }) => {
                return skipped(SkipReason::ContentType, content_type);
            }
            Err(error) => {
                let detail = crate::causes::chain(&error);
                return VisitResult::Failed {
                    reason: FailReason::Extract,
                    detail,
                };
            }
        };
        self.extracted_page(queued, page, body, visit)
    }

    fn extracted_page(
        &self,
        queued: &QueuedUrl,
        page: Page,
        body: Body,
        visit: &mut Visit,
    ) -> VisitResult {
        if let Some(target) = page
            .refresh
            .as_deref()
            .and_then(|t| self.links.canonical(t))
            && target != queued.url
        {
            return self.redirect(queued, Ok(target), visit);
        }
        if let Some(canonical) = page
            .canonical
            .as_deref()
            .and_then(|c| self.links.canonical(c))
            && frontier::canonical_link_verdict(&queued.url, &canonical)
        {
            visit.redirect_to = Some(canonical.as_str().to_owned());
            visit.discovered = self.links.admit(
                std::iter::once(canonical.as_str()),
                FrontierKind::Page,
                queued.depth,
            );
            return skipped(SkipReason::Canonical, canonical.as_str());
        }
        if !page.directives.nofollow {
            visit.discovered = self.follow(&page.links, queued.depth);
        }
        if self.read_feeds && queued.depth == 0 {
            let feeds = page.feeds.iter().map(String::as_str);
            visit
                .discovered
                .extend(self.links.admit(feeds, FrontierKind::Feed, 0));
        }
        if page.directives.noindex {
            return skipped(SkipReason::Noindex, "the page asks not to be indexed");
        }
        if page.text.trim().is_empty() {
            return skipped(SkipReason::Empty, "no text after extraction");
        }
        if self.depth == Depth::Extract {
            return skipped(SkipReason::Empty, "extract only");
        }
        let start = Instant::now();
        let chunks = chunk::chunk(&page, &self.chunk_config);
        let took = start.elapsed();
        self.progress.add_time(Stage::Chunk, took);
        self.metrics.crawls.chunked(&chunks, took);
        if self.depth == Depth::Chunk {
            return skipped(SkipReason::Empty, "chunk only");
        }
        VisitResult::Page(Box::new(PageVisit {
            page,
            chunks,
            etag: body.etag,
            last_modified: body.last_modified,
            content_type: body.content_type,
        }))
    }
}

/// What a raw copy is made of, should it become a page; the body is shared.
fn raw_answer(response: &mut Response) -> Option<RawAnswer> {
    match response {
        Response::Body(body) => body.head.take().map(|head| RawAnswer {
            head,
            body: body.bytes.clone(),
        }),
        _ => None,
    }
}

fn frontier_kind(kind: UrlKind) -> FrontierKind {
    match kind {
        UrlKind::Page => FrontierKind::Page,
        UrlKind::Sitemap => FrontierKind::Sitemap,
        UrlKind::Feed => FrontierKind::Feed,
    }
}

fn skipped(reason: SkipReason, detail: impl Into<String>) -> VisitResult {
    VisitResult::Skipped {
        reason,
        detail: detail.into(),
    }
}

fn file_name(url: &url::Url) -> String {
    Path::new(url.path())
        .file_name()
        .and_then(|name| name.to_str())
        .map_or_else(|| url.as_str().to_owned(), str::to_owned)
}
