//! Putting events together into messages.

use std::collections::HashMap;

use types::{TenantId, Timestamp};

use super::{HELD, Held, count_up, held, last_event, source_of};
use crate::error::Failure;
use crate::model::{EventType, EventTypes, OutgoingEvent};
use crate::rows::{as_i64, small};
use crate::sql::{Connection, Row, collect, execute, first, params};

/// Events of one message.
pub const DELIVERY_EVENTS_MAX: usize = 100;
/// Events put together at a time.
const GATHERED: usize = 400;

/// Events behind a webhook's place; all that it needs is in the index.
pub(crate) const BEHIND: &str = "
    SELECT id, type, source_id FROM events
    WHERE tenant_id = ?1 AND id > ?2 AND type & ?3 <> 0 ORDER BY id LIMIT ?4";

pub(crate) const EVENTS: &str = "
    SELECT id, type, source_id, created_at, payload FROM events
    WHERE tenant_id = ?1 AND id BETWEEN ?2 AND ?3 AND type & ?4 <> 0 AND source_id = ?5
    ORDER BY id LIMIT ?6";

/// Which events a delivery has.
pub(super) struct Content {
    pub(super) source: i64,
    types: i64,
    first: i64,
    last: i64,
    count: u32,
}

impl Content {
    /// Five columns from `start` on: source_id, types, first_event, last_event, event_count.
    pub(super) fn read(row: &Row<'_>, start: usize) -> Result<Content, Failure> {
        Ok(Content {
            source: row.get(start)?,
            types: row.get(start + 1)?,
            first: row.get(start + 2)?,
            last: row.get(start + 3)?,
            count: small(row, start + 4)?,
        })
    }

    /// The events, or none when some of them are no longer kept.
    pub(super) fn events(
        &self,
        connection: &Connection,
        tenant: TenantId,
    ) -> Result<Option<Vec<OutgoingEvent>>, Failure> {
        let limit = as_i64(DELIVERY_EVENTS_MAX);
        let parameters = [
            tenant.0,
            self.first,
            self.last,
            self.types,
            self.source,
            limit,
        ];
        let events = collect(connection, EVENTS, parameters, outgoing)?;
        let complete = u32::try_from(events.len()).is_ok_and(|found| found == self.count);
        Ok(complete.then_some(events))
    }
}

/// Puts the next events together. False when there are none.
pub(super) fn put_together(
    connection: &Connection,
    webhook: Held,
    now: Timestamp,
) -> Result<bool, Failure> {
    let last = last_event(connection, webhook.tenant)?;
    if webhook.cursor >= last {
        return Ok(false);
    }
    let parameters = [
        webhook.tenant.0,
        webhook.cursor,
        webhook.events.bits(),
        as_i64(GATHERED),
    ];
    let events: Vec<(i64, i64, i64)> = collect(connection, BEHIND, parameters, |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })?;
    // By source, in the order of their first events.
    let mut drafts: Vec<Content> = Vec::new();
    let mut open: HashMap<i64, usize> = HashMap::new();
    for (id, kind, source) in &events {
        let full = |at: &usize| drafts[*at].count as usize == DELIVERY_EVENTS_MAX;
        match open.get(source).copied().filter(|at| !full(at)) {
            Some(at) => {
                let draft = &mut drafts[at];
                draft.last = *id;
                draft.types |= kind;
                draft.count += 1;
            }
            None => {
                open.insert(*source, drafts.len());
                drafts.push(Content {
                    source: *source,
                    types: *kind,
                    first: *id,
                    last: *id,
                    count: 1,
                });
            }
        }
    }
    for draft in &drafts {
        execute(
            connection,
            "INSERT INTO webhook_deliveries (webhook_id, tenant_id, source_id, state, types,
               first_event, last_event, event_count, attempts, created_at, next_at)
             VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6, ?7, 0, ?8, iif(EXISTS (
               SELECT 1 FROM webhook_deliveries
               WHERE webhook_id = ?1 AND source_id = ?3 AND state = 0), NULL, CAST(?8 AS BIGINT)))",
            params![
                webhook.id.0,
                webhook.tenant.0,
                draft.source,
                draft.types,
                draft.first,
                draft.last,
                draft.count,
                now.0
            ],
        )?;
    }
    count_up(connection, webhook.id, as_i64(drafts.len()), 0, 0)?;
    let cursor = match events.last() {
        Some((id, ..)) if events.len() == GATHERED => *id,
        _ => last,
    };
    let sql = "UPDATE webhooks SET event_cursor = ?2 WHERE id = ?1";
    execute(connection, sql, [webhook.id.0, cursor])?;
    Ok(true)
}

/// Puts everything together that happened until now.
pub(super) fn put_all_together(
    connection: &Connection,
    webhook: Held,
    now: Timestamp,
) -> Result<(), Failure> {
    let mut webhook = webhook;
    while put_together(connection, webhook, now)? {
        match first(connection, HELD, [webhook.id.0], held)? {
            Some(further) => webhook = further,
            None => break,
        }
    }
    Ok(())
}

/// Of id, type, source_id, created_at and payload.
pub(crate) fn outgoing(row: &Row<'_>) -> Result<OutgoingEvent, Failure> {
    let types = EventTypes::from_bits(row.get(1)?);
    let kind: Option<EventType> = types.iter().next();
    Ok(OutgoingEvent {
        id: row.get(0)?,
        kind: kind.ok_or_else(|| Failure::corrupt("an event is of an unknown type"))?,
        source: source_of(row.get(2)?),
        created_at: Timestamp(row.get(3)?),
        payload: row.get(4)?,
    })
}
