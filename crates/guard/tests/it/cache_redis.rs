//! Several caches on one Redis: each is another process, maybe on another machine.

use std::sync::Arc;
use std::time::Duration;

use guard::{Cache, CacheOptions, DiskState, Redis, RedisOptions};
use testkit::services::{self, ServiceSet};
use types::{Clock, ManualClock};

use crate::redis::{connect, options};
use crate::{HOUR, at, bytes, check, key, put};

const PATIENCE: Duration = Duration::from_secs(30);

struct Deployment {
    redis: services::Redis,
    clock: Arc<ManualClock>,
    answer_timeout: Duration,
}

impl Deployment {
    fn new(redis: services::Redis) -> Deployment {
        Deployment {
            redis,
            clock: Arc::new(ManualClock::at(at(1_000_000))),
            answer_timeout: PATIENCE,
        }
    }

    fn shared() -> Deployment {
        Deployment::new(services::Redis::shared())
    }

    fn open(&self) -> (Cache, Redis) {
        let redis = connect(RedisOptions {
            answer_timeout: self.answer_timeout,
            ..options(&self.redis)
        });
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let cache = Cache::shared(&CacheOptions::default(), clock, redis.clone());
        (cache, redis)
    }

    fn open_two(&self) -> (Cache, Cache) {
        (self.open().0, self.open().0)
    }
}

#[test]
fn one_process_finds_what_another_one_put() {
    let deployment = Deployment::shared();
    let (here, there) = deployment.open_two();
    put(&here, &key("a", 1, "x"), "value");
    here.flush();
    check(&there, &key("a", 1, "x"), Some("value"));
    for other in [key("a", 2, "x"), key("b", 1, "x"), key("a", 1, "y")] {
        check(&there, &other, None);
    }
    let stats = there.stats();
    assert_eq!(stats.disk_state, DiskState::On);
    assert_eq!((stats.total.disk.hits, stats.total.disk.misses), (1, 3));
    // Of an own prefix: another deployment's.
    let elsewhere = Deployment::shared().open().0;
    check(&elsewhere, &key("a", 1, "x"), None);
    let computed = there.get_or_compute(&key("a", 1, "x"), HOUR, || -> Result<_, ()> {
        panic!("it is known");
    });
    assert_eq!(computed.expect("known"), "value");
}

#[test]
fn a_value_ends_with_its_time_whatever_the_clocks_say() {
    let deployment = Deployment::shared();
    let (here, there) = deployment.open_two();
    let brief = key("a", 1, "brief");
    here.put(
        &brief,
        &bytes("value"),
        Duration::from_millis(1),
        here.stamp(),
    );
    put(&here, &key("a", 1, "long"), "value");
    here.flush();
    // A machine whose clock is years behind.
    let slow = Arc::new(ManualClock::at(at(10)));
    let late = Cache::shared(
        &CacheOptions::default(),
        slow,
        connect(options(&deployment.redis)),
    );
    check(&late, &key("a", 1, "long"), Some("value"));
    // By the server's clock; each look takes a part of the millisecond.
    let is_gone = (0..10_000).any(|_| {
        there.get(&brief).is_none_or(|_| {
            deployment.clock.advance(Duration::from_millis(1));
            false
        })
    });
    assert!(is_gone);
}

#[test]
fn an_invalidation_takes_what_it_names_everywhere_and_nothing_else() {
    let deployment = Deployment::shared();
    let (here, there) = deployment.open_two();
    let keys = [
        key("a", 1, "x"),
        key("a", 1, "y"),
        key("a", 2, "x"),
        key("b", 1, "x"),
    ];
    keys.iter().for_each(|key| put(&here, key, "value"));
    here.flush();
    keys.iter()
        .for_each(|key| check(&there, key, Some("value")));
    here.invalidate("a", 1);
    // Memory there may answer for a second more.
    deployment.clock.advance(Duration::from_secs(1));
    for cache in [&here, &there, &deployment.open().0] {
        check(cache, &keys[0], None);
        check(cache, &keys[1], None);
        check(cache, &keys[2], Some("value"));
        check(cache, &keys[3], Some("value"));
    }
    put(&there, &keys[0], "new");
    there.flush();
    check(&here, &keys[0], Some("new"));
}

#[test]
fn what_is_not_in_memory_is_exact_at_once() {
    let deployment = Deployment::shared();
    let (here, there) = deployment.open_two();
    let (first, second) = (key("a", 1, "x"), key("a", 1, "y"));
    put(&here, &first, "value");
    put(&here, &second, "value");
    here.flush();
    check(&there, &first, Some("value"));
    here.invalidate("a", 1);
    check(&there, &second, None);
    // And with that it has heard of it.
    check(&there, &first, None);
}

#[test]
fn what_was_computed_before_an_invalidation_elsewhere_is_found_nowhere() {
    let deployment = Deployment::shared();
    let (here, there) = deployment.open_two();
    let key = key("search", 1, "q");
    let stamp = there.stamp();
    here.invalidate("search", 1);
    there.put(&key, &bytes("old"), HOUR, stamp);
    there.flush();
    check(&here, &key, None);
    deployment.clock.advance(Duration::from_secs(1));
    check(&there, &key, None);
    check(&deployment.open().0, &key, None);
}

