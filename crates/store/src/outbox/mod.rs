//! The transactional outbox: events are written with what they speak of, so
//! that neither is ever there without the other.
//!
//! Nothing is written unless an active webhook of the tenant wants it, or events
//! are published: without either a batch of pages costs a look into an index and
//! one at a row. Who reads events, a webhook or [`crate::publishing`], keeps a
//! place of its own in the sequence of ids.

mod payload;
mod retention;

#[cfg(test)]
pub(crate) use retention::{NTH, OLDEST};

use std::time::Duration;

use serde::Serialize;
use types::{Priority, SourceId, TenantId, Timestamp};

pub(crate) use payload::{
    BudgetExhausted, BudgetWarning, CrawlFinished, CrawlStarted, PageChanged, PageRemoved,
    SourceTroubled, TaskFailed, date, rfc3339, title,
};

use crate::error::Failure;
use crate::model::{EventType, EventTypes, NewTask};
use crate::rows::as_i64;
use crate::sql::{Connection, collect, first, insert, params};
use crate::{publishing, tasks};

/// Kind of the task that sends what waits. The store queues it with the
/// events, once however many there are.
pub const SEND_EVENTS: &str = "webhooks";
/// A run sends for a while and queues the next one; it never takes so long.
const SEND_TIMEOUT: Duration = Duration::from_secs(300);
const SEND_ATTEMPTS_MAX: u32 = 5;
/// Events of pages wait so long for others, to go out as one message.
const GATHER: Duration = Duration::from_secs(1);

pub(crate) const WANTED: &str = "SELECT events FROM webhooks WHERE tenant_id = ?1 AND active = 1";

/// Events of one write for one tenant. [`Outbox::save`] writes them; without
/// it nothing has happened.
#[derive(Debug)]
pub(crate) struct Outbox {
    tenant: TenantId,
    /// By webhooks.
    wanted: EventTypes,
    /// Every type is wanted.
    is_published: bool,
    events: Vec<NewEvent>,
}

#[derive(Debug)]
struct NewEvent {
    kind: EventType,
    source: Option<SourceId>,
    payload: String,
}

impl Outbox {
    pub(crate) fn open(connection: &Connection, tenant: TenantId) -> Result<Outbox, Failure> {
        let wanted = collect(connection, WANTED, [tenant.0], |row| row.get::<i64>(0))?;
        let wanted = wanted
            .into_iter()
            .fold(EventTypes::default(), EventTypes::and);
        Ok(Outbox {
            tenant,
            wanted,
            is_published: publishing::is_on(connection)?,
            events: Vec::new(),
        })
    }

    pub(crate) fn wants(&self, kind: EventType) -> bool {
        self.is_published || self.wanted.contains(kind)
    }

    /// Does nothing unless the type is wanted.
    pub(crate) fn add(
        &mut self,
        kind: EventType,
        source: Option<SourceId>,
        payload: &impl Serialize,
    ) -> Result<(), Failure> {
        if !self.wants(kind) {
            return Ok(());
        }
        let payload = serde_json::to_string(payload)
            .map_err(|error| Failure::bug(format!("an event did not serialise: {error}")))?;
        self.events.push(NewEvent {
            kind,
            source,
            payload,
        });
        Ok(())
    }

    pub(crate) fn save(self, connection: &Connection, now: Timestamp) -> Result<(), Failure> {
        if self.events.is_empty() {
            return Ok(());
        }
        let (mut first_id, mut last) = (None, 0);
        for event in &self.events {
            last = insert(
                connection,
                "INSERT INTO events (tenant_id, type, source_id, created_at, payload)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    self.tenant.0,
                    event.kind.bit(),
                    event.source.map_or(0, |source| source.0),
                    now.0,
                    event.payload
                ],
            )?;
            first_id.get_or_insert(last);
        }
        if self.is_published {
            let first_id = first_id.unwrap_or(last);
            publishing::count_written(connection, self.tenant, first_id, self.events.len())?;
        }
        let kept = first(
            connection,
            "INSERT INTO outboxes (tenant_id, events, last_event) VALUES (?1, ?2, ?3)
             ON CONFLICT (tenant_id) DO UPDATE
             SET events = outboxes.events + excluded.events, last_event = excluded.last_event
             RETURNING events",
            params![self.tenant.0, as_i64(self.events.len()), last],
            |row| row.get::<i64>(0),
        )?;
        retention::make_room(connection, self.tenant, kept.unwrap_or(0), now)?;
        let may_wait = self.events.iter().all(|event| event.kind.is_of_a_page());
        let at = if may_wait { now.plus(GATHER) } else { now };
        if self.is_published {
            publishing::publish_soon(connection, at, now)?;
        }
        let for_webhooks = |event: &NewEvent| self.wanted.contains(event.kind);
        if self.events.iter().any(for_webhooks) {
            send_soon(connection, at, now)?;
        }
        Ok(())
    }
}

/// One event, for what happens one at a time. The payload is made only when
/// somebody wants it.
pub(crate) fn tell<P: Serialize>(
    connection: &Connection,
    tenant: TenantId,
    kind: EventType,
    source: Option<SourceId>,
    now: Timestamp,
    payload: impl FnOnce() -> P,
) -> Result<(), Failure> {
    let mut outbox = Outbox::open(connection, tenant)?;
    if outbox.wants(kind) {
        outbox.add(kind, source, &payload())?;
    }
    outbox.save(connection, now)
}

/// Queues the task that sends what waits.
pub(crate) fn send_soon(
    connection: &Connection,
    at: Timestamp,
    now: Timestamp,
) -> Result<(), Failure> {
    tasks::enqueue(connection, &[send_task(at)], now)?;
    Ok(())
}

/// The task that sends what waits, of all tenants: due at `at`, once however
/// often it is asked for. It is the service's own, so no tenant sees it but
/// the default one, and it says nothing of any.
#[must_use]
pub fn send_task(at: Timestamp) -> NewTask {
    NewTask {
        tenant: TenantId::DEFAULT,
        kind: SEND_EVENTS.to_owned(),
        payload: "{}".to_owned(),
        priority: Priority::HIGH,
        run_at: Some(at),
        attempts_max: SEND_ATTEMPTS_MAX,
        timeout: SEND_TIMEOUT,
        dedupe: Some(SEND_EVENTS.to_owned()),
        parent: None,
    }
}
