//! Events that go to one stream elsewhere, those of all tenants.
//!
//! Whether anybody publishes is a row of the database, so that every process
//! that writes events knows, whatever its own configuration. Who publishes says
//! from time to time that it still does; when nobody has for long enough, it is
//! off, and no more events are written for it.
//!
//! Each tenant has a place of its own among its events. It moves only from
//! where the publisher found it, so of two publishers at a time one changes
//! nothing. Writes to the database come one after the other, so no event
//! appears behind a place that has passed it.

use std::time::Duration;

use types::{Priority, TenantId, Timestamp};

use crate::error::Failure;
use crate::model::{Gap, NewTask, Published, Publishing, PublishingCounts, Unpublished};
use crate::rows::{as_i64, count};
use crate::sql::{Connection, Row, collect, execute, first, params};
use crate::webhooks::outgoing;
use crate::{Store, StoreError, tasks};

/// Kind of the task that publishes what waits. The store queues it with the
/// events, once however many there are.
pub const PUBLISH_EVENTS: &str = "events";
const TASK_TIMEOUT: Duration = Duration::from_secs(300);
const TASK_ATTEMPTS_MAX: u32 = 5;
const ORIGIN_BYTES_MAX: usize = 64;
/// Events of one tenant, and of all, that are read at a time: about 1 MB.
const OF_TENANT_MAX: usize = 256;
const READ_MAX: usize = 2_048;

impl Store {
    /// Switches publishing on, or says that it is to stay on, for so long. It
    /// begins with what happens from now on. `origin` becomes part of the ids
    /// of what is published, unless the database has one already.
    pub fn start_publishing(&self, origin: &str, keep: Duration) -> Result<Publishing, StoreError> {
        let now = self.now();
        let origin = origin.to_owned();
        self.write_every("switch publishing on", move |connection| {
            if origin.is_empty() || origin.len() > ORIGIN_BYTES_MAX {
                return Err(Failure::conflict(format!(
                    "an origin has 1 to {ORIGIN_BYTES_MAX} bytes"
                )));
            }
            execute(
                connection,
                "INSERT INTO publisher (id, origin, active, since, wanted_until)
                 VALUES (1, ?1, 1, ?2, ?3)
                 ON CONFLICT (id) DO UPDATE SET
                   since = iif(publisher.active = 1, publisher.since, excluded.since),
                   active = 1,
                   wanted_until = max(publisher.wanted_until, excluded.wanted_until)",
                params![origin, now.0, now.plus(keep).0],
            )?;
            // It may have been long: what waits is looked for, and it is said
            // again in time.
            publish_soon(connection, now, now)?;
            read(connection)?.ok_or_else(|| Failure::bug("publishing was not switched on"))
        })
        .map(|mut parts| parts.swap_remove(0))
    }

    /// Says that publishing is to stay on for so long from now. `None`: it is
    /// off, and stays so.
    pub fn renew_publishing(&self, keep: Duration) -> Result<Option<Publishing>, StoreError> {
        let until = self.now().plus(keep);
        self.write_every("renew publishing", move |connection| {
            execute(
                connection,
                "UPDATE publisher SET wanted_until = max(wanted_until, ?1) WHERE active = 1",
                [until.0],
            )?;
            read(connection)
        })
        .map(|mut parts| parts.swap_remove(0))
    }

    /// Switches publishing off: what waits is not published any more. False
    /// when it was off.
    pub fn stop_publishing(&self) -> Result<bool, StoreError> {
        let now = self.now();
        self.write_every("switch publishing off", move |connection| {
            stop(connection, now)
        })
        .map(|stopped| stopped.contains(&true))
    }

    /// `None`: nobody publishes.
    pub fn publishing(&self) -> Result<Option<Publishing>, StoreError> {
        self.first().read("look whether events are published", read)
    }

