//! Who is told of events, and how far each has come.
//!
//! A webhook reads its tenant's events behind its own place (`event_cursor`).
//! When it is its turn, the next of them are put together into deliveries of
//! at most a hundred events of one source. Of each source only the oldest
//! pending delivery is sent, so a source's events arrive in order, and one
//! message that is always refused holds up nothing but its own source.

mod deliveries;
mod gather;
mod sending;

use types::{SourceId, TenantId, Timestamp, WebhookId};

use crate::error::{Failure, StoreErrorKind};
use crate::model::{
    DeliveryCounts, EventTypes, NewWebhook, WebhookEdit, WebhookRow, WebhookSecret,
};
use crate::rows::{count, small, time};
use crate::sql::{Connection, Row, collect, execute, first, insert, params};
use crate::tenants::check_tenant;
use crate::{Store, StoreError, outbox};

pub use gather::DELIVERY_EVENTS_MAX;
pub(crate) use gather::outgoing;
pub(crate) use sending::{let_next_go, prune_finished};
#[cfg(test)]
pub(crate) use {deliveries::LISTED_STATE, gather::BEHIND, gather::EVENTS, sending::NEXT};

/// Of one tenant.
pub const WEBHOOKS_MAX: usize = 20;
const URL_BYTES_MAX: usize = 2_048;
const DESCRIPTION_CHARS_MAX: usize = 200;

macro_rules! select_webhooks {
    ($ending:literal) => {
        concat!(
            "SELECT id, tenant_id, url, description, events, active, created_at, updated_at, ",
            "old_secret_until, disabled_at, disabled_reason, failures_in_a_row, trouble, ",
            "last_delivered_at, last_failed_at, pending, delivered, dead FROM webhooks ",
            $ending
        )
    };
}

