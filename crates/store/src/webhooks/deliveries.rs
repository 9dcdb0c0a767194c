//! Deliveries to look at, and to send again by hand.

use std::cmp::Reverse;

use std::time::Duration;

use types::{DeliveryId, TenantId, Timestamp, WebhookId};

use super::gather::Content;
use super::{count_up, of_tenant, send_soon, source_of};
use crate::error::Failure;
use crate::model::{DeliveryFilter, DeliveryRow, DeliveryState, EventTypes};
use crate::rows::{as_i64, small, time};
use crate::sql::{Connection, Row, collect, execute, first, params};
use crate::{Store, StoreError};

const LISTED_MAX: usize = 500;
/// Dead letters that are sent again by one call.
const RETRIED_MAX: usize = 1_000;

macro_rules! select_deliveries {
    ($ending:literal) => {
        concat!(
            "SELECT id, webhook_id, source_id, state, types, event_count, attempts, next_at, ",
            "created_at, last_attempt_at, finished_at, status, duration_ms, error, response ",
            "FROM webhook_deliveries ",
            $ending
        )
    };
}

pub(crate) const LISTED_STATE: &str = select_deliveries!(
    "WHERE webhook_id = ?1 AND state = ?2 AND id < ?3 ORDER BY id DESC LIMIT ?4"
);

impl Store {
    /// Deliveries to a tenant's webhook, newest first.
    pub fn deliveries(
        &self,
        tenant: TenantId,
        webhook: WebhookId,
        filter: DeliveryFilter,
    ) -> Result<Vec<DeliveryRow>, StoreError> {
        self.merged(
            filter.limit.min(LISTED_MAX),
            |row: &DeliveryRow| Reverse(row.id),
            |shard| {
                shard.read("list deliveries", |connection| {
                    of_tenant(connection, tenant, webhook)?;
                    let limit = filter.limit.min(LISTED_MAX);
                    let before = filter.before.map_or(i64::MAX, |id| id.0);
                    let mut rows = Vec::new();
                    for state in DeliveryState::ALL {
                        if filter.state.is_some_and(|wanted| wanted != *state) {
                            continue;
                        }
                        let parameters = [webhook.0, *state as i64, before, as_i64(limit)];
                        rows.extend(collect(connection, LISTED_STATE, parameters, delivery_row)?);
                    }
                    rows.sort_unstable_by_key(|row: &DeliveryRow| std::cmp::Reverse(row.id));
                    rows.truncate(limit);
                    Ok(rows)
                })
            },
        )
    }

    pub fn delivery(
        &self,
        tenant: TenantId,
        webhook: WebhookId,
        id: DeliveryId,
    ) -> Result<DeliveryRow, StoreError> {
        self.holder(id)?.read("read the delivery", |connection| {
            of_tenant(connection, tenant, webhook)?;
            read_delivery(connection, webhook, id)
        })
    }

    /// Sends a dead letter again, with all its attempts, or one that waits for
    /// its next attempt now. Fails with a conflict when it was delivered, when
    /// the webhook is off, and when its events are no longer kept.
    pub fn retry_delivery(
        &self,
        tenant: TenantId,
        webhook: WebhookId,
        id: DeliveryId,
    ) -> Result<DeliveryRow, StoreError> {
        let now = self.now();
        self.holder(id)?
            .write("retry the delivery", move |connection| {
                check_active(connection, tenant, webhook)?;
                let row = read_delivery(connection, webhook, id)?;
                match row.state {
                    DeliveryState::Delivered => {
                        let message = format!("delivery {id} has been delivered");
                        return Err(Failure::conflict(message));
                    }
                    DeliveryState::Pending => {
                        let sql = "UPDATE webhook_deliveries SET next_at = min(next_at, ?2)
                               WHERE id = ?1 AND next_at IS NOT NULL";
                        if execute(connection, sql, [id.0, now.0])? == 0 {
                            return Err(Failure::conflict(format!(
                                "delivery {id} waits for an older one of its source"
                            )));
                        }
                    }
                    DeliveryState::Dead => {
                        if !is_complete(connection, tenant, id)? {
                            return Err(Failure::conflict(format!(
                                "the events of delivery {id} are no longer kept"
                            )));
                        }
                        revive(connection, webhook, id, now)?;
                    }
                }
                send_soon(connection, now)?;
                read_delivery(connection, webhook, id)
            })
    }

