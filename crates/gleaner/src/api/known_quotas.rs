//! Quotas of tenants, as of a few seconds ago.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use store::Quota;
use types::TenantId;

/// A quota that was changed holds after so long.
const TRUSTED_FOR: Duration = Duration::from_secs(5);
const TENANTS_MAX: usize = 10_000;

#[derive(Debug, Default)]
pub struct KnownQuotas {
    known: Mutex<HashMap<TenantId, (Quota, Instant)>>,
}

impl KnownQuotas {
    pub fn get(&self, tenant: TenantId) -> Option<Quota> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (quota, since) = known.get(&tenant)?;
        (since.elapsed() < TRUSTED_FOR).then_some(*quota)
    }

    pub fn put(&self, tenant: TenantId, quota: Quota) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= TENANTS_MAX {
            known.clear();
        }
        known.insert(tenant, (quota, Instant::now()));
    }
}