    pub fn publishing_counts(&self) -> Result<PublishingCounts, StoreError> {
        self.gather(|shard| {
            shard.read("count events to publish", |connection| {
                let counts = first(connection, COUNTS, [], |row| {
                    Ok(PublishingCounts {
                        waiting: count(row, 0)?,
                        dropped: count(row, 1)?,
                        oldest: row.get::<Option<i64>>(2)?.map(Timestamp),
                    })
                })?;
                Ok(counts.unwrap_or_default())
            })
        })
        .map(|parts| {
            parts
                .into_iter()
                .fold(PublishingCounts::default(), PublishingCounts::and)
        })
    }

    /// What is to be published next: of each tenant at most 256 events and of
    /// all 2,048, beginning with the tenants behind `last`, so that each has
    /// its turn.
    pub fn unpublished(&self, last: TenantId) -> Result<Vec<Unpublished>, StoreError> {
        self.own()?.read("read events to publish", |connection| {
            let mut waiting = collect(connection, WAITING, [], unpublished)?;
            let turn = waiting.partition_point(|tenant| tenant.tenant <= last);
            waiting.rotate_left(turn);
            let mut room = READ_MAX;
            let mut found = Vec::new();
            for mut tenant in waiting {
                if room == 0 {
                    break;
                }
                let limit = as_i64(room.min(OF_TENANT_MAX));
                let parameters = [tenant.tenant.0, tenant.after, limit];
                tenant.events = collect(connection, NEXT, parameters, outgoing)?;
                room -= tenant.events.len();
                found.push(tenant);
            }
            Ok(found)
        })
    }

    /// Moves the places of tenants; how many moved. One that is no longer where
    /// the publisher found it stays.
    pub fn record_published(&self, published: Vec<Published>) -> Result<usize, StoreError> {
        self.own()?
            .write("note what was published", move |connection| {
                let mut moved = 0;
                for one in &published {
                    moved += execute(
                        connection,
                        "UPDATE publications SET event_cursor = ?3, waiting = waiting - ?4,
                       gap = gap - ?5
                     WHERE tenant_id = ?1 AND event_cursor = ?2",
                        params![
                            one.tenant.0,
                            one.after,
                            one.up_to,
                            i64::try_from(one.events).unwrap_or(i64::MAX),
                            i64::try_from(one.gap).unwrap_or(i64::MAX)
                        ],
                    )?;
                }
                Ok(moved)
            })
    }
}

const COUNTS: &str = "
    SELECT coalesce(sum(p.waiting), 0), coalesce(sum(p.dropped), 0), min((
      SELECT e.created_at FROM events e
      WHERE e.tenant_id = p.tenant_id AND e.id > p.event_cursor ORDER BY e.id LIMIT 1))
    FROM publications p";

/// One row for each tenant that ever had events, which are far fewer than events.
const WAITING: &str = "
    SELECT p.tenant_id, t.name, p.event_cursor, p.gap, p.gap_at
    FROM publications p JOIN tenants t ON t.id = p.tenant_id
    WHERE p.waiting > 0 OR p.gap > 0 ORDER BY p.tenant_id";

pub(crate) const NEXT: &str = "
    SELECT id, type, source_id, created_at, payload FROM events
    WHERE tenant_id = ?1 AND id > ?2 ORDER BY id LIMIT ?3";

pub(crate) const MISSED: &str = "
    SELECT count(*) FROM events WHERE tenant_id = ?1 AND id > ?2 AND id <= ?3";

fn unpublished(row: &Row<'_>) -> Result<Unpublished, Failure> {
    let gap = Gap {
        events: count(row, 3)?,
        at: Timestamp(row.get(4)?),
    };
    Ok(Unpublished {
        tenant: TenantId(row.get(0)?),
        tenant_name: row.get(1)?,
        after: row.get(2)?,
        gap: (gap.events > 0).then_some(gap),
        events: Vec::new(),
    })
}

fn read(connection: &Connection) -> Result<Option<Publishing>, Failure> {
    let sql = "SELECT origin, since, wanted_until FROM publisher WHERE active = 1";
    first(connection, sql, [], |row| {
        Ok(Publishing {
            origin: row.get(0)?,
            since: Timestamp(row.get(1)?),
            wanted_until: Timestamp(row.get(2)?),
        })
    })
}

