//! Several processes on one Redis: each [`Redis`] handle here is one of them.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use guard::{
    BreakerPolicy, BreakerState, CircuitBreaker, Decision, Quota, RateLimiter, Redis, RedisError,
    RedisOptions, SharedRateLimiter,
};
use proptest::prelude::*;
use testkit::services;

use crate::{at, warnings};

const HOUR: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn options(redis: &services::Redis) -> RedisOptions {
    RedisOptions {
        url: redis.url.clone(),
        prefix: redis.prefix.clone(),
        // The machine may be busy with other tests.
        connect_timeout: Duration::from_secs(5),
        answer_timeout: Duration::from_secs(5),
        // And nobody wants to wait for a test.
        retry_after: Duration::from_millis(20),
        retry_after_max: Duration::from_millis(200),
        sentinels_every: Duration::from_millis(200),
        ..RedisOptions::default()
    }
}

pub(crate) fn connect(options: RedisOptions) -> Redis {
    warnings::listen();
    let redis = Redis::start(options).expect("a sound address");
    assert!(
        redis.wait_for(PATIENCE, |status| status.is_up),
        "{:?}",
        redis.status()
    );
    redis
}

fn two_processes() -> [Redis; 2] {
    let shared = services::Redis::shared();
    [(); 2].map(|()| connect(options(&shared)))
}

pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime")
        .block_on(future)
}

pub(crate) fn per_hour(requests: u32) -> Quota {
    Quota::new(requests, HOUR)
}

/// By the server's clock; a refill within a test is as good as none.
pub(crate) fn spend(limiter: &SharedRateLimiter, key: &str, quota: Quota) -> Decision {
    wait(limiter.check(key, quota, 1, at(0)))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 40,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn redis_decides_as_this_process_does(
        asked in prop::collection::vec((0_u8..3, 0_u32..6, 0_u32..7, 0_u32..7), 1..30),
    ) {
        let redis = connect(options(&services::Redis::shared()));
        let shared = SharedRateLimiter::new(10, Some(redis));
        let local = RateLimiter::new(10);
        let began = Instant::now();
        for (key, cost, requests, burst) in asked {
            // Hours between two: what flows back within the test changes no decision.
            let quota = Quota { requests, per: HOUR * requests * 3, burst };
            let here = local.check([key], quota, cost, at(0));
            let there = wait(shared.check([key], quota, cost, at(0)));
            let took = began.elapsed() + Duration::from_millis(1);
            let times = |decision: &Decision| {
                (decision.retry_after.unwrap_or_default(), decision.reset_after)
            };
            for (here, there) in [
                (times(&here).0, times(&there).0),
                (times(&here).1, times(&there).1),
            ] {
                prop_assert!(there <= here && here <= there + took, "{here:?} {there:?}");
            }
            let untimed = |decision: Decision| Decision {
                retry_after: decision.retry_after.map(|_| Duration::ZERO),
                reset_after: Duration::ZERO,
                ..decision
            };
            prop_assert_eq!(untimed(here).allowed, untimed(there).allowed);
            prop_assert_eq!(untimed(here).limit, untimed(there).limit);
            prop_assert_eq!(here.is_never(), there.is_never());
            // One of them may be an instant later: a bucket full there, all but full here.
            prop_assert!(there.remaining.abs_diff(here.remaining) <= 1);
        }
    }
}

#[test]
fn a_quota_is_that_of_all_processes_together() {
    let limiters = two_processes().map(|redis| SharedRateLimiter::new(10, Some(redis)));
    let allowed: usize = std::thread::scope(|scope| {
        let asking = [0, 1, 0, 1].map(|process| {
            let limiter = &limiters[process];
            scope.spawn(move || {
                let asked = (0..100).map(|_| spend(limiter, "key", per_hour(150)));
                asked.filter(|decision| decision.allowed).count()
            })
        });
        asking
            .into_iter()
            .map(|asking| asking.join().expect("no panic"))
            .sum()
    });
    assert_eq!(allowed, 150);
    assert!(spend(&limiters[1], "another key", per_hour(1)).allowed);
    let seen = limiters.each_ref().map(SharedRateLimiter::stats);
    assert_eq!(seen[0].allowed + seen[1].allowed, 151);
    assert_eq!(seen[0].refused + seen[1].refused, 250);
}

#[test]
fn deployments_with_prefixes_of_their_own_do_not_meet() {
    let [one, another] = [services::Redis::shared(), services::Redis::shared()]
        .map(|redis| SharedRateLimiter::new(10, Some(connect(options(&redis)))));
    assert!(spend(&one, "key", per_hour(1)).allowed);
    assert!(!spend(&one, "key", per_hour(1)).allowed);
    assert!(spend(&another, "key", per_hour(1)).allowed);
}

#[test]
fn a_bucket_that_takes_too_long_to_fill_is_kept_here_and_counted_all_the_same() {
    let limiter = SharedRateLimiter::new(10, Some(two_processes()[0].clone()));
    let year = Quota::new(2, HOUR * 24 * 365);
    let allowed = [(); 3].map(|()| spend(&limiter, "key", year).allowed);
    assert_eq!(allowed, [true, true, false]);
}

fn breakers(threshold: u32, open_for: Duration) -> [CircuitBreaker; 2] {
    let policy = BreakerPolicy {
        threshold,
        open_for,
    };
    two_processes().map(|redis| CircuitBreaker::shared("service", "address", policy, Some(redis)))
}

