//! What callers and the writing thread have in common: the second tier, what has been
//! invalidated, and what is left to do about it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use types::{Clock, Timestamp};

use super::disk::{Found, Maybe, SWEPT_ROWS_MAX};
use super::generations::{Generations, Stamp};
use super::key::{CacheKey, Target};
use super::memory::Held;
use super::remote::Remote;
use super::schema::DiskError;
use super::second::Second;
use super::stats::{Counters, DiskState};
use crate::sync::lock;

/// More sweeps than this are left to expiry and to the least recently used.
const CHORES_MAX: usize = 1024;
/// How long memory answers with a value while Redis is away.
const UNHEARD_MAX: Duration = Duration::from_secs(10);
/// Invalidations that wait for a busy file, or for Redis. With more the file is
/// given up; for Redis they become one of everything.
const HELD_BACK_MAX: usize = 1024;

/// Work on the file that nobody waits for, done in small steps.
#[derive(Debug)]
pub(crate) enum Chore {
    Sweep { target: Target, number: u64 },
    Shrink,
}

pub(crate) struct Shared {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) generations: Generations,
    pub(crate) counters: Arc<Counters>,
    second: Option<Second>,
    /// Was a second tier asked for?
    wants_disk: bool,
    refresh_after: Duration,
    refreshed_at: AtomicI64,
    /// Connections to Redis seen so far, and when the last one was noticed.
    connections: AtomicU64,
    connected_at: AtomicI64,
    /// Invalidations without a number yet, as the file was busy or Redis away. Locked while
    /// one is numbered: one at a time.
    held_back: Mutex<Vec<Target>>,
    chores: Mutex<VecDeque<Chore>>,
}

