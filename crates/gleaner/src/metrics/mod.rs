//! What a process counts and times, for Prometheus.
//!
//! Counters and histograms are bumped where the work is done; gauges that the
//! store knows better ([`sample`]) are read when somebody asks. Labels are
//! bounded: kinds, states and reasons that the code names, never a URL, a
//! tenant or a user; of sources the first [`SOURCES_MAX`].

mod events;
mod llm;
pub mod sample;

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use guard::TierStats;
use prometheus::{
    Encoder, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    Opts, Registry, TextEncoder,
};
use store::{CrawlCounts, TaskEnd};
use types::SourceId;

use crate::api::AnswerStats;

pub use events::EventMetrics;
pub use llm::LlmMetrics;

/// Sources with a time series of their own; the rest share `other`.
const SOURCES_MAX: usize = 100;

/// From half a millisecond to half an hour, in seconds.
const SECONDS: [f64; 18] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0, 300.0, 1800.0,
];

/// All metrics of one process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    pub tasks: TaskMetrics,
    pub crawls: CrawlMetrics,
    pub embedding: EmbeddingMetrics,
    pub http: HttpMetrics,
    pub webhooks: WebhookMetrics,
    pub events: EventMetrics,
    pub llm: LlmMetrics,
    pub sampled: sample::Sampled,
}

/// Of the queue and the worker.
#[derive(Debug)]
pub struct TaskMetrics {
    ended: IntCounterVec,
    duration: HistogramVec,
    wait: HistogramVec,
    pub taken_over: IntCounter,
    pub slots: IntGauge,
    pub slots_busy: IntGauge,
    takes: GaugeVec,
}

/// Of crawls, their requests, pages and chunks.
#[derive(Debug)]
pub struct CrawlMetrics {
    ended: IntCounterVec,
    pages: IntCounterVec,
    sources_seen: Mutex<HashSet<SourceId>>,
    requests: HistogramVec,
    pub page_duration: Histogram,
    page_ended: IntCounterVec,
    pub chunk_duration: Histogram,
    chunked: IntCounterVec,
    chunks_created: IntCounterVec,
    pub body_bytes: IntCounter,
    raw: IntCounterVec,
}

#[derive(Debug)]
pub struct EmbeddingMetrics {
    texts: IntCounterVec,
    pub duration: Histogram,
}

/// Of the requests that this process answers.
#[derive(Debug)]
pub struct HttpMetrics {
    duration: HistogramVec,
    refused: IntCounter,
    cache_hits: IntCounterVec,
    cache_misses: IntCounterVec,
}

/// Of messages to webhooks.
#[derive(Debug)]
pub struct WebhookMetrics {
    attempts: IntCounterVec,
    duration: Histogram,
}

impl WebhookMetrics {
    /// `outcome`: delivered, retried (it will be), dead or disabled (by the endpoint).
    pub fn attempted(&self, outcome: &str, took: Duration) {
        self.attempts.with_label_values(&[outcome]).inc();
        self.duration.observe(took.as_secs_f64());
    }
}

impl HttpMetrics {
    /// The cache counts by itself; this is what it has come to.
    pub fn answers(&self, stats: &AnswerStats) {
        let (here, shared) = (&stats.here.total, stats.shared.as_ref());
        let shared = shared.map(|shared| &shared.total);
        let in_memory = [Some(here), shared].into_iter().flatten();
        let memory = |count: fn(&TierStats) -> u64| {
            let tiers = in_memory.clone().map(|area| &area.memory);
            tiers.map(count).sum()
        };
        self.tier(
            "memory",
            memory(|tier| tier.hits),
            memory(|tier| tier.misses),
        );
        self.tier("disk", here.disk.hits, here.disk.misses);
        if let Some(shared) = shared {
            self.tier("redis", shared.disk.hits, shared.disk.misses);
        }
    }

    fn tier(&self, name: &str, hits: u64, misses: u64) {
        sample::raise(&self.cache_hits.with_label_values(&[name]), hits);
        sample::raise(&self.cache_misses.with_label_values(&[name]), misses);
    }

    /// A request beyond its limit.
    pub fn refused(&self) {
        self.refused.inc();
    }

    /// `route` as declared, so that the labels are as many as the routes.
    pub fn answered(&self, route: &str, status: u16, took: Duration) {
        let status = status.to_string();
        let labels = [route, status.as_str()];
        let seconds = took.as_secs_f64();
        self.duration.with_label_values(&labels).observe(seconds);
    }
}

impl Metrics {
    pub fn new() -> Result<Metrics> {
        let registry = Registry::new();
        Metrics::register(registry).context("bug: a metric is declared twice")
    }

