//! A cache in two tiers, memory and a file or Redis, of values that are bytes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use types::{Clock, Timestamp};

use crate::redis_link::Redis;

mod disk;
mod flight;
mod generations;
mod key;
mod memory;
mod options;
mod remote;
mod schema;
mod second;
mod shared;
mod stats;
mod writer;

#[cfg(test)]
mod full_disk;

pub use generations::Stamp;
pub use key::CacheKey;
pub use options::CacheOptions;
pub use stats::{AreaStats, CacheStats, DiskState, TierStats};

use disk::{Disk, NewRow};
use flight::{Flights, Leader, Outcome, Part};
use key::Target;
use memory::{Held, Memory};
use remote::Remote;
use second::Second;
use shared::{Chore, Shared};
use stats::Counters;
use writer::WriteBehind;

/// Longer is as good as for ever, and a sum of times that cannot overflow.
const TTL_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// When a row was used is written this rarely: it decides only what goes first.
const USED_EVERY: Duration = Duration::from_secs(60);

/// Values by key, for a time, computed once. All methods block, if only for
/// microseconds: call them where blocking is allowed. Share it in an [`Arc`].
///
/// Nothing that happens to the file or to Redis is an error for a caller. It
/// means that fewer values are found.
pub struct Cache {
    memory: Memory,
    flights: Flights,
    shared: Arc<Shared>,
    /// Only with a second tier. Dropped before the file is closed.
    writer: Option<WriteBehind>,
    hot_ttl: Duration,
    wait_max: Duration,
    value_bytes_max: usize,
}

impl Cache {
    /// Opens the file if one is asked for. If that fails it says so in the log,
    /// once, and memory does alone.
    #[must_use]
    pub fn open(options: &CacheOptions, clock: Arc<dyn Clock>) -> Cache {
        let counters = Arc::new(Counters::default());
        let disk = options.disk_path.as_ref().and_then(|path| {
            Disk::open(path, options)
                .inspect_err(|error| {
                    tracing::warn!(
                        path = %path.display(),
                        %error,
                        "the cache on disk cannot be used; memory does alone"
                    );
                })
                .ok()
        });
        let wants_disk = options.disk_path.is_some();
        Cache::with(
            options,
            clock,
            counters,
            disk.map(Box::new).map(Second::Disk),
            wants_disk,
        )
    }

    /// With Redis as the second tier, for all processes that have the same, and
    /// no file. The keys of the server need room: give it a `maxmemory` and one
    /// of the policies that evict.
    ///
    /// While it is away memory does alone and answers with nothing older than
    /// 10 s, since nobody hears then of what others invalidate. What this
    /// process invalidates meanwhile is told to others when it is back, unless
    /// this process ends before. A master that takes over begins empty.
    #[must_use]
    pub fn shared(options: &CacheOptions, clock: Arc<dyn Clock>, redis: Redis) -> Cache {
        let counters = Arc::new(Counters::default());
        let second = Second::Redis(Remote::new(redis));
        Cache::with(options, clock, counters, Some(second), true)
    }

    fn with(
        options: &CacheOptions,
        clock: Arc<dyn Clock>,
        counters: Arc<Counters>,
        second: Option<Second>,
        wants_second: bool,
    ) -> Cache {
        let has_second = second.is_some();
        let shared = Arc::new(Shared::new(
            clock,
            Arc::clone(&counters),
            second,
            wants_second,
            options.refresh_after,
        ));
        let writer = has_second
            .then(|| WriteBehind::start(Arc::clone(&shared), options))
            .and_then(|started| {
                started
                    .inspect_err(|error| {
                        tracing::warn!(%error, "no thread to write the cache to disk");
                    })
                    .ok()
            });
        Cache {
            memory: Memory::new(options.memory_bytes_max, counters),
            flights: Flights::default(),
            shared,
            writer,
            hot_ttl: options.hot_ttl,
            wait_max: options.wait_max,
            value_bytes_max: options.value_bytes_max,
        }
    }

    #[must_use]
    pub fn get(&self, key: &CacheKey) -> Option<Bytes> {
        let now = self.shared.clock.now();
        self.look_in_memory(key, now)
            .or_else(|| self.look_on_disk(key, now))
    }

