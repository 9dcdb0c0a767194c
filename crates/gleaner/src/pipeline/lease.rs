//! One crawl at a time asks a host: the lease, and keeping it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use store::{Lease, Store};
use tokio::sync::{Notify, watch};
use types::{Clock, HostKey};

const LEASE_FOR: Duration = Duration::from_secs(60);
/// A host that another process's crawl holds is asked for again this often;
/// one that ends in this process is heard of.
const LEASE_RETRY: Duration = Duration::from_millis(50);

/// A host about to be asked for the first time in this crawl.
pub struct HostLease {
    pub store: Store,
    pub clock: Arc<dyn Clock>,
    pub owner: String,
    pub host: HostKey,
}

impl HostLease {
    /// Until no other crawl asks the host, and its last request lies back as
    /// far as that one's pace wanted.
    pub async fn wait(self) -> Result<()> {
        let released = Arc::new(Notify::new());
        let bell = released.clone();
        let _subscription = self.store.on_commit(Arc::new(move || bell.notify_one()));
        loop {
            let (store, host, owner) = (self.store.clone(), self.host.clone(), self.owner.clone());
            let until = self.clock.now().plus(LEASE_FOR);
            let asked =
                tokio::task::spawn_blocking(move || store.acquire_host_lease(&host, &owner, until));
            match asked.await?? {
                Lease::Yours => return Ok(()),
                Lease::Busy { until, .. } => {
                    let left = until.since(self.clock.now());
                    let _ = tokio::time::timeout(left.min(LEASE_RETRY), released.notified()).await;
                }
            }
        }
    }
}

/// Renews host leases from a thread that neither requests nor CPU work can starve.
pub fn keep_leases(
    store: &Store,
    owner: &str,
    clock: &dyn Clock,
    timer: &Receiver<()>,
    done: &AtomicBool,
) {
    while !done.load(Ordering::Relaxed) {
        if timer.recv_timeout(LEASE_FOR / 3) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
        if let Err(error) = store.renew_host_leases(owner, clock.now().plus(LEASE_FOR)) {
            tracing::warn!(%error, "could not renew host leases");
        }
    }
}

/// Returns when the crawl is to stop.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        // Nobody is left who could stop it.
        std::future::pending::<()>().await;
    }
}
