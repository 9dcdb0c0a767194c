//! A circuit breaker: leaves a service alone that keeps failing.
//!
//! Hosts of a crawl have one of their own in `frontier`, which also decides
//! how long their URLs wait. This one is for what the service itself depends
//! on and is asked by many threads: an embedding endpoint, a webhook. With
//! Redis it is one breaker for all processes, and one probe among them. While
//! Redis is away each process goes on by itself from what it last heard.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use types::Timestamp;

use crate::breaker_shared::{Outcome, SharedBreaker, View};
use crate::redis_link::Redis;
use crate::sync::lock;

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Failures in a row that open it. 0 means never.
    pub threshold: u32,
    /// How long it stays open before one probe is let through.
    pub open_for: Duration,
}

impl Default for BreakerPolicy {
    fn default() -> BreakerPolicy {
        BreakerPolicy {
            threshold: 5,
            open_for: Duration::from_secs(30),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls pass.
    Closed,
    /// None passes.
    Open,
    /// One probe may pass, or is under way; its end decides.
    HalfOpen,
}

/// A breaker for display.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerSnapshot {
    pub name: Arc<str>,
    pub state: BreakerState,
    /// Failures in a row, up to now.
    pub failures: u32,
    /// How often it opened, probes that failed included.
    pub opens_total: u64,
    /// When the next probe may go, while open.
    pub retry_at: Option<Timestamp>,
}

/// A call that was not made, because the service is left alone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{service} keeps failing and is left alone for now")]
pub struct Refused {
    pub service: Arc<str>,
    /// When to ask again; `None` while a probe is under way.
    pub retry_at: Option<Timestamp>,
}

/// The breaker of one named service, shared by threads.
#[derive(Debug)]
pub struct CircuitBreaker {
    name: Arc<str>,
    policy: BreakerPolicy,
    inner: Mutex<Inner>,
    shared: Option<SharedBreaker>,
}

#[derive(Debug)]
struct Inner {
    state: Kept,
    failures: u32,
    opens_total: u64,
    /// Changes with each change of state, so that a call that began before one
    /// says nothing about the time after it.
    period: u64,
    /// The period of the shared breaker that was last taken over.
    shared_period: u64,
}

#[derive(Clone, Copy, Debug)]
enum Kept {
    Closed,
    Open {
        until: Timestamp,
    },
    Probing,
    /// Half-open with no probe under way.
    Waiting,
}

impl CircuitBreaker {
    /// For this process alone.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, policy: BreakerPolicy) -> CircuitBreaker {
        CircuitBreaker::shared(name, "", policy, None)
    }

    /// For all processes that ask the service of this name at this address and
    /// have the same Redis. Each method then asks it and holds the thread for
    /// as long, which is no time at all while it is away.
    #[must_use]
    pub fn shared(
        name: impl Into<Arc<str>>,
        address: &str,
        policy: BreakerPolicy,
        redis: Option<Redis>,
    ) -> CircuitBreaker {
        let name = name.into();
        CircuitBreaker {
            shared: redis.map(|redis| SharedBreaker::new(&name, address, policy, redis)),
            name,
            policy,
            inner: Mutex::new(Inner {
                state: Kept::Closed,
                failures: 0,
                opens_total: 0,
                period: 0,
                shared_period: 0,
            }),
        }
    }