    /// To be taken before a computation reads anything, for [`Cache::put`].
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        self.shared.generations.stamp()
    }

    /// Keeps a value for `ttl`, unless its key was invalidated since `stamp`.
    /// The bytes are copied: they may be part of something larger.
    ///
    /// For a key that has a value already, invalidate first if the old one must
    /// not be seen again: with a full queue the file keeps it.
    pub fn put(&self, key: &CacheKey, value: &Bytes, ttl: Duration, stamp: Stamp) {
        let is_kept = value.len() <= self.value_bytes_max && !ttl.is_zero();
        if !is_kept || !self.shared.is_current(key, stamp) {
            return;
        }
        let now = self.shared.clock.now();
        let held = Held {
            value: Bytes::copy_from_slice(value),
            stamp,
            created_at: now,
            expires_at: now.plus(ttl.min(TTL_MAX)),
        };
        if let Some(writer) = &self.writer {
            let held = held.clone();
            writer.store(NewRow { key: *key, held });
        }
        self.memory.insert(*key, held);
    }

    /// The value, computed if need be: by one caller, while others who ask for
    /// it wait. They get its value or share its error; if it panicked, one of
    /// them computes. Who has waited for `wait_max` computes, too.
    ///
    /// What was computed is not kept, and not shared with callers who come
    /// later, if the key was invalidated meanwhile.
    pub fn get_or_compute<E: Send + Sync + 'static>(
        &self,
        key: &CacheKey,
        ttl: Duration,
        compute: impl FnOnce() -> Result<Bytes, E>,
    ) -> Result<Bytes, Arc<E>> {
        let now = self.shared.clock.now();
        if let Some(value) = self.look_in_memory(key, now) {
            return Ok(value);
        }
        loop {
            let part = self.flights.join(
                key,
                || self.stamp(),
                |stamp| self.shared.is_current(key, stamp),
            );
            let flight = match part {
                Part::Leader(leader) => return self.lead(leader, key, ttl, compute),
                Part::Within => return self.compute_alone(key, ttl, compute),
                Part::Follower(flight) => flight,
            };
            match flight.wait(self.wait_max) {
                Some(Outcome::Value(value)) => {
                    self.count_shared(key);
                    return Ok(value);
                }
                Some(Outcome::Failed(error)) => {
                    // An error of another type is another caller's: try oneself.
                    if let Ok(error) = error.downcast::<E>() {
                        self.count_shared(key);
                        return Err(error);
                    }
                }
                Some(Outcome::Lost) => {}
                None => return self.compute_alone(key, ttl, compute),
            }
        }
    }

    /// From when this returns, nothing computed before it began is found: in
    /// this process at once, in others with the same second tier within
    /// `refresh_after`, and not after a restart either.
    pub fn invalidate(&self, area: &str, scope: u64) {
        let target = Target::new(Some(area), Some(scope));
        let number = self.shared.invalidate(&target);
        if let Some(writer) = &self.writer {
            if let Some(number) = number {
                self.shared.add_chore(Chore::Sweep { target, number });
            }
            writer.wake();
        }
    }

    /// Removes values of an area, of a scope, of both or all, and says how many
    /// there were; on disk some of these may have expired. Computations under
    /// way are not kept either.
    pub fn clear(&self, area: Option<&str>, scope: Option<u64>) -> u64 {
        let target = Target::new(area, scope);
        self.flush();
        let now = self.shared.clock.now();
        let in_memory = self.memory.keys(&target, |key, held| {
            held.is_fresh(now) && self.shared.is_current(key, held.stamp)
        });
        let only_there = in_memory
            .iter()
            .filter(|key| self.shared.on_disk(|disk| disk.has(key)) != Some(true))
            .count();
        let number = self.shared.invalidate(&target);
        let mut removed = only_there as u64;
        if let Some(number) = number {
            let swept = self.shared.on_disk(|disk| disk.clear(&target, number));
            removed += swept.unwrap_or(0) as u64;
            self.shared.add_chore(Chore::Shrink);
        }
        for key in self.memory.keys(&target, |key, held| {
            !self.shared.is_current(key, held.stamp)
        }) {
            self.memory.remove(&key);
        }
        if let Some(writer) = &self.writer {
            writer.wake();
        }
        removed
    }

    /// Waits until what was put so far is on disk, or given up, and what was
    /// invalidated is gone from it.
    pub fn flush(&self) {
        if let Some(writer) = &self.writer {
            writer.flush();
        }
    }

    #[must_use]
    pub fn stats(&self) -> CacheStats {
        let mut stats = CacheStats {
            disk_state: self.shared.disk_state(),
            ..CacheStats::default()
        };
        for (area, (entries, bytes)) in self.memory.usage() {
            let memory = &mut stats.area(area).memory;
            (memory.entries, memory.bytes) = (entries, bytes);
        }
        // After that walk: it ends evictions that are due.
        self.shared.counters.fill(&mut stats);
        for (area, entries, bytes) in self.shared.on_disk(Second::usage).unwrap_or_default() {
            let disk = &mut stats.area(&area).disk;
            (disk.entries, disk.bytes) = (entries, bytes);
        }
        stats.add_up();
        stats
    }

    fn look_in_memory(&self, key: &CacheKey, now: Timestamp) -> Option<Bytes> {
        self.shared.refresh(now);
        let value = self.peek(key, now);
        let area = self.shared.counters.area(key.area);
        area.memory.looked(value.is_some());
        value
    }

    fn peek(&self, key: &CacheKey, now: Timestamp) -> Option<Bytes> {
        let held = self.memory.get(key)?;
        if held.is_fresh(now)
            && self.shared.is_current(key, held.stamp)
            && self.shared.is_trusted(&held, now)
        {
            return Some(held.value);
        }
        self.memory.remove(key);
        None
    }

    fn look_on_disk(&self, key: &CacheKey, now: Timestamp) -> Option<Bytes> {
        let writer = self.writer.as_ref()?;
        let found = self.shared.find(key, now);
        let area = self.shared.counters.area(key.area);
        area.disk.looked(found.is_some());
        let found = found?;
        if now.since(found.last_used) >= USED_EVERY {
            writer.used(found.row, now);
        }
        let value = found.held.value.clone();
        let hot = Held {
            created_at: now,
            expires_at: found.held.expires_at.min(now.plus(self.hot_ttl)),
            ..found.held
        };
        self.memory.insert(*key, hot);
        Some(value)
    }

    fn lead<E: Send + Sync + 'static>(
        &self,
        leader: Leader<'_>,
        key: &CacheKey,
        ttl: Duration,
        compute: impl FnOnce() -> Result<Bytes, E>,
    ) -> Result<Bytes, Arc<E>> {
        let now = self.shared.clock.now();
        // Another leader may have ended between our look and our turn.
        let peeked = self.peek(key, now).inspect(|_| self.count_shared(key));
        if let Some(value) = peeked.or_else(|| self.look_on_disk(key, now)) {
            leader.end(Outcome::Value(value.clone()));
            return Ok(value);
        }
        self.count_computed(key);
        // A panic drops the leader, which tells the others.
        match compute() {
            Ok(value) => {
                self.put(key, &value, ttl, leader.stamp());
                leader.end(Outcome::Value(value.clone()));
                Ok(value)
            }
            Err(error) => {
                let error = Arc::new(error);
                leader.end(Outcome::Failed(Arc::clone(&error) as flight::SharedError));
                Err(error)
            }
        }
    }

    fn compute_alone<E>(
        &self,
        key: &CacheKey,
        ttl: Duration,
        compute: impl FnOnce() -> Result<Bytes, E>,
    ) -> Result<Bytes, Arc<E>> {
        let stamp = self.stamp();
        self.count_computed(key);
        let value = compute().map_err(Arc::new)?;
        self.put(key, &value, ttl, stamp);
        Ok(value)
    }

    fn count_computed(&self, key: &CacheKey) {
        let area = self.shared.counters.area(key.area);
        area.computed.fetch_add(1, Ordering::Relaxed);
    }

    fn count_shared(&self, key: &CacheKey) {
        let area = self.shared.counters.area(key.area);
        area.shared.fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("disk_state", &self.shared.disk_state())
            .finish_non_exhaustive()
    }
}
