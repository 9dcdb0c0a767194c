//! A circuit breaker: leaves a host alone that keeps failing.

use std::time::Duration;

use types::Timestamp;

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Failures in a row that open it. 0 means never.
    pub failures: u32,
    /// How long it stays open before one probe is let through.
    pub open_for: Duration,
    /// How long a host's URLs wait for a broken host, counted from the moment
    /// the breaker first opened until it closes. Past it they are refused.
    pub breaker_wait_max: Duration,
}

impl Default for BreakerPolicy {
    fn default() -> BreakerPolicy {
        BreakerPolicy {
            failures: 5,
            open_for: Duration::from_secs(300),
            // One whole period: a host gets one probe, then its URLs are refused.
            breaker_wait_max: Duration::from_secs(300),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Requests pass.
    Closed,
    /// None passes until then.
    Open { until: Timestamp },
    /// One probe may pass, or is under way; its end decides.
    HalfOpen,
}

/// The breaker of one host.
#[derive(Clone, Debug)]
pub struct Breaker {
    policy: BreakerPolicy,
    state: BreakerState,
    failures_in_row: u32,
    /// Since when the host has not answered well, while not closed.
    broken_since: Option<Timestamp>,
    probing: bool,
}

impl Breaker {
    #[must_use]
    pub fn new(policy: BreakerPolicy) -> Breaker {
        Breaker {
            policy,
            state: BreakerState::Closed,
            failures_in_row: 0,
            broken_since: None,
            probing: false,
        }
    }

    /// Open, as it was in an earlier crawl: for no longer than a breaker that
    /// opened now. One that never opens stays as it is.
    pub(crate) fn reopen(&mut self, broken_since: Timestamp, until: Timestamp, now: Timestamp) {
        let until = until.min(now.plus(self.policy.open_for));
        if self.policy.failures > 0 && until > now {
            self.state = BreakerState::Open { until };
            self.broken_since = Some(broken_since.min(now));
            self.probing = false;
        }
    }

    /// May a request start now? A `true` in the half-open state is the probe:
    /// the next question is answered `false` until that request has ended.
    pub fn allow(&mut self, now: Timestamp) -> bool {
        match self.state(now) {
            BreakerState::Closed => true,
            BreakerState::Open { .. } => false,
            BreakerState::HalfOpen => {
                self.state = BreakerState::HalfOpen;
                !std::mem::replace(&mut self.probing, true)
            }
        }
    }

    /// A request ended well. Ignored while open: then it is an answer from
    /// before, and only a probe may close the breaker.
    pub fn success(&mut self) {
        match self.state {
            BreakerState::Open { .. } => {}
            BreakerState::Closed | BreakerState::HalfOpen => {
                *self = Breaker::new(self.policy);
            }
        }
    }

    /// A request failed in a way that speaks against the host.
    pub fn failure(&mut self, now: Timestamp) {
        match self.state {
            // A straggler from before it opened must not keep it open longer.
            BreakerState::Open { .. } => {}
            BreakerState::HalfOpen => self.open(now),
            BreakerState::Closed => {
                self.failures_in_row = self.failures_in_row.saturating_add(1);
                if self.policy.failures > 0 && self.failures_in_row >= self.policy.failures {
                    self.open(now);
                }
            }
        }
    }

    /// A request ended without saying anything about the host; a probe that
    /// ends so makes room for another one.
    pub fn neutral(&mut self) {
        self.probing = false;
    }

    #[must_use]
    pub fn state(&self, now: Timestamp) -> BreakerState {
        match self.state {
            BreakerState::Open { until } if now >= until => BreakerState::HalfOpen,
            state => state,
        }
    }

    /// Open for longer than URLs wait for it.
    #[must_use]
    pub fn refuses(&self, now: Timestamp) -> bool {
        match (self.state(now), self.broken_since) {
            (BreakerState::Open { until }, Some(since)) => {
                until > since.plus(self.policy.breaker_wait_max)
            }
            _ => false,
        }
    }

    /// The state as of the last event, whatever the time is now.
    pub(crate) fn last_state(&self) -> BreakerState {
        self.state
    }

    pub(crate) fn broken_since(&self) -> Option<Timestamp> {
        self.broken_since
    }

    pub(crate) fn is_probing(&self) -> bool {
        self.probing
    }

    fn open(&mut self, now: Timestamp) {
        self.state = BreakerState::Open {
            until: now.plus(self.policy.open_for),
        };
        self.probing = false;
        self.broken_since.get_or_insert(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker(wait_max_s: u64) -> Breaker {
        Breaker::new(BreakerPolicy {
            failures: 3,
            open_for: Duration::from_secs(10),
            breaker_wait_max: Duration::from_secs(wait_max_s),
        })
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1000)
    }

    #[test]
    fn opens_after_failures_in_a_row_only() {
        let mut b = breaker(10);
        b.failure(at(0));
        b.failure(at(0));
        b.success();
        b.failure(at(1));
        b.failure(at(1));
        assert!(b.allow(at(1)));
        b.failure(at(2));
        assert_eq!(b.state(at(2)), BreakerState::Open { until: at(12) });
        assert!(!b.allow(at(11)));
        assert!(!b.refuses(at(11)));
    }

    #[test]
    fn half_open_lets_exactly_one_probe_through() {
        let mut b = breaker(10);
        (0..3).for_each(|_| b.failure(at(0)));
        b.success();
        assert_eq!(b.state(at(9)), BreakerState::Open { until: at(10) });
        assert_eq!(b.state(at(10)), BreakerState::HalfOpen);
        assert!(b.allow(at(10)));
        assert!(!b.allow(at(10)));
        b.neutral();
        assert!(b.allow(at(11)));
        assert!(!b.allow(at(11)));
        b.success();
        assert_eq!(b.state(at(11)), BreakerState::Closed);
        assert!(b.allow(at(11)) && b.allow(at(11)));
    }

    #[test]
    fn refuses_once_the_whole_wait_is_too_long() {
        let mut b = breaker(10);
        (0..3).for_each(|_| b.failure(at(0)));
        assert!(!b.refuses(at(1)));
        assert!(b.allow(at(10)));
        b.failure(at(10));
        assert_eq!(b.state(at(10)), BreakerState::Open { until: at(20) });
        assert!(b.refuses(at(10)));
        assert!(!b.refuses(at(20)), "a later probe may still close it");
        let mut impatient = breaker(0);
        (0..3).for_each(|_| impatient.failure(at(0)));
        assert!(impatient.refuses(at(0)));
    }

    #[test]
    fn zero_failures_means_never() {
        let mut b = Breaker::new(BreakerPolicy {
            failures: 0,
            ..BreakerPolicy::default()
        });
        (0..100).for_each(|_| b.failure(at(0)));
        assert!(b.allow(at(0)));
    }
}
