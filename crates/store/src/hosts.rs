//! What is known about hosts: robots.txt, leases, breakers.

use rusqlite::params;
use types::{HostKey, Timestamp};

use crate::codec;
use crate::rows::{as_i64, execute, first};
use crate::{HostRow, Store, StoreError};

impl Store {
    pub fn host(&self, host: &HostKey) -> Result<Option<HostRow>, StoreError> {
        self.read("read the host", |connection| {
            first(
                connection,
                "SELECT key, robots_status, robots_body, robots_fetched_at, lease_owner,
                        lease_until, breaker
                 FROM hosts WHERE key = ?1",
                [host.as_str()],
                |row| {
                    let body: Option<Vec<u8>> = row.get(2)?;
                    Ok(HostRow {
                        host: HostKey::from_stored(row.get(0)?),
                        robots_status: row.get(1)?,
                        robots_body: match body {
                            Some(packed) => codec::unpack(&packed)?,
                            None => Vec::new(),
                        },
                        robots_fetched_at: row.get::<_, Option<i64>>(3)?.map(Timestamp),
                        lease_owner: row.get(4)?,
                        lease_until: row.get::<_, Option<i64>>(5)?.map(Timestamp),
                        breaker: row.get(6)?,
                    })
                },
            )
        })
    }

    /// Remembers a robots.txt response: its HTTP status, 0 when there was none.
    pub fn save_robots(&self, host: &HostKey, status: i64, body: &[u8]) -> Result<(), StoreError> {
        let now = self.now();
        let host = host.clone();
        let body = body.to_vec();
        self.write("save robots.txt", move |connection| {
            execute(
                connection,
                "INSERT INTO hosts (key, robots_status, robots_body, robots_fetched_at)
                 VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (key) DO UPDATE SET robots_status = excluded.robots_status,
                   robots_body = excluded.robots_body,
                   robots_fetched_at = excluded.robots_fetched_at",
                params![host.as_str(), status, codec::pack(&body)?, now.0],
            )?;
            Ok(())
        })
    }

    /// Remembers a host's circuit breaker; `None` forgets it.
    pub fn save_breaker(&self, host: &HostKey, snapshot: Option<&str>) -> Result<(), StoreError> {
        let host = host.clone();
        let snapshot = snapshot.map(str::to_owned);
        self.write("save the breaker", move |connection| {
            execute(
                connection,
                "INSERT INTO hosts (key, breaker) VALUES (?1, ?2)
                 ON CONFLICT (key) DO UPDATE SET breaker = excluded.breaker",
                params![host.as_str(), snapshot],
            )?;
            Ok(())
        })
    }

    /// Makes `owner` the only one to fetch from the host until `until`. False
    /// while another owner's lease runs.
    pub fn acquire_host_lease(
        &self,
        host: &HostKey,
        owner: &str,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let now = self.now();
        let host = host.clone();
        let owner = owner.to_owned();
        self.write("lease the host", move |connection| {
            let rows = execute(
                connection,
                "INSERT INTO hosts (key, lease_owner, lease_until) VALUES (?1, ?2, ?3)
                 ON CONFLICT (key) DO UPDATE SET lease_owner = ?2, lease_until = ?3
                 WHERE lease_owner IS NULL OR lease_owner = ?2 OR lease_until <= ?4",
                params![host.as_str(), owner, until.0, now.0],
            )?;
            Ok(rows == 1)
        })
    }

    /// Extends all leases of `owner`; their number. A lease that ran out and
    /// was taken by someone else is not among them.
    pub fn renew_host_leases(&self, owner: &str, until: Timestamp) -> Result<u64, StoreError> {
        let owner = owner.to_owned();
        self.write("renew host leases", move |connection| {
            let rows = execute(
                connection,
                "UPDATE hosts SET lease_until = ?2 WHERE lease_owner = ?1",
                params![owner, until.0],
            )?;
            Ok(as_i64(rows).unsigned_abs())
        })
    }

    /// Gives all leases of `owner` back; their number.
    pub fn release_host_leases(&self, owner: &str) -> Result<u64, StoreError> {
        let owner = owner.to_owned();
        self.write("release host leases", move |connection| {
            let rows = execute(
                connection,
                "UPDATE hosts SET lease_owner = NULL, lease_until = NULL WHERE lease_owner = ?1",
                [owner],
            )?;
            Ok(as_i64(rows).unsigned_abs())
        })
    }
}
