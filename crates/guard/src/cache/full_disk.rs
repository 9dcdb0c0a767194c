//! A file that cannot grow, as on a full disk; from within, where the limit of
//! an open connection can be set.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use types::{Clock, ManualClock, Timestamp};

use super::{Cache, CacheKey, CacheOptions, DiskState};

const HOUR: Duration = Duration::from_secs(3600);

fn open(options: &CacheOptions) -> Cache {
    let clock = Arc::new(ManualClock::at(Timestamp(1_000_000)));
    Cache::open(options, clock as Arc<dyn Clock>)
}

/// Until the writing thread has noticed.
fn fill(cache: &Cache) {
    for number in 0_u32..16 {
        let key = CacheKey::new("large", 1, number.to_le_bytes());
        let value = Bytes::from(vec![1; 100_000]);
        cache.put(&key, &value, HOUR, cache.stamp());
    }
    cache.flush();
}

#[test]
fn a_full_disk_leaves_a_cache_in_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = CacheOptions {
        disk_path: Some(folder.path().join("cache.db")),
        ..CacheOptions::default()
    };
    let cache = open(&options);
    let key = CacheKey::new("small", 1, "a");
    let value = Bytes::from_static(b"value");
    cache.put(&key, &value, HOUR, cache.stamp());
    cache.flush();
    assert_eq!(cache.stats().disk_state, DiskState::On);

    cache.shared.on_disk(|disk| {
        disk.limit_to_present_size();
        Ok(Some(()))
    });
    fill(&cache);
    assert_eq!(cache.stats().disk_state, DiskState::Failed);
    assert_eq!(cache.get(&key), Some(value.clone()));
    assert_eq!(cache.stats().area("large").memory.entries, 16);

    // Invalidations work on, and what they concern never comes back.
    cache.invalidate("small", 1);
    assert_eq!(cache.get(&key), None);
    cache.put(&key, &value, HOUR, cache.stamp());
    assert_eq!(cache.get(&key), Some(value));
    drop(cache);
    let cache = open(&options);
    assert_eq!(cache.stats().disk_state, DiskState::On, "begun anew");
    assert_eq!(cache.get(&key), None);
}

#[test]
fn an_invalidation_that_finds_no_room_takes_effect_all_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = CacheOptions {
        disk_path: Some(folder.path().join("cache.db")),
        ..CacheOptions::default()
    };
    let cache = open(&options);
    let keys: Vec<CacheKey> = (0..2000)
        .map(|scope| CacheKey::new("small", scope, "a"))
        .collect();
    let value = Bytes::from_static(b"value");
    for key in &keys {
        cache.put(key, &value, HOUR, cache.stamp());
    }
    cache.flush();
    cache.shared.on_disk(|disk| {
        disk.limit_to_present_size();
        Ok(Some(()))
    });
    for key in &keys {
        cache.invalidate("small", key.scope);
        assert_eq!(cache.get(key), None);
    }
    drop(cache);
    let cache = open(&options);
    assert!(keys.iter().all(|key| cache.get(key).is_none()));
}
