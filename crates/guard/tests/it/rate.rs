use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use guard::{Decision, Quota, RateLimiter};
use proptest::prelude::*;
use types::Timestamp;

use crate::{at, at_ms};

const MINUTE: Duration = Duration::from_secs(60);

fn quota(requests: u32, per_s: u64, burst: u32) -> Quota {
    Quota {
        requests,
        per: Duration::from_secs(per_s),
        burst,
    }
}

#[test]
fn a_hundred_a_minute_and_then_one_every_600_ms() {
    let limiter = RateLimiter::new(10);
    let ask = |now| limiter.check("key", Quota::default(), 1, now);
    for asked in 1..=100 {
        let decision = ask(at(0));
        assert!(decision.allowed, "request {asked}");
        assert_eq!(decision.remaining, 100 - asked);
        assert_eq!(
            decision.reset_after,
            Duration::from_millis(u64::from(asked) * 600)
        );
    }
    let refused = ask(at(0));
    assert_eq!(
        refused,
        Decision {
            allowed: false,
            limit: 100,
            remaining: 0,
            retry_after: Some(Duration::from_millis(600)),
            reset_after: MINUTE,
        }
    );
    assert!(!ask(at_ms(599)).allowed);
    assert!(ask(at_ms(600)).allowed, "as promised");
    assert!(!ask(at_ms(600)).allowed);
    let stats = limiter.stats();
    assert_eq!((stats.allowed, stats.refused, stats.keys), (101, 3, 1));
}

#[test]
fn keys_do_not_share() {
    let limiter = RateLimiter::new(10);
    assert!(limiter.check("a", quota(1, 60, 1), 1, at(0)).allowed);
    assert!(!limiter.check("a", quota(1, 60, 1), 1, at(0)).allowed);
    assert!(limiter.check("b", quota(1, 60, 1), 1, at(0)).allowed);
    assert!(
        limiter
            .check([0xff, 0x00], quota(1, 60, 1), 1, at(0))
            .allowed
    );
}

#[test]
fn more_than_the_burst_is_refused_for_good_and_costs_nothing() {
    let limiter = RateLimiter::new(10);
    let decision = limiter.check("key", quota(10, 1, 5), 6, at(0));
    assert!(decision.is_never());
    assert_eq!(decision.remaining, 5);
    assert!(limiter.check("key", quota(10, 1, 5), 5, at(0)).allowed);
    for nothing in [quota(0, 60, 10), quota(10, 60, 0)] {
        assert!(limiter.check("other", nothing, 1, at(0)).is_never());
    }
    let ordinary = limiter.check("key", quota(10, 1, 5), 1, at(0));
    assert!(!ordinary.allowed && !ordinary.is_never());
}

#[test]
fn a_cost_of_nothing_only_looks() {
    let limiter = RateLimiter::new(10);
    assert_eq!(
        limiter.check("key", Quota::default(), 0, at(0)).remaining,
        100
    );
    assert_eq!(limiter.stats().keys, 0);
    limiter.check("key", Quota::default(), 30, at(0));
    let look = limiter.check("key", Quota::default(), 0, at(0));
    assert_eq!((look.allowed, look.remaining), (true, 70));
}

#[test]
fn a_smaller_quota_takes_effect_without_old_debts() {
    let limiter = RateLimiter::new(10);
    assert!(
        limiter
            .check("key", quota(1000, 3600, 1000), 1000, at(0))
            .allowed
    );
    let decision = limiter.check("key", quota(10, 60, 10), 1, at(0));
    assert_eq!(decision.retry_after, Some(Duration::from_secs(6)));
}

#[test]
fn extreme_numbers_neither_panic_nor_wrap() {
    let extremes = [i64::MIN, -1, 0, 1, i64::MAX];
    let limiter = RateLimiter::new(0);
    for requests in [0, 1, u32::MAX] {
        for burst in [0, 1, u32::MAX] {
            for per in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
                for now in extremes {
                    let quota = Quota {
                        requests,
                        per,
                        burst,
                    };
                    for cost in [0, 1, u32::MAX] {
                        let decision = limiter.check("key", quota, cost, at_ms(now));
                        assert!(decision.remaining <= decision.limit);
                    }
                }
            }
        }
    }
}

