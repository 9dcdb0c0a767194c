//! How many threads of this process may work on pages at once.
//!
//! Every crawl has extraction threads of its own, and several crawls may run;
//! permits keep them from crowding out the network and the store's writer.

use std::sync::{Condvar, Mutex, PoisonError};

/// A counting semaphore for threads.
#[derive(Debug)]
pub struct CpuPermits {
    free: Mutex<usize>,
    returned: Condvar,
}

/// One permit; dropping it gives it back.
#[derive(Debug)]
pub struct Permit<'a>(&'a CpuPermits);

impl CpuPermits {
    pub fn new(count: usize) -> CpuPermits {
        CpuPermits {
            free: Mutex::new(count.max(1)),
            returned: Condvar::new(),
        }
    }

    /// Waits for a permit.
    pub fn take(&self) -> Permit<'_> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            free = self
                .returned
                .wait(free)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
        Permit(self)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.returned.notify_one();
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
}
