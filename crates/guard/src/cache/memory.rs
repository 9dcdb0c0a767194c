//! The first tier: values in memory, bounded by bytes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use moka::notification::RemovalCause;
use moka::{Expiry, sync};
use types::Timestamp;

use super::generations::Stamp;
use super::key::{CacheKey, Target};
use super::stats::Counters;

/// What an entry takes besides its value: key, this struct, and moka's node,
/// timers and queues; estimated from their sizes.
const ENTRY_BYTES: usize = 300;

/// A value and until when it may be used.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) value: Bytes,
    pub(crate) stamp: Stamp,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

impl Held {
    /// A value from the future was written before the clock went back; how old
    /// it really is nobody knows.
    pub(crate) fn is_fresh(&self, now: Timestamp) -> bool {
        self.created_at <= now && now < self.expires_at
    }
}

#[derive(Debug)]
pub(crate) struct Memory {
    held: sync::Cache<CacheKey, Held>,
}

impl Memory {
    pub(crate) fn new(bytes_max: u64, counters: Arc<Counters>) -> Memory {
        let held = sync::Cache::builder()
            .max_capacity(bytes_max)
            .weigher(|_, held: &Held| weight(held))
            .expire_after(ToTheEnd)
            .eviction_listener(move |key: Arc<CacheKey>, _, cause| {
                if cause == RemovalCause::Size {
                    counters.area(key.area).memory.evicted(1);
                }
            })
            .build();
        Memory { held }
    }

    pub(crate) fn get(&self, key: &CacheKey) -> Option<Held> {
        self.held.get(key)
    }

    pub(crate) fn insert(&self, key: CacheKey, held: Held) {
        self.held.insert(key, held);
    }

    pub(crate) fn remove(&self, key: &CacheKey) {
        self.held.invalidate(key);
    }

    pub(crate) fn keys(
        &self,
        target: &Target,
        is_alive: impl Fn(&CacheKey, &Held) -> bool,
    ) -> Vec<CacheKey> {
        self.held
            .iter()
            .filter(|(key, held)| target.includes(key) && is_alive(key, held))
            .map(|(key, _)| *key)
            .collect()
    }

    /// Entries and bytes of each area. Counted by walking: counters kept up by
    /// hand drift, and statistics are asked for rarely.
    pub(crate) fn usage(&self) -> BTreeMap<&'static str, (u64, u64)> {
        self.held.run_pending_tasks();
        let mut usage: BTreeMap<_, (u64, u64)> = BTreeMap::new();
        for (key, held) in &self.held {
            let (entries, bytes) = usage.entry(key.area).or_default();
            *entries += 1;
            *bytes += u64::from(weight(&held));
        }
        usage
    }
}

fn weight(held: &Held) -> u32 {
    u32::try_from(held.value.len().saturating_add(ENTRY_BYTES)).unwrap_or(u32::MAX)
}

/// Frees memory when an entry is over. Whether one is over is decided by the
/// clock of the cache alone: this one is the system's.
struct ToTheEnd;

impl Expiry<CacheKey, Held> for ToTheEnd {
    fn expire_after_create(&self, _: &CacheKey, held: &Held, _: Instant) -> Option<Duration> {
        Some(held.expires_at.since(held.created_at))
    }

    fn expire_after_update(
        &self,
        _: &CacheKey,
        held: &Held,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(held.expires_at.since(held.created_at))
    }
}
