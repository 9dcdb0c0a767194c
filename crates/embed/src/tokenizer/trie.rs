//! A double-array trie over the bytes of the pieces: one memory access per byte.

use crate::model::Vocabulary;

const NONE: u32 = u32::MAX;
const BLOCK: usize = 256;
/// Places tried for a node with several children before a new block is added.
const TRIES_MAX: usize = 24;

/// A slot. The child of slot `s` by byte `b` is slot `base[s] ^ b`, if that
/// slot names `s` as its parent.
#[derive(Clone, Copy, Debug)]
struct Slot {
    base: u32,
    parent: u32,
    /// Embedding row of the piece that ends here, or `NONE`.
    row: u32,
    score: f32,
}

const FREE: Slot = Slot {
    base: 0,
    parent: NONE,
    row: NONE,
    score: 0.0,
};

#[derive(Debug)]
pub(crate) struct Trie {
    slots: Vec<Slot>,
}

impl Trie {
    pub(crate) fn build(vocabulary: &Vocabulary) -> Trie {
        Builder::new().build(vocabulary)
    }

    /// Calls `found(length, row, score)` for each piece that `text` starts with,
    /// shortest first.
    #[inline]
    pub(crate) fn prefixes(&self, text: &[u8], mut found: impl FnMut(usize, u32, f32)) {
        let mut node = 0u32;
        for (at, byte) in text.iter().enumerate() {
            let child = self.slots[node as usize].base ^ u32::from(*byte);
            let slot = &self.slots[child as usize];
            if slot.parent != node {
                return;
            }
            if slot.row != NONE {
                found(at + 1, slot.row, slot.score);
            }
            node = child;
        }
    }
}

struct Builder {
    slots: Vec<Slot>,
    /// Doubly linked list of free slots; `NONE` ends it.
    next: Vec<u32>,
    previous: Vec<u32>,
    first_free: u32,
    last_free: u32,
}

impl Builder {
    fn new() -> Builder {
        let mut builder = Builder {
            slots: Vec::new(),
            next: Vec::new(),
            previous: Vec::new(),
            first_free: NONE,
            last_free: NONE,
        };
        builder.add_block();
        builder.take(0, 0);
        builder
    }

    fn build(mut self, vocabulary: &Vocabulary) -> Trie {
        // Nodes still to be given children: slot, pieces below it, depth.
        let mut open = vec![(0u32, 0usize, vocabulary.len(), 0usize)];
        let mut children: Vec<(u8, usize)> = Vec::with_capacity(256);
        while let Some((node, mut start, end, depth)) = open.pop() {
            if start < end && depth > 0 && vocabulary.piece(start).len() == depth {
                let slot = &mut self.slots[node as usize];
                slot.row = vocabulary.row(start);
                slot.score = vocabulary.score(start);
                start += 1;
            }
            children.clear();
            for index in start..end {
                let byte = vocabulary.piece(index)[depth];
                if children.last().is_none_or(|(last, _)| *last != byte) {
                    children.push((byte, index));
                }
            }
            if children.is_empty() {
                continue;
            }
            let base = self.place(&children);
            self.slots[node as usize].base = base;
            for (i, (byte, first)) in children.iter().enumerate() {
                let slot = base ^ u32::from(*byte);
                self.take(slot, node);
                let last = children.get(i + 1).map_or(end, |(_, next)| *next);
                open.push((slot, *first, last, depth + 1));
            }
        }
        // A node without children has base 0 and may look at any slot of the
        // first block; the parent check turns it away.
        self.slots.shrink_to_fit();
        Trie { slots: self.slots }
    }

    /// A base under which every child's slot is free.
    fn place(&mut self, children: &[(u8, usize)]) -> u32 {
        let first = u32::from(children[0].0);
        let mut candidate = self.first_free;
        for _ in 0..TRIES_MAX {
            if candidate == NONE {
                break;
            }
            let base = candidate ^ first;
            if children
                .iter()
                .all(|(b, _)| self.slots[(base ^ u32::from(*b)) as usize].parent == NONE)
            {
                return base;
            }
            candidate = self.next[candidate as usize];
        }
        let base = self.slots.len() as u32;
        self.add_block();
        base
    }

    fn add_block(&mut self) {
        let start = self.slots.len() as u32;
        let end = start + BLOCK as u32;
        self.slots.resize(end as usize, FREE);
        for slot in start..end {
            self.previous.push(if slot == start {
                self.last_free
            } else {
                slot - 1
            });
            self.next
                .push(if slot + 1 == end { NONE } else { slot + 1 });
        }
        if self.last_free == NONE {
            self.first_free = start;
        } else {
            self.next[self.last_free as usize] = start;
        }
        self.last_free = end - 1;
    }

    fn take(&mut self, slot: u32, parent: u32) {
        let (before, after) = (self.previous[slot as usize], self.next[slot as usize]);
        if before == NONE {
            self.first_free = after;
        } else {
            self.next[before as usize] = after;
        }
        if after == NONE {
            self.last_free = before;
        } else {
            self.previous[after as usize] = before;
        }
        self.slots[slot as usize].parent = parent;
    }
}