    fn register(registry: Registry) -> prometheus::Result<Metrics> {
        let made = Maker(&registry);
        Ok(Metrics {
            tasks: TaskMetrics {
                ended: made.counters(
                    "task_total",
                    "Runs of tasks, by kind and how they ended.",
                    &["kind", "status"],
                )?,
                duration: made.durations(
                    "task_duration_seconds",
                    "Time that a run of a task took.",
                    &["kind"],
                )?,
                wait: made.durations(
                    "task_wait_seconds",
                    "Time from when a task was due until its run began.",
                    &["kind"],
                )?,
                taken_over: made.counter(
                    "task_taken_over_total",
                    "Tasks of workers that are gone, put back into the queue.",
                )?,
                slots: made.gauge(
                    "worker_slots",
                    "Tasks that this worker would run at once, as fitted to the load.",
                )?,
                slots_busy: made.gauge("worker_slots_busy", "Tasks that this worker runs now.")?,
                takes: made.gauges(
                    "worker_queue",
                    "1 for each kind of task that this process takes from the queue.",
                    &["queue_name"],
                )?,
            },
            crawls: CrawlMetrics {
                ended: made.counters(
                    "crawl_total",
                    "Crawls that ended or were interrupted here, by status.",
                    &["status"],
                )?,
                pages: made.counters(
                    "crawl_pages_total",
                    "URLs of pages that crawls were done with, by source id.",
                    &["source"],
                )?,
                sources_seen: Mutex::default(),
                requests: made.durations(
                    "fetch_duration_seconds",
                    "Time of requests to crawled sites, by class of status (`error`: no answer).",
                    &["status"],
                )?,
                page_duration: made.duration(
                    "page_process_duration_seconds",
                    "Time from a page's last byte until it was committed.",
                )?,
                page_ended: made.counters(
                    "page_process_total",
                    "URLs of pages by how they ended: added, updated, unchanged, failed, skipped.",
                    &["status"],
                )?,
                chunk_duration: made.duration(
                    "chunk_duration_seconds",
                    "Time to cut one page into chunks.",
                )?,
                chunked: made.counters(
                    "chunk_total",
                    "Pages cut into chunks: ok, or empty when nothing came of it.",
                    &["status"],
                )?,
                chunks_created: made.counters(
                    "chunks_created_total",
                    "Chunks, by what is embedded of each: full (its text), tldr (also its TL;DR).",
                    &["chunk_type"],
                )?,
                body_bytes: made.counter(
                    "fetch_received_bytes_total",
                    "Bytes of response bodies of crawled sites, as sent.",
                )?,
                raw: made.counters(
                    "raw_copies_total",
                    "New versions of pages where raw copies are kept: stored, or missed.",
                    &["outcome"],
                )?,
            },
            embedding: EmbeddingMetrics {
                texts: made.counters(
                    "embedding_texts_total",
                    "Texts that got a vector, or none: embedded, cached, failed.",
                    &["status"],
                )?,
                duration: made.duration(
                    "embedding_duration_seconds",
                    "Time of one round of the embedding backlog (at most 128 chunks).",
                )?,
            },
            http: HttpMetrics {
                duration: made.durations(
                    "http_request_duration_seconds",
                    "Time to answer requests, by route and status.",
                    &["route", "status"],
                )?,
                cache_hits: made.counters(
                    "cache_hits_total",
                    "Answers found in the cache, by tier.",
                    &["tier"],
                )?,
                cache_misses: made.counters(
                    "cache_misses_total",
                    "Answers not found in the cache, by tier.",
                    &["tier"],
                )?,
                refused: made.counter(
                    "rate_limited_total",
                    "Requests refused because their key or address asked too much.",
                )?,
            },
            webhooks: WebhookMetrics {
                attempts: made.counters(
                    "webhook_deliveries_total",
                    "Attempts to deliver a message to a webhook, by what came of them.",
                    &["outcome"],
                )?,
                duration: made.duration(
                    "webhook_delivery_duration_seconds",
                    "Time that an endpoint took to answer, or until it was given up.",
                )?,
            },
            events: EventMetrics::new(&made)?,
            llm: LlmMetrics::new(&made)?,
            sampled: sample::Sampled::new(&made)?,
            registry,
        })
    }

    /// Everything in Prometheus's text format, version 0.0.4.
    pub fn text(&self) -> Result<String> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8(text)?)
    }
}

impl TaskMetrics {
    /// Kinds that the worker of this process takes.
    pub fn takes(&self, kinds: &[&'static str]) {
        for kind in kinds {
            self.takes.with_label_values(&[kind]).set(1.0);
        }
    }

    /// A run that ended.
    pub fn ended(&self, kind: &str, end: &TaskEnd, took: Duration) {
        let status = match end {
            TaskEnd::Succeeded { .. } => "succeeded",
            TaskEnd::Failed { .. } => "failed",
            TaskEnd::Retry { .. } => "retried",
            TaskEnd::Snooze { .. } => "put_off",
            TaskEnd::Cancelled => "cancelled",
            TaskEnd::Released => "released",
        };
        self.ended.with_label_values(&[kind, status]).inc();
        let seconds = took.as_secs_f64();
        self.duration.with_label_values(&[kind]).observe(seconds);
    }

    /// A run that begins so long after it was due.
    pub fn begun(&self, kind: &str, waited: Duration) {
        let seconds = waited.as_secs_f64();
        self.wait.with_label_values(&[kind]).observe(seconds);
    }
}

impl CrawlMetrics {
    pub fn ended(&self, status: &str) {
        self.ended.with_label_values(&[status]).inc();
    }

