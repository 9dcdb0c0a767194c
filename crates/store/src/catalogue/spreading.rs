//! Copies of what the home has and rows elsewhere refer to.

use types::TenantId;

use crate::Store;
use crate::error::{Failure, StoreError};
use crate::placement::ShardNumber;
use crate::shard::{OpenShard, Shard};
use crate::sql::{Connection, Value, collect, execute, params};

impl Store {
    /// Writes what the home has of a tenant to the other databases.
    pub(crate) fn spread_catalogue(&self, tenant: TenantId) -> Result<(), StoreError> {
        let others = self
            .all()
            .filter(|shard| shard.number() != ShardNumber::HOME);
        for shard in others {
            spread(self.home(), shard.open()?, Some(tenant))?;
        }
        Ok(())
    }
}

/// The columns that people set, of one tenant or of all.
const TENANTS: &str = "
    SELECT id, name, created_at, active, pages_max, sources_max, requests_per_minute, tokens_per_day
    FROM tenants WHERE CAST(?1 AS BIGINT) IS NULL OR id = ?1 ORDER BY id";
const SHARES: &str = "
    SELECT tenant_id, weight, running_max
    FROM tenant_shares WHERE CAST(?1 AS BIGINT) IS NULL OR tenant_id = ?1 ORDER BY tenant_id";
const WEBHOOKS: &str = "
    SELECT id, tenant_id, url, description, events, active, secret, created_at, updated_at
    FROM webhooks WHERE CAST(?1 AS BIGINT) IS NULL OR tenant_id = ?1 ORDER BY id";

type Rows = Vec<Vec<Value>>;

/// Copies tenants, their shares and webhooks to where they are missing.
pub(crate) fn spread(
    home: &Shard,
    shard: &OpenShard,
    tenant: Option<TenantId>,
) -> Result<(), StoreError> {
    let id = tenant.map(|tenant| tenant.0);
    let (tenants, shares, webhooks) = home.read("read the catalogue", |connection| {
        Ok((
            rows(connection, TENANTS, id, 8)?,
            rows(connection, SHARES, id, 3)?,
            rows(connection, WEBHOOKS, id, 9)?,
        ))
    })?;
    shard.write("copy the catalogue", move |connection| {
        for row in &tenants {
            execute(
                connection,
                "INSERT INTO tenants (id, name, created_at, active, pages_max, sources_max,
                   requests_per_minute, tokens_per_day)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (id) DO UPDATE SET name = excluded.name, active = excluded.active,
                   pages_max = excluded.pages_max, sources_max = excluded.sources_max,
                   requests_per_minute = excluded.requests_per_minute,
                   tokens_per_day = excluded.tokens_per_day",
                row,
            )?;
        }
        for row in &shares {
            execute(
                connection,
                "INSERT INTO tenant_shares (tenant_id, weight, running_max, pass, queued, running)
                 VALUES (?1, ?2, ?3, 0, 0, 0)
                 ON CONFLICT (tenant_id) DO UPDATE SET weight = excluded.weight,
                   running_max = excluded.running_max",
                row,
            )?;
        }
        // What it has of a webhook is newer than the home's, but for its being there.
        for row in &webhooks {
            execute(
                connection,
                "INSERT INTO webhooks (id, tenant_id, url, description, events, active, secret,
                   created_at, updated_at, event_cursor, not_before, failures_in_a_row, pending,
                   delivered, dead)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9,
                   coalesce((SELECT last_event FROM outboxes WHERE tenant_id = ?2), 0),
                   0, 0, 0, 0, 0)
                 ON CONFLICT (id) DO NOTHING",
                row,
            )?;
        }
        Ok(())
    })
}

fn rows(
    connection: &Connection,
    sql: &str,
    tenant: Option<i64>,
    columns: usize,
) -> Result<Rows, Failure> {
    collect(connection, sql, params![tenant], |row| {
        let value = |column| Ok(Value::from(row.value(column)?));
        (0..columns).map(value).collect()
    })
}