#[test]
fn clearing_removes_from_memory_and_redis_and_counts() {
    let redis = services::Redis {
        prefix: format!("{}*?[a]\\", services::Redis::shared().prefix),
        ..services::Redis::shared()
    };
    let deployment = Deployment::new(redis);
    let (here, there) = deployment.open_two();
    let keys = [key("a", 1, "x"), key("a", 2, "x"), key("b", 1, "x")];
    keys.iter().for_each(|key| put(&here, key, "value"));
    assert_eq!(here.clear(Some("a"), Some(1)), 1);
    check(&there, &keys[0], None);
    check(&there, &keys[1], Some("value"));
    assert_eq!(there.clear(None, Some(1)), 1);
    deployment.clock.advance(Duration::from_secs(1));
    check(&here, &keys[2], None);
    check(&here, &keys[1], Some("value"));
    assert_eq!(here.clear(None, None), 1);
    assert_eq!(here.clear(None, None), 0);
}

#[test]
fn invalidations_that_the_server_evicted_are_made_up_for() {
    let deployment = Deployment::shared();
    let (here, there) = deployment.open_two();
    let (first, second) = (key("a", 1, "x"), key("a", 1, "y"));
    put(&there, &first, "value");
    put(&there, &second, "value");
    there.flush();
    here.invalidate("a", 1);
    let server = ::redis::Client::open(deployment.redis.url.as_str()).expect("an address");
    let mut connection = server.get_connection().expect("a connection");
    for name in ["cache-number", "cache-invalidations"] {
        let key = format!("{}:{name}", deployment.redis.prefix);
        let removed: u64 = ::redis::cmd("DEL")
            .arg(&key)
            .query(&mut connection)
            .expect("it answers");
        assert_eq!(removed, 1, "{key}");
    }
    deployment.clock.advance(Duration::from_secs(1));
    check(&there, &first, None);
    check(&deployment.open().0, &second, None);
    put(&there, &first, "new");
    there.flush();
    check(&here, &first, Some("new"));
}

#[test]
fn while_redis_hangs_memory_does_alone_for_a_while_and_nothing_invalidated_comes_back() {
    let set = ServiceSet::start(&["redis-alone"]);
    let deployment = Deployment {
        answer_timeout: Duration::from_secs(1),
        ..Deployment::new(set.redis())
    };
    let ((here, one), (there, two)) = (deployment.open(), deployment.open());
    let (lost, kept) = (key("a", 1, "x"), key("b", 1, "x"));
    for key in [&lost, &kept] {
        put(&here, key, "value");
        here.flush();
        check(&there, key, Some("value"));
    }
    set.signal("redis-a", "STOP");
    assert!(
        [&one, &two]
            .iter()
            .all(|redis| redis.wait_for(PATIENCE, |now| !now.is_up))
    );
    assert_eq!(here.stats().disk_state, DiskState::Failed);
    here.invalidate("a", 1);
    check(&here, &lost, None);
    check(&here, &kept, Some("value"));
    // Nobody can tell the other process; so it soon stops answering by itself.
    check(&there, &lost, Some("value"));
    deployment.clock.advance(Duration::from_secs(10));
    check(&there, &lost, None);
    check(&there, &kept, None);
    // It computes, and keeps that for as long again.
    put(&there, &kept, "computed anew");
    check(&there, &kept, Some("computed anew"));
    // Invalidations that wait are bounded: from some number on they are everything.
    (0..2000).for_each(|scope| here.invalidate("c", scope));
    check(&here, &kept, None);

    set.signal("redis-a", "CONT");
    assert!(
        [&one, &two]
            .iter()
            .all(|redis| redis.wait_for(PATIENCE, |now| now.is_up))
    );
    // Those that waited are told first.
    here.flush();
    check(&here, &lost, None);
    check(&there, &lost, None);
    put(&here, &lost, "new");
    here.flush();
    check(&there, &lost, Some("new"));
    assert_eq!(here.stats().disk_state, DiskState::On);
}

#[test]
fn a_server_that_lost_its_memory_makes_everything_stale() {
    let set = ServiceSet::start(&["redis-alone"]);
    let deployment = Deployment::new(set.redis());
    let ((here, one), (there, two)) = (deployment.open(), deployment.open());
    let key = key("a", 1, "x");
    put(&here, &key, "value");
    here.flush();
    check(&there, &key, Some("value"));
    let before = here.stamp();
    set.signal("redis-a", "KILL");
    assert!(
        [&one, &two]
            .iter()
            .all(|redis| redis.wait_for(PATIENCE, |now| !now.is_up))
    );
    set.start_again("redis-a");
    assert!(
        [&one, &two]
            .iter()
            .all(|redis| redis.wait_for(PATIENCE, |now| now.is_up))
    );
    deployment.clock.advance(Duration::from_secs(1));
    for cache in [&here, &there] {
        check(cache, &key, None);
    }
    here.put(&key, &bytes("old"), HOUR, before);
    here.flush();
    check(&here, &key, None);
    check(&there, &key, None);
    put(&here, &key, "new");
    here.flush();
    check(&there, &key, Some("new"));
}