    /// One request: `None` when there was no answer.
    pub fn requested(&self, status: Option<u16>, took: Duration) {
        let class = match status.map(|status| status / 100) {
            Some(2) => "2xx",
            Some(3) => "3xx",
            Some(4) => "4xx",
            Some(5) => "5xx",
            Some(_) => "other",
            None => "error",
        };
        let seconds = took.as_secs_f64();
        self.requests.with_label_values(&[class]).observe(seconds);
    }

    /// What a batch added to a crawl's counts.
    pub fn committed(&self, source: SourceId, before: &CrawlCounts, after: &CrawlCounts) {
        let ended = |status: &str, before: u64, after: u64| {
            let more = after.saturating_sub(before);
            if more > 0 {
                self.page_ended.with_label_values(&[status]).inc_by(more);
            }
            more
        };
        let pages = ended("added", before.added, after.added)
            + ended("updated", before.updated, after.updated)
            + ended("unchanged", before.unchanged, after.unchanged)
            + ended("failed", before.failed, after.failed)
            + ended("skipped", before.skipped, after.skipped);
        if pages > 0 {
            let source = self.source_label(source);
            self.pages.with_label_values(&[&source]).inc_by(pages);
        }
    }

    /// Versions with and without a raw copy.
    pub fn raw_copies(&self, kept: u64, missed: u64) {
        for (outcome, count) in [("stored", kept), ("missed", missed)] {
            if count > 0 {
                self.raw.with_label_values(&[outcome]).inc_by(count);
            }
        }
    }

    pub fn chunked(&self, chunks: &[types::Chunk], took: Duration) {
        self.chunk_duration.observe(took.as_secs_f64());
        let status = if chunks.is_empty() { "empty" } else { "ok" };
        self.chunked.with_label_values(&[status]).inc();
        let tldrs = chunks.iter().filter(|chunk| chunk.tldr.is_some()).count() as u64;
        let full = chunks.len() as u64 - tldrs;
        for (kind, count) in [("full", full), ("tldr", tldrs)] {
            self.chunks_created.with_label_values(&[kind]).inc_by(count);
        }
    }

    fn source_label(&self, source: SourceId) -> String {
        let seen = &self.sources_seen;
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.contains(&source) || seen.len() < SOURCES_MAX {
            seen.insert(source);
            source.to_string()
        } else {
            "other".to_owned()
        }
    }
}

impl EmbeddingMetrics {
    pub fn texts(&self, status: &str, count: u64) {
        self.texts.with_label_values(&[status]).inc_by(count);
    }
}

/// Makes metrics and registers them.
pub(crate) struct Maker<'a>(&'a Registry);

impl Maker<'_> {
    fn add<M: prometheus::core::Collector + Clone + 'static>(
        &self,
        metric: prometheus::Result<M>,
    ) -> prometheus::Result<M> {
        let metric = metric?;
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    pub(crate) fn counter(&self, name: &str, help: &str) -> prometheus::Result<IntCounter> {
        self.add(IntCounter::new(name, help))
    }

    pub(crate) fn seconds(
        &self,
        name: &str,
        help: &str,
    ) -> prometheus::Result<prometheus::Counter> {
        self.add(prometheus::Counter::new(name, help))
    }

    fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> prometheus::Result<IntCounterVec> {
        self.add(IntCounterVec::new(Opts::new(name, help), labels))
    }

    pub(crate) fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.add(IntGauge::new(name, help))
    }

    pub(crate) fn gauge_f64(
        &self,
        name: &str,
        help: &str,
    ) -> prometheus::Result<prometheus::Gauge> {
        self.add(prometheus::Gauge::new(name, help))
    }

    pub(crate) fn gauges(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> prometheus::Result<GaugeVec> {
        self.add(GaugeVec::new(Opts::new(name, help), labels))
    }

    fn duration(&self, name: &str, help: &str) -> prometheus::Result<Histogram> {
        let options = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
        self.add(Histogram::with_opts(options))
    }

    fn durations(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> prometheus::Result<HistogramVec> {
        let options = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
        self.add(HistogramVec::new(options, labels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_beyond_the_limit_share_a_series() {
        let metrics = Metrics::new().expect("declared once");
        let counts = CrawlCounts {
            found: 3,
            added: 2,
            failed: 1,
            ..CrawlCounts::default()
        };
        for source in 0..300 {
            let before = CrawlCounts::default();
            metrics.crawls.committed(SourceId(source), &before, &counts);
        }
        let text = metrics.text().expect("text");
        let series = text
            .lines()
            .filter(|l| l.starts_with("crawl_pages_total{"))
            .count();
        assert_eq!(series, SOURCES_MAX + 1);
        assert!(
            text.contains("crawl_pages_total{source=\"other\"} 600"),
            "{text}"
        );
        assert!(
            text.contains("page_process_total{status=\"added\"} 600"),
            "{text}"
        );
    }
}
