use std::time::Duration;

use bytes::Bytes;
use guard::{Cache, CacheOptions, DiskState};

use crate::{HOUR, Place, bytes, check, key, put};

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_value_lasts_for_its_time_and_not_a_millisecond_longer() {
    let place = Place::new();
    for cache in [place.in_memory(), place.open()] {
        let key = key("search", 1, "q");
        cache.put(&key, &bytes("results"), HOUR, cache.stamp());
        place.clock.advance(HOUR - MS);
        check(&cache, &key, Some("results"));
        place.clock.advance(MS);
        check(&cache, &key, None);
        cache.put(&key, &bytes("nothing"), Duration::ZERO, cache.stamp());
        check(&cache, &key, None);
        cache.put(&key, &bytes("for ever"), Duration::MAX, cache.stamp());
        place.clock.advance(24 * HOUR);
        check(&cache, &key, Some("for ever"));
    }
}

#[test]
fn a_value_from_disk_is_hot_for_a_while_and_never_beyond_its_end() {
    let place = Place::new();
    let key = key("search", 1, "q");
    put(&place.open(), &key, "results");
    let cache = place.open();
    let looks = || {
        let total = cache.stats().total;
        (total.memory.hits, total.disk.hits, total.disk.misses)
    };
    check(&cache, &key, Some("results"));
    assert_eq!(looks(), (0, 1, 0));
    place.clock.advance(Duration::from_secs(300) - MS);
    check(&cache, &key, Some("results"));
    assert_eq!(looks(), (1, 1, 0));
    place.clock.advance(MS);
    check(&cache, &key, Some("results"));
    assert_eq!(looks(), (1, 2, 0));
    // Found on disk for the last time a millisecond before its end.
    place.clock.advance(HOUR - Duration::from_secs(300) - MS);
    check(&cache, &key, Some("results"));
    assert_eq!(looks(), (1, 3, 0));
    place.clock.advance(MS);
    check(&cache, &key, None);
    assert_eq!(looks(), (1, 3, 1));
}

#[test]
fn a_clock_that_went_back_makes_nothing_younger() {
    let place = Place::new();
    let key = key("search", 1, "q");
    for cache in [place.in_memory(), place.open()] {
        let now = crate::at(2_000_000);
        place.clock.set(now);
        put(&cache, &key, "results");
        place.clock.set(crate::at(1));
        check(&cache, &key, None);
    }
    place.clock.set(crate::at(2_000_000));
    check(&place.open(), &key, Some("results"));
}

#[test]
fn no_scope_and_no_area_ever_sees_a_value_of_another() {
    let place = Place::new();
    let keys: Vec<_> = ["a", "ab", "b"]
        .into_iter()
        .flat_map(|area| [0, 1, 256, u64::MAX].map(|scope| (area, scope)))
        .flat_map(|(area, scope)| ["", "b", "name"].map(|name| key(area, scope, name)))
        .collect();
    let cache = place.open();
    for at in (0..keys.len()).step_by(2) {
        put(&cache, &keys[at], &at.to_string());
    }
    let check_all = |cache: &Cache| {
        for (at, key) in keys.iter().enumerate() {
            let expected = (at % 2 == 0).then(|| at.to_string());
            check(cache, key, expected.as_deref());
        }
    };
    check_all(&cache);
    drop(cache);
    check_all(&place.open());
}

#[test]
fn memory_is_bounded_by_bytes() {
    let place = Place::new();
    let options = CacheOptions {
        memory_bytes_max: 100_000,
        value_bytes_max: 5_000,
        ..CacheOptions::default()
    };
    let cache = place.open_with(&options);
    for number in 0..1000 {
        // A part of something larger is no reason to keep all of that.
        let value = Bytes::from(vec![0; 1_000_000]).slice(..1000);
        let key = key("search", 1, &number.to_string());
        cache.put(&key, &value, HOUR, cache.stamp());
    }
    let memory = cache.stats().total.memory;
    assert!(memory.bytes <= 100_000, "{memory:?}");
    assert!(memory.entries > 10, "{memory:?}");
    assert_eq!(memory.entries + memory.evictions, 1000);
    let large = key("large", 1, "");
    cache.put(&large, &vec![0; 5001].into(), HOUR, cache.stamp());
    check(&cache, &large, None);
    let handed_through = cache.get_or_compute(&large, HOUR, || Ok::<_, ()>(vec![0; 5001].into()));
    assert_eq!(handed_through.map(|value| value.len()), Ok(5001));
}

