//! Events do not stay for ever: they are bounded by number, while they are
//! written, and by age. A webhook that was too slow for one of the bounds finds
//! what it missed among its dead letters; publishing tells its readers how many
//! are missing. Nobody waits for either.

use std::time::Duration;

use types::{TenantId, Timestamp};

use crate::error::Failure;
use crate::model::OutboxReport;
use crate::rows::as_i64;
use crate::sql::{Connection, collect, execute, first, params};
use crate::webhooks::{ACTIVE_OF_TENANT, count_up, held, let_next_go, prune_finished};
use crate::{Store, StoreError, publishing};

/// Events kept of one tenant: about 80 MB when all speak of pages.
const EVENTS_MAX: i64 = 200_000;
/// Dropped at once, so that a full outbox does not drop with each write.
const DROPPED_AT_ONCE: i64 = 1_000;

const FULL: &str = "dropped: more events waited than the outbox keeps";
const OLD: &str = "dropped: its events were older than webhooks.keep_days";

impl Store {
    /// Deletes events and finished deliveries older than `kept`, a few
    /// thousand at most. What a webhook has not got by then is a dead letter.
    pub fn housekeep_outbox(&self, kept: Duration) -> Result<OutboxReport, StoreError> {
        let now = self.now();
        self.write_gathered("clear old events away", move |connection| {
            let kept_ms = i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
            let before = Timestamp(now.0.saturating_sub(kept_ms));
            publishing::expire(connection, now)?;
            let mut report = OutboxReport::default();
            let tenants = collect(connection, TENANTS, [], |row| Ok(TenantId(row.get(0)?)))?;
            for tenant in tenants {
                let parameters = params![tenant.0, DROPPED_AT_ONCE, before.0];
                let old = first(connection, OLDEST, parameters, |row| {
                    Ok((row.get::<Option<i64>>(0)?, row.get::<i64>(1)?))
                })?;
                if let Some((Some(last), events)) = old {
                    drop_events(connection, tenant, last, OLD, now)?;
                    report.events += events.unsigned_abs();
                    report.more |= events == DROPPED_AT_ONCE;
                }
            }
            let pruned = prune_finished(connection, before, DROPPED_AT_ONCE)?;
            report.deliveries = pruned;
            report.more |= as_i64(usize::try_from(pruned).unwrap_or(usize::MAX)) == DROPPED_AT_ONCE;
            Ok(report)
        })
        .map(|parts| {
            parts
                .into_iter()
                .fold(OutboxReport::default(), OutboxReport::and)
        })
    }
}

const TENANTS: &str = "SELECT tenant_id FROM outboxes WHERE events > 0 ORDER BY tenant_id";

pub(crate) const OLDEST: &str = "
    SELECT max(id), count(*) FROM (
      SELECT id, created_at FROM events WHERE tenant_id = ?1 ORDER BY id LIMIT ?2)
    WHERE created_at <= ?3";

pub(crate) const NTH: &str = "
    SELECT id FROM events WHERE tenant_id = ?1 ORDER BY id LIMIT 1 OFFSET ?2";

/// Drops a tenant's oldest events when it has more than it may.
pub(super) fn make_room(
    connection: &Connection,
    tenant: TenantId,
    kept: i64,
    now: Timestamp,
) -> Result<(), Failure> {
    make_room_below(connection, tenant, kept, EVENTS_MAX, now)
}

fn make_room_below(
    connection: &Connection,
    tenant: TenantId,
    kept: i64,
    events_max: i64,
    now: Timestamp,
) -> Result<(), Failure> {
    if kept <= events_max {
        return Ok(());
    }
    let excess = kept - events_max + DROPPED_AT_ONCE.min(events_max / 2);
    let last = first(connection, NTH, [tenant.0, excess - 1], |row| row.get(0))?;
    match last {
        Some(last) => drop_events(connection, tenant, last, FULL, now),
        None => Err(Failure::bug("the outbox has fewer events than it counts")),
    }
}

/// Deletes a tenant's events up to `last`. Of webhooks that have not got them,
/// what had been put together is dead, and a dead letter says how many of the
/// rest there were.
fn drop_events(
    connection: &Connection,
    tenant: TenantId,
    last: i64,
    why: &str,
    now: Timestamp,
) -> Result<(), Failure> {
    for webhook in collect(connection, ACTIVE_OF_TENANT, [tenant.0], held)? {
        if webhook.cursor >= last {
            continue;
        }
        let (id, cursor) = (webhook.id.0, webhook.cursor);
        let missed = first(
            connection,
            MISSED,
            params![tenant.0, cursor, last, webhook.events.bits()],
            |row| Ok((row.get::<i64>(0)?, row.get::<Option<i64>>(1)?)),
        )?;
        if let Some((missed, types)) = missed.filter(|(missed, _)| *missed > 0) {
            execute(
                connection,
                "INSERT INTO webhook_deliveries (webhook_id, tenant_id, source_id, state, types,
                   first_event, last_event, event_count, attempts, created_at, finished_at, error)
                 VALUES (?1, ?2, 0, 2, ?3, ?4, ?5, ?6, 0, ?7, ?7, ?8)",
                params![
                    id,
                    tenant.0,
                    types.unwrap_or(0),
                    cursor + 1,
                    last,
                    missed,
                    now.0,
                    why
                ],
            )?;
            count_up(connection, webhook.id, 0, 0, 1)?;
        }
        let sql = "UPDATE webhooks SET event_cursor = ?2 WHERE id = ?1";
        execute(connection, sql, [id, last])?;
    }
    // Those of webhooks that are switched off as well.
    let lost = collect(
        connection,
        "UPDATE webhook_deliveries SET state = 2, next_at = NULL, finished_at = ?3, error = ?4
         WHERE webhook_id IN (SELECT id FROM webhooks WHERE tenant_id = ?1)
           AND state = 0 AND first_event <= ?2
         RETURNING webhook_id, source_id",
        params![tenant.0, last, now.0, why],
        |row| Ok((types::WebhookId(row.get(0)?), row.get::<i64>(1)?)),
    )?;
    for (webhook, source) in lost {
        count_up(connection, webhook, -1, 0, 1)?;
        let_next_go(connection, webhook, source, now)?;
    }
    publishing::pass_over(connection, tenant, last, now)?;
    let sql = "DELETE FROM events WHERE tenant_id = ?1 AND id <= ?2";
    let deleted = execute(connection, sql, [tenant.0, last])?;
    let sql = "UPDATE outboxes SET events = events - ?2 WHERE tenant_id = ?1";
    execute(connection, sql, [tenant.0, as_i64(deleted)])?;
    Ok(())
}

