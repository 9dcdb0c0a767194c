//! Keys looked up a moment ago, and what their use adds up to until it is
//! written: when each was used last, and how many requests each tenant made.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use store::{ApiKeyRow, Day, Store, UsageDelta, UsageMetric};
use types::{ApiKeyId, TenantId, Timestamp};

/// A key that another process revoked opens doors for so long.
const TRUSTED_FOR: Duration = Duration::from_secs(5);
const KEYS_MAX: usize = 10_000;
/// How often use is written.
const WRITTEN_EVERY: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub struct KnownKeys {
    known: Mutex<HashMap<[u8; 32], Known>>,
    use_of: Mutex<Use>,
}

/// A row, or that there is none, and since when that is known.
type Known = (Option<ApiKeyRow>, Instant);

#[derive(Debug, Default)]
struct Use {
    keys: HashMap<ApiKeyId, Timestamp>,
    requests: HashMap<TenantId, u64>,
    written: Option<Instant>,
}

impl KnownKeys {
    /// The key with this hash, as of a few seconds ago; `Some(None)`: there
    /// was none. `None`: the store must be asked.
    pub fn get(&self, hash: &[u8; 32]) -> Option<Option<ApiKeyRow>> {
        let known = lock(&self.known);
        let (row, since) = known.get(hash)?;
        (since.elapsed() < TRUSTED_FOR).then(|| row.clone())
    }

    pub fn ask(&self, store: &Store, hash: &[u8; 32]) -> Result<Option<ApiKeyRow>> {
        let row = store.api_key_by_hash(hash)?;
        let mut known = lock(&self.known);
        if known.len() >= KEYS_MAX {
            known.clear();
        }
        known.insert(*hash, (row.clone(), Instant::now()));
        Ok(row)
    }

    /// Keys have changed.
    pub fn forget(&self) {
        lock(&self.known).clear();
    }

    /// Counts a request; true when it is time to write.
    pub fn count(&self, tenant: TenantId, key: Option<ApiKeyId>, now: Timestamp) -> bool {
        let mut use_of = lock(&self.use_of);
        *use_of.requests.entry(tenant).or_default() += 1;
        if let Some(key) = key {
            use_of.keys.insert(key, now);
        }
        let due = use_of
            .written
            .is_none_or(|written| written.elapsed() >= WRITTEN_EVERY);
        if due {
            use_of.written = Some(Instant::now());
        }
        due
    }

    pub fn write(&self, store: &Store, now: Timestamp) -> Result<()> {
        let (keys, requests) = {
            let mut use_of = lock(&self.use_of);
            let keys = std::mem::take(&mut use_of.keys);
            (keys, std::mem::take(&mut use_of.requests))
        };
        if !keys.is_empty() {
            store.touch_api_keys(keys.into_iter().collect())?;
        }
        let day = Day::of(now);
        let deltas: Vec<UsageDelta> = requests
            .into_iter()
            .map(|(tenant, amount)| UsageDelta {
                tenant,
                day,
                metric: UsageMetric::Requests,
                amount,
            })
            .collect();
        if !deltas.is_empty() {
            store.add_usage(deltas)?;
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
