//! What tenants may have. Pages and sources are held to it where they are
//! written, tasks where they are claimed; the rest is for the service.

use types::TenantId;

use crate::draining::check_takes_sources;
use crate::error::Failure;
use crate::sql::{Connection, execute, first, params};
use crate::tenants::{check_tenant, no_tenant};
use crate::{Quota, Store, StoreError};

impl Store {
    pub fn quota(&self, tenant: TenantId) -> Result<Quota, StoreError> {
        self.home().read("read the tenant's quota", |connection| {
            read_quota(connection, tenant)
        })
    }

    /// Sets all of a tenant's limits. One below what the tenant has takes
    /// nothing away; it only lets nothing in.
    pub fn set_quota(&self, tenant: TenantId, quota: Quota) -> Result<(), StoreError> {
        self.write_every("set the tenant's quota", move |connection| {
            check_tenant(connection, tenant)?;
            if quota.tasks_running_max == Some(0) {
                return Err(Failure::conflict(
                    "a tenant may run at least one task; deactivate it to stop all",
                ));
            }
            execute(
                connection,
                "UPDATE tenants SET pages_max = ?2, sources_max = ?3, requests_per_minute = ?4,
                   tokens_per_day = ?5
                 WHERE id = ?1",
                params![
                    tenant.0,
                    quota.pages_max.map(as_limit),
                    quota.sources_max.map(as_limit),
                    quota.requests_per_minute,
                    quota.tokens_per_day.map(as_limit)
                ],
            )?;
            execute(
                connection,
                "INSERT INTO tenant_shares (tenant_id, weight, running_max, pass, queued, running)
                 VALUES (?1, 1, ?2, 0, 0, 0)
                 ON CONFLICT (tenant_id) DO UPDATE SET running_max = excluded.running_max",
                params![tenant.0, quota.tasks_running_max.unwrap_or(0)],
            )?;
            Ok(())
        })?;
        Ok(())
    }
}

fn read_quota(connection: &Connection, tenant: TenantId) -> Result<Quota, Failure> {
    let quota = first(
        connection,
        "SELECT t.pages_max, t.sources_max, t.requests_per_minute, t.tokens_per_day,
           nullif(s.running_max, 0)
         FROM tenants t LEFT JOIN tenant_shares s ON s.tenant_id = t.id
         WHERE t.id = ?1",
        [tenant.0],
        |row| {
            let limit = |index| -> Result<Option<u64>, Failure> {
                Ok(row.get::<Option<i64>>(index)?.map(i64::unsigned_abs))
            };
            Ok(Quota {
                pages_max: limit(0)?,
                sources_max: limit(1)?,
                requests_per_minute: row.get(2)?,
                tokens_per_day: limit(3)?,
                tasks_running_max: row.get(4)?,
            })
        },
    )?;
    quota.ok_or_else(|| no_tenant(tenant))
}

/// A limit as it is stored: larger ones than SQLite can hold are cut.
fn as_limit(limit: u64) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Counts one more source of the tenant, or refuses it.
pub(crate) fn admit_source(connection: &Connection, tenant: TenantId) -> Result<(), Failure> {
    check_takes_sources(connection)?;
    let rows = execute(
        connection,
        "UPDATE tenants SET sources = sources + 1
         WHERE id = ?1 AND (sources_max IS NULL OR sources < sources_max)",
        [tenant.0],
    )?;
    if rows == 1 {
        return Ok(());
    }
    let sql = "SELECT sources, sources_max FROM tenants WHERE id = ?1";
    let (has, may): (u64, u64) = first(connection, sql, [tenant.0], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?
    .ok_or_else(|| no_tenant(tenant))?;
    Err(too_many_sources(has, may))
}

pub(crate) fn too_many_sources(has: u64, may: u64) -> Failure {
    Failure::quota(format!(
        "the tenant has {has} of at most {may} sources; remove one or raise its limit"
    ))
}

/// How many sources of the tenant this database has.
pub(crate) fn sources_of(connection: &Connection, tenant: TenantId) -> Result<u64, Failure> {
    let sql = "SELECT sources FROM tenants WHERE id = ?1";
    Ok(first(connection, sql, [tenant.0], |row| row.get(0))?.unwrap_or(0))
}

/// A source of the tenant was removed.
pub(crate) fn discount_source(connection: &Connection, tenant: TenantId) -> Result<(), Failure> {
    let sql = "UPDATE tenants SET sources = sources - 1 WHERE id = ?1";
    execute(connection, sql, [tenant.0])?;
    Ok(())
}

/// How many more live pages a tenant may have; `None`: any number.
pub(crate) fn page_room(connection: &Connection, tenant: TenantId) -> Result<Option<i64>, Failure> {
    let sql = "SELECT pages_max - pages_live FROM tenants WHERE id = ?1";
    first(connection, sql, [tenant.0], |row| row.get(0))?.ok_or_else(|| no_tenant(tenant))
}
