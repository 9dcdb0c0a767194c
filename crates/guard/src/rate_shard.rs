//! Keys of a rate limiter in a table that cannot grow.

use std::collections::HashMap;

pub(crate) type Digest = [u8; 16];

/// Slots looked at for each new key. Two would be enough to forget faster than
/// keys arrive; more find a better one to drop when all are in use.
const LOOKED_AT: usize = 8;

/// A table with a hand that goes round, as in the clock algorithm of paging:
/// forgetting costs a constant for each new key, never a sweep.
#[derive(Debug)]
pub(crate) struct Shard {
    keys_max: usize,
    slots: Vec<Slot>,
    index: HashMap<Digest, usize>,
    hand: usize,
    evicted: u64,
}

#[derive(Debug)]
struct Slot {
    digest: Digest,
    /// When its bucket is full again, in nanoseconds. From then on the key is
    /// as good as unknown.
    full_at: i128,
}

impl Shard {
    pub(crate) fn new(keys_max: usize) -> Shard {
        Shard {
            keys_max: keys_max.max(1),
            slots: Vec::new(),
            index: HashMap::new(),
            hand: 0,
            evicted: 0,
        }
    }

    pub(crate) fn full_at(&self, digest: &Digest) -> Option<i128> {
        self.index.get(digest).map(|at| self.slots[*at].full_at)
    }

    pub(crate) fn set(&mut self, digest: Digest, full_at: i128, now: i128) {
        if let Some(at) = self.index.get(&digest) {
            self.slots[*at].full_at = full_at;
            return;
        }
        self.make_room(now);
        self.index.insert(digest, self.slots.len());
        self.slots.push(Slot { digest, full_at });
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Drops what has expired among the next few slots, and if the table is
    /// full even so, the one of them that owes least: it gains least by being
    /// forgotten.
    fn make_room(&mut self, now: i128) {
        let mut least: Option<usize> = None;
        for _ in 0..LOOKED_AT.min(self.slots.len()) {
            if self.hand >= self.slots.len() {
                self.hand = 0;
            }
            let full_at = self.slots[self.hand].full_at;
            if full_at <= now {
                // The last slot moves here and is looked at next.
                let moved_from = self.slots.len() - 1;
                self.remove(self.hand);
                if least == Some(moved_from) {
                    least = Some(self.hand);
                }
                continue;
            }
            if least.is_none_or(|at| full_at < self.slots[at].full_at) {
                least = Some(self.hand);
            }
            self.hand += 1;
        }
        if self.slots.len() >= self.keys_max
            && let Some(at) = least
        {
            self.remove(at);
            self.evicted += 1;
        }
    }

    fn remove(&mut self, at: usize) {
        let slot = self.slots.swap_remove(at);
        self.index.remove(&slot.digest);
        if let Some(moved) = self.slots.get(at) {
            self.index.insert(moved.digest, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> Digest {
        let mut digest = Digest::default();
        digest[..8].copy_from_slice(&number.to_le_bytes());
        digest
    }

    #[test]
    fn expired_keys_go_as_new_ones_come() {
        let mut shard = Shard::new(1000);
        (0..1000).for_each(|n| shard.set(key(n), 10, 0));
        (1000..1200).for_each(|n| shard.set(key(n), 30, 20));
        assert_eq!(shard.evicted(), 0);
        assert_eq!(shard.len(), 200);
        assert!((1000..1200).all(|n| shard.full_at(&key(n)) == Some(30)));
        assert!((0..1000).all(|n| shard.full_at(&key(n)).is_none()));
    }

    #[test]
    fn a_full_table_drops_who_owes_least_of_a_few() {
        let mut shard = Shard::new(4);
        for (number, full_at) in [(0, 40), (1, 20), (2, 30), (3, 50), (4, 60)] {
            shard.set(key(number), full_at, 0);
        }
        assert_eq!(shard.len(), 4);
        assert_eq!(shard.evicted(), 1);
        assert_eq!(shard.full_at(&key(1)), None);
    }
}
