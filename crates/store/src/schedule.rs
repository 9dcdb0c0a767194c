//! When sources are due, and how their crawls turned out.

use types::{SourceId, TenantId, Timestamp};

use crate::error::Failure;
use crate::frontier::cut;
use crate::model::EventType;
use crate::outbox::{self, SourceTroubled};
use crate::rows::as_i64;
use crate::sources::{as_ms, present_source, select_sources, source_rows};
use crate::sql::{Connection, execute, first, params};
use crate::tasks;
use crate::{Enqueued, NewTask, SourceOutcome, SourceRow, Store, StoreError};

impl Store {
    /// Active sources of all active tenants that are due, the longest due first.
    pub fn due_sources(&self, now: Timestamp, limit: usize) -> Result<Vec<SourceRow>, StoreError> {
        self.merged(
            limit,
            |source: &SourceRow| (source.next_due_at, source.id),
            |shard| {
                shard.read("list due sources", |connection| {
                    source_rows(connection, DUE_SOURCES, [now.0, as_i64(limit)])
                })
            },
        )
    }

    /// When the next active source is due.
    pub fn next_source_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.gather(|shard| {
            shard.read("look for the next due source", |connection| {
                first(connection, NEXT_DUE, [], |row| Ok(Timestamp(row.get(0)?)))
            })
        })
        .map(|parts| parts.into_iter().flatten().min())
    }

    /// Enqueues the crawl of a due source and says when it is due again, in one
    /// transaction. `None`: another scheduler was faster, or it is no longer due.
    pub fn schedule_source(
        &self,
        id: SourceId,
        next_due: Option<Timestamp>,
        task: NewTask,
    ) -> Result<Option<Enqueued>, StoreError> {
        let now = self.now();
        self.holder(id)?
            .write("schedule the source", move |connection| {
                let rows = execute(
                    connection,
                    "UPDATE sources SET next_due_at = ?2
                 WHERE id = ?1 AND active = 1 AND removed_at IS NULL AND next_due_at <= ?3",
                    params![id.0, next_due.map(|at| at.0), now.0],
                )?;
                if rows == 0 {
                    return Ok(None);
                }
                Ok(tasks::enqueue(connection, std::slice::from_ref(&task), now)?.pop())
            })
    }

    /// Says when the source is to be crawled next; `None`: only when asked.
    pub fn set_next_due(&self, id: SourceId, at: Option<Timestamp>) -> Result<(), StoreError> {
        self.holder(id)?
            .write("set when the source is due", move |connection| {
                present_source(connection, id)?;
                execute(
                    connection,
                    "UPDATE sources SET next_due_at = ?2 WHERE id = ?1",
                    params![id.0, at.map(|at| at.0)],
                )?;
                Ok(())
            })
    }

    /// Notes how a crawl of the source ended and when the next one is due; its
    /// failures in a row, with this one. A good crawl ends its trouble.
    pub fn record_source_outcome(
        &self,
        id: SourceId,
        outcome: SourceOutcome,
        next_due: Option<Timestamp>,
    ) -> Result<u32, StoreError> {
        let now = self.now();
        self.holder(id)?.write(
            "note how the crawl of the source ended",
            move |connection| {
                present_source(connection, id)?;
                let was = source_trouble(connection, id)?;
                match &outcome {
                    SourceOutcome::Crawled { at, interval } => execute(
                        connection,
                        "UPDATE sources SET last_crawled_at = ?2, failures_in_a_row = 0,
                       trouble = NULL, interval_ms = coalesce(?3, interval_ms), next_due_at = ?4
                     WHERE id = ?1",
                        params![id.0, at.0, interval.map(as_ms), next_due.map(|at| at.0)],
                    )?,
                    SourceOutcome::Failed { why, flag } => execute(
                        connection,
                        "UPDATE sources SET failures_in_a_row = failures_in_a_row + 1,
                       trouble = ?2, next_due_at = ?3
                     WHERE id = ?1",
                        params![id.0, flag.then(|| cut(why)), next_due.map(|at| at.0)],
                    )?,
                };
                let sql = "SELECT failures_in_a_row FROM sources WHERE id = ?1";
                let failures = first(connection, sql, [id.0], |row| row.get(0))?;
                let failures = failures.unwrap_or(0);
                if let SourceOutcome::Failed { why, flag: true } = &outcome
                    && let Some((tenant, name, None)) = was
                {
                    let kind = EventType::SourceTroubled;
                    outbox::tell(connection, tenant, kind, Some(id), now, || SourceTroubled {
                        source_id: id.0,
                        name,
                        failures_in_a_row: failures,
                        trouble: cut(why),
                    })?;
                }
                Ok(failures)
            },
        )
    }
}

/// Whose source it is, its name, and why it is flagged.
fn source_trouble(
    connection: &Connection,
    id: SourceId,
) -> Result<Option<(TenantId, String, Option<String>)>, Failure> {
    let sql = "SELECT tenant_id, name, trouble FROM sources WHERE id = ?1";
    first(connection, sql, [id.0], |row| {
        Ok((TenantId(row.get(0)?), row.get(1)?, row.get(2)?))
    })
}

pub(crate) const DUE_SOURCES: &str = select_sources!(
    "WHERE active = 1 AND next_due_at IS NOT NULL AND next_due_at <= ?1 AND removed_at IS NULL
     AND EXISTS (SELECT 1 FROM tenants t WHERE t.id = tenant_id AND t.active = 1)
     ORDER BY next_due_at LIMIT ?2"
);

pub(crate) const NEXT_DUE: &str = "
    SELECT next_due_at FROM sources
    WHERE active = 1 AND next_due_at IS NOT NULL AND removed_at IS NULL
      AND EXISTS (SELECT 1 FROM tenants t WHERE t.id = tenant_id AND t.active = 1)
    ORDER BY next_due_at LIMIT 1";
