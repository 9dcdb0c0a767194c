//! What has been invalidated, and when: by number, not by time.
//!
//! Invalidations are numbered in the order in which they took effect, across
//! processes when there is a disk. A computation is stamped with the newest
//! number known *before* it begins. Its value is current as long as no
//! invalidation with a higher number includes its key. So invalidating is one
//! entry in a table however many values it makes stale, and a value computed
//! from what was there before an invalidation is stale whenever it arrives.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::key::{CacheKey, Target};

/// The newest invalidation known when a computation began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(pub(crate) u64);

/// Takes effect at once while its number is not known yet: nothing is current.
const HELD_BACK: u64 = u64::MAX;
/// What a process that loses its disk adds to its numbers, so that the numbers
/// it gives itself from then on cannot be ones that other processes gave.
const DETACHED: u64 = 1 << 32;
/// Distinct targets remembered, about 100 bytes each. One more makes everything
/// stale instead, which is always right.
pub(crate) const TARGETS_MAX: usize = 65_536;

/// An invalidation that took effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Numbered {
    pub(crate) target: Target,
    pub(crate) number: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Generations {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    known: u64,
    everything: u64,
    /// The number of `everything` for which older ones were forgotten.
    covered: u64,
    areas: HashMap<Box<str>, u64>,
    scopes: HashMap<u64, Scope>,
    /// Entries of these tables, counting them would take long.
    targets: usize,
}

#[derive(Debug, Default)]
struct Scope {
    whole: u64,
    areas: HashMap<Box<str>, u64>,
}

impl Generations {
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp(self.read().known)
    }

    pub(crate) fn is_current(&self, key: &CacheKey, stamp: Stamp) -> bool {
        stamp.0 >= self.read().newest(key)
    }

    /// Too many targets: the next one has to be everything.
    pub(crate) fn is_full(&self) -> bool {
        self.read().targets >= TARGETS_MAX
    }

    /// Until [`Generations::settle`], nothing of the target is current.
    pub(crate) fn hold_back(&self, target: &Target) {
        *self.write().slot(target) = HELD_BACK;
    }

    /// Gives a held back invalidation its number.
    pub(crate) fn settle(&self, target: &Target, number: u64) {
        let mut inner = self.write();
        inner.known = inner.known.max(number);
        *inner.slot(target) = number;
        inner.forget_covered();
    }

    /// Numbers of the file. They may be told again and in any order.
    pub(crate) fn learn(&self, news: &[Numbered]) {
        if news.is_empty() {
            return;
        }
        let mut inner = self.write();
        for Numbered { target, number } in news {
            inner.known = inner.known.max(*number);
            let slot = inner.slot(target);
            *slot = (*slot).max(*number);
        }
        inner.forget_covered();
    }

    /// From now on this process numbers for itself.
    pub(crate) fn detach(&self) {
        self.write().known += DETACHED;
    }

    /// An invalidation that no file knows of.
    pub(crate) fn settle_here(&self, target: &Target) -> u64 {
        let was_full = self.is_full();
        let number = self.read().known + 1;
        self.settle(target, number);
        if was_full {
            self.settle(&Target::new(None, None), number);
        }
        number
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn newest(&self, key: &CacheKey) -> u64 {
        let area = self.areas.get(key.area).copied().unwrap_or(0);
        let of_scope = self.scopes.get(&key.scope).map_or(0, |scope| {
            let pair = scope.areas.get(key.area).copied().unwrap_or(0);
            scope.whole.max(pair)
        });
        self.everything.max(area).max(of_scope)
    }

    fn slot(&mut self, target: &Target) -> &mut u64 {
        let targets = &mut self.targets;
        let mut count = || {
            *targets += 1;
            0
        };
        match (target.scope, &target.area) {
            (None, None) => &mut self.everything,
            (None, Some(area)) => self.areas.entry(area.clone()).or_insert_with(count),
            (Some(scope), area) => {
                let scope = self.scopes.entry(scope).or_insert_with(|| Scope {
                    whole: count(),
                    areas: HashMap::new(),
                });
                match area {
                    None => &mut scope.whole,
                    Some(area) => scope.areas.entry(area.clone()).or_insert_with(count),
                }
            }
        }
    }

    fn count_targets(&self) -> usize {
        let scopes = self.scopes.values();
        self.areas.len() + scopes.map(|scope| 1 + scope.areas.len()).sum::<usize>()
    }

    /// After everything was invalidated, what was before is of no interest.
    fn forget_covered(&mut self) {
        let floor = self.everything;
        if floor == self.covered || floor == HELD_BACK {
            return;
        }
        self.covered = floor;
        self.areas.retain(|_, number| *number > floor);
        self.scopes.retain(|_, scope| {
            scope.areas.retain(|_, number| *number > floor);
            scope.whole > floor || !scope.areas.is_empty()
        });
        self.targets = self.count_targets();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(area: &'static str, scope: u64) -> CacheKey {
        CacheKey::new(area, scope, "name")
    }

    fn pair(area: &str, scope: u64) -> Target {
        Target::new(Some(area), Some(scope))
    }

    #[test]
    fn an_invalidation_includes_what_it_names_and_nothing_else() {
        let cases = [
            (Some("a"), Some(1), [true, false, false, false]),
            (Some("a"), None, [true, true, false, false]),
            (None, Some(1), [true, false, true, false]),
            (None, None, [true, true, true, true]),
        ];
        for (area, scope, stale) in cases {
            let generations = Generations::default();
            let stamp = generations.stamp();
            generations.settle_here(&Target::new(area, scope));
            let keys = [key("a", 1), key("a", 2), key("b", 1), key("b", 2)];
            let is_stale = keys.map(|key| !generations.is_current(&key, stamp));
            assert_eq!(is_stale, stale, "{area:?} {scope:?}");
            let now = generations.stamp();
            assert!(keys.iter().all(|key| generations.is_current(key, now)));
        }
    }

    #[test]
    fn held_back_means_that_nothing_is_current() {
        let generations = Generations::default();
        generations.hold_back(&pair("a", 1));
        let stamp = generations.stamp();
        assert!(!generations.is_current(&key("a", 1), stamp));
        generations.learn(&[Numbered {
            target: pair("a", 1),
            number: 4,
        }]);
        assert!(!generations.is_current(&key("a", 1), generations.stamp()));
        generations.settle(&pair("a", 1), 5);
        assert!(!generations.is_current(&key("a", 1), stamp));
        assert!(generations.is_current(&key("a", 1), generations.stamp()));
    }

    #[test]
    fn targets_are_bounded_by_forgetting_everything() {
        let generations = Generations::default();
        for scope in 0..TARGETS_MAX as u64 {
            generations.settle_here(&pair("a", scope));
        }
        let inner = generations.read();
        assert!(inner.targets <= TARGETS_MAX);
        assert_eq!(inner.targets, inner.count_targets());
        drop(inner);
        assert!(!generations.is_current(&key("b", 7), Stamp(1)));
        assert!(generations.is_current(&key("b", 7), generations.stamp()));
    }
}
