//! How often the model is asked, with how much, and how often at a time: buckets
//! of requests and of tokens, and slots, shared by all processes that have the
//! same Redis.

use std::time::Duration;

use guard::{Quota, Redis, SharedRateLimiter, SharedSlots, Slot};
use llm::{LlmError, LlmErrorKind};
use types::Clock;

use super::Purpose;
use crate::config::LlmSettings;

const MINUTE: Duration = Duration::from_secs(60);
/// Requests on their way may come closer to each other by so much.
const SLACK: Duration = Duration::from_secs(1);
/// A request that cannot be sent for so long is given up.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(300);
/// Of the bucket of tokens, and of the bucket of requests.
const KEYS_MAX: usize = 2;

pub(super) struct Limits {
    limiter: SharedRateLimiter,
    requests: Option<(String, Quota)>,
    tokens: Option<(String, Quota)>,
    calls_max: u32,
    turns: SharedSlots,
    /// What summaries take first: one less, so that a question finds a turn.
    turns_of_summaries: SharedSlots,
}

/// One request may be with the model, until this is dropped.
pub(super) struct Turn<'a> {
    turn: Slot<'a>,
    of_summaries: Option<Slot<'a>>,
}

impl Turn<'_> {
    /// Keeps the turn until the work is done.
    pub(super) async fn hold<T>(&self, work: impl Future<Output = T>) -> T {
        match &self.of_summaries {
            Some(slot) => slot.hold(self.turn.hold(work)).await,
            None => self.turn.hold(work).await,
        }
    }
}

impl Limits {
    /// `model` tells one from another among processes. The error is for a person.
    pub(super) fn new(
        settings: &LlmSettings,
        model: &str,
        redis: Option<Redis>,
    ) -> Result<Limits, String> {
        let per_minute = settings.tokens_per_minute;
        let tokens = (per_minute > 0).then(|| tokens_quota(per_minute, settings.context_tokens));
        if let Some(quota) = tokens
            && quota.burst <= settings.output_tokens_max
        {
            return Err(format!(
                "llm.tokens_per_minute ({per_minute}) leaves no room for one answer of \
                 llm.output_tokens_max ({}) tokens and its prompt",
                settings.output_tokens_max
            ));
        }
        let requests = settings.requests_per_minute;
        let requests = (requests > 0).then(|| requests_quota(requests));
        let named = |what: &str| format!("llm {what}\0{model}");
        let calls_max = settings.calls_max;
        let slots = |what, slots| SharedSlots::new(&named(what), slots, redis.clone());
        Ok(Limits {
            calls_max,
            turns: slots("turns", calls_max),
            turns_of_summaries: slots("turns of summaries", of_summaries(calls_max)),
            limiter: SharedRateLimiter::new(KEYS_MAX, redis),
            requests: requests.map(|quota| (named("requests"), quota)),
            tokens: tokens.map(|quota| (named("tokens"), quota)),
        })
    }

    /// Summaries that get a turn at a time, over all of them.
    pub(super) fn summaries_max(&self) -> u32 {
        of_summaries(self.calls_max)
    }

