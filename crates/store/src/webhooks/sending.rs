//! Putting events together into deliveries, and what became of sending them.

use std::time::Duration;

use types::{DeliveryId, TenantId, Timestamp, WebhookId};

use super::gather::{Content, put_together};
use super::{count_up, disable, held, of_tenant, send_soon};
use crate::error::Failure;
use crate::frontier::cut;
use crate::model::{
    DeliveryAttempt, DeliveryState, DeliveryVerdict, Endpoint, OutgoingDelivery, WebhookAtWork,
    WebhookSecret,
};
use crate::rows::{as_i64, small};
use crate::sql::{Connection, collect, execute, first, params};
use crate::{Store, StoreError};

/// Rounds of putting events together in one write, when all that was found waits behind others.
const ROUNDS_MAX: usize = 5;
/// Finished deliveries kept of one webhook; the oldest go first.
const DELIVERED_KEPT: i64 = 1_000;
const DEAD_KEPT: i64 = 10_000;
/// Of what an endpoint answered.
const RESPONSE_BYTES_MAX: usize = 1_024;
/// Dead letters for so long, without a success, flag a webhook.
const TROUBLE_AFTER: Duration = Duration::from_secs(3 * 24 * 3600);

impl Store {
    /// Webhooks that have something to send now, of active tenants.
    pub fn webhooks_at_work(&self) -> Result<Vec<WebhookAtWork>, StoreError> {
        let now = self.now();
        let mut waiting = self
            .gather(|shard| {
                shard.read("look for waiting events", |connection| {
                    collect(connection, AT_WORK, [now.0], |row| {
                        Ok(WebhookAtWork {
                            webhook: WebhookId(row.get(0)?),
                            tenant: TenantId(row.get(1)?),
                        })
                    })
                })
            })?
            .concat();
        waiting.sort_by_key(|at_work: &WebhookAtWork| at_work.webhook);
        waiting.dedup();
        Ok(waiting)
    }

    /// When there is something to send next: now, later, or not at all.
    pub fn next_delivery_at(&self) -> Result<Option<Timestamp>, StoreError> {
        let now = self.now();
        self.gather(|shard| {
            shard.read("look for the next delivery", |connection| {
                if first(connection, AT_WORK, [now.0], |_| Ok(()))?.is_some() {
                    return Ok(Some(now));
                }
                let at = first(connection, NEXT_AT, [], |row| row.get(0))?;
                Ok(at.flatten().map(Timestamp))
            })
        })
        .map(|parts| parts.into_iter().flatten().min())
    }

    /// The webhook's next message, if one is due. It stays due until
    /// [`Store::record_delivery`] says otherwise, so a sender that dies in
    /// between loses nothing, and the message keeps its id.
    pub fn next_delivery(
        &self,
        webhook: WebhookId,
    ) -> Result<Option<OutgoingDelivery>, StoreError> {
        let now = self.now();
        self.find_anywhere(|shard| {
            shard.write("take the next delivery", move |connection| {
                next_delivery(connection, webhook, now)
            })
        })
    }

    /// Notes how an attempt went; the state that the delivery is in now.
    /// `None`: it was removed, has ended or was retried meanwhile, and nothing
    /// changes.
    pub fn record_delivery(
        &self,
        attempt: DeliveryAttempt,
    ) -> Result<Option<DeliveryState>, StoreError> {
        let now = self.now();
        self.holder(attempt.delivery)?
            .write("note how a delivery went", move |connection| {
                record(connection, &attempt, now)
            })
    }

    /// Where a tenant's webhook is and what it is signed with, to test it.
    pub fn webhook_endpoint(
        &self,
        tenant: TenantId,
        id: WebhookId,
    ) -> Result<Endpoint, StoreError> {
        let now = self.now();
        self.home().read("read the webhook", |connection| {
            of_tenant(connection, tenant, id)?;
            endpoint(connection, id, now)?
                .ok_or_else(|| Failure::not_found(format!("no webhook {id}")))
        })
    }

    /// Makes what waits for a webhook due now: its endpoint answers again.
    pub fn hurry_deliveries(&self, tenant: TenantId, id: WebhookId) -> Result<(), StoreError> {
        let now = self.now();
        self.write_every("hurry deliveries", move |connection| {
            of_tenant(connection, tenant, id)?;
            hurry(connection, id, now)
        })?;
        Ok(())
    }
}

pub(crate) const AT_WORK: &str = "
    SELECT w.id, w.tenant_id FROM webhooks w
      JOIN tenants t ON t.id = w.tenant_id
      LEFT JOIN outboxes o ON o.tenant_id = w.tenant_id
    WHERE w.active = 1 AND t.active = 1 AND w.not_before <= ?1
      AND (w.event_cursor < coalesce(o.last_event, 0) OR EXISTS (
        SELECT 1 FROM webhook_deliveries d
        WHERE d.webhook_id = w.id AND d.state = 0 AND d.next_at IS NOT NULL AND d.next_at <= ?1))
    ORDER BY w.id";

