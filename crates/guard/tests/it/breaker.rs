use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use guard::{BreakerPolicy, BreakerState, CircuitBreaker};
use types::Timestamp;

use crate::at;

fn breaker() -> CircuitBreaker {
    CircuitBreaker::new(
        "embedder",
        BreakerPolicy {
            threshold: 3,
            open_for: Duration::from_secs(10),
        },
    )
}

fn fail(breaker: &CircuitBreaker, now: Timestamp) {
    breaker.try_acquire(now).expect("a permit").failure(now);
}

fn opened() -> CircuitBreaker {
    let breaker = breaker();
    (0..3).for_each(|_| fail(&breaker, at(0)));
    breaker
}

#[test]
fn opens_after_failures_in_a_row_only() {
    let breaker = breaker();
    fail(&breaker, at(0));
    fail(&breaker, at(0));
    breaker.try_acquire(at(0)).expect("a permit").success();
    fail(&breaker, at(1));
    fail(&breaker, at(1));
    assert_eq!(breaker.snapshot(at(1)).state, BreakerState::Closed);
    fail(&breaker, at(2));
    let snapshot = breaker.snapshot(at(2));
    assert_eq!(snapshot.state, BreakerState::Open);
    assert_eq!((snapshot.failures, snapshot.opens_total), (3, 1));
    assert_eq!(snapshot.retry_at, Some(at(12)));
    let refused = breaker.try_acquire(at(11)).expect_err("open");
    assert_eq!(refused.retry_at, Some(at(12)));
    assert_eq!(
        refused.to_string(),
        "embedder keeps failing and is left alone for now"
    );
}

#[test]
fn half_open_lets_exactly_one_probe_through() {
    let breaker = opened();
    let let_through = AtomicU32::new(0);
    let barrier = std::sync::Barrier::new(16);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let permit = breaker.try_acquire(at(10));
                let_through.fetch_add(u32::from(permit.is_ok()), Ordering::Relaxed);
                barrier.wait();
                if let Ok(permit) = permit {
                    permit.success();
                }
            });
        }
    });
    assert_eq!(let_through.into_inner(), 1);
    assert_eq!(breaker.snapshot(at(10)).state, BreakerState::Closed);
    assert_eq!(breaker.snapshot(at(10)).failures, 0);
}

#[test]
fn a_failed_probe_opens_it_again_and_a_lost_one_makes_room() {
    let breaker = opened();
    fail(&breaker, at(10));
    let snapshot = breaker.snapshot(at(10));
    assert_eq!((snapshot.opens_total, snapshot.retry_at), (2, Some(at(20))));
    let probe = breaker.try_acquire(at(20)).expect("a probe");
    assert_eq!(
        breaker.try_acquire(at(30)).expect_err("busy").retry_at,
        None
    );
    assert_eq!(breaker.snapshot(at(30)).state, BreakerState::HalfOpen);
    drop(probe);
    assert!(breaker.try_acquire(at(30)).is_ok());
}

#[test]
fn a_call_from_before_says_nothing_about_now() {
    let breaker = breaker();
    let slow_success = breaker.try_acquire(at(0)).expect("a permit");
    let slow_failure = breaker.try_acquire(at(0)).expect("a permit");
    let forgotten = breaker.try_acquire(at(0)).expect("a permit");
    (0..3).for_each(|_| fail(&breaker, at(1)));
    slow_success.success();
    assert_eq!(breaker.snapshot(at(1)).state, BreakerState::Open);
    let probe = breaker.try_acquire(at(11)).expect("a probe");
    slow_failure.failure(at(11));
    drop(forgotten);
    assert!(breaker.try_acquire(at(11)).is_err(), "one probe at a time");
    probe.success();
    assert_eq!(breaker.snapshot(at(11)).state, BreakerState::Closed);
}

#[test]
fn a_clock_that_went_back_keeps_it_open_no_longer() {
    let breaker = opened();
    assert_eq!(
        breaker.try_acquire(at(-1000)).expect_err("open").retry_at,
        Some(at(-990))
    );
    assert!(breaker.try_acquire(at(-990)).is_ok());
}

#[test]
fn a_threshold_of_zero_means_never() {
    let breaker = CircuitBreaker::new(
        "webhook",
        BreakerPolicy {
            threshold: 0,
            ..BreakerPolicy::default()
        },
    );
    (0..100).for_each(|_| fail(&breaker, at(0)));
    assert!(breaker.try_acquire(at(0)).is_ok());
}
