//! What tenants use, day by day.

use std::collections::BTreeMap;

use types::TenantId;

use crate::error::Failure;
use crate::rows::count;
use crate::sql::{Connection, collect, execute, first, params};
use crate::tenants::check_tenant;
use crate::{Day, Store, StoreError, UsageDelta, UsageMetric, UsageRow};

/// Days that one call reads: a year, and the day it began.
pub(crate) const DAYS_MAX: i64 = 367;

impl Store {
    /// Adds to what tenants used, all or nothing. Collect what many requests
    /// used and add it at once.
    pub fn add_usage(&self, deltas: Vec<UsageDelta>) -> Result<(), StoreError> {
        let mut sums: BTreeMap<(TenantId, Day, &'static str), i64> = BTreeMap::new();
        for delta in &deltas {
            let key = (delta.tenant, delta.day, delta.metric.code());
            let amount = i64::try_from(delta.amount).unwrap_or(i64::MAX);
            let sum = sums.entry(key).or_default();
            *sum = sum.saturating_add(amount);
        }
        self.home().write("add to the usage", move |connection| {
            let mut checked = None;
            for ((tenant, day, metric), amount) in &sums {
                if checked != Some(*tenant) {
                    check_tenant(connection, *tenant)?;
                    checked = Some(*tenant);
                }
                add(connection, *tenant, *day, metric, *amount)?;
            }
            Ok(())
        })
    }

    /// What the tenant used, oldest first; days and metrics without any use
    /// are left out. Both days are included. Fails with a conflict on more
    /// than 367 days.
    pub fn usage(&self, tenant: TenantId, from: Day, to: Day) -> Result<Vec<UsageRow>, StoreError> {
        self.home().read("read the usage", |connection| {
            if to.0.saturating_sub(from.0) >= DAYS_MAX {
                return Err(Failure::conflict(format!(
                    "at most {DAYS_MAX} days of usage can be read at once"
                )));
            }
            let parameters = [tenant.0, from.0, to.0];
            collect(connection, BETWEEN, parameters, |row| {
                let metric: String = row.get(1)?;
                Ok(UsageRow {
                    day: Day(row.get(0)?),
                    metric: UsageMetric::from_code(&metric).ok_or_else(|| {
                        Failure::corrupt(format!("unknown metric of usage {metric}"))
                    })?,
                    amount: count(row, 2)?,
                })
            })
        })
    }
}

/// Above what SQLite can hold a sum stays there.
pub(crate) fn add(
    connection: &Connection,
    tenant: TenantId,
    day: Day,
    metric: &str,
    amount: i64,
) -> Result<(), Failure> {
    execute(
        connection,
        "INSERT INTO usage (tenant_id, day, metric, amount) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (tenant_id, day, metric) DO UPDATE
         SET amount = usage.amount
           + min(excluded.amount, 9223372036854775807 - usage.amount)",
        params![tenant.0, day.0, metric, amount],
    )?;
    Ok(())
}

/// What was used on one day.
pub(crate) fn amount(
    connection: &Connection,
    tenant: TenantId,
    day: Day,
    metric: UsageMetric,
) -> Result<u64, Failure> {
    let sql = "SELECT amount FROM usage WHERE tenant_id = ?1 AND day = ?2 AND metric = ?3";
    let parameters = params![tenant.0, day.0, metric.code()];
    Ok(first(connection, sql, parameters, |row| count(row, 0))?.unwrap_or(0))
}

pub(crate) const BETWEEN: &str = "
    SELECT day, metric, amount FROM usage WHERE tenant_id = ?1 AND day >= ?2 AND day <= ?3
    ORDER BY day, metric";