const NEXT_AT: &str = "
    SELECT min(max(w.not_before, (
      SELECT min(d.next_at) FROM webhook_deliveries d
      WHERE d.webhook_id = w.id AND d.state = 0 AND d.next_at IS NOT NULL)))
    FROM webhooks w JOIN tenants t ON t.id = w.tenant_id
    WHERE w.active = 1 AND t.active = 1";

pub(crate) const NEXT: &str = "
    SELECT id, attempts, created_at, source_id, types, first_event, last_event, event_count
    FROM webhook_deliveries
    WHERE webhook_id = ?1 AND state = 0 AND next_at IS NOT NULL AND next_at <= ?2
    ORDER BY next_at, id LIMIT 1";

struct Next {
    id: DeliveryId,
    attempts: u32,
    created_at: i64,
    content: Content,
}

fn next_delivery(
    connection: &Connection,
    id: WebhookId,
    now: Timestamp,
) -> Result<Option<OutgoingDelivery>, Failure> {
    for _ in 0..ROUNDS_MAX {
        let sql = "SELECT id, tenant_id, events, event_cursor FROM webhooks
                   WHERE id = ?1 AND active = 1 AND not_before <= ?2";
        let Some(webhook) = first(connection, sql, [id.0, now.0], held)? else {
            return Ok(None);
        };
        let next = first(connection, NEXT, [id.0, now.0], |row| {
            Ok(Next {
                id: DeliveryId(row.get(0)?),
                attempts: small(row, 1)?,
                created_at: row.get(2)?,
                content: Content::read(row, 3)?,
            })
        })?;
        if let Some(next) = next {
            let Some(events) = next.content.events(connection, webhook.tenant)? else {
                let why = "its events are no longer kept";
                end(
                    connection,
                    next.id,
                    id,
                    next.content.source,
                    DeliveryState::Dead,
                    Some(why),
                    now,
                )?;
                continue;
            };
            let Some(endpoint) = endpoint(connection, id, now)? else {
                return Ok(None);
            };
            return Ok(Some(OutgoingDelivery {
                id: next.id,
                endpoint,
                attempt: next.attempts + 1,
                created_at: Timestamp(next.created_at),
                events,
            }));
        }
        if !put_together(connection, webhook, now)? {
            return Ok(None);
        }
    }
    Ok(None)
}

fn endpoint(
    connection: &Connection,
    id: WebhookId,
    now: Timestamp,
) -> Result<Option<Endpoint>, Failure> {
    let sql = "SELECT url, secret, old_secret, old_secret_until FROM webhooks WHERE id = ?1";
    first(connection, sql, [id.0], |row| {
        let mut secrets = vec![WebhookSecret(row.get(1)?)];
        let old: Option<[u8; 32]> = row.get(2)?;
        let until: Option<i64> = row.get(3)?;
        secrets.extend(old.filter(|_| until > Some(now.0)).map(WebhookSecret));
        Ok(Endpoint {
            webhook: id,
            url: row.get(0)?,
            secrets,
        })
    })
}

fn record(
    connection: &Connection,
    attempt: &DeliveryAttempt,
    now: Timestamp,
) -> Result<Option<DeliveryState>, Failure> {
    let response = attempt.response.as_deref().map(|text| {
        let end = text.floor_char_boundary(RESPONSE_BYTES_MAX);
        &text[..end]
    });
    let duration_ms = i64::try_from(attempt.duration.as_millis()).unwrap_or(i64::MAX);
    let noted = first(
        connection,
        "UPDATE webhook_deliveries SET attempts = ?2, last_attempt_at = ?3, status = ?4,
           duration_ms = ?5, error = ?6, response = ?7
         WHERE id = ?1 AND state = 0 AND attempts = ?2 - 1
         RETURNING webhook_id, source_id",
        params![
            attempt.delivery.0,
            attempt.number,
            now.0,
            attempt.status,
            duration_ms,
            attempt.error.as_deref().map(cut),
            response
        ],
        |row| Ok((WebhookId(row.get(0)?), row.get::<i64>(1)?)),
    )?;
    let Some((webhook, source)) = noted else {
        return Ok(None);
    };
    let delivery = attempt.delivery;
    if attempt.verdict == DeliveryVerdict::Delivered {
        end(
            connection,
            delivery,
            webhook,
            source,
            DeliveryState::Delivered,
            None,
            now,
        )?;
        execute(
            connection,
            "UPDATE webhooks SET failures_in_a_row = 0, dead_since = NULL, trouble = NULL,
               last_delivered_at = ?2
             WHERE id = ?1",
            [webhook.0, now.0],
        )?;
        return Ok(Some(DeliveryState::Delivered));
    }
    execute(
        connection,
        "UPDATE webhooks SET failures_in_a_row = failures_in_a_row + 1, last_failed_at = ?2
         WHERE id = ?1",
        [webhook.0, now.0],
    )?;
    match &attempt.verdict {
        DeliveryVerdict::Retry { at, hold_until } => {
            let sql = "UPDATE webhook_deliveries SET next_at = ?2 WHERE id = ?1";
            execute(connection, sql, [delivery.0, at.0])?;
            if let Some(until) = hold_until {
                let sql = "UPDATE webhooks SET not_before = max(not_before, ?2) WHERE id = ?1";
                execute(connection, sql, [webhook.0, until.0])?;
            }
            Ok(Some(DeliveryState::Pending))
        }
        DeliveryVerdict::Disable { reason } => {
            disable(connection, webhook, Some(cut(reason)), now)?;
            Ok(Some(DeliveryState::Pending))
        }
        _ => {
            end(
                connection,
                delivery,
                webhook,
                source,
                DeliveryState::Dead,
                None,
                now,
            )?;
            flag(connection, webhook, now)?;
            Ok(Some(DeliveryState::Dead))
        }
    }
}

