//! Owners of rows.

use rusqlite::{Connection, params};
use types::TenantId;

use crate::error::Failure;
use crate::rows::first;
use crate::{Store, StoreError};

impl Store {
    /// The tenant of this name, created where missing.
    pub fn ensure_tenant(&self, name: &str) -> Result<TenantId, StoreError> {
        let now = self.now();
        let name = name.to_owned();
        self.write("save the tenant", move |connection| {
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
        })
    }
}

pub(crate) fn check_tenant(connection: &Connection, tenant: TenantId) -> Result<(), Failure> {
    let sql = "SELECT 1 FROM tenants WHERE id = ?1";
    first(connection, sql, [tenant.0], |_| Ok(()))?
        .ok_or_else(|| Failure::not_found(format!("no tenant {tenant}")))
}
