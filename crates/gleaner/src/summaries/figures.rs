//! What calls of a language model came to, in the terms of the metrics.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Calls and pages of one batch, or of all there were. A call is what one
/// prompt came to, its retries included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Counted", into = "LlmFigures")]
pub struct Figures {
    pub calls_succeeded: u64,
    pub calls_failed: u64,
    /// Answers and summaries that had to do without the model.
    pub fallbacks: u64,
    /// Requests sent, retries included.
    pub attempts: u64,
    pub tokens_in: u64,
    pub tokens_out: u64,
    /// From the first request of a call to its last answer, summed over calls.
    pub took_ms: u64,
}

impl Figures {
    pub fn add(&mut self, other: &Figures) {
        self.calls_succeeded += other.calls_succeeded;
        self.calls_failed += other.calls_failed;
        self.fallbacks += other.fallbacks;
        self.attempts += other.attempts;
        self.tokens_in += other.tokens_in;
        self.tokens_out += other.tokens_out;
        self.took_ms += other.took_ms;
    }

    pub fn calls(&self) -> u64 {
        self.calls_succeeded + self.calls_failed
    }

    pub fn tokens(&self) -> u64 {
        self.tokens_in + self.tokens_out
    }

    pub fn took(&self) -> Duration {
        Duration::from_millis(self.took_ms)
    }
}

/// As a program reads it: the names that the summarisation service had.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
pub struct LlmFigures {
    /// Calls of the model, each with its retries.
    pub total_requests: u64,
    pub successful_requests: u64,
    pub failed_requests: u64,
    /// Summaries and answers made without the model, because it could not be asked.
    pub fallback_requests: u64,
    /// Requests sent, retries included.
    pub attempts: u64,
    pub total_tokens: u64,
    pub tokens_in: u64,
    pub tokens_out: u64,
    /// Seconds, summed over calls.
    pub total_processing_time: f64,
    /// Of all calls; 100 before the first one.
    pub success_rate_percent: f64,
    /// Of each call.
    pub average_tokens: f64,
    pub average_time_seconds: f64,
}

#[derive(Deserialize)]
struct Counted {
    successful_requests: u64,
    failed_requests: u64,
    fallback_requests: u64,
    attempts: u64,
    tokens_in: u64,
    tokens_out: u64,
    total_processing_time: f64,
}

impl From<Figures> for LlmFigures {
    fn from(figures: Figures) -> LlmFigures {
        let calls = figures.calls();
        let of_each = |sum: f64| {
            if calls == 0 {
                0.0
            } else {
                rounded(sum / calls as f64)
            }
        };
        let seconds = figures.took().as_secs_f64();
        LlmFigures {
            total_requests: calls,
            successful_requests: figures.calls_succeeded,
            failed_requests: figures.calls_failed,
            fallback_requests: figures.fallbacks,
            attempts: figures.attempts,
            total_tokens: figures.tokens(),
            tokens_in: figures.tokens_in,
            tokens_out: figures.tokens_out,
            total_processing_time: seconds,
            success_rate_percent: if calls == 0 {
                100.0
            } else {
                rounded(figures.calls_succeeded as f64 * 100.0 / calls as f64)
            },
            average_tokens: of_each(figures.tokens() as f64),
            average_time_seconds: of_each(seconds),
        }
    }
}

impl From<Counted> for Figures {
    fn from(counted: Counted) -> Figures {
        Figures {
            calls_succeeded: counted.successful_requests,
            calls_failed: counted.failed_requests,
            fallbacks: counted.fallback_requests,
            attempts: counted.attempts,
            tokens_in: counted.tokens_in,
            tokens_out: counted.tokens_out,
            took_ms: (counted.total_processing_time.max(0.0) * 1000.0).round() as u64,
        }
    }
}

fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_go_there_and_back() {
        let figures = Figures {
            calls_succeeded: 3,
            calls_failed: 1,
            fallbacks: 1,
            attempts: 6,
            tokens_in: 4_000,
            tokens_out: 401,
            took_ms: 5_001,
        };
        let shown = LlmFigures::from(figures);
        assert_eq!(shown.total_requests, 4);
        assert_eq!(shown.success_rate_percent, 75.0);
        assert_eq!(shown.average_tokens, 1100.25);
        assert_eq!(shown.average_time_seconds, 1.25);
        let json = serde_json::to_string(&figures).expect("figures are JSON");
        let read: Figures = serde_json::from_str(&json).expect("and read again");
        assert_eq!(read, figures);
    }

    #[test]
    fn nothing_has_not_failed() {
        let shown = LlmFigures::from(Figures::default());
        assert_eq!(shown.success_rate_percent, 100.0);
        assert_eq!(
            (shown.average_tokens, shown.average_time_seconds),
            (0.0, 0.0)
        );
    }
}
