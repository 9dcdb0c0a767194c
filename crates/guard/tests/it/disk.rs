use std::time::Duration;

use bytes::Bytes;
use guard::{CacheOptions, DiskState};

use crate::{HOUR, Place, check, key, put};

#[test]
fn a_restart_finds_what_was_there() {
    let place = Place::new();
    let cache = place.open();
    let keys: Vec<_> = (0..200).map(|n| key("a", n % 3, &n.to_string())).collect();
    keys.iter().for_each(|key| put(&cache, key, "value"));
    drop(cache);
    let cache = place.open();
    keys.iter()
        .for_each(|key| check(&cache, key, Some("value")));
    let disk = cache.stats().total.disk;
    assert_eq!((disk.hits, disk.entries), (200, 200));
    put(&cache, &keys[0], "another");
    drop(cache);
    check(&place.open(), &keys[0], Some("another"));
}

#[test]
fn the_least_recently_used_go_first() {
    let place = Place::new();
    let options = CacheOptions {
        disk_bytes_max: 50 * 1300,
        ..place.options()
    };
    let name = |number: u32| key("a", 1, &number.to_string());
    let value = Bytes::from(vec![7; 1000]);
    let fill = |numbers: std::ops::Range<u32>| {
        let cache = place.open_with(&options);
        for number in numbers {
            cache.put(&name(number), &value, HOUR, cache.stamp());
            cache.flush();
            place.clock.advance(Duration::from_secs(1));
        }
        cache.flush();
        let disk = cache.stats().total.disk;
        assert!(disk.bytes <= options.disk_bytes_max, "{disk:?}");
        disk.evictions
    };
    assert_eq!(fill(0..50), 0);
    place.clock.advance(Duration::from_secs(60));
    let cache = place.open_with(&options);
    (0..10).for_each(|number| assert!(cache.get(&name(number)).is_some()));
    drop(cache);
    assert_eq!(fill(50..80), 30);
    let cache = place.open_with(&options);
    let found: Vec<u32> = (0..80)
        .filter(|number| cache.get(&name(*number)).is_some())
        .collect();
    let expected: Vec<u32> = (0..10).chain(40..80).collect();
    assert_eq!(found, expected);
}

#[test]
fn what_expired_or_was_invalidated_is_swept() {
    let place = Place::new();
    let cache = place.open();
    (0..600).for_each(|n| put(&cache, &key("a", 1, &n.to_string()), "value"));
    cache.flush();
    (0..600).for_each(|n| put(&cache, &key("b", 1, &n.to_string()), "value"));
    cache.flush();
    assert_eq!(cache.stats().total.disk.entries, 1200);
    cache.invalidate("a", 1);
    cache.flush();
    assert_eq!(cache.stats().areas["a"].disk.entries, 0);
    place.clock.advance(2 * HOUR);
    for n in 0..5 {
        put(&cache, &key("c", 1, &n.to_string()), "value");
        cache.flush();
    }
    let stats = cache.stats();
    assert_eq!(stats.areas["b"].disk.entries, 0);
    assert_eq!(stats.areas["c"].disk.entries, 5);
}

#[test]
fn room_is_given_back_after_clearing() {
    let place = Place::new();
    let cache = place.open();
    let value = Bytes::from(vec![7; 100_000]);
    for n in 0..200 {
        cache.put(&key("a", 1, &n.to_string()), &value, HOUR, cache.stamp());
        cache.flush();
    }
    assert_eq!(cache.clear(None, None), 200);
    cache.flush();
    drop(cache);
    let bytes = std::fs::metadata(place.path()).expect("the file").len();
    assert!(bytes < 6_000_000, "{bytes}");
}

#[test]
fn a_row_that_was_tampered_with_is_a_miss() {
    let changes = [
        "UPDATE entry SET value = x'41'",
        "UPDATE entry SET scope = 2",
        "UPDATE entry SET area = 'b'",
        "UPDATE entry SET expires_at = expires_at + 3600000",
        "UPDATE entry SET digest = x'00'",
    ];
    for change in changes {
        let place = Place::new();
        put(&place.open(), &key("a", 1, "x"), "value");
        let changed = place.sqlite().execute(change, []).expect("a change");
        assert_eq!(changed, 1);
        let cache = place.open();
        for key in [key("a", 1, "x"), key("a", 2, "x"), key("b", 1, "x")] {
            check(&cache, &key, None);
        }
        put(&cache, &key("a", 1, "x"), "again");
        drop(cache);
        check(&place.open(), &key("a", 1, "x"), Some("again"));
    }
}

#[test]
fn a_file_from_before_the_machine_started_is_begun_anew() {
    for change in ["UPDATE boot SET id = 'another'", "PRAGMA user_version = 99"] {
        let place = Place::new();
        put(&place.open(), &key("a", 1, "x"), "value");
        place.sqlite().execute_batch(change).expect("a change");
        let cache = place.open();
        assert_eq!(cache.stats().disk_state, DiskState::On);
        check(&cache, &key("a", 1, "x"), None);
        put(&cache, &key("a", 1, "x"), "again");
        drop(cache);
        check(&place.open(), &key("a", 1, "x"), Some("again"));
    }
}

#[test]
fn damage_met_on_the_way_ends_the_disk_tier_quietly() {
    let place = Place::new();
    let cache = place.open();
    for number in 0..500 {
        put(
            &cache,
            &key("a", 1, &number.to_string()),
            &"value".repeat(200),
        );
    }
    drop(cache);
    // Everything but the first page, so that it opens well.
    let mut file = std::fs::read(place.path()).expect("the file");
    file[8192..].fill(0xa5);
    std::fs::write(place.path(), file).expect("the file");
    let cache = place.open();
    for number in 0..500 {
        check(&cache, &key("a", 1, &number.to_string()), None);
    }
    put(&cache, &key("a", 1, "1"), "memory");
    cache.flush();
    check(&cache, &key("a", 1, "1"), Some("memory"));
    drop(cache);
    let cache = place.open();
    put(&cache, &key("a", 1, "1"), "disk");
    drop(cache);
    check(&place.open(), &key("a", 1, "1"), Some("disk"));
}
