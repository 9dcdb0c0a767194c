//! Of language models.

use std::time::Duration;

use prometheus::{Counter, HistogramVec, IntCounterVec, IntGauge};

use super::Maker;

/// What this process asked of the language model.
#[derive(Debug)]
pub struct LlmMetrics {
    calls: IntCounterVec,
    attempts: IntCounterVec,
    retries: IntCounterVec,
    tokens: IntCounterVec,
    duration: HistogramVec,
    fallbacks: IntCounterVec,
    rate_wait: Counter,
    pub under_way: IntGauge,
}

impl LlmMetrics {
    pub(super) fn new(made: &Maker<'_>) -> prometheus::Result<LlmMetrics> {
        Ok(LlmMetrics {
            calls: made.counters(
                "llm_calls_total",
                "Calls of the language model, by purpose and how they ended: succeeded, failed, \
                 left_alone (the breaker is open), over_budget, stopped.",
                &["purpose", "outcome"],
            )?,
            attempts: made.counters(
                "llm_attempts_total",
                "Requests sent to the language model, by what came of them: ok, unavailable, \
                 throttled, bad_response, refused, too_long, config.",
                &["purpose", "outcome"],
            )?,
            retries: made.counters(
                "llm_retries_total",
                "Of these requests, those that repeat one that failed.",
                &["purpose"],
            )?,
            tokens: made.counters(
                "llm_tokens_total",
                "Tokens that were paid for, by direction: in, out.",
                &["purpose", "direction"],
            )?,
            duration: made.durations(
                "llm_call_duration_seconds",
                "Time of calls that were sent, with their waits and retries.",
                &["purpose"],
            )?,
            fallbacks: made.counters(
                "llm_fallbacks_total",
                "Summaries and answers made without the model that is configured for them.",
                &["purpose"],
            )?,
            rate_wait: made.seconds(
                "llm_rate_wait_seconds_total",
                "Time that requests waited for llm.requests_per_minute and llm.tokens_per_minute.",
            )?,
            under_way: made.gauge("llm_calls_under_way", "Calls that have not ended yet.")?,
        })
    }

    /// `outcome`: succeeded, failed, left_alone, over_budget or stopped.
    pub fn called(&self, purpose: &str, outcome: &str) {
        self.calls.with_label_values(&[purpose, outcome]).inc();
    }

    /// A call of which at least one request was sent.
    pub fn took(&self, purpose: &str, took: Duration) {
        let seconds = took.as_secs_f64();
        self.duration.with_label_values(&[purpose]).observe(seconds);
    }

    /// One request; `outcome` is `ok` or the kind of its error.
    pub fn attempted(&self, purpose: &str, outcome: &str) {
        self.attempts.with_label_values(&[purpose, outcome]).inc();
    }

    pub fn retried(&self, purpose: &str) {
        self.retries.with_label_values(&[purpose]).inc();
    }

    pub fn paid(&self, purpose: &str, tokens_in: u64, tokens_out: u64) {
        for (direction, count) in [("in", tokens_in), ("out", tokens_out)] {
            let tokens = self.tokens.with_label_values(&[purpose, direction]);
            tokens.inc_by(count);
        }
    }

    /// What was made without the model although one is configured.
    pub fn fell_back(&self, purpose: &str, count: u64) {
        self.fallbacks.with_label_values(&[purpose]).inc_by(count);
    }

    pub fn waited(&self, time: Duration) {
        self.rate_wait.inc_by(time.as_secs_f64());
    }
}
