//! When a source is crawled again, from how much of it had changed.

use std::time::Duration;

/// Failures in a row from which a person should look at a source.
pub const FAILURES_FLAGGED: u32 = 3;

/// Longest delay after failures of a source whose interval has no upper bound.
const FAILURE_DELAY_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// What the interval grows by when nothing had changed, and what it shrinks by
/// at least when something had: `INC_RATE` and `DEC_RATE` of Apache Nutch's
/// `AdaptiveFetchSchedule`.
const RATE: f64 = 0.2;

/// What it shrinks by when every page had changed: Nutch's documentation warns
/// that higher rates make the interval swing without regard to the changes.
const RATE_MAX: f64 = 0.4;

/// What a crawl found: of the pages it saw, those that were new, different or gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeRate {
    pub changed: u64,
    pub seen: u64,
}

/// Adapts the interval between crawls of a source to its changes.
///
/// The rule is that of Nutch's `AdaptiveFetchSchedule`, with a source in the
/// place of a page: a fixed share longer after a crawl without changes, a share
/// shorter after one with changes. So the interval settles where about every
/// second crawl finds something. Unlike a page, a source changes in part; the
/// more of it did, the larger the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecrawlPolicy {
    pub min: Duration,
    /// Below `min` it counts as `min`.
    pub max: Duration,
}

impl RecrawlPolicy {
    /// The interval after a crawl that came `previous` after the one before.
    /// A crawl that saw nothing teaches nothing.
    #[must_use]
    pub fn next_interval(&self, previous: Duration, change: ChangeRate) -> Duration {
        let ChangeRate { changed, seen } = change;
        let within = |interval: Duration| interval.min(self.max).max(self.min);
        let previous = within(previous);
        if seen.max(changed) == 0 {
            return previous;
        }
        let factor = if changed == 0 {
            1.0 + RATE
        } else {
            let share = changed as f64 / seen.max(changed) as f64;
            1.0 - RATE - (RATE_MAX - RATE) * share
        };
        let next = Duration::try_from_secs_f64(previous.as_secs_f64() * factor);
        within(next.unwrap_or(Duration::MAX))
    }
}

/// How long to wait after `failures` failed crawls in a row: the interval,
/// doubled with each of them, up to `max` (the upper bound of an adaptive
/// interval; seven days without one). Never less than the interval.
#[must_use]
pub fn failure_delay(interval: Duration, failures: u32, max: Option<Duration>) -> Duration {
    let limit = max.unwrap_or(FAILURE_DELAY_MAX).max(interval);
    let doubled = 2u32
        .checked_pow(failures)
        .and_then(|factor| interval.checked_mul(factor));
    match doubled {
        Some(delay) => delay.min(limit),
        None if interval.is_zero() => interval,
        None => limit,
    }
}

/// Whether so many failures in a row are trouble.
#[must_use]
pub fn is_flagged(failures: u32) -> bool {
    failures >= FAILURES_FLAGGED
}
