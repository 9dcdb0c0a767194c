//! Owners of rows. What belongs to one tenant is for every other one simply
//! not there (invariant T1).

use types::{TenantId, Timestamp};

use crate::error::Failure;
use crate::placement::ShardNumber;
use crate::rows::count;
use crate::sql::{Connection, Row, collect, execute, first, params};
use crate::{Store, StoreError, TenantRow, TenantStats};

const NAME_CHARS_MAX: usize = 64;

macro_rules! select_tenants {
    ($ending:literal) => {
        concat!("SELECT id, name, active, created_at FROM tenants ", $ending)
    };
}

impl Store {
    /// The tenant of this name, created where missing.
    pub fn ensure_tenant(&self, name: &str) -> Result<TenantId, StoreError> {
        let now = self.now();
        let name = name.to_owned();
        let id = self.home().write("save the tenant", move |connection| {
            if name.is_empty() {
                return Err(Failure::conflict("a tenant needs a name"));
            }
            let id = first(
                connection,
                "INSERT INTO tenants (name, created_at) VALUES (?1, ?2)
                 ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id",
                params![name, now.0],
                |row| Ok(TenantId(row.get(0)?)),
            )?;
            id.ok_or_else(|| Failure::bug("the tenant was not saved"))
        })?;
        self.spread_catalogue(id)?;
        Ok(id)
    }

    /// Adds an active tenant without limits. Fails with a conflict when there
    /// is one of this name, and on a name that is not 1 to 64 of `a` to `z`,
    /// `0` to `9` and `-`.
    pub fn create_tenant(&self, name: &str) -> Result<TenantRow, StoreError> {
        let now = self.now();
        let name = name.to_owned();
        let created = self.home().write("create the tenant", move |connection| {
            check_name(&name)?;
            let created = first(
                connection,
                "INSERT INTO tenants (name, created_at) VALUES (?1, ?2)
                 ON CONFLICT (name) DO NOTHING RETURNING id, name, active, created_at",
                params![name, now.0],
                tenant_row,
            )?;
            created.ok_or_else(|| Failure::conflict(format!("there is a tenant {name} already")))
        })?;
        self.spread_catalogue(created.id)?;
        Ok(created)
    }

    /// All tenants, oldest first.
    pub fn tenants(&self) -> Result<Vec<TenantRow>, StoreError> {
        self.home().read("list tenants", |connection| {
            collect(connection, select_tenants!("ORDER BY id"), [], tenant_row)
        })
    }

    pub fn tenant(&self, id: TenantId) -> Result<Option<TenantRow>, StoreError> {
        self.home().read("read the tenant", |connection| {
            let sql = select_tenants!("WHERE id = ?1");
            first(connection, sql, [id.0], tenant_row)
        })
    }

    pub fn tenant_by_name(&self, name: &str) -> Result<Option<TenantRow>, StoreError> {
        self.home().read("look up the tenant", |connection| {
            let sql = select_tenants!("WHERE name = ?1");
            first(connection, sql, [name], tenant_row)
        })
    }

    /// Says whether a tenant's keys open anything. What it has stays, and so
    /// does what it has scheduled. The default tenant is always active: it is
    /// who uses this machine without any keys.
    pub fn set_tenant_active(&self, id: TenantId, active: bool) -> Result<(), StoreError> {
        self.write_every("switch the tenant", move |connection| {
            if id == TenantId::DEFAULT && !active {
                return Err(Failure::conflict("the default tenant is always active"));
            }
            let sql = "UPDATE tenants SET active = ?2 WHERE id = ?1";
            match execute(connection, sql, params![id.0, active])? {
                0 => Err(no_tenant(id)),
                _ => Ok(()),
            }
        })?;
        Ok(())
    }

    /// Of each database a number that grows with each write of the tenant's
    /// pages, records or notes: an answer made of them is good for as long as
    /// they all stay. Not their sum, which is the same after a write to one
    /// as after a write to another.
    pub fn tenant_version(&self, id: TenantId) -> Result<Vec<(ShardNumber, i64)>, StoreError> {
        self.gather(|shard| {
            let version = shard.read("read the tenant's version", |connection| {
                let sql = "SELECT data_version FROM tenants WHERE id = ?1";
                first(connection, sql, [id.0], |row| row.get(0))?.ok_or_else(|| no_tenant(id))
            })?;
            Ok((shard.number(), version))
        })
    }

    /// What the tenant has: maintained numbers, read from two rows.
    pub fn tenant_stats(&self, id: TenantId) -> Result<TenantStats, StoreError> {
        self.gather(|shard| {
            shard.read("read the tenant's numbers", |connection| {
                let stats = first(connection, STATS, [id.0], |row| {
                    Ok(TenantStats {
                        pages: count(row, 0)?,
                        pages_live: count(row, 1)?,
                        chunks: count(row, 2)?,
                        sources: count(row, 3)?,
                        tasks_queued: count(row, 4)?,
                        tasks_running: count(row, 5)?,
                    })
                })?;
                stats.ok_or_else(|| no_tenant(id))
            })
        })
        .map(|parts| {
            parts
                .into_iter()
                .fold(TenantStats::default(), TenantStats::and)
        })
    }
}

pub(crate) const STATS: &str = "
    SELECT t.pages, t.pages_live, t.chunks, t.sources, coalesce(s.queued, 0),
      coalesce(s.running, 0)
    FROM tenants t LEFT JOIN tenant_shares s ON s.tenant_id = t.id
    WHERE t.id = ?1";

pub(crate) fn check_tenant(connection: &Connection, tenant: TenantId) -> Result<(), Failure> {
    let sql = "SELECT 1 FROM tenants WHERE id = ?1";
    first(connection, sql, [tenant.0], |_| Ok(()))?.ok_or_else(|| no_tenant(tenant))
}

pub(crate) fn no_tenant(id: TenantId) -> Failure {
    Failure::not_found(format!("no tenant {id}"))
}

fn check_name(name: &str) -> Result<(), Failure> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if (1..=NAME_CHARS_MAX).contains(&name.len()) && name.chars().all(is_plain) {
        return Ok(());
    }
    Err(Failure::conflict(
        "a tenant's name is 1 to 64 characters of a to z, 0 to 9 and -",
    ))
}

fn tenant_row(row: &Row<'_>) -> Result<TenantRow, Failure> {
    Ok(TenantRow {
        id: TenantId(row.get(0)?),
        name: row.get(1)?,
        active: row.get(2)?,
        created_at: Timestamp(row.get(3)?),
    })
}
