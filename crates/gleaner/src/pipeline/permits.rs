//! How many threads of this process may work on pages at once.
//!
//! Every crawl has extraction threads of its own, and several crawls may run;
//! permits keep them from crowding out the network and the store's writer.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A counting semaphore for threads. First come, first served: with many crawls
/// a page would else wait for as long as chance has it.
#[derive(Debug)]
pub struct CpuPermits {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: usize,
    waiting: VecDeque<Arc<Waiter>>,
}

#[derive(Debug, Default)]
struct Waiter {
    has_permit: Mutex<bool>,
    called: Condvar,
}

/// One permit; dropping it gives it back.
#[derive(Debug)]
pub struct Permit<'a>(&'a CpuPermits);

impl CpuPermits {
    pub fn new(count: usize) -> CpuPermits {
        CpuPermits {
            state: Mutex::new(State {
                free: count.max(1),
                waiting: VecDeque::new(),
            }),
        }
    }

    /// Waits for a permit.
    pub fn take(&self) -> Permit<'_> {
        let mut state = self.lock();
        if state.free > 0 {
            state.free -= 1;
            return Permit(self);
        }
        let waiter: Arc<Waiter> = Arc::default();
        state.waiting.push_back(waiter.clone());
        drop(state);
        waiter.wait();
        Permit(self)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        match state.waiting.pop_front() {
            Some(next) => next.call(),
            None => state.free += 1,
        }
    }
}

impl Waiter {
    fn wait(&self) {
        let has_permit = self.has_permit.lock();
        let mut has_permit = has_permit.unwrap_or_else(PoisonError::into_inner);
        while !*has_permit {
            let waited = self.called.wait(has_permit);
            has_permit = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn call(&self) {
        let has_permit = self.has_permit.lock();
        *has_permit.unwrap_or_else(PoisonError::into_inner) = true;
        self.called.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn never_more_at_once_than_permits() {
        let permits = CpuPermits::new(2);
        let (at_once, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let _permit = permits.take();
                        let now = at_once.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(now, Ordering::SeqCst);
                        std::thread::yield_now();
                        at_once.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!((1..=2).contains(&most.load(Ordering::SeqCst)));
    }

    #[test]
    fn first_come_first_served() {
        let permits = CpuPermits::new(1);
        let held = permits.take();
        let order = Mutex::new(Vec::new());
        let waiting = || permits.lock().waiting.len();
        std::thread::scope(|scope| {
            for number in 0..20 {
                let (permits, order) = (&permits, &order);
                scope.spawn(move || {
                    let _permit = permits.take();
                    order.lock().expect("no panic").push(number);
                });
                while waiting() <= number {
                    std::thread::yield_now();
                }
            }
            drop(held);
        });
        let order = order.into_inner().expect("no panic");
        assert_eq!(order, (0..20).collect::<Vec<_>>());
    }
}