fn states(breakers: &[CircuitBreaker; 2]) -> [BreakerState; 2] {
    breakers
        .each_ref()
        .map(|breaker| breaker.snapshot(at(0)).state)
}

#[test]
fn failures_of_all_processes_open_a_breaker_for_all() {
    let breakers = breakers(3, HOUR);
    for process in [0, 1, 0] {
        let permit = breakers[process].try_acquire(at(0)).expect("closed");
        permit.failure(at(0));
    }
    assert_eq!(states(&breakers), [BreakerState::Open; 2]);
    for breaker in &breakers {
        let refused = breaker.try_acquire(at(0)).expect_err("open");
        let wait = refused.retry_at.expect("a time").since(at(0));
        assert!(wait <= HOUR && wait > HOUR - PATIENCE, "{wait:?}");
        let snapshot = breaker.snapshot(at(0));
        assert_eq!((snapshot.failures, snapshot.opens_total), (3, 1));
    }
}

#[test]
fn a_success_anywhere_ends_the_row() {
    let breakers = breakers(2, HOUR);
    let call = |process: usize| breakers[process].try_acquire(at(0)).expect("closed");
    call(0).failure(at(0));
    call(1).success();
    call(0).failure(at(0));
    assert_eq!(states(&breakers), [BreakerState::Closed; 2]);
    call(1).failure(at(0));
    assert_eq!(states(&breakers), [BreakerState::Open; 2]);
}

#[test]
fn one_probe_among_all_processes_decides_for_all() {
    let breakers = breakers(1, Duration::ZERO);
    let [one, another] = &breakers;
    let old = another.try_acquire(at(0)).expect("closed");
    one.try_acquire(at(0)).expect("closed").failure(at(0));
    assert_eq!(states(&breakers), [BreakerState::HalfOpen; 2]);

    let probe = another.try_acquire(at(0)).expect("the probe");
    let refused = one.try_acquire(at(0)).expect_err("one probe");
    assert_eq!(refused.retry_at, None);
    // What began before it opened says nothing of the time after.
    old.success();
    assert_eq!(states(&breakers), [BreakerState::HalfOpen; 2]);
    // One that ends without a word makes room.
    drop(probe);
    let probe = one.try_acquire(at(0)).expect("the next probe");
    assert!(another.try_acquire(at(0)).is_err());
    probe.failure(at(0));
    assert_eq!(one.snapshot(at(0)).opens_total, 2);
    another.try_acquire(at(0)).expect("a third probe").success();
    assert_eq!(states(&breakers), [BreakerState::Closed; 2]);
    assert_eq!(one.snapshot(at(0)).failures, 0);
}

#[test]
fn processes_racing_for_the_probe_get_one() {
    let breakers = breakers(1, Duration::ZERO);
    breakers[0]
        .try_acquire(at(0))
        .expect("closed")
        .failure(at(0));
    let got = std::thread::scope(|scope| {
        let racing = [0, 1, 0, 1].map(|process| {
            let breaker = &breakers[process];
            // Held, not told, until all have asked.
            scope.spawn(move || breaker.try_acquire(at(0)).map(std::mem::forget).is_ok())
        });
        racing.map(|racer| racer.join().expect("no panic"))
    });
    assert_eq!(got.into_iter().filter(|got| *got).count(), 1, "{got:?}");
}

#[test]
fn breakers_of_other_addresses_are_others() {
    let policy = BreakerPolicy {
        threshold: 1,
        open_for: HOUR,
    };
    let redis = two_processes();
    let at_address = |at: usize, address| {
        CircuitBreaker::shared("service", address, policy, Some(redis[at].clone()))
    };
    let (one, same, other) = (at_address(0, "a"), at_address(1, "a"), at_address(1, "b"));
    one.try_acquire(at(0)).expect("closed").failure(at(0));
    assert!(same.try_acquire(at(0)).is_err());
    assert!(other.try_acquire(at(0)).is_ok());
}

#[test]
fn addresses_that_cannot_be_are_refused() {
    let start = |url: &str, sentinels: &[&str]| {
        Redis::start(RedisOptions {
            url: url.to_owned(),
            sentinels: sentinels.iter().map(|text| (*text).to_owned()).collect(),
            ..RedisOptions::default()
        })
    };
    for url in [
        "",
        "localhost",
        "http://localhost",
        "unix:///tmp/redis",
        "rediss://localhost",
    ] {
        assert!(matches!(start(url, &[]), Err(RedisError::Address)), "{url}");
    }
    for sentinel in [
        "localhost",
        "localhost:",
        ":26379",
        "localhost:x",
        "localhost:0",
    ] {
        let refused = start("", &[sentinel]);
        assert!(
            matches!(refused, Err(RedisError::Sentinel(_))),
            "{sentinel}"
        );
    }
    let secret = RedisOptions {
        url: "redis://user:hunter2@localhost".to_owned(),
        ..RedisOptions::default()
    };
    assert!(!format!("{secret:?}").contains("hunter2"));
}

#[test]
fn handles_are_shared_and_the_last_one_ends_the_thread() {
    let [redis, _] = two_processes();
    let limiter = Arc::new(SharedRateLimiter::new(10, Some(redis.clone())));
    drop(redis);
    assert!(spend(&limiter, "key", per_hour(1)).allowed);
    assert!(!spend(&limiter, "key", per_hour(1)).allowed);
    // Would hang if the thread did not end.
    drop(limiter);
}
