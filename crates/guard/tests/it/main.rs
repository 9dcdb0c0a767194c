//! The crate's public behaviour, by subject.

mod breaker;
mod bus;
mod cache;
mod cache_redis;
mod disk;
mod invalidation;
mod processes;
mod rate;
mod redis;
mod redis_outage;
mod single_flight;
mod slots;
mod warnings;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use guard::{Cache, CacheKey, CacheOptions};
use tempfile::TempDir;
use types::{Clock, ManualClock, Timestamp};

const HOUR: Duration = Duration::from_secs(3600);

fn at_ms(ms: i64) -> Timestamp {
    Timestamp(ms)
}

fn at(seconds: i64) -> Timestamp {
    at_ms(seconds * 1000)
}

/// A folder and a clock; every cache opened here is another process, as far as
/// the file is concerned.
struct Place {
    folder: TempDir,
    clock: Arc<ManualClock>,
}

impl Place {
    fn new() -> Place {
        warnings::listen();
        Place {
            folder: tempfile::tempdir().expect("a folder"),
            clock: Arc::new(ManualClock::at(at(1_000_000))),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("cache.db")
    }

    fn options(&self) -> CacheOptions {
        CacheOptions {
            disk_path: Some(self.path()),
            ..CacheOptions::default()
        }
    }

    fn open(&self) -> Cache {
        self.open_with(&self.options())
    }

    fn open_with(&self, options: &CacheOptions) -> Cache {
        Cache::open(options, Arc::clone(&self.clock) as Arc<dyn Clock>)
    }

    fn in_memory(&self) -> Cache {
        self.open_with(&CacheOptions::default())
    }

    /// The file as another program sees it.
    fn sqlite(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path()).expect("the file")
    }
}

fn key(area: &'static str, scope: u64, name: &str) -> CacheKey {
    CacheKey::new(area, scope, name)
}

fn put(cache: &Cache, key: &CacheKey, value: &str) {
    cache.put(key, &bytes(value), HOUR, cache.stamp());
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

#[track_caller]
fn check(cache: &Cache, key: &CacheKey, expected: Option<&str>) {
    let found = cache.get(key);
    assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{key:?}");
}
