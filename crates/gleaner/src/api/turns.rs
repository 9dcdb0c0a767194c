//! Whose request works next, so that a busy tenant does not slow down another.
//!
//! Work that blocks (the store, the index) takes a turn. A tenant that is
//! alone may have as many turns as there are threads. As soon as another one
//! asks, each has its share of the cores: on two cores, one request of each at
//! a time. So whoever asks now and then finds a core that is not taken,
//! however many requests of the other wait. Turns are given out around the
//! tenants, first come first served within each.
//!
//! Turns are never shared between processes: they are about the threads and
//! cores of this one, and a tenant that keeps another machine busy takes none
//! of them. What holds for a tenant wherever it asks is shared otherwise: its
//! requests by `guard`'s limits in Redis, its running tasks by the database.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// A tenant counts as asking for so long after its last request: long enough
/// for a person who types, short enough to leave nobody's cores idle.
const ASKING_FOR: Duration = Duration::from_secs(2);

/// Asks for what belongs to no tenant, such as health, or whose key it is that a
/// request came with. It takes no share away and has none: every request of
/// every tenant waits for it, so it goes first and as often as there are threads.
pub const NOBODY: i64 = 0;

#[derive(Debug)]
pub struct Turns {
    state: Mutex<State>,
    threads: usize,
    cores: usize,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    tenants: HashMap<i64, Tenant>,
    /// Tenants that wait, in the order of their turns.
    around: VecDeque<i64>,
}

#[derive(Debug, Default)]
struct Tenant {
    running: usize,
    waiting: VecDeque<oneshot::Sender<Turn>>,
    asked_at: Option<Instant>,
}

/// Given back when dropped.
#[derive(Debug)]
pub struct Turn {
    turns: Arc<Turns>,
    tenant: i64,
}

impl Turns {
    /// At most `threads` turns at a time, shared out among `cores`.
    pub fn new(threads: usize, cores: usize) -> Arc<Turns> {
        Arc::new(Turns {
            state: Mutex::default(),
            threads: threads.max(1),
            cores: cores.max(1),
        })
    }

    /// Waits for a turn of `tenant`, at most for `patience`.
    pub async fn take(self: &Arc<Turns>, tenant: i64, patience: Duration) -> Option<Turn> {
        let (sender, turn) = oneshot::channel();
        self.ask(tenant, sender, Instant::now());
        // One that comes after all is dropped with its channel, and so given back.
        tokio::time::timeout(patience, turn).await.ok()?.ok()
    }

    fn ask(self: &Arc<Turns>, tenant: i64, sender: oneshot::Sender<Turn>, now: Instant) {
        let mut state = self.lock();
        let asking = state.tenants.entry(tenant).or_default();
        asking.asked_at = Some(now);
        if asking.waiting.is_empty() {
            match tenant {
                NOBODY => state.around.push_front(tenant),
                _ => state.around.push_back(tenant),
            }
        }
        state
            .tenants
            .entry(tenant)
            .or_default()
            .waiting
            .push_back(sender);
        self.give(state, now);
    }

    fn end(self: &Arc<Turns>, tenant: i64) {
        let mut state = self.lock();
        state.running -= 1;
        if let Some(tenant) = state.tenants.get_mut(&tenant) {
            tenant.running -= 1;
        }
        self.give(state, Instant::now());
    }

