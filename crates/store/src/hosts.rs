//! What is known about hosts: robots.txt and leases.

use types::{HostKey, Timestamp};

use crate::codec;
use crate::error::Failure;
use crate::rows::as_i64;
use crate::sql::{collect, execute, first, params};
use crate::{HostRow, Lease, Store, StoreError};

impl Store {
    pub fn host(&self, host: &HostKey) -> Result<Option<HostRow>, StoreError> {
        self.home().read("read the host", |connection| {
            first(
                connection,
                "SELECT key, robots_status, robots_body, robots_fetched_at, lease_owner,
                        lease_until
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
                        robots_fetched_at: row.get::<Option<i64>>(3)?.map(Timestamp),
                        lease_owner: row.get(4)?,
                        lease_until: row.get::<Option<i64>>(5)?.map(Timestamp),
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
        self.home().write("save robots.txt", move |connection| {
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

    /// Makes `owner` the only one to fetch from the host until `until`, unless
    /// another owner's lease runs or the host still rests (invariant P1).
    pub fn acquire_host_lease(
        &self,
        host: &HostKey,
        owner: &str,
        until: Timestamp,
    ) -> Result<Lease, StoreError> {
        let now = self.now();
        let host = host.clone();
        let owner = owner.to_owned();
        self.home().write("lease the host", move |connection| {
            let rows = execute(
                connection,
                "INSERT INTO hosts (key, lease_owner, lease_until) VALUES (?1, ?2, ?3)
                 ON CONFLICT (key) DO UPDATE SET lease_owner = ?2, lease_until = ?3
                 WHERE hosts.lease_owner = ?2 OR hosts.lease_until IS NULL
                   OR hosts.lease_until <= ?4",
                params![host.as_str(), owner, until.0, now.0],
            )?;
            if rows == 1 {
                return Ok(Lease::Yours);
            }
            let holder = first(
                connection,
                "SELECT lease_until, lease_owner FROM hosts WHERE key = ?1",
                [host.as_str()],
                |row| {
                    Ok(Lease::Busy {
                        until: Timestamp(row.get(0)?),
                        owner: row.get(1)?,
                    })
                },
            )?;
            holder.ok_or_else(|| Failure::bug(format!("host {host} vanished")))
        })
    }

    /// Extends all leases of `owner`; their number. A lease that ran out and
    /// was taken by someone else is not among them.
    pub fn renew_host_leases(&self, owner: &str, until: Timestamp) -> Result<u64, StoreError> {
        let owner = owner.to_owned();
        self.home().write("renew host leases", move |connection| {
            let rows = execute(
                connection,
                "UPDATE hosts SET lease_until = ?2 WHERE lease_owner = ?1",
                params![owner, until.0],
            )?;
            Ok(as_i64(rows).unsigned_abs())
        })
    }

    /// Gives one lease back; false if it was not `owner`'s. Nobody gets the
    /// host before `rest_until`: the time of its last request plus its delay.
    pub fn release_host_lease(
        &self,
        host: &HostKey,
        owner: &str,
        rest_until: Timestamp,
    ) -> Result<bool, StoreError> {
        let (host, owner) = (host.clone(), owner.to_owned());
        self.home()
            .write("release the host's lease", move |connection| {
                let rows = execute(
                    connection,
                    "UPDATE hosts SET lease_owner = NULL, lease_until = ?3
                 WHERE key = ?1 AND lease_owner = ?2",
                    params![host.as_str(), owner, rest_until.0],
                )?;
                Ok(rows == 1)
            })
    }

    /// Gives all leases of `owner` back; their number. Nobody gets one of the
    /// hosts before `rest_until`.
    pub fn release_host_leases(
        &self,
        owner: &str,
        rest_until: Timestamp,
    ) -> Result<u64, StoreError> {
        self.drop_host_leases(&[owner.to_owned()], rest_until)
    }

    /// Ends the leases of owners that are no more, see [`Store::lost_owners`];
    /// their number. The dead may have sent a request a moment ago, so their
    /// hosts rest until `rest_until` as well.
    pub fn drop_host_leases(
        &self,
        lost_owners: &[String],
        rest_until: Timestamp,
    ) -> Result<u64, StoreError> {
        let owners = lost_owners.to_vec();
        self.home().write("release host leases", move |connection| {
            let mut rows = 0;
            for owner in &owners {
                rows += execute(
                    connection,
                    "UPDATE hosts SET lease_owner = NULL, lease_until = ?2 WHERE lease_owner = ?1",
                    params![owner, rest_until.0],
                )?;
            }
            Ok(as_i64(rows).unsigned_abs())
        })
    }

    /// Everybody who holds a lease, each once.
    pub fn host_lease_owners(&self) -> Result<Vec<String>, StoreError> {
        self.home().read("list host leases", |connection| {
            collect(connection, LEASE_OWNERS, [], |row| row.get(0))
        })
    }
}

pub(crate) const LEASE_OWNERS: &str = "
    SELECT DISTINCT lease_owner FROM hosts WHERE lease_owner IS NOT NULL";