/// True when events are to be written whatever webhooks want.
pub(crate) fn is_on(connection: &Connection) -> Result<bool, Failure> {
    let sql = "SELECT 1 FROM publisher WHERE active = 1";
    Ok(first(connection, sql, [], |_| Ok(()))?.is_some())
}

/// Counts events that were just written, the first of which is `first_id`.
pub(crate) fn count_written(
    connection: &Connection,
    tenant: TenantId,
    first_id: i64,
    events: usize,
) -> Result<(), Failure> {
    execute(
        connection,
        "INSERT INTO publications (tenant_id, event_cursor, waiting, dropped, gap, gap_at)
         VALUES (?1, ?2, ?3, 0, 0, 0)
         ON CONFLICT (tenant_id) DO UPDATE
         SET waiting = publications.waiting + excluded.waiting",
        params![tenant.0, first_id - 1, as_i64(events)],
    )?;
    Ok(())
}

/// Passes over events up to `last`, which are about to be deleted.
pub(crate) fn pass_over(
    connection: &Connection,
    tenant: TenantId,
    last: i64,
    now: Timestamp,
) -> Result<(), Failure> {
    let sql = "SELECT event_cursor FROM publications WHERE tenant_id = ?1 AND event_cursor < ?2";
    let cursor: Option<i64> = first(connection, sql, [tenant.0, last], |row| row.get(0))?;
    let Some(cursor) = cursor else {
        return Ok(());
    };
    let missed = first(connection, MISSED, [tenant.0, cursor, last], |row| {
        row.get::<i64>(0)
    })?;
    let missed = missed.unwrap_or(0);
    execute(
        connection,
        "UPDATE publications SET event_cursor = ?2, waiting = waiting - ?3,
           dropped = dropped + ?3, gap = gap + ?3, gap_at = iif(?3 > 0, ?4, gap_at)
         WHERE tenant_id = ?1",
        [tenant.0, last, missed, now.0],
    )?;
    if missed > 0 {
        tracing::error!(
            %tenant,
            events = missed,
            "dropped {missed} events of tenant {tenant} before they were published: \
             they waited too long, or too many waited"
        );
    }
    Ok(())
}

/// Ends publishing that nobody has wanted for long.
pub(crate) fn expire(connection: &Connection, now: Timestamp) -> Result<(), Failure> {
    let Some(publishing) = read(connection)? else {
        // Of a run that ended while it was switched off.
        return tasks::cancel_pending(connection, TenantId::DEFAULT, PUBLISH_EVENTS, now);
    };
    if publishing.wanted_until <= now {
        tracing::warn!(
            "no process that publishes events has been seen for long: they are no longer \
             written for publishing"
        );
        stop(connection, now)?;
    }
    Ok(())
}

fn stop(connection: &Connection, now: Timestamp) -> Result<bool, Failure> {
    let sql = "UPDATE publisher SET active = 0, wanted_until = 0 WHERE active = 1";
    let was_on = execute(connection, sql, [])? > 0;
    execute(connection, "DELETE FROM publications", [])?;
    tasks::cancel_pending(connection, TenantId::DEFAULT, PUBLISH_EVENTS, now)?;
    Ok(was_on)
}

/// Queues the task that publishes what waits.
pub(crate) fn publish_soon(
    connection: &Connection,
    at: Timestamp,
    now: Timestamp,
) -> Result<(), Failure> {
    tasks::enqueue(connection, &[publish_task(at)], now)?;
    Ok(())
}

/// The task that publishes what waits, of all tenants: due at `at`, once however
/// often it is asked for. Only who publishes takes it.
#[must_use]
pub fn publish_task(at: Timestamp) -> NewTask {
    NewTask {
        tenant: TenantId::DEFAULT,
        kind: PUBLISH_EVENTS.to_owned(),
        payload: "{}".to_owned(),
        priority: Priority::HIGH,
        run_at: Some(at),
        attempts_max: TASK_ATTEMPTS_MAX,
        timeout: TASK_TIMEOUT,
        dedupe: Some(PUBLISH_EVENTS.to_owned()),
        parent: None,
    }
}