#[test]
fn memory_stays_bounded_under_a_flood_of_keys() {
    let limiter = RateLimiter::new(1000);
    let slow = quota(1, 3600, 1);
    for number in 0..100_000_u32 {
        assert!(limiter.check(number.to_le_bytes(), slow, 1, at(0)).allowed);
    }
    let stats = limiter.stats();
    assert!(stats.keys <= 1024, "{stats:?}");
    assert!(stats.evicted >= 98_000, "{stats:?}");
    // An hour later nothing is owed, and newcomers sweep the rest out.
    for number in 0..500_u32 {
        limiter.check(number.to_be_bytes(), slow, 1, at(3601));
    }
    assert_eq!(limiter.stats().evicted, stats.evicted);
}

#[test]
fn threads_together_get_the_quota_and_no_more() {
    let limiter = RateLimiter::new(100);
    let allowed = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..50 {
                    if limiter.check("key", Quota::default(), 1, at(0)).allowed {
                        allowed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(allowed.into_inner(), 100);
}

#[test]
fn debug_shows_no_keys() {
    let limiter = RateLimiter::new(10);
    limiter.check("secret-token", Quota::default(), 1, at(0));
    assert!(!format!("{limiter:?}").contains("secret"));
}

/// A bucket refilled by the clock: what GCRA computes without refilling.
struct Bucket {
    tokens_ns: i128,
    at: Timestamp,
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn agrees_with_a_token_bucket(
        requests in 1_u32..50,
        per_ms in 1_u64..100_000,
        burst in 1_u32..60,
        steps in proptest::collection::vec((0_i64..3_000, 0_u32..8), 1..200),
    ) {
        let quota = Quota { requests, per: Duration::from_millis(per_ms), burst };
        let limiter = RateLimiter::new(4);
        let token_ns = i128::from((per_ms * 1_000_000).div_ceil(u64::from(requests)));
        let full_ns = token_ns * i128::from(burst);
        let mut bucket = Bucket { tokens_ns: full_ns, at: at(0) };
        let mut passed: VecDeque<(Timestamp, u32)> = VecDeque::new();
        for (wait_ms, cost) in steps {
            let now = at_ms(bucket.at.0 + wait_ms);
            bucket.tokens_ns = (bucket.tokens_ns + i128::from(wait_ms) * 1_000_000).min(full_ns);
            bucket.at = now;
            let needed_ns = token_ns * i128::from(cost);
            let allowed = cost <= burst && needed_ns <= bucket.tokens_ns;
            if allowed {
                bucket.tokens_ns -= needed_ns;
                passed.push_back((now, cost));
            }
            let decision = limiter.check("key", quota, cost, now);
            prop_assert_eq!(decision.allowed, allowed);
            prop_assert_eq!(i128::from(decision.remaining), bucket.tokens_ns / token_ns);
            prop_assert_eq!(decision.is_never(), cost > burst);
            // No window of `per` sees more than a burst and the quota.
            while passed.front().is_some_and(|(then, _)| now.since(*then) >= quota.per) {
                passed.pop_front();
            }
            let in_window: u32 = passed.iter().map(|(_, cost)| cost).sum();
            prop_assert!(in_window <= burst + requests);
        }
    }

    #[test]
    fn a_retry_at_the_promised_time_is_allowed_and_not_a_millisecond_sooner(
        requests in 1_u32..50,
        per_ms in 100_u64..100_000,
        taken in 1_u32..8,
    ) {
        let quota = Quota { requests, per: Duration::from_millis(per_ms), burst: 8 };
        let limiter = RateLimiter::new(4);
        prop_assert!(limiter.check("key", quota, taken, at(0)).allowed);
        let Some(retry_after) = limiter.check("key", quota, 8, at(0)).retry_after else {
            return Err(TestCaseError::fail("refused for good"));
        };
        let then = at(0).plus(retry_after);
        prop_assert!(!limiter.check("key", quota, 8, at_ms(then.0 - 1)).allowed);
        prop_assert!(limiter.check("key", quota, 8, then).allowed);
    }

    #[test]
    fn a_clock_that_jumps_locks_nobody_out(
        requests in 1_u32..50,
        per_ms in 1_u64..100_000,
        jumps in proptest::collection::vec(-1_000_000_000_i64..1_000_000_000, 1..50),
    ) {
        let quota = Quota::new(requests, Duration::from_millis(per_ms));
        let limiter = RateLimiter::new(4);
        for jump in jumps {
            // As much as it gives, to owe all there is to owe.
            while limiter.check("key", quota, 1, at_ms(jump)).allowed {}
            let decision = limiter.check("key", quota, requests, at_ms(jump));
            let retry_after = decision.retry_after.unwrap_or_default();
            // Rounded up: an interval to a nanosecond, the answer to a millisecond.
            prop_assert!(retry_after <= quota.per + Duration::from_millis(1));
        }
    }
}