/// How many events a webhook missed, and one of their types for each bit.
const MISSED: &str = "
    SELECT count(*), coalesce(max(type & 1), 0) | coalesce(max(type & 2), 0)
      | coalesce(max(type & 4), 0) | coalesce(max(type & 8), 0) | coalesce(max(type & 16), 0)
      | coalesce(max(type & 32), 0) | coalesce(max(type & 64), 0)
    FROM events WHERE tenant_id = ?1 AND id > ?2 AND id <= ?3 AND type & ?4 <> 0";

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use types::{ManualClock, WebhookId};

    use super::*;
    use crate::model::{DeliveryFilter, DeliveryState, EventType, NewWebhook, WebhookSecret};
    use crate::outbox::tell;

    const TENANT: TenantId = TenantId::DEFAULT;

    fn add(store: &Store, kind: EventType) -> WebhookId {
        let webhook = NewWebhook {
            tenant: TENANT,
            url: "https://hooks.example/".to_owned(),
            description: String::new(),
            events: [kind].into_iter().collect(),
            secret: WebhookSecret([0; 32]),
        };
        store.add_webhook(webhook).unwrap().id
    }

    /// Writes events with room for ten, five of which go at once.
    fn write(store: &Store, events: usize) {
        let now = store.now();
        for _ in 0..events {
            let written = store.home().write("write", move |connection| {
                tell(connection, TENANT, EventType::PageAdded, None, now, || "x")?;
                let sql = "SELECT events FROM outboxes WHERE tenant_id = ?1";
                let kept = first(connection, sql, [TENANT.0], |row| row.get(0))?;
                make_room_below(connection, TENANT, kept.unwrap_or(0), 10, now)
            });
            written.unwrap();
        }
    }

    #[test]
    fn the_oldest_of_too_many_events_are_dead_letters_of_who_missed_them() {
        let store = Store::open_memory(Arc::new(ManualClock::default())).unwrap();
        let quick = add(&store, EventType::PageAdded);
        let slow = add(&store, EventType::PageAdded);
        let other = add(&store, EventType::TaskFailed);
        write(&store, 8);
        // Put together for both, delivered to one.
        let sent = store.next_delivery(quick).unwrap().unwrap();
        assert_eq!(sent.events.len(), 8);
        let attempt = crate::DeliveryAttempt {
            delivery: sent.id,
            number: 1,
            status: Some(200),
            duration: Duration::ZERO,
            error: None,
            response: None,
            verdict: crate::DeliveryVerdict::Delivered,
        };
        store.record_delivery(attempt).unwrap();
        assert!(store.next_delivery(slow).unwrap().is_some());
        // Six go with the eleventh and six more with the seventeenth.
        write(&store, 10);
        let row = |id| {
            let row = store.webhook(TENANT, id).unwrap();
            (row.pending, row.delivered, row.dead)
        };
        assert_eq!(row(other), (0, 0, 0));
        // Of the last ones it is still told.
        assert_eq!(row(quick), (0, 1, 1));
        assert_eq!(store.next_delivery(quick).unwrap().unwrap().events.len(), 6);
        assert_eq!(row(slow), (0, 0, 2));
        let filter = DeliveryFilter {
            state: Some(DeliveryState::Dead),
            before: None,
            limit: 9,
        };
        let dead = store.deliveries(TENANT, slow, filter).unwrap();
        let missed: Vec<u32> = dead.iter().map(|row| row.event_count).collect();
        assert_eq!(missed, [4, 8]);
        for row in dead {
            assert_eq!(row.error.as_deref(), Some(FULL));
            store.retry_delivery(TENANT, slow, row.id).unwrap_err();
        }
        let kept = store.home().read("count", |connection| {
            let sql = "SELECT count(*), max(events) FROM events, outboxes";
            first(connection, sql, [], |row| {
                Ok((row.get::<i64>(0)?, row.get::<i64>(1)?))
            })
        });
        assert_eq!(kept.unwrap(), Some((6, 6)));
    }
}
