//! Redis dies, hangs, moves to another server, comes back: in a set of its own.

use std::time::Duration;

use guard::{BreakerPolicy, BreakerState, CircuitBreaker, Redis, RedisOptions, SharedRateLimiter};
use testkit::services::ServiceSet;

use crate::at;
use crate::redis::{connect, options, per_hour, spend};
use crate::warnings;

const HOUR: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(30);

fn breaker(redis: &Redis) -> CircuitBreaker {
    let policy = BreakerPolicy {
        threshold: 1,
        open_for: HOUR,
    };
    CircuitBreaker::shared("service", "address", policy, Some(redis.clone()))
}

#[test]
fn a_killed_master_is_followed_to_the_next_one_and_nobody_gets_more_meanwhile() {
    let set = ServiceSet::start(&["redis"]);
    let services = set.redis();
    let with_sentinels = RedisOptions {
        url: String::new(),
        sentinels: services.sentinels.clone(),
        master: services.master.clone(),
        ..options(&services)
    };
    let processes = [(); 2].map(|()| connect(with_sentinels.clone()));
    let limiters = processes
        .each_ref()
        .map(|redis| SharedRateLimiter::new(10, Some(redis.clone())));
    let breakers = processes.each_ref().map(breaker);
    let began_at = services.url.trim_start_matches("redis://").to_owned();
    assert_eq!(processes[0].status().server, Some(began_at.clone()));
    for _ in 0..2 {
        assert!(spend(&limiters[0], "used up", per_hour(2)).allowed);
    }
    breakers[0]
        .try_acquire(at(0))
        .expect("closed")
        .failure(at(0));
    assert!(breakers[1].try_acquire(at(0)).is_err(), "open for all");

    set.signal("redis-a", "KILL");
    // Whoever asks first finds out; from then on this process decides, and
    // what was used up stays so.
    assert!(!spend(&limiters[0], "used up", per_hour(2)).allowed);
    assert!(breakers[1].try_acquire(at(0)).is_err());
    assert_eq!(breakers[1].snapshot(at(0)).state, BreakerState::Open);
    assert!(spend(&limiters[0], "new", per_hour(1)).allowed);
    for redis in &processes {
        let is_back = redis.wait_for(PATIENCE, |status| status.is_up && status.connections > 1);
        assert!(is_back, "{:?}", redis.status());
        assert_ne!(redis.status().server, Some(began_at.clone()));
        assert_eq!(redis.status().problem, None);
    }
    // One limit again, on the new master.
    let allowed = [0, 1, 0, 1].map(|process| {
        let limiter = &limiters[process];
        spend(limiter, "after", per_hour(2)).allowed
    });
    assert_eq!(allowed, [true, true, false, false]);

    // The old master comes back as one, until a Sentinel makes it a replica.
    set.start_again("redis-a");
    let latecomer = connect(with_sentinels);
    assert_eq!(latecomer.status().server, processes[0].status().server);
}

#[test]
fn a_hanging_server_holds_nobody_up_and_is_taken_back() {
    let set = ServiceSet::start(&["redis-alone"]);
    let services = set.redis();
    let redis = connect(RedisOptions {
        answer_timeout: Duration::from_millis(100),
        ..options(&services)
    });
    let limiter = SharedRateLimiter::new(10, Some(redis.clone()));
    assert!(spend(&limiter, "key", per_hour(3)).allowed);
    set.signal("redis-a", "STOP");
    assert!(spend(&limiter, "key", per_hour(3)).allowed, "here");
    assert!(redis.wait_for(PATIENCE, |status| !status.is_up));
    assert!(redis.status().problem.is_some());
    assert!(spend(&limiter, "key", per_hour(3)).allowed, "the third");
    assert!(!spend(&limiter, "key", per_hour(3)).allowed, "and no more");
    set.signal("redis-a", "CONT");
    assert!(redis.wait_for(PATIENCE, |status| status.is_up));
    // There it was one, or two if the one that nobody waited for was counted.
    let more = [(); 3].map(|()| spend(&limiter, "key", per_hour(3)).allowed);
    assert!(more[0] && !more[2], "{more:?}");
    let server = services.url.trim_start_matches("redis://");
    assert_eq!(warnings::count(&["Redis is away", server]), 1);
}

#[test]
fn a_server_that_is_not_there_yet_is_found_when_it_comes() {
    let set = ServiceSet::start(&["redis-alone"]);
    set.signal("redis-a", "KILL");
    warnings::listen();
    let redis = Redis::start(options(&set.redis())).expect("a sound address");
    let limiter = SharedRateLimiter::new(10, Some(redis.clone()));
    let breaker = breaker(&redis);
    assert!(spend(&limiter, "key", per_hour(1)).allowed);
    assert!(!spend(&limiter, "key", per_hour(1)).allowed);
    breaker.try_acquire(at(0)).expect("closed").failure(at(0));
    assert!(breaker.try_acquire(at(0)).is_err());
    set.start_again("redis-a");
    assert!(
        redis.wait_for(PATIENCE, |status| status.is_up),
        "{:?}",
        redis.status()
    );
    assert!(
        spend(&limiter, "key", per_hour(1)).allowed,
        "nobody asked there"
    );
}