    /// The right to make one call, or when to ask again. In the half-open state
    /// exactly one permit is out: the probe.
    pub fn try_acquire(&self, now: Timestamp) -> Result<Permit<'_>, Refused> {
        let refused = |retry_at| Refused {
            service: Arc::clone(&self.name),
            retry_at,
        };
        if let Some((view, call)) = self.shared.as_ref().and_then(SharedBreaker::acquire) {
            let mut inner = lock(&self.inner);
            inner.take_over(&view, Some(now));
            if !view.may_call {
                return Err(refused(view.retry_after.map(|wait| now.plus(wait))));
            }
            return Ok(Permit {
                breaker: self,
                period: inner.period,
                shared: Some((view.period, call)),
                told: false,
            });
        }
        let mut inner = lock(&self.inner);
        self.look_at_the_clock(&mut inner, now);
        match inner.state {
            Kept::Closed => {}
            Kept::Open { until } => return Err(refused(Some(until))),
            Kept::Probing => return Err(refused(None)),
            Kept::Waiting => inner.state = Kept::Probing,
        }
        Ok(Permit {
            breaker: self,
            period: inner.period,
            shared: None,
            told: false,
        })
    }

    #[must_use]
    pub fn snapshot(&self, now: Timestamp) -> BreakerSnapshot {
        let view = self.shared.as_ref().and_then(SharedBreaker::look);
        let mut inner = lock(&self.inner);
        if let Some(view) = view {
            inner.take_over(&view, Some(now));
        }
        self.look_at_the_clock(&mut inner, now);
        let (state, retry_at) = match inner.state {
            Kept::Closed => (BreakerState::Closed, None),
            Kept::Open { until } => (BreakerState::Open, Some(until)),
            Kept::Probing | Kept::Waiting => (BreakerState::HalfOpen, None),
        };
        BreakerSnapshot {
            name: Arc::clone(&self.name),
            state,
            failures: inner.failures,
            opens_total: inner.opens_total,
            retry_at,
        }
    }

    fn look_at_the_clock(&self, inner: &mut Inner, now: Timestamp) {
        if let Kept::Open { until } = inner.state {
            // A clock that went back must not keep it open for longer.
            let until = until.min(now.plus(self.policy.open_for));
            if now >= until {
                inner.change(Kept::Waiting);
            } else {
                inner.state = Kept::Open { until };
            }
        }
    }

    fn fail(&self, inner: &mut Inner, now: Timestamp) {
        inner.failures = inner.failures.saturating_add(1);
        let opens = match inner.state {
            Kept::Probing => true,
            Kept::Closed => self.policy.threshold > 0 && inner.failures >= self.policy.threshold,
            Kept::Open { .. } | Kept::Waiting => false,
        };
        if opens {
            inner.opens_total += 1;
            inner.change(Kept::Open {
                until: now.plus(self.policy.open_for),
            });
        }
    }
}

impl Inner {
    fn succeed(&mut self) {
        self.failures = 0;
        if let Kept::Probing = self.state {
            self.change(Kept::Closed);
        }
    }

    fn change(&mut self, to: Kept) {
        self.state = to;
        self.period += 1;
    }

    /// What all processes together know, for the time when there is no asking.
    /// Without `now` an opening by others has to wait for the next look.
    fn take_over(&mut self, view: &View, now: Option<Timestamp>) {
        self.failures = view.failures;
        self.opens_total = view.opens_total;
        let to = match view.state {
            BreakerState::Closed => Kept::Closed,
            BreakerState::Open => match now {
                Some(now) => Kept::Open {
                    until: now.plus(view.retry_after.unwrap_or_default()),
                },
                None => return,
            },
            BreakerState::HalfOpen if view.may_call => Kept::Probing,
            // The probe of another process is none of this one's.
            BreakerState::HalfOpen => Kept::Waiting,
        };
        // Calls of this process stay in the same period as long as it is one.
        if self.shared_period == view.period {
            self.state = to;
        } else {
            self.shared_period = view.period;
            self.change(to);
        }
    }
}

/// One call to the service. Dropped without a word (cancelled, panicked, or the
/// caller's own fault) it says nothing about the service, and a probe that ends
/// so makes room for another one.
#[derive(Debug)]
#[must_use = "a permit that is dropped says nothing about the service"]
pub struct Permit<'a> {
    breaker: &'a CircuitBreaker,
    period: u64,
    /// Period and name of this call, if Redis gave it.
    shared: Option<(u64, u64)>,
    told: bool,
}

impl Permit<'_> {
    pub fn success(mut self) {
        self.tell(Outcome::Success, None);
    }

    /// The call failed in a way that speaks against the service.
    pub fn failure(mut self, now: Timestamp) {
        self.tell(Outcome::Failure, Some(now));
    }

    fn tell(&mut self, outcome: Outcome, now: Option<Timestamp>) {
        self.told = true;
        let breaker = self.breaker;
        let shared = breaker.shared.as_ref().zip(self.shared);
        let view = shared.and_then(|(shared, call)| shared.tell(outcome, call));
        let mut inner = lock(&breaker.inner);
        if let Some(view) = view {
            inner.take_over(&view, now);
            return;
        }
        if inner.period != self.period {
            return;
        }
        match outcome {
            Outcome::Success => inner.succeed(),
            Outcome::Failure => breaker.fail(&mut inner, now.unwrap_or_default()),
            Outcome::Nothing => {
                if let Kept::Probing = inner.state {
                    inner.state = Kept::Waiting;
                }
            }
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if !self.told {
            self.tell(Outcome::Nothing, None);
        }
    }
}