    /// Gives out what turns there are.
    fn give(self: &Arc<Turns>, mut state: MutexGuard<'_, State>, now: Instant) {
        let mut given = Vec::new();
        let share = state.share(self.threads, self.cores, now);
        let mut passed_over = 0;
        while state.running < self.threads && passed_over < state.around.len() {
            let Some(id) = state.around.pop_front() else {
                break;
            };
            let Some(tenant) = state.tenants.get_mut(&id) else {
                continue;
            };
            if tenant.running >= share && id != NOBODY {
                state.around.push_back(id);
                passed_over += 1;
                continue;
            }
            // Whoever gave up waiting has closed the channel.
            let next = std::iter::from_fn(|| tenant.waiting.pop_front());
            let next = next.into_iter().find(|sender| !sender.is_closed());
            let waits_on = !tenant.waiting.is_empty();
            if let Some(sender) = next {
                tenant.running += 1;
                state.running += 1;
                given.push((id, sender));
            }
            match id {
                _ if !waits_on => {}
                NOBODY => state.around.push_front(id),
                _ => state.around.push_back(id),
            }
            passed_over = 0;
        }
        // Outside the lock: a turn that nobody takes is given back at once.
        drop(state);
        for (tenant, sender) in given {
            let turns = self.clone();
            drop(sender.send(Turn { turns, tenant }));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Turns that one tenant may have at a time.
    fn share(&mut self, threads: usize, cores: usize, now: Instant) -> usize {
        self.tenants.retain(|_, tenant| tenant.asks(now));
        let asking = self.tenants.keys().filter(|id| **id != NOBODY).count();
        match asking {
            0 | 1 => threads,
            asking => (cores / asking).max(1),
        }
    }
}

impl Tenant {
    fn asks(&self, now: Instant) -> bool {
        let recently = |at: Instant| now.saturating_duration_since(at) < ASKING_FOR;
        self.running > 0 || !self.waiting.is_empty() || self.asked_at.is_some_and(recently)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.end(self.tenant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// The turn, if it is there without waiting.
    fn at_once(turns: &Arc<Turns>, tenant: i64) -> Result<Turn, oneshot::Receiver<Turn>> {
        let (sender, mut turn) = oneshot::channel();
        turns.ask(tenant, sender, Instant::now());
        turn.try_recv().map_err(|_| turn)
    }

    #[test]
    fn one_tenant_has_all_threads() {
        let turns = Turns::new(4, 2);
        let taken: Vec<Turn> = (0..4)
            .map(|_| at_once(&turns, 1).expect("a turn"))
            .collect();
        let mut waiting = at_once(&turns, 1).expect_err("none left");
        drop(taken);
        waiting.try_recv().expect("given on");
    }

    #[test]
    fn with_others_each_has_its_share_of_the_cores() {
        let turns = Turns::new(8, 4);
        let mut loud: Vec<Turn> = (0..8)
            .map(|_| at_once(&turns, 1).expect("a turn"))
            .collect();
        let mut queue: Vec<_> = (0..50)
            .map(|_| at_once(&turns, 1).expect_err("no more"))
            .collect();
        let mut calm = at_once(&turns, 2).expect_err("all threads are taken");
        // What runs is not stopped; but the next turn is the other's.
        drop(loud.pop());
        let calm = calm.try_recv().expect("before fifty others");
        for _ in 0..5 {
            drop(loud.pop());
        }
        assert!(queue.iter_mut().all(|turn| turn.try_recv().is_err()));
        // Two of four cores each.
        drop(loud.pop());
        let given = queue.iter_mut().filter_map(|turn| turn.try_recv().ok());
        assert_eq!(given.collect::<Vec<_>>().len(), 1);
        drop(calm);
    }

    #[test]
    fn what_every_request_waits_for_goes_first() {
        let turns = Turns::new(3, 2);
        let busy: Vec<Turn> = (1..=3)
            .map(|id| at_once(&turns, id).expect("a turn"))
            .collect();
        let mut tenants: Vec<_> = (4..50)
            .map(|id| at_once(&turns, id).expect_err("all threads are taken"))
            .collect();
        let mut keys: Vec<_> = (0..5)
            .map(|_| at_once(&turns, NOBODY).expect_err("all threads are taken"))
            .collect();
        drop(busy);
        let given: Vec<Turn> = keys
            .iter_mut()
            .filter_map(|key| key.try_recv().ok())
            .collect();
        assert_eq!(given.len(), 3, "no share holds it to one");
        assert!(tenants.iter_mut().all(|turn| turn.try_recv().is_err()));
        drop(given);
        let given: Vec<Turn> = keys
            .iter_mut()
            .filter_map(|key| key.try_recv().ok())
            .collect();
        assert_eq!(given.len(), 2);
        tenants[0].try_recv().expect("the third turn");
    }

    #[test]
    fn who_gives_up_holds_up_nobody() {
        let turns = Turns::new(1, 1);
        let first = at_once(&turns, 1).expect("a turn");
        drop(at_once(&turns, 1).expect_err("taken"));
        let mut third = at_once(&turns, 1).expect_err("taken");
        drop(first);
        let third = third.try_recv().expect("passed on");
        drop(third);
        at_once(&turns, 2).expect("all were given back");
    }

    #[tokio::test]
    async fn turns_go_around() {
        let turns = Turns::new(1, 1);
        let first = turns.take(1, LONG).await.expect("a turn");
        assert!(turns.take(1, Duration::ZERO).await.is_none());
        let ids = [1, 1, 1, 2, 3, 2];
        let mut waiting: Vec<(i64, oneshot::Receiver<Turn>)> = ids
            .iter()
            .map(|id| (*id, at_once(&turns, *id).expect_err("taken")))
            .collect();
        drop(first);
        let mut order = Vec::new();
        while !waiting.is_empty() {
            let place = waiting
                .iter_mut()
                .position(|(_, turn)| turn.try_recv().is_ok())
                .expect("one has the turn, and gives it back");
            order.push(waiting.remove(place).0);
        }
        assert_eq!(order, [1, 2, 3, 1, 2, 1]);
        assert_eq!(turns.lock().running, 0);
    }
}
