//! Several caches on one file.

use std::time::Duration;

use guard::{CacheOptions, DiskState};

use crate::{HOUR, Place, bytes, check, key, put};

#[test]
fn one_process_finds_what_another_one_wrote() {
    let place = Place::new();
    let (here, there) = (place.open(), place.open());
    put(&here, &key("a", 1, "x"), "value");
    here.flush();
    check(&there, &key("a", 1, "x"), Some("value"));
    put(&there, &key("a", 1, "y"), "other");
    there.flush();
    check(&here, &key("a", 1, "y"), Some("other"));
    assert_eq!(here.stats().total.disk.entries, 2);
}

#[test]
fn an_invalidation_reaches_other_processes_within_a_second() {
    let place = Place::new();
    let (here, there) = (place.open(), place.open());
    let key = key("a", 1, "x");
    put(&there, &key, "value");
    there.flush();
    here.invalidate("a", 1);
    check(&here, &key, None);
    place.clock.advance(Duration::from_secs(1));
    check(&there, &key, None);
    // Both go on numbering, and neither overlooks the other's.
    for round in 0..5 {
        put(&there, &key, "value");
        there.flush();
        there.invalidate("b", round);
        put(&here, &key, "value");
        here.flush();
        place.clock.advance(Duration::from_secs(1));
        check(&there, &key, Some("value"));
        here.invalidate("a", 1);
        place.clock.advance(Duration::from_secs(1));
        check(&here, &key, None);
        check(&there, &key, None);
    }
}

#[test]
fn what_is_not_in_memory_is_exact_across_processes() {
    let place = Place::new();
    let (here, there) = (place.open(), place.open());
    let key = key("a", 1, "x");
    put(&here, &key, "value");
    here.flush();
    here.invalidate("a", 1);
    check(&there, &key, None);
}

#[test]
fn a_busy_file_is_a_miss_and_an_invalidation_waits_for_it() {
    let place = Place::new();
    let options = CacheOptions {
        busy_wait: Duration::from_millis(1),
        ..place.options()
    };
    let cache = place.open_with(&options);
    let (old, kept) = (key("a", 1, "x"), key("b", 1, "x"));
    put(&cache, &old, "old");
    put(&cache, &kept, "kept");
    cache.flush();
    let someone_else = place.sqlite();
    someone_else
        .execute_batch("BEGIN IMMEDIATE")
        .expect("the lock");
    for _ in 0..2 {
        cache.invalidate("a", 1);
        check(&cache, &old, None);
        // Not kept while its number is unknown, but computed all the same.
        let value = cache.get_or_compute(&old, HOUR, || Ok::<_, ()>(bytes("new")));
        assert_eq!(value, Ok(bytes("new")));
        check(&cache, &old, None);
    }
    check(&cache, &kept, Some("kept"));
    put(&cache, &key("c", 1, "x"), "not written");
    cache.flush();
    assert_eq!(cache.stats().writes_skipped, 1);
    assert_eq!(cache.stats().disk_state, DiskState::On);
    someone_else.execute_batch("COMMIT").expect("no lock");
    cache.flush();
    put(&cache, &old, "new");
    check(&cache, &old, Some("new"));
    drop(cache);
    let cache = place.open();
    check(&cache, &old, Some("new"));
    check(&cache, &kept, Some("kept"));
    check(&cache, &key("c", 1, "x"), None);
}

#[test]
fn a_slow_disk_holds_nobody_up() {
    let place = Place::new();
    let options = CacheOptions {
        queue_values_max: 4,
        busy_wait: Duration::from_secs(60),
        ..place.options()
    };
    let cache = place.open_with(&options);
    put(&cache, &key("a", 1, "before"), "value");
    cache.flush();
    let someone_else = place.sqlite();
    someone_else
        .execute_batch("BEGIN IMMEDIATE")
        .expect("the lock");
    for number in 0..500 {
        put(&cache, &key("a", 1, &number.to_string()), "value");
        check(&cache, &key("a", 1, &number.to_string()), Some("value"));
        check(&cache, &key("a", 1, "none"), None);
    }
    // One batch is stuck and the queue is full.
    let skipped = cache.stats().writes_skipped;
    assert!(skipped >= 500 - 64 - 4, "{skipped}");
    someone_else.execute_batch("COMMIT").expect("no lock");
    cache.flush();
    assert_eq!(cache.stats().total.disk.entries, 501 - skipped);
}

#[test]
fn a_file_that_is_taken_away_is_noticed() {
    let place = Place::new();
    let cache = place.open();
    let key = key("a", 1, "x");
    put(&cache, &key, "value");
    cache.flush();
    std::fs::remove_file(place.path()).expect("removed");
    let newcomer = place.open();
    put(&newcomer, &key, "newcomer's");
    place.clock.advance(Duration::from_secs(1));
    check(&cache, &key, Some("value"));
    assert_eq!(cache.stats().disk_state, DiskState::Failed);
    cache.invalidate("a", 1);
    check(&cache, &key, None);
    drop(cache);
    assert_eq!(newcomer.stats().disk_state, DiskState::On);
    drop(newcomer);
    check(&place.open(), &key, Some("newcomer's"));
}
