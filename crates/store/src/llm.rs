//! Accounts of language models: what tenants use of them by day, and what of
//! the day's tokens is set aside for calls under way.
//!
//! What a call will use is known when it has ended, and many may be under way
//! in several processes. So each sets aside beforehand what it may use at most,
//! in one transaction with the look at what is left: together they never exceed
//! the limit by more than a call uses beyond what it asked for. A reservation
//! ends when it is settled or, should its process have died, with its time. It
//! is kept for a day after that, so that it is settled once however often that
//! is asked for.
//!
//! All of it lies in the home database, as tenants and their limits do. A day
//! is one in UTC; tokens belong to the day on which they are settled.

use std::time::Duration;

use types::{TenantId, Timestamp};

use crate::error::Failure;
use crate::model::{
    Day, EventType, LlmBudget, LlmReservationId, LlmReserve, LlmUse, LlmUseRow, UsageMetric,
};
use crate::outbox::{self, BudgetExhausted, BudgetWarning};
use crate::rows::{as_i64, count};
use crate::sql::{Connection, Row, collect, execute, first, insert, params};
use crate::tenants::{check_tenant, no_tenant};
use crate::{Store, StoreError, usage};

const MODEL_BYTES_MAX: usize = 200;
const PURPOSE_BYTES_MAX: usize = 32;
/// A reservation is known for so long after its time has passed.
const KEPT: Duration = Duration::from_secs(24 * 3600);
const REMOVED_PER_STEP: usize = 1_000;
/// Days that can be read at once of all tenants together.
const DAYS_OF_ALL_MAX: i64 = 32;
/// Of the day's tokens, when the tenant is told.
const WARNED_AT_PERCENT: u64 = 80;

impl Store {
    /// Sets tokens aside for a call that takes at most `live_for`, unless the
    /// tenant has not so many left today ([`crate::Quota::tokens_per_day`]).
    /// What cannot be granted now may be when calls under way have ended with
    /// less than they asked for.
    pub fn reserve_llm(
        &self,
        tenant: TenantId,
        tokens: u64,
        live_for: Duration,
    ) -> Result<LlmReserve, StoreError> {
        let now = self.now();
        self.home().write("set tokens aside", move |connection| {
            reserve(connection, tenant, tokens, live_for, now)
        })
    }

    /// Ends a reservation with what was used, which may be nothing: adds it to
    /// the use of language models and to what the tenant used in all. A second
    /// time it does nothing; when its time has passed it does the same all the
    /// same. Fails as not found a day after that.
    pub fn settle_llm(
        &self,
        reservation: LlmReservationId,
        use_: LlmUse,
    ) -> Result<(), StoreError> {
        let now = self.now();
        self.home()
            .write("settle the use of a language model", move |connection| {
                settle(connection, reservation, &use_, now)
            })
    }

    /// Counts what was answered without the model.
    pub fn note_llm_fallback(
        &self,
        tenant: TenantId,
        model: &str,
        purpose: &str,
        count: u64,
    ) -> Result<(), StoreError> {
        let now = self.now();
        let row = LlmUseRow {
            fallback: count,
            ..none(tenant, Day::of(now), model, purpose)
        };
        self.home()
            .write("count answers without a model", move |connection| {
                check_tenant(connection, tenant)?;
                add(connection, &row)
            })
    }

    /// What a tenant, or each, used of language models, oldest day first. Both
    /// days are included. Fails with a conflict on more than 367 days, or 32
    /// of all tenants.
    pub fn llm_use(
        &self,
        tenant: Option<TenantId>,
        from: Day,
        to: Day,
    ) -> Result<Vec<LlmUseRow>, StoreError> {
        self.home()
            .read("read the use of language models", |connection| {
                let days_max = tenant.map_or(DAYS_OF_ALL_MAX, |_| usage::DAYS_MAX);
                if to.0.saturating_sub(from.0) >= days_max {
                    return Err(Failure::conflict(format!(
                        "at most {days_max} days can be read at once"
                    )));
                }
                match tenant {
                    Some(tenant) => {
                        let parameters = [tenant.0, from.0, to.0];
                        collect(connection, OF_TENANT, parameters, use_row)
                    }
                    None => collect(connection, OF_ALL, [from.0, to.0], use_row),
                }
            })
    }

    /// Where the tenant is with its tokens of today.
    pub fn llm_budget(&self, tenant: TenantId) -> Result<LlmBudget, StoreError> {
        let now = self.now();
        self.home()
            .read("read the tenant's tokens of today", |connection| {
                budget(connection, tenant, now)
            })
    }

