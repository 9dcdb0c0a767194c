//! Hosts that kept failing and are left alone for a while.
//!
//! Each tenant's crawls find out for themselves (invariant T1). Only open
//! breakers are kept: one whose time has passed says nothing any more.

use types::{HostKey, TenantId, Timestamp};

use crate::rows::as_i64;
use crate::sql::{collect, execute, params};
use crate::{HostBreaker, Store, StoreError};

impl Store {
    /// Remembers that the tenant's crawl found a host broken, or that it still is.
    pub fn save_breaker(&self, tenant: TenantId, breaker: &HostBreaker) -> Result<(), StoreError> {
        let now = self.now();
        let breaker = breaker.clone();
        self.home().write("save the breaker", move |connection| {
            execute(connection, DROP_PAST, params![tenant.0, now.0])?;
            execute(
                connection,
                "INSERT INTO host_breakers (tenant_id, host, broken_since, open_until)
                 VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (tenant_id, host) DO UPDATE SET
                   broken_since = excluded.broken_since, open_until = excluded.open_until",
                params![
                    tenant.0,
                    breaker.host.as_str(),
                    breaker.broken_since.0,
                    breaker.open_until.0
                ],
            )?;
            Ok(())
        })
    }

    /// The host answers the tenant's crawls again.
    pub fn forget_breaker(&self, tenant: TenantId, host: &HostKey) -> Result<(), StoreError> {
        let host = host.clone();
        self.home().write("forget the breaker", move |connection| {
            execute(
                connection,
                "DELETE FROM host_breakers WHERE tenant_id = ?1 AND host = ?2",
                params![tenant.0, host.as_str()],
            )?;
            Ok(())
        })
    }

    /// The tenant's breakers that are open now, at most `limit`; those that
    /// stay open longest come first.
    pub fn open_breakers(
        &self,
        tenant: TenantId,
        limit: usize,
    ) -> Result<Vec<HostBreaker>, StoreError> {
        let parameters = [tenant.0, self.now().0, as_i64(limit)];
        self.home().read("list open breakers", |connection| {
            collect(connection, OPEN_BREAKERS, parameters, |row| {
                Ok(HostBreaker {
                    host: HostKey::from_stored(row.get(0)?),
                    broken_since: Timestamp(row.get(1)?),
                    open_until: Timestamp(row.get(2)?),
                })
            })
        })
    }
}

pub(crate) const OPEN_BREAKERS: &str = "
    SELECT host, broken_since, open_until FROM host_breakers
    WHERE tenant_id = ?1 AND open_until > ?2 ORDER BY open_until DESC LIMIT ?3";

/// So that the table holds about as many hosts as are broken.
pub(crate) const DROP_PAST: &str =
    "DELETE FROM host_breakers WHERE tenant_id = ?1 AND open_until <= ?2";
