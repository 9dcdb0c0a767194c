//! When to try a failed request again.

use std::time::Duration;

/// Exponential backoff with full jitter: the wait is uniform between zero and
/// a bound that doubles, which spreads retries better than a jittered middle
/// (Brooker, "Exponential Backoff and Jitter", 2015).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, the first included. 0 and 1 mean no retry.
    pub attempts_max: u32,
    /// Bound of the first wait.
    pub base: Duration,
    /// Bound of any wait that the server did not ask for.
    pub cap: Duration,
    /// Longest `Retry-After` that is waited for; a longer one is cut to it.
    pub retry_after_cap: Duration,
}

impl Default for RetryPolicy {
    fn default() -> RetryPolicy {
        RetryPolicy {
            attempts_max: 3,
            base: Duration::from_secs(1),
            cap: Duration::from_secs(60),
            retry_after_cap: Duration::from_secs(120),
        }
    }
}

impl RetryPolicy {
    /// How long to wait after `attempt` attempts have been made (1 after the
    /// first failure); `None` means give up. `random` is any uniform number.
    ///
    /// With `retry_after`, that much is waited at least, up to its cap, plus a
    /// jitter of at most `base` so that many URLs do not return in one moment.
    #[must_use]
    pub fn delay(
        &self,
        attempt: u32,
        retry_after: Option<Duration>,
        random: u64,
    ) -> Option<Duration> {
        if attempt >= self.attempts_max {
            return None;
        }
        Some(match retry_after {
            Some(asked) => asked.min(self.retry_after_cap) + uniform(self.base, random),
            None => {
                let doublings = attempt.saturating_sub(1).min(31);
                let bound = self.base.saturating_mul(1 << doublings).min(self.cap);
                uniform(bound, random)
            }
        })
    }
}

/// `random` scaled to `0..=bound`, in milliseconds.
fn uniform(bound: Duration, random: u64) -> Duration {
    let bound_ms = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
    let scaled = (u128::from(random) * (u128::from(bound_ms) + 1)) >> 64;
    Duration::from_millis(u64::try_from(scaled).unwrap_or(bound_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_cap_and_gives_up() {
        let policy = RetryPolicy {
            attempts_max: 10,
            ..RetryPolicy::default()
        };
        let longest = |attempt| policy.delay(attempt, None, u64::MAX);
        assert_eq!(longest(1), Some(Duration::from_secs(1)));
        assert_eq!(longest(2), Some(Duration::from_secs(2)));
        assert_eq!(longest(3), Some(Duration::from_secs(4)));
        assert_eq!(longest(9), Some(Duration::from_secs(60)));
        assert_eq!(longest(10), None);
        assert_eq!(policy.delay(5, None, 0), Some(Duration::ZERO));
        assert_eq!(
            policy.delay(1, None, u64::MAX / 2),
            Some(Duration::from_millis(500))
        );
    }

    #[test]
    fn retry_after_is_honoured_up_to_its_cap() {
        let policy = RetryPolicy::default();
        let after = |seconds, random| policy.delay(1, Some(Duration::from_secs(seconds)), random);
        assert_eq!(after(7, 0), Some(Duration::from_secs(7)));
        assert_eq!(after(7, u64::MAX), Some(Duration::from_secs(8)));
        assert_eq!(after(86_400, 0), Some(Duration::from_secs(120)));
        assert_eq!(policy.delay(3, Some(Duration::ZERO), 0), None);
    }

    #[test]
    fn no_retries_when_the_policy_says_so() {
        for attempts_max in [0, 1] {
            let policy = RetryPolicy {
                attempts_max,
                ..RetryPolicy::default()
            };
            assert_eq!(policy.delay(1, None, 5), None);
        }
    }
}