    /// Forgets reservations whose time passed a day ago; how many.
    pub fn housekeep_llm(&self) -> Result<u64, StoreError> {
        let before = self.now().0.saturating_sub(Timestamp(0).plus(KEPT).0);
        let mut forgotten = 0;
        loop {
            let rows = self
                .home()
                .write("forget reservations of tokens", move |connection| {
                    execute(connection, FORGET, [before, as_i64(REMOVED_PER_STEP)])
                })?;
            forgotten += rows as u64;
            if rows < REMOVED_PER_STEP {
                return Ok(forgotten);
            }
        }
    }
}

pub(crate) const RESERVED: &str = "
    SELECT CAST(coalesce(sum(tokens), 0) AS BIGINT) FROM llm_reservations
    WHERE tenant_id = ?1 AND settled = 0 AND live_until > ?2";

pub(crate) const FORGET: &str = "
    DELETE FROM llm_reservations WHERE id IN (
      SELECT id FROM llm_reservations WHERE live_until < ?1 ORDER BY live_until LIMIT ?2)";

macro_rules! select_use {
    ($ending:literal) => {
        concat!(
            "SELECT tenant_id, day, model, purpose, requests, succeeded, failed, fallback, ",
            "retries, tokens_in, tokens_out, took_ms FROM llm_use ",
            $ending
        )
    };
}

pub(crate) const OF_TENANT: &str = select_use!(
    "WHERE tenant_id = ?1 AND day >= ?2 AND day <= ?3 ORDER BY tenant_id, day, model, purpose"
);
/// Sorted afterwards: few rows, and the index has them by day.
pub(crate) const OF_ALL: &str = select_use!("WHERE day >= ?1 AND day <= ?2 ORDER BY day");

fn use_row(row: &Row<'_>) -> Result<LlmUseRow, Failure> {
    Ok(LlmUseRow {
        tenant: TenantId(row.get(0)?),
        day: Day(row.get(1)?),
        model: row.get(2)?,
        purpose: row.get(3)?,
        requests: count(row, 4)?,
        succeeded: count(row, 5)?,
        failed: count(row, 6)?,
        fallback: count(row, 7)?,
        retries: count(row, 8)?,
        tokens_in: count(row, 9)?,
        tokens_out: count(row, 10)?,
        took_ms: count(row, 11)?,
    })
}

fn none(tenant: TenantId, day: Day, model: &str, purpose: &str) -> LlmUseRow {
    LlmUseRow {
        tenant,
        day,
        model: model.to_owned(),
        purpose: purpose.to_owned(),
        requests: 0,
        succeeded: 0,
        failed: 0,
        fallback: 0,
        retries: 0,
        tokens_in: 0,
        tokens_out: 0,
        took_ms: 0,
    }
}

fn budget(connection: &Connection, tenant: TenantId, now: Timestamp) -> Result<LlmBudget, Failure> {
    let sql = "SELECT tokens_per_day FROM tenants WHERE id = ?1";
    let max: Option<i64> =
        first(connection, sql, [tenant.0], |row| row.get(0))?.ok_or_else(|| no_tenant(tenant))?;
    let day = Day::of(now);
    let tokens_in = usage::amount(connection, tenant, day, UsageMetric::TokensIn)?;
    let tokens_out = usage::amount(connection, tenant, day, UsageMetric::TokensOut)?;
    let reserved = first(connection, RESERVED, [tenant.0, now.0], |row| count(row, 0))?;
    Ok(LlmBudget {
        used: tokens_in.saturating_add(tokens_out),
        reserved: reserved.unwrap_or(0),
        max: max.map(i64::unsigned_abs),
    })
}

fn reserve(
    connection: &Connection,
    tenant: TenantId,
    tokens: u64,
    live_for: Duration,
    now: Timestamp,
) -> Result<LlmReserve, Failure> {
    let LlmBudget {
        used,
        reserved,
        max,
    } = budget(connection, tenant, now)?;
    if let Some(max) = max {
        // The limit may be another than when the last call was settled.
        warn(connection, tenant, used, max, now)?;
        let taken = used.saturating_add(reserved);
        if taken.saturating_add(tokens) > max {
            let day = Day::of(now);
            if is_first_of_day(connection, EXHAUSTED, tenant, day)? {
                let kind = EventType::BudgetExhausted;
                outbox::tell(connection, tenant, kind, None, now, || BudgetExhausted {
                    day: outbox::date(day),
                    tokens_used: used,
                    tokens_reserved: reserved,
                    tokens_asked: tokens,
                    tokens_max: max,
                })?;
            }
            return Ok(LlmReserve::Refused { used: taken, max });
        }
    }
    // Without a limit the sum of what is set aside must be a number, too.
    let tokens = as_amount(tokens).min(RESERVED_MAX);
    let id = insert(
        connection,
        "INSERT INTO llm_reservations (tenant_id, tokens, live_until, settled)
         VALUES (?1, ?2, ?3, 0)",
        params![tenant.0, tokens, now.plus(live_for).0],
    )?;
    Ok(LlmReserve::Granted(LlmReservationId(id)))
}

