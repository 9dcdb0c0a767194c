//! What came of looking: per tier and per area.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// One tier, of one area or in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TierStats {
    pub hits: u64,
    pub misses: u64,
    /// Dropped for want of room.
    pub evictions: u64,
    /// Entries now; not counted in Redis. Those that expired or were invalidated count until swept.
    pub entries: u64,
    /// Bytes of these, with a constant for each entry.
    pub bytes: u64,
}

impl TierStats {
    /// Of those who asked this tier; `None` when nobody did.
    #[must_use]
    pub fn hit_rate(&self) -> Option<f64> {
        let asked = self.hits + self.misses;
        (asked > 0).then(|| self.hits as f64 / asked as f64)
    }

    pub fn add(&mut self, other: &TierStats) {
        self.hits += other.hits;
        self.misses += other.misses;
        self.evictions += other.evictions;
        self.entries += other.entries;
        self.bytes += other.bytes;
    }
}

/// One area, or all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AreaStats {
    pub memory: TierStats,
    /// Asked only when memory has nothing, and by one caller for all that wait.
    pub disk: TierStats,
    /// Values computed, failures included.
    pub computed: u64,
    /// Callers who got what another one was already computing or fetching.
    pub shared: u64,
}

/// Whether there is a second tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DiskState {
    /// None was asked for.
    #[default]
    Off,
    On,
    /// It could not be used; memory does alone until the next start, or until
    /// Redis is back.
    Failed,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    pub total: AreaStats,
    pub areas: BTreeMap<String, AreaStats>,
    pub disk_state: DiskState,
    /// Values not written to disk, as the queue was full or the file busy.
    pub writes_skipped: u64,
    pub invalidations: u64,
}

impl CacheStats {
    pub(crate) fn area(&mut self, name: &str) -> &mut AreaStats {
        self.areas.entry(name.to_owned()).or_default()
    }

    pub(crate) fn add_up(&mut self) {
        for area in self.areas.values() {
            self.total.memory.add(&area.memory);
            self.total.disk.add(&area.disk);
            self.total.computed += area.computed;
            self.total.shared += area.shared;
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    areas: RwLock<HashMap<Box<str>, Arc<AreaCounters>>>,
    pub(crate) writes_skipped: AtomicU64,
    pub(crate) invalidations: AtomicU64,
}

#[derive(Debug, Default)]
pub(crate) struct AreaCounters {
    pub(crate) memory: TierCounters,
    pub(crate) disk: TierCounters,
    pub(crate) computed: AtomicU64,
    pub(crate) shared: AtomicU64,
}

#[derive(Debug, Default)]
pub(crate) struct TierCounters {
    hits: AtomicU64,
    misses: AtomicU64,
    evictions: AtomicU64,
}

impl Counters {
    /// Areas are constants of the program: there are few.
    pub(crate) fn area(&self, name: &str) -> Arc<AreaCounters> {
        let areas = self.areas.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(area) = areas.get(name) {
            return Arc::clone(area);
        }
        drop(areas);
        let mut areas = self.areas.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(areas.entry(name.into()).or_default())
    }

    pub(crate) fn fill(&self, stats: &mut CacheStats) {
        let areas = self.areas.read().unwrap_or_else(PoisonError::into_inner);
        for (name, counters) in areas.iter() {
            let area = stats.area(name);
            counters.memory.fill(&mut area.memory);
            counters.disk.fill(&mut area.disk);
            area.computed = counters.computed.load(Ordering::Relaxed);
            area.shared = counters.shared.load(Ordering::Relaxed);
        }
        stats.writes_skipped = self.writes_skipped.load(Ordering::Relaxed);
        stats.invalidations = self.invalidations.load(Ordering::Relaxed);
    }
}

impl TierCounters {
    pub(crate) fn looked(&self, found: bool) {
        let counter = if found { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn evicted(&self, entries: u64) {
        self.evictions.fetch_add(entries, Ordering::Relaxed);
    }

    fn fill(&self, stats: &mut TierStats) {
        stats.hits = self.hits.load(Ordering::Relaxed);
        stats.misses = self.misses.load(Ordering::Relaxed);
        stats.evictions = self.evictions.load(Ordering::Relaxed);
    }
}