/// Notes a dead letter, and that they have gone on for days.
fn flag(connection: &Connection, webhook: WebhookId, now: Timestamp) -> Result<(), Failure> {
    let trouble_ms = i64::try_from(TROUBLE_AFTER.as_millis()).unwrap_or(i64::MAX);
    execute(
        connection,
        "UPDATE webhooks SET dead_since = coalesce(dead_since, ?2),
           trouble = iif(coalesce(dead_since, ?2) <= ?2 - ?3,
             'nothing has been delivered for days: every message ends among the dead letters',
             trouble)
         WHERE id = ?1",
        [webhook.0, now.0, trouble_ms],
    )?;
    Ok(())
}

/// Ends a pending delivery and lets the next one of its source go.
fn end(
    connection: &Connection,
    delivery: DeliveryId,
    webhook: WebhookId,
    source: i64,
    state: DeliveryState,
    error: Option<&str>,
    now: Timestamp,
) -> Result<(), Failure> {
    execute(
        connection,
        "UPDATE webhook_deliveries SET state = ?2, next_at = NULL, finished_at = ?3,
           error = coalesce(?4, error)
         WHERE id = ?1",
        params![delivery.0, state as i64, now.0, error],
    )?;
    let (kept, is_dead) = match state {
        DeliveryState::Dead => (DEAD_KEPT, 1),
        _ => (DELIVERED_KEPT, 0),
    };
    count_up(connection, webhook, -1, 1 - is_dead, is_dead)?;
    let pruned = as_i64(execute(connection, PRUNE, [webhook.0, state as i64, kept])?);
    if pruned > 0 {
        count_up(
            connection,
            webhook,
            0,
            -pruned * (1 - is_dead),
            -pruned * is_dead,
        )?;
    }
    let_next_go(connection, webhook, source, now)
}

/// The oldest beyond those that are kept; the count is maintained, so usually
/// one at most.
const PRUNE: &str = "
    DELETE FROM webhook_deliveries WHERE id IN (
      SELECT id FROM webhook_deliveries WHERE webhook_id = ?1 AND state = ?2 ORDER BY id
      LIMIT max(0, (SELECT iif(?2 = 1, delivered, dead) FROM webhooks WHERE id = ?1) - ?3))";

/// The oldest delivery of a source that waits behind none goes next.
pub(crate) fn let_next_go(
    connection: &Connection,
    webhook: WebhookId,
    source: i64,
    now: Timestamp,
) -> Result<(), Failure> {
    execute(
        connection,
        "UPDATE webhook_deliveries SET next_at = ?3
         WHERE next_at IS NULL AND id = (
           SELECT min(id) FROM webhook_deliveries
           WHERE webhook_id = ?1 AND source_id = ?2 AND state = 0)",
        [webhook.0, source, now.0],
    )?;
    Ok(())
}

/// Makes what waits for its time due now.
pub(super) fn hurry(
    connection: &Connection,
    webhook: WebhookId,
    now: Timestamp,
) -> Result<(), Failure> {
    execute(
        connection,
        "UPDATE webhook_deliveries SET next_at = ?2
         WHERE webhook_id = ?1 AND state = 0 AND next_at IS NOT NULL AND next_at > ?2",
        [webhook.0, now.0],
    )?;
    let sql = "UPDATE webhooks SET not_before = 0 WHERE id = ?1";
    execute(connection, sql, [webhook.0])?;
    send_soon(connection, now)
}

/// Deletes deliveries that ended before `before`, at most `limit`; how many.
pub(crate) fn prune_finished(
    connection: &Connection,
    before: Timestamp,
    limit: i64,
) -> Result<u64, Failure> {
    let gone = collect(
        connection,
        "DELETE FROM webhook_deliveries WHERE id IN (
           SELECT id FROM webhook_deliveries WHERE state > 0 AND finished_at <= ?1 LIMIT ?2)
         RETURNING webhook_id, state",
        [before.0, limit],
        |row| Ok((WebhookId(row.get(0)?), row.get::<i64>(1)?)),
    )?;
    for (webhook, state) in &gone {
        let is_dead = i64::from(*state == DeliveryState::Dead as i64);
        count_up(connection, *webhook, 0, is_dead - 1, -is_dead)?;
    }
    Ok(gone.len() as u64)
}