#[test]
fn statistics_tell_tiers_and_areas_apart() {
    let place = Place::new();
    put(&place.open(), &key("search", 1, "old"), "12345");
    let cache = place.open();
    let compute = |name| {
        let value = cache.get_or_compute(&key("page", 2, name), HOUR, || Ok::<_, ()>(bytes("new")));
        assert_eq!(value, Ok(bytes("new")));
    };
    compute("a");
    compute("a");
    compute("b");
    check(&cache, &key("search", 1, "old"), Some("12345"));
    check(&cache, &key("search", 1, "none"), None);
    cache.flush();
    let stats = cache.stats();
    assert_eq!(stats.disk_state, DiskState::On);
    let page = stats.areas["page"];
    assert_eq!((page.memory.hits, page.memory.misses), (1, 2));
    assert_eq!((page.disk.hits, page.disk.misses), (0, 2));
    assert_eq!((page.memory.entries, page.disk.entries), (2, 2));
    assert_eq!((page.computed, page.shared), (2, 0));
    assert_eq!(page.memory.hit_rate(), Some(1.0 / 3.0));
    let search = stats.areas["search"];
    assert_eq!((search.memory.hits, search.memory.misses), (0, 2));
    assert_eq!((search.disk.hits, search.disk.misses), (1, 1));
    assert_eq!(search.disk.bytes, 305);
    assert_eq!(stats.total.disk.entries, 3);
    assert_eq!(stats.total.disk.bytes, 305 + 2 * 303);
    let nobody_asked = place.in_memory().stats();
    assert_eq!(nobody_asked.disk_state, DiskState::Off);
    assert_eq!(nobody_asked.total.memory.hit_rate(), None);
}

#[test]
fn clearing_says_how_many_there_were() {
    let cases = [
        (Some("a"), Some(1), 2),
        (Some("a"), None, 4),
        (None, Some(1), 4),
        (None, None, 8),
        (Some("c"), None, 0),
        (None, Some(3), 0),
    ];
    for (area, scope, expected) in cases {
        let place = Place::new();
        let keys: Vec<_> = ["a", "b"]
            .into_iter()
            .flat_map(|area| [1, 2].map(|scope| (area, scope)))
            .flat_map(|(area, scope)| ["x", "y"].map(|name| key(area, scope, name)))
            .collect();
        let old = place.open();
        keys[..4].iter().for_each(|key| put(&old, key, "old"));
        drop(old);
        // Some on disk only, some in both.
        for cache in [place.open(), place.in_memory()] {
            let first = if cache.stats().disk_state == DiskState::On {
                4
            } else {
                0
            };
            keys[first..].iter().for_each(|key| put(&cache, key, "new"));
            assert_eq!(cache.clear(area, scope), expected, "{area:?} {scope:?}");
            assert_eq!(cache.clear(area, scope), 0, "{area:?} {scope:?}");
            let left = keys.iter().filter(|key| cache.get(key).is_some()).count();
            assert_eq!(left as u64, 8 - expected);
        }
        let reopened = place.open();
        let left = keys
            .iter()
            .filter(|key| reopened.get(key).is_some())
            .count();
        assert_eq!(left as u64, 8 - expected, "after a restart");
    }
}

#[test]
fn debug_shows_neither_keys_nor_values() {
    let place = Place::new();
    let cache = place.open();
    let key = key("search", 77_777, "secret question");
    put(&cache, &key, "secret answer");
    let shown = format!("{cache:?} {key:?} {:?} {:?}", cache.stats(), cache.stamp());
    assert!(shown.contains("search"));
    for secret in ["secret", "77777"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