    /// Sends dead letters of a webhook again, oldest first and at most a
    /// thousand; how many. Those whose events are no longer kept stay.
    pub fn retry_dead_deliveries(
        &self,
        tenant: TenantId,
        webhook: WebhookId,
    ) -> Result<u64, StoreError> {
        let now = self.now();
        self.write_every("retry dead letters", move |connection| {
            check_active(connection, tenant, webhook)?;
            let sql = "SELECT id FROM webhook_deliveries WHERE webhook_id = ?1 AND state = 2
                       ORDER BY id LIMIT ?2";
            let limit = as_i64(RETRIED_MAX);
            let dead = collect(connection, sql, [webhook.0, limit], |row| {
                Ok(DeliveryId(row.get(0)?))
            })?;
            let mut retried = 0;
            for id in dead {
                if is_complete(connection, tenant, id)? {
                    // A moment apart: those of one source go in their order.
                    let at = now.plus(Duration::from_millis(retried));
                    revive(connection, webhook, id, at)?;
                    retried += 1;
                }
            }
            if retried > 0 {
                send_soon(connection, now)?;
            }
            Ok(retried)
        })
        .map(|parts| parts.into_iter().sum())
    }
}

fn check_active(
    connection: &Connection,
    tenant: TenantId,
    webhook: WebhookId,
) -> Result<(), Failure> {
    if of_tenant(connection, tenant, webhook)?.active {
        return Ok(());
    }
    Err(Failure::conflict(format!(
        "webhook {webhook} is off; switch it on first"
    )))
}

fn is_complete(connection: &Connection, tenant: TenantId, id: DeliveryId) -> Result<bool, Failure> {
    let sql = "SELECT source_id, types, first_event, last_event, event_count
               FROM webhook_deliveries WHERE id = ?1";
    let content = first(connection, sql, [id.0], |row| Content::read(row, 0))?;
    match content {
        Some(content) => Ok(content.events(connection, tenant)?.is_some()),
        None => Ok(false),
    }
}

/// A dead letter as if it had never been sent.
fn revive(
    connection: &Connection,
    webhook: WebhookId,
    id: DeliveryId,
    at: Timestamp,
) -> Result<(), Failure> {
    execute(
        connection,
        "UPDATE webhook_deliveries SET state = 0, attempts = 0, finished_at = NULL, next_at = ?2
         WHERE id = ?1",
        [id.0, at.0],
    )?;
    count_up(connection, webhook, 1, 0, -1)
}

fn read_delivery(
    connection: &Connection,
    webhook: WebhookId,
    id: DeliveryId,
) -> Result<DeliveryRow, Failure> {
    let sql = select_deliveries!("WHERE id = ?1 AND webhook_id = ?2");
    let row = first(connection, sql, params![id.0, webhook.0], delivery_row)?;
    row.ok_or_else(|| Failure::not_found(format!("no delivery {id} of webhook {webhook}")))
}

fn delivery_row(row: &Row<'_>) -> Result<DeliveryRow, Failure> {
    let state = match row.get(3)? {
        0i64 => DeliveryState::Pending,
        1 => DeliveryState::Delivered,
        2 => DeliveryState::Dead,
        other => return Err(Failure::corrupt(format!("unknown delivery state {other}"))),
    };
    let duration: Option<i64> = row.get(12)?;
    Ok(DeliveryRow {
        id: DeliveryId(row.get(0)?),
        webhook: WebhookId(row.get(1)?),
        source: source_of(row.get(2)?),
        state,
        types: EventTypes::from_bits(row.get(4)?),
        event_count: small(row, 5)?,
        attempts: small(row, 6)?,
        next_at: time(row, 7)?,
        created_at: Timestamp(row.get(8)?),
        last_attempt_at: time(row, 9)?,
        finished_at: time(row, 10)?,
        status: row.get(11)?,
        duration: duration.map(|ms| Duration::from_millis(ms.unsigned_abs())),
        error: row.get(13)?,
        response: row.get(14)?,
    })
}
