//! Of events that are published.

use std::time::Duration;

use prometheus::{Counter, Gauge, Histogram, IntCounter, IntCounterVec, IntGauge};
use store::PublishingCounts;
use types::Timestamp;

use super::{Maker, sample};

/// What this process published.
#[derive(Debug)]
pub struct EventMetrics {
    published: IntCounterVec,
    repeated: IntCounter,
    failures: IntCounter,
    duration: Histogram,
}

/// What the store knows of all processes.
#[derive(Debug)]
pub(super) struct SampledEvents {
    waiting: IntGauge,
    oldest: Gauge,
    dropped: Counter,
}

impl EventMetrics {
    pub(super) fn new(made: &Maker<'_>) -> prometheus::Result<EventMetrics> {
        Ok(EventMetrics {
            published: made.counters(
                "events_published_total",
                "Events that a stream acknowledged, by type.",
                &["type"],
            )?,
            repeated: made.counter(
                "events_repeated_total",
                "Of these, those that it had already and did not store again.",
            )?,
            failures: made.counter(
                "events_publish_failures_total",
                "Attempts to publish that ended with an error; the events wait.",
            )?,
            duration: made.duration(
                "events_publish_duration_seconds",
                "Time until the stream acknowledged one event.",
            )?,
        })
    }

    /// `kind` as the code names it, so that the labels are few.
    pub fn published(&self, kind: &str, is_repeat: bool, took: Duration) {
        self.published.with_label_values(&[kind]).inc();
        self.repeated.inc_by(u64::from(is_repeat));
        self.duration.observe(took.as_secs_f64());
    }

    pub fn failed(&self) {
        self.failures.inc();
    }
}

impl SampledEvents {
    pub(super) fn new(made: &Maker<'_>) -> prometheus::Result<SampledEvents> {
        Ok(SampledEvents {
            waiting: made.gauge(
                "events_waiting",
                "Events that are to be published, of all tenants.",
            )?,
            oldest: made.gauge_f64(
                "events_oldest_waiting_seconds",
                "How long ago the oldest event that is to be published happened.",
            )?,
            dropped: made.seconds(
                "events_dropped_total",
                "Events that were deleted before they were published, by any process.",
            )?,
        })
    }

    pub(super) fn refresh(&self, counts: &PublishingCounts, now: Timestamp) {
        let waiting = i64::try_from(counts.waiting).unwrap_or(i64::MAX);
        self.waiting.set(waiting);
        let age = counts
            .oldest
            .map_or(0.0, |oldest| now.since(oldest).as_secs_f64());
        self.oldest.set(age);
        sample::raise_to(&self.dropped, counts.dropped as f64);
    }
}