    /// Waits for a turn: a summary as long as it takes, an answer, for which a
    /// person waits, no longer than [`WAIT_MAX`].
    pub(super) async fn turn(&self, purpose: Purpose) -> Result<Turn<'_>, LlmError> {
        match purpose {
            Purpose::Summary => {
                let of_summaries = self.turns_of_summaries.take().await;
                let turn = of_summaries.hold(self.turns.take()).await;
                Ok(Turn {
                    turn,
                    of_summaries: Some(of_summaries),
                })
            }
            Purpose::Answer => match tokio::time::timeout(WAIT_MAX, self.turns.take()).await {
                Ok(turn) => Ok(Turn {
                    turn,
                    of_summaries: None,
                }),
                Err(_) => Err(LlmError::new(
                    LlmErrorKind::Throttled,
                    format!(
                        "the {} requests of llm.calls_max were all under way for {} s",
                        self.calls_max,
                        WAIT_MAX.as_secs()
                    ),
                )),
            },
        }
    }

    /// Waits until a request of so many tokens may be sent. The error: it never
    /// may, or not for a long time.
    pub(super) async fn pass(&self, tokens: u32, clock: &dyn Clock) -> Result<(), LlmError> {
        // Tokens first: they are waited for longest, and a place among the
        // requests is not held meanwhile.
        if let Some((key, quota)) = &self.tokens {
            self.wait(key, *quota, tokens, clock).await?;
        }
        if let Some((key, quota)) = &self.requests {
            self.wait(key, *quota, 1, clock).await?;
        }
        Ok(())
    }

    async fn wait(
        &self,
        key: &str,
        quota: Quota,
        cost: u32,
        clock: &dyn Clock,
    ) -> Result<(), LlmError> {
        let mut waited = Duration::ZERO;
        loop {
            let decision = self.limiter.check(key, quota, cost, clock.now()).await;
            if decision.allowed {
                return Ok(());
            }
            let Some(wait) = decision.retry_after else {
                let most = quota.burst;
                return Err(LlmError::new(
                    LlmErrorKind::TooLong,
                    format!(
                        "a request may take {cost} tokens, more than llm.tokens_per_minute lets \
                         through at once ({most})"
                    ),
                ));
            };
            waited += wait;
            if waited > WAIT_MAX {
                return Err(LlmError::new(
                    LlmErrorKind::Throttled,
                    format!(
                        "the limits of llm.requests_per_minute and llm.tokens_per_minute left no \
                         room for {} s",
                        WAIT_MAX.as_secs()
                    ),
                ));
            }
            tokio::time::sleep(wait).await;
        }
    }
}

/// Of so many requests at a time.
fn of_summaries(calls_max: u32) -> u32 {
    calls_max.saturating_sub(1).max(1)
}

/// At most `limit` requests in any 60 s: what may go at once, and what follows
/// within a minute, are so many together. A tenth at once, so that a model
/// behind a slow line is not woken by all of them in one moment.
fn requests_quota(limit: u32) -> Quota {
    let burst = (limit / 10).max(1);
    Quota {
        // The last of these comes when the minute is over.
        requests: limit - burst + 1,
        per: MINUTE + SLACK,
        burst,
    }
}

/// The same for tokens. A request is let through as a whole, so at once there
/// must be as many as one may have, if the limit has room for that.
fn tokens_quota(limit: u32, context_tokens: u32) -> Quota {
    let burst = (limit / 2).max(context_tokens);
    let burst = burst.min(limit - limit / 10).max(1);
    Quota {
        requests: (limit - burst).max(1),
        per: MINUTE + SLACK,
        burst,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use guard::RateLimiter;
    use types::Timestamp;

    /// Asks all the time for ten minutes; the most of what passed in 60 s.
    fn most_in_a_minute(quota: Quota, cost: u32) -> u64 {
        let limiter = RateLimiter::new(1);
        let passed = |ms: &i64| limiter.check("x", quota, cost, Timestamp(*ms)).allowed;
        let mut passed: Vec<i64> = (0..600_000).step_by(10).filter(passed).collect();
        assert!(!passed.is_empty());
        // A minute of silence fills the bucket: the worst case begins with that.
        let busy = passed.last().expect("one") + 61_000;
        let again = |ms: &i64| limiter.check("x", quota, cost, Timestamp(*ms)).allowed;
        passed.extend((busy..busy + 120_000).step_by(10).filter(again));
        let within = |from: &i64| {
            let in_time = passed
                .iter()
                .filter(|at| (*from..from + 60_000).contains(at));
            in_time.count() as u64 * u64::from(cost)
        };
        passed.iter().map(within).max().unwrap_or_default()
    }

    #[test]
    fn no_minute_sees_more_than_the_limit() {
        for limit in [1, 2, 3, 7, 10, 60, 61, 600] {
            let most = most_in_a_minute(requests_quota(limit), 1);
            assert!(most <= u64::from(limit), "{limit}: {most}");
            // Nor much less: the limit is there to be used.
            assert!(most * 10 >= u64::from(limit) * 9, "{limit}: {most}");
        }
        for (limit, context, cost) in [(10_000, 4_000, 1_000), (1_000, 8_192, 300)] {
            let most = most_in_a_minute(tokens_quota(limit, context), cost);
            assert!(most <= u64::from(limit), "{limit}: {most}");
        }
    }
}