impl Store {
    /// Adds an active webhook, which is told of what happens from now on.
    /// Fails with a conflict on a URL or description that is too long, without
    /// any event type, and for a tenant that has [`WEBHOOKS_MAX`] already.
    pub fn add_webhook(&self, webhook: NewWebhook) -> Result<WebhookRow, StoreError> {
        let now = self.now();
        let tenant = webhook.tenant;
        let row = self.home().write("add the webhook", move |connection| {
            check_tenant(connection, webhook.tenant)?;
            check(
                Some(&webhook.url),
                Some(&webhook.description),
                Some(webhook.events),
            )?;
            let known = webhooks_of(connection, webhook.tenant)?.len();
            if known >= WEBHOOKS_MAX {
                return Err(Failure::conflict(format!(
                    "a tenant has at most {WEBHOOKS_MAX} webhooks; remove one first"
                )));
            }
            let id = insert(
                connection,
                "INSERT INTO webhooks (tenant_id, url, description, events, active, secret,
                   created_at, updated_at, event_cursor, not_before, failures_in_a_row, pending,
                   delivered, dead)
                 VALUES (?1, ?2, ?3, ?4, 1, ?5, ?6, ?6, ?7, 0, 0, 0, 0, 0)",
                params![
                    webhook.tenant.0,
                    webhook.url,
                    webhook.description,
                    webhook.events.bits(),
                    webhook.secret.0,
                    now.0,
                    last_event(connection, webhook.tenant)?
                ],
            )?;
            let id = WebhookId(id);
            of_tenant(connection, webhook.tenant, id)
        })?;
        match self.spread_catalogue(tenant) {
            Ok(()) => Ok(row),
            Err(error) => {
                // One that hears of some pages only is worse than none.
                self.home()
                    .write("take the webhook back", move |connection| {
                        execute(connection, "DELETE FROM webhooks WHERE id = ?1", [row.id.0])
                    })?;
                Err(error)
            }
        }
    }

    /// A tenant's webhooks, oldest first.
    pub fn webhooks(&self, tenant: TenantId) -> Result<Vec<WebhookRow>, StoreError> {
        self.gather(|shard| {
            shard.read("list webhooks", |connection| {
                webhooks_of(connection, tenant)
            })
        })
        .map(together)
    }

    /// Another tenant's webhook does not exist (T1).
    pub fn webhook(&self, tenant: TenantId, id: WebhookId) -> Result<WebhookRow, StoreError> {
        let rows = self.gather(|shard| {
            Ok(vec![shard.read("read the webhook", |connection| {
                of_tenant(connection, tenant, id)
            })?])
        })?;
        one(rows.concat())
    }

    /// Changes a webhook. What waits for it waits on; with other event types,
    /// what is not put together yet is chosen by the new ones.
    pub fn edit_webhook(
        &self,
        tenant: TenantId,
        id: WebhookId,
        edit: WebhookEdit,
    ) -> Result<WebhookRow, StoreError> {
        let now = self.now();
        self.write_every("change the webhook", move |connection| {
            let old = of_tenant(connection, tenant, id)?;
            check(
                edit.url.as_deref(),
                edit.description.as_deref(),
                edit.events,
            )?;
            if let Some(events) = edit.events {
                let sql = "UPDATE webhooks SET events = ?2 WHERE id = ?1";
                execute(connection, sql, [id.0, events.bits()])?;
            }
            execute(
                connection,
                "UPDATE webhooks SET url = coalesce(?2, url),
                   description = coalesce(?3, description), updated_at = ?4
                 WHERE id = ?1",
                params![id.0, edit.url, edit.description, now.0],
            )?;
            match edit.active {
                Some(true) if !old.active => enable(connection, tenant, id, now)?,
                Some(false) if old.active => disable(connection, id, None, now)?,
                _ => {}
            }
            of_tenant(connection, tenant, id)
        })
        .and_then(one)
    }

    /// Removes a webhook with its deliveries.
    pub fn remove_webhook(&self, tenant: TenantId, id: WebhookId) -> Result<(), StoreError> {
        self.write_every("remove the webhook", move |connection| {
            of_tenant(connection, tenant, id)?;
            for sql in [
                "DELETE FROM webhook_deliveries WHERE webhook_id = ?1",
                "DELETE FROM webhooks WHERE id = ?1",
            ] {
                execute(connection, sql, [id.0])?;
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Gives a webhook another secret. The one it had signs as well until
    /// `old_until`; one from a rotation before that signs no more.
    pub fn rotate_webhook_secret(
        &self,
        tenant: TenantId,
        id: WebhookId,
        secret: WebhookSecret,
        old_until: Timestamp,
    ) -> Result<WebhookRow, StoreError> {
        let now = self.now();
        self.write_every("rotate the webhook's secret", move |connection| {
            of_tenant(connection, tenant, id)?;
            execute(
                connection,
                "UPDATE webhooks SET old_secret = secret, old_secret_until = ?3, secret = ?2,
                   updated_at = ?4
                 WHERE id = ?1",
                params![id.0, secret.0, old_until.0, now.0],
            )?;
            of_tenant(connection, tenant, id)
        })
        .and_then(one)
    }

    /// Deliveries of all tenants: maintained numbers.
    pub fn delivery_counts(&self) -> Result<DeliveryCounts, StoreError> {
        self.gather(|shard| {
            shard.read("count deliveries", |connection| {
                let sql = "SELECT coalesce(sum(pending), 0), coalesce(sum(dead), 0) FROM webhooks";
                let counts = first(connection, sql, [], |row| {
                    Ok(DeliveryCounts {
                        pending: count(row, 0)?,
                        dead: count(row, 1)?,
                    })
                })?;
                Ok(counts.unwrap_or_default())
            })
        })
        .map(|parts| {
            parts
                .into_iter()
                .fold(DeliveryCounts::default(), DeliveryCounts::and)
        })
    }
}

/// A webhook is told of each database's events from there; its numbers are
/// those of all.
fn together(lists: Vec<Vec<WebhookRow>>) -> Vec<WebhookRow> {
    let mut lists = lists.into_iter();
    let mut rows = lists.next().unwrap_or_default();
    for other in lists.flatten() {
        if let Some(row) = rows.iter_mut().find(|row| row.id == other.id) {
            row.add(other);
        }
    }
    rows
}

/// A row that is the same in all databases but for its numbers.
fn one(rows: Vec<WebhookRow>) -> Result<WebhookRow, StoreError> {
    let rows = together(rows.into_iter().map(|row| vec![row]).collect());
    let row = rows.into_iter().next();
    row.ok_or_else(|| StoreError::new(StoreErrorKind::Bug, "no database has the webhook"))
}

/// Switches a webhook off. What waits for it is put together, so that it does
/// not mix with what happens meanwhile, and waits on.
fn disable(
    connection: &Connection,
    id: WebhookId,
    reason: Option<&str>,
    now: Timestamp,
) -> Result<(), Failure> {
    if let Some(webhook) = first(connection, HELD, [id.0], held)? {
        gather::put_all_together(connection, webhook, now)?;
    }
    execute(
        connection,
        "UPDATE webhooks SET active = 0, disabled_at = ?2, disabled_reason = ?3, updated_at = ?2
         WHERE id = ?1",
        params![id.0, now.0, reason],
    )?;
    Ok(())
}

/// What happened while it was off is not for it.
fn enable(
    connection: &Connection,
    tenant: TenantId,
    id: WebhookId,
    now: Timestamp,
) -> Result<(), Failure> {
    execute(
        connection,
        "UPDATE webhooks SET active = 1, disabled_at = NULL, disabled_reason = NULL,
           not_before = 0, event_cursor = ?2
         WHERE id = ?1",
        [id.0, last_event(connection, tenant)?],
    )?;
    sending::hurry(connection, id, now)
}

/// What the sending of events needs to know of a webhook.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) id: WebhookId,
    pub(crate) tenant: TenantId,
    pub(crate) events: EventTypes,
    pub(crate) cursor: i64,
}

const HELD: &str = "SELECT id, tenant_id, events, event_cursor FROM webhooks WHERE id = ?1";

pub(crate) const ACTIVE_OF_TENANT: &str = "
    SELECT id, tenant_id, events, event_cursor FROM webhooks
    WHERE tenant_id = ?1 AND active = 1";

pub(crate) fn held(row: &Row<'_>) -> Result<Held, Failure> {
    Ok(Held {
        id: WebhookId(row.get(0)?),
        tenant: TenantId(row.get(1)?),
        events: EventTypes::from_bits(row.get(2)?),
        cursor: row.get(3)?,
    })
}

/// Keeps the numbers of a webhook's deliveries.
pub(crate) fn count_up(
    connection: &Connection,
    webhook: WebhookId,
    pending: i64,
    delivered: i64,
    dead: i64,
) -> Result<(), Failure> {
    execute(
        connection,
        "UPDATE webhooks SET pending = pending + ?2, delivered = delivered + ?3, dead = dead + ?4
         WHERE id = ?1",
        [webhook.0, pending, delivered, dead],
    )?;
    Ok(())
}

fn last_event(connection: &Connection, tenant: TenantId) -> Result<i64, Failure> {
    let sql = "SELECT last_event FROM outboxes WHERE tenant_id = ?1";
    Ok(first(connection, sql, [tenant.0], |row| row.get(0))?.unwrap_or(0))
}

fn webhooks_of(connection: &Connection, tenant: TenantId) -> Result<Vec<WebhookRow>, Failure> {
    let sql = select_webhooks!("WHERE tenant_id = ?1 ORDER BY id");
    collect(connection, sql, [tenant.0], webhook_row)
}

fn of_tenant(
    connection: &Connection,
    tenant: TenantId,
    id: WebhookId,
) -> Result<WebhookRow, Failure> {
    let sql = select_webhooks!("WHERE id = ?1 AND tenant_id = ?2");
    let row = first(connection, sql, [id.0, tenant.0], webhook_row)?;
    row.ok_or_else(|| Failure::not_found(format!("no webhook {id}")))
}

fn check(
    url: Option<&str>,
    description: Option<&str>,
    events: Option<EventTypes>,
) -> Result<(), Failure> {
    if url.is_some_and(|url| url.is_empty() || url.len() > URL_BYTES_MAX) {
        return Err(Failure::conflict(format!(
            "the URL of a webhook has 1 to {URL_BYTES_MAX} bytes"
        )));
    }
    if description.is_some_and(|text| text.chars().count() > DESCRIPTION_CHARS_MAX) {
        return Err(Failure::conflict(format!(
            "the description of a webhook has at most {DESCRIPTION_CHARS_MAX} characters"
        )));
    }
    if events.is_some_and(EventTypes::is_empty) {
        return Err(Failure::conflict("a webhook wants at least one event type"));
    }
    Ok(())
}

/// `None` for 0, which stands for no source.
fn source_of(stored: i64) -> Option<SourceId> {
    (stored != 0).then_some(SourceId(stored))
}

fn webhook_row(row: &Row<'_>) -> Result<WebhookRow, Failure> {
    Ok(WebhookRow {
        id: WebhookId(row.get(0)?),
        tenant: TenantId(row.get(1)?),
        url: row.get(2)?,
        description: row.get(3)?,
        events: EventTypes::from_bits(row.get(4)?),
        active: row.get(5)?,
        created_at: Timestamp(row.get(6)?),
        updated_at: Timestamp(row.get(7)?),
        old_secret_until: time(row, 8)?,
        disabled_at: time(row, 9)?,
        disabled_reason: row.get(10)?,
        failures_in_a_row: small(row, 11)?,
        trouble: row.get(12)?,
        last_delivered_at: time(row, 13)?,
        last_failed_at: time(row, 14)?,
        pending: count(row, 15)?,
        delivered: count(row, 16)?,
        dead: count(row, 17)?,
    })
}

/// Queues the task that sends, if there is anything to send.
fn send_soon(connection: &Connection, now: Timestamp) -> Result<(), Failure> {
    outbox::send_soon(connection, now, now)
}
