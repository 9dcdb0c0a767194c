//! The last requests, remembered for whoever asks how it goes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use types::{TenantId, Timestamp};

/// Requests remembered for `/api/v2/metrics/*`.
const REMEMBERED: usize = 10_000;

/// One finished request.
#[derive(Clone, Debug)]
pub struct Seen {
    pub id: String,
    pub at: Timestamp,
    pub tenant: Option<TenantId>,
    pub method: String,
    /// As declared, such as `/api/v2/tasks/{id}`.
    pub route: String,
    pub status: u16,
    pub took: Duration,
}

/// The last requests, newest at the end.
#[derive(Debug, Default)]
pub struct Recent {
    requests: AtomicU64,
    errors: AtomicU64,
    seen: Mutex<VecDeque<Seen>>,
}

impl Recent {
    pub fn add(&self, seen: Seen) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let failed = u64::from(seen.status >= 400);
        self.errors.fetch_add(failed, Ordering::Relaxed);
        let mut all = self.lock();
        if all.len() == REMEMBERED {
            all.pop_front();
        }
        all.push_back(seen);
    }

    /// Requests since the start, and those answered with 4xx or 5xx.
    pub fn totals(&self) -> (u64, u64) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (read(&self.requests), read(&self.errors))
    }

    /// Of one tenant, newest first.
    pub fn of(&self, tenant: TenantId, filter: impl Fn(&Seen) -> bool, limit: usize) -> Vec<Seen> {
        let all = self.lock();
        let own = all.iter().rev().filter(|seen| seen.tenant == Some(tenant));
        own.filter(|seen| filter(seen))
            .take(limit)
            .cloned()
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
