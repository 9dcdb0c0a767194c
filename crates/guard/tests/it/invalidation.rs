use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use bytes::Bytes;
use guard::{Cache, CacheKey, CacheOptions};

use crate::{HOUR, Place, bytes, check, key, put};

#[test]
fn it_takes_what_it_names_and_nothing_else() {
    let place = Place::new();
    for cache in [place.in_memory(), place.open()] {
        let keys = [
            key("a", 1, "x"),
            key("a", 1, "y"),
            key("a", 2, "x"),
            key("b", 1, "x"),
        ];
        keys.iter().for_each(|key| put(&cache, key, "value"));
        cache.flush();
        cache.invalidate("a", 1);
        check(&cache, &keys[0], None);
        check(&cache, &keys[1], None);
        check(&cache, &keys[2], Some("value"));
        check(&cache, &keys[3], Some("value"));
        put(&cache, &keys[0], "new");
        check(&cache, &keys[0], Some("new"));
        check(&cache, &keys[1], None);
    }
}

#[test]
fn what_was_computed_before_is_not_kept_after() {
    let place = Place::new();
    for cache in [place.in_memory(), place.open()] {
        let stamp = cache.stamp();
        cache.invalidate("search", 1);
        let key = key("search", 1, "q");
        cache.put(&key, &bytes("old"), HOUR, stamp);
        check(&cache, &key, None);
        cache.flush();
        check(&cache, &key, None);
    }
    check(&place.open(), &key("search", 1, "q"), None);
}

#[test]
fn nobody_joins_a_computation_from_before() {
    let place = Place::new();
    for cache in [place.in_memory(), place.open()] {
        let cache = &cache;
        let key = key("search", 1, "q");
        let (started, has_started) = sync_channel(1);
        let (go_on, may_go_on) = sync_channel(1);
        std::thread::scope(|scope| {
            let old = scope.spawn(move || {
                cache.get_or_compute(&key, HOUR, || {
                    started.send(()).expect("someone listens");
                    may_go_on.recv().expect("someone lets it go on");
                    Ok::<_, ()>(bytes("old"))
                })
            });
            has_started.recv().expect("it starts");
            cache.invalidate("search", 1);
            check(cache, &key, None);
            // Were it to join, it would wait for `go_on` for ever.
            let new = cache.get_or_compute(&key, HOUR, || Ok::<_, ()>(bytes("new")));
            assert_eq!(new, Ok(bytes("new")));
            go_on.send(()).expect("it waits");
            assert_eq!(old.join().expect("no panic"), Ok(bytes("old")));
        });
        check(cache, &key, Some("new"));
        cache.flush();
        check(cache, &key, Some("new"));
    }
    check(&place.open(), &key("search", 1, "q"), Some("new"));
}

#[test]
fn it_outlives_a_process_that_is_killed() {
    let place = Place::new();
    let cache = place.open();
    put(&cache, &key("a", 1, "x"), "old");
    put(&cache, &key("a", 2, "x"), "kept");
    cache.flush();
    cache.invalidate("a", 1);
    // As if killed: nothing is flushed or closed.
    std::mem::forget(cache);
    let cache = place.open();
    check(&cache, &key("a", 1, "x"), None);
    check(&cache, &key("a", 2, "x"), Some("kept"));
    put(&cache, &key("a", 1, "x"), "new");
    drop(cache);
    check(&place.open(), &key("a", 1, "x"), Some("new"));
}

#[test]
fn numbers_go_on_after_everything_was_cleared() {
    let place = Place::new();
    let cache = place.open();
    let key = key("a", 1, "x");
    cache.invalidate("a", 1);
    cache.clear(None, None);
    put(&cache, &key, "value");
    drop(cache);
    let cache = place.open();
    check(&cache, &key, Some("value"));
    cache.invalidate("a", 1);
    check(&cache, &key, None);
    drop(cache);
    check(&place.open(), &key, None);
}

#[test]
fn too_many_targets_become_one_that_is_everything() {
    let place = Place::new();
    let cache = place.open();
    let untouched = key("b", 7, "x");
    put(&cache, &untouched, "value");
    drop(cache);
    place
        .sqlite()
        .execute_batch(
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 40000)
             INSERT INTO invalidation (scope, area) SELECT n + 100, 'a' FROM n",
        )
        .expect("many of them");
    let (cache, other) = (place.open(), place.open());
    check(&cache, &untouched, Some("value"));
    cache.invalidate("a", 1);
    check(&cache, &untouched, None);
    put(&cache, &untouched, "new");
    cache.flush();
    place.clock.advance(Duration::from_secs(1));
    check(&other, &untouched, Some("new"));
    cache.invalidate("a", 1);
    check(&cache, &untouched, Some("new"));
    let rows = place
        .sqlite()
        .query_row("SELECT count(*) FROM invalidation", [], |row| {
            row.get::<_, i64>(0)
        })
        .expect("a count");
    assert_eq!(rows, 2);
}

/// A number that only grows, invalidated each time it has grown. Whoever asks
/// after that must get it or a later one.
fn race(writer: &Cache, readers: &[&Cache], keys: &[CacheKey]) {
    const ROUNDS: u64 = 300;
    let truth = AtomicU64::new(0);
    let published = AtomicU64::new(0);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for at in 0..6 {
            let cache = readers[at % readers.len()];
            let (truth, published, is_over) = (&truth, &published, &is_over);
            scope.spawn(move || {
                let mut asked = 0;
                while !is_over.load(Ordering::SeqCst) || asked < 10 {
                    let key = &keys[asked % keys.len()];
                    asked += 1;
                    let at_least = published.load(Ordering::SeqCst);
                    let value = if asked % 3 == 0 {
                        cache.get(key)
                    } else {
                        let compute = || {
                            let now = truth.load(Ordering::SeqCst);
                            std::thread::yield_now();
                            Ok::<_, ()>(Bytes::copy_from_slice(&now.to_le_bytes()))
                        };
                        cache.get_or_compute(key, HOUR, compute).ok()
                    };
                    if let Some(value) = value {
                        let value = value.as_ref().try_into().map(u64::from_le_bytes);
                        let value = value.expect("eight bytes");
                        assert!(value >= at_least, "{value} was over at {at_least}");
                    }
                }
            });
        }
        for round in 1..=ROUNDS {
            truth.store(round, Ordering::SeqCst);
            writer.invalidate("search", 1);
            published.store(round, Ordering::SeqCst);
        }
        is_over.store(true, Ordering::SeqCst);
    });
}

#[test]
fn under_fire_nothing_old_is_seen() {
    let place = Place::new();
    let keys = [key("search", 1, "p"), key("search", 1, "q")];
    let cache = place.in_memory();
    race(&cache, &[&cache], &keys);
    // A memory for one value, so that the disk answers, too.
    let options = CacheOptions {
        memory_bytes_max: 400,
        ..place.options()
    };
    let cache = place.open_with(&options);
    race(&cache, &[&cache], &keys);
}

#[test]
fn under_fire_of_another_process_nothing_old_is_seen() {
    let place = Place::new();
    let options = CacheOptions {
        refresh_after: Duration::ZERO,
        ..place.options()
    };
    let (here, there) = (place.open_with(&options), place.open_with(&options));
    let keys = [key("search", 1, "p"), key("search", 1, "q")];
    race(&here, &[&here, &there], &keys);
}