impl Shared {
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        counters: Arc<Counters>,
        second: Option<Second>,
        wants_disk: bool,
        refresh_after: Duration,
    ) -> Shared {
        let shared = Shared {
            refreshed_at: AtomicI64::new(clock.now().0),
            clock,
            generations: Generations::default(),
            counters,
            second,
            connections: AtomicU64::new(0),
            connected_at: AtomicI64::new(i64::MIN),
            wants_disk,
            refresh_after,
            held_back: Mutex::default(),
            chores: Mutex::default(),
        };
        shared.catch_up();
        shared
    }

    pub(crate) fn disk_state(&self) -> DiskState {
        match &self.second {
            Some(Second::Redis(remote)) if !remote.redis().is_up() => DiskState::Failed,
            Some(second) if second.is_open() => DiskState::On,
            _ if self.wants_disk => DiskState::Failed,
            _ => DiskState::Off,
        }
    }

    /// Uses the second tier if there is one. A busy file, or a Redis that is
    /// away, is `None` this time; any other failure is the end of a file.
    pub(crate) fn on_disk<T>(&self, operation: impl FnOnce(&Second) -> Maybe<T>) -> Option<T> {
        let disk = self.second.as_ref().filter(|disk| disk.is_open())?;
        operation(disk).unwrap_or_else(|error| {
            if !error.is_busy() {
                self.give_up(disk, &error);
            }
            None
        })
    }

    /// A current and fresh value from disk.
    pub(crate) fn find(&self, key: &CacheKey, now: Timestamp) -> Option<Found> {
        let look = self.on_disk(|disk| disk.look(key, self.generations.stamp(), now))?;
        self.generations.learn(&look.news);
        look.found.filter(|found| {
            found.held.is_fresh(now) && self.generations.is_current(key, found.held.stamp)
        })
    }

    /// Takes over what other processes invalidated, if it is time to.
    pub(crate) fn refresh(&self, now: Timestamp) {
        let last = Timestamp(self.refreshed_at.load(Ordering::Relaxed));
        let is_due = now < last || now.since(last) >= self.refresh_after;
        if is_due
            // One caller does it, the others need not wait.
            && self
                .refreshed_at
                .compare_exchange(last.0, now.0, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            self.catch_up();
        }
    }

    fn catch_up(&self) {
        let news = self.on_disk(|disk| disk.news(self.generations.stamp()));
        self.generations.learn(&news.unwrap_or_default());
    }

    /// When this returns, nothing that was computed before is current, here;
    /// nor after a restart, unless it is still held back. Gives the number.
    pub(crate) fn invalidate(&self, target: &Target) -> Option<u64> {
        self.counters.invalidations.fetch_add(1, Ordering::Relaxed);
        let mut held_back = lock(&self.held_back);
        let everything = Target::new(None, None);
        // Redis may be away for long: what waits for it must not grow.
        let is_too_much = self.remote().is_some() && held_back.len() >= HELD_BACK_MAX;
        let target = if is_too_much { &everything } else { target };
        self.generations.hold_back(target);
        // Others wait already: one more caller need not find the file busy.
        let is_busy = !held_back.is_empty() && held_back.len() < HELD_BACK_MAX;
        let number = if is_busy { None } else { self.number(target) };
        if number.is_none() && !held_back.contains(target) {
            held_back.push(target.clone());
        }
        number
    }

    pub(crate) fn are_held_back(&self) -> bool {
        !lock(&self.held_back).is_empty()
    }

    /// Another attempt for those that found the file busy.
    pub(crate) fn number_held_back(&self) {
        let mut held_back = lock(&self.held_back);
        while let Some(target) = held_back.last() {
            let Some(number) = self.number(target) else {
                if held_back.len() < HELD_BACK_MAX || self.remote().is_some() {
                    return;
                }
                if let Some(disk) = &self.second {
                    self.give_up(disk, &DiskError::Stuck);
                }
                continue;
            };
            if let Some(target) = held_back.pop() {
                self.add_chore(Chore::Sweep { target, number });
            }
        }
    }

    /// `None`: the file is busy, or Redis away.
    fn number(&self, target: &Target) -> Option<u64> {
        if let Some(disk) = self.second.as_ref().filter(|disk| disk.is_open()) {
            let everything = Target::new(None, None);
            let on_file = if self.generations.is_full() {
                &everything
            } else {
                target
            };
            match disk.invalidate(on_file, self.generations.stamp()) {
                Ok(Some((number, news))) => {
                    self.generations.learn(&news);
                    self.generations.settle(target, number);
                    return Some(number);
                }
                Ok(None) => {}
                Err(error) if error.is_busy() => return None,
                Err(error) => self.give_up(disk, &error),
            }
        }
        Some(self.generations.settle_here(target))
    }

    fn give_up(&self, second: &Second, error: &DiskError) {
        let Second::Disk(disk) = second else {
            return;
        };
        if disk.close(error) {
            self.generations.detach();
            tracing::warn!(
                path = %disk.path().display(),
                %error,
                "the cache on disk is switched off until the next start; memory does alone"
            );
        }
    }

    pub(crate) fn add_chore(&self, chore: Chore) {
        let mut chores = lock(&self.chores);
        if chores.len() < CHORES_MAX {
            chores.push_back(chore);
        }
    }

    pub(crate) fn has_chores(&self) -> bool {
        !lock(&self.chores).is_empty()
    }

    /// One step of one of them. A step that fails is not tried again: whatever
    /// it left behind expires.
    pub(crate) fn do_chore(&self) {
        let Some(chore) = lock(&self.chores).pop_front() else {
            return;
        };
        match chore {
            Chore::Sweep { target, number } => {
                match self.on_disk(|disk| disk.sweep(&target, number)) {
                    Some(swept) if swept >= SWEPT_ROWS_MAX => {
                        self.add_chore(Chore::Sweep { target, number });
                    }
                    Some(1..) => self.add_chore(Chore::Shrink),
                    _ => {}
                }
            }
            Chore::Shrink => {
                if self.on_disk(Second::shrink) == Some(true) {
                    self.add_chore(Chore::Shrink);
                }
            }
        }
    }

    fn remote(&self) -> Option<&Remote> {
        self.second.as_ref().and_then(Second::remote)
    }

    /// Whether memory may answer with it, as far as other machines go: while
    /// Redis is away nobody hears of their invalidations, and some of them may
    /// never be heard of.
    pub(crate) fn is_trusted(&self, held: &Held, now: Timestamp) -> bool {
        let Some(remote) = self.remote() else {
            return true;
        };
        let connections = remote.redis().connections();
        if self.connections.swap(connections, Ordering::Relaxed) != connections {
            self.connected_at.store(now.0, Ordering::Relaxed);
        }
        if remote.redis().is_up() {
            held.created_at.0 >= self.connected_at.load(Ordering::Relaxed)
        } else {
            now.since(held.created_at) < UNHEARD_MAX
        }
    }

    pub(crate) fn is_current(&self, key: &CacheKey, stamp: Stamp) -> bool {
        self.generations.is_current(key, stamp)
    }
}
