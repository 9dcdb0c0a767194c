//! Circuit breakers of hosts, from one crawl to the next: what one crawl of a
//! tenant found broken, the next one leaves alone as long.

use std::collections::HashMap;

use frontier::{BreakerState, Dispatcher};
use store::{HostBreaker, Store, StoreError};
use types::{HostKey, TenantId, Timestamp};

/// Open breakers taken over at the start of a crawl; 10,000 are about 1 MB.
const RESTORED_MAX: usize = 10_000;

/// Keeps what the store knows of a crawl's breakers up to date. Changes are
/// rare: several failures in a row, or minutes of rest, lie between two.
pub(super) struct Breakers {
    store: Store,
    tenant: TenantId,
    /// Of hosts that this crawl has not met yet.
    left: HashMap<HostKey, HostBreaker>,
    /// Until when the store says that hosts of this crawl are left alone.
    saved: HashMap<HostKey, Timestamp>,
}

impl Breakers {
    pub(super) fn load(store: &Store, tenant: TenantId) -> Result<Breakers, StoreError> {
        let open = store.open_breakers(tenant, RESTORED_MAX)?;
        Ok(Breakers {
            store: store.clone(),
            tenant,
            left: open
                .into_iter()
                .map(|breaker| (breaker.host.clone(), breaker))
                .collect(),
            saved: HashMap::new(),
        })
    }

    /// The crawl has work at a host: its breaker is what it was, if it was open.
    pub(super) fn meet(&mut self, dispatcher: &mut Dispatcher, host: &HostKey, now: Timestamp) {
        if let Some(breaker) = self.left.remove(host) {
            let (since, until) = (breaker.broken_since, breaker.open_until);
            dispatcher.reopen_breaker(host, since, until, now);
            self.saved.insert(breaker.host, until);
        }
    }

    /// A request to the host has ended: remembers a breaker that it opened,
    /// forgets one that it closed.
    pub(super) fn heard(
        &mut self,
        dispatcher: &Dispatcher,
        host: &HostKey,
    ) -> Result<(), StoreError> {
        let Some(known) = dispatcher.host(host) else {
            return Ok(());
        };
        match (known.breaker, known.broken_since) {
            (BreakerState::Open { until }, Some(broken_since)) => {
                if self.saved.get(host) == Some(&until) {
                    return Ok(());
                }
                let breaker = HostBreaker {
                    host: host.clone(),
                    broken_since,
                    open_until: until,
                };
                self.store.save_breaker(self.tenant, &breaker)?;
                self.saved.insert(breaker.host, until);
                tracing::info!(host = %host, "{host} keeps failing and is left alone for a while");
            }
            (BreakerState::Closed, _) if self.saved.remove(host).is_some() => {
                self.store.forget_breaker(self.tenant, host)?;
                tracing::info!(host = %host, "{host} answers again");
            }
            _ => {}
        }
        Ok(())
    }
}