/// Tokens of one call: more than any model takes, few enough to be added up.
const RESERVED_MAX: i64 = 1 << 40;

fn settle(
    connection: &Connection,
    reservation: LlmReservationId,
    used: &LlmUse,
    now: Timestamp,
) -> Result<(), Failure> {
    let sql = "SELECT tenant_id, settled FROM llm_reservations WHERE id = ?1";
    let found: Option<(i64, bool)> = first(connection, sql, [reservation.0], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    let Some((tenant, is_settled)) = found else {
        return Err(Failure::not_found(format!(
            "no reservation {reservation}: it was never made, or its time passed a day ago"
        )));
    };
    if is_settled {
        return Ok(());
    }
    let sql = "UPDATE llm_reservations SET settled = 1 WHERE id = ?1";
    execute(connection, sql, [reservation.0])?;
    let (tenant, day) = (TenantId(tenant), Day::of(now));
    add(
        connection,
        &LlmUseRow {
            requests: used.requests,
            succeeded: used.succeeded,
            failed: used.failed,
            retries: used
                .requests
                .saturating_sub(used.succeeded.saturating_add(used.failed)),
            tokens_in: used.tokens_in,
            tokens_out: used.tokens_out,
            took_ms: used.took_ms,
            ..none(tenant, day, &used.model, &used.purpose)
        },
    )?;
    for (metric, tokens) in [
        (UsageMetric::TokensIn, used.tokens_in),
        (UsageMetric::TokensOut, used.tokens_out),
    ] {
        if tokens > 0 {
            usage::add(connection, tenant, day, metric.code(), as_amount(tokens))?;
        }
    }
    let budget = budget(connection, tenant, now)?;
    match budget.max {
        Some(max) => warn(connection, tenant, budget.used, max, now),
        None => Ok(()),
    }
}

/// Tells the tenant, once a day, that most of its tokens are used.
fn warn(
    connection: &Connection,
    tenant: TenantId,
    used: u64,
    max: u64,
    now: Timestamp,
) -> Result<(), Failure> {
    let warned_at = u128::from(max) * u128::from(WARNED_AT_PERCENT);
    if used == 0 || u128::from(used) * 100 < warned_at {
        return Ok(());
    }
    let day = Day::of(now);
    if !is_first_of_day(connection, WARNED, tenant, day)? {
        return Ok(());
    }
    let kind = EventType::BudgetWarning;
    outbox::tell(connection, tenant, kind, None, now, || BudgetWarning {
        day: outbox::date(day),
        tokens_used: used,
        tokens_max: max,
    })
}

const WARNED: &str = "
    UPDATE tenants SET tokens_warned_day = ?2
    WHERE id = ?1 AND (tokens_warned_day IS NULL OR tokens_warned_day < ?2)";
const EXHAUSTED: &str = "
    UPDATE tenants SET tokens_exhausted_day = ?2
    WHERE id = ?1 AND (tokens_exhausted_day IS NULL OR tokens_exhausted_day < ?2)";

fn is_first_of_day(
    connection: &Connection,
    note: &str,
    tenant: TenantId,
    day: Day,
) -> Result<bool, Failure> {
    Ok(execute(connection, note, [tenant.0, day.0])? == 1)
}

fn add(connection: &Connection, row: &LlmUseRow) -> Result<(), Failure> {
    for (what, name, bytes_max) in [
        ("a model", &row.model, MODEL_BYTES_MAX),
        ("a purpose", &row.purpose, PURPOSE_BYTES_MAX),
    ] {
        if name.is_empty() || name.len() > bytes_max {
            return Err(Failure::conflict(format!(
                "the name of {what} has 1 to {bytes_max} bytes"
            )));
        }
    }
    // Above what SQLite can hold a sum stays there.
    let sum = |column: &str| {
        let left = format!("9223372036854775807 - llm_use.{column}");
        format!("{column} = llm_use.{column} + min(excluded.{column}, {left})")
    };
    let sql = format!(
        "INSERT INTO llm_use (tenant_id, day, model, purpose, {})
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
         ON CONFLICT (tenant_id, day, model, purpose) DO UPDATE SET {}",
        SUMS.join(", "),
        SUMS.map(sum).join(", ")
    );
    execute(
        connection,
        &sql,
        params![
            row.tenant.0,
            row.day.0,
            row.model,
            row.purpose,
            as_amount(row.requests),
            as_amount(row.succeeded),
            as_amount(row.failed),
            as_amount(row.fallback),
            as_amount(row.retries),
            as_amount(row.tokens_in),
            as_amount(row.tokens_out),
            as_amount(row.took_ms)
        ],
    )?;
    Ok(())
}

const SUMS: [&str; 8] = [
    "requests",
    "succeeded",
    "failed",
    "fallback",
    "retries",
    "tokens_in",
    "tokens_out",
    "took_ms",
];

fn as_amount(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
