//! Tasks to look at.

use std::cmp::Reverse;

use std::time::Duration;

use types::{TaskId, TaskState, TenantId, Timestamp};

use super::step::{priority, progress};
use super::{no_task, state_code, state_from_code};
use crate::error::Failure;
use crate::newest::Before;
use crate::rows::{as_i64, count, small};
use crate::sql::{Connection, Row, collect, first, params};
use crate::{Store, StoreError, TaskFilter, TaskRow};

/// Payloads and results of a page of them stay far below the usual body limit
/// unless they are unusually large.
const LISTED_MAX: usize = 500;

impl Store {
    /// Fails with not-found also for another tenant's task.
    pub fn task(&self, tenant: TenantId, id: TaskId) -> Result<TaskRow, StoreError> {
        self.holder(id)?.read("read the task", |connection| {
            read_task(connection, id)?
                .filter(|task| task.tenant == tenant)
                .ok_or_else(|| no_task(id))
        })
    }

    /// A tenant's tasks, newest first.
    pub fn tasks(&self, tenant: TenantId, filter: &TaskFilter) -> Result<Vec<TaskRow>, StoreError> {
        if let Some(parent) = filter.parent {
            // They lie with it.
            return self.holder(parent)?.read("list tasks", |connection| {
                let ids = children(connection, tenant, parent, filter)?;
                read_tasks(connection, &ids)
            });
        }
        let before = self.newest_before(filter.before)?;
        self.merged(
            filter.limit,
            |task: &TaskRow| Reverse((task.enqueued_at, task.id)),
            |shard| {
                shard.read("list tasks", |connection| {
                    let ids = newest(connection, tenant, filter, before)?;
                    read_tasks(connection, &ids)
                })
            },
        )
    }
}

fn read_tasks(connection: &Connection, ids: &[i64]) -> Result<Vec<TaskRow>, Failure> {
    let read = |id: &i64| read_task(connection, TaskId(*id)).transpose();
    ids.iter().filter_map(read).collect()
}

pub(crate) const LISTED: &str = "
    SELECT enqueued_at, id FROM tasks
    WHERE tenant_id = ?1 AND kind = ?2 AND state = ?3 AND (enqueued_at, id) < (?4, ?5)
    ORDER BY enqueued_at DESC, id DESC LIMIT ?6";

/// Walks the children of one task, which are as many as it was given. All lie in
/// one database, where ids tell which is newer.
pub(crate) const CHILDREN: &str = "
    SELECT id FROM tasks
    WHERE parent_id = ?1 AND id < ?2 AND tenant_id = ?3 AND (CAST(?4 AS BIGINT) >> CAST(state AS INTEGER)) & 1 = 1
      AND (CAST(?5 AS TEXT) IS NULL OR kind = ?5)
    ORDER BY id DESC LIMIT ?6";

/// Merges the newest of each kind and state: a handful of index ranges.
fn newest(
    connection: &Connection,
    tenant: TenantId,
    filter: &TaskFilter,
    before: Before,
) -> Result<Vec<i64>, Failure> {
    let limit = filter.limit.min(LISTED_MAX);
    let kinds: Vec<String> = match &filter.kind {
        Some(kind) => vec![kind.clone()],
        None => {
            let sql = "SELECT kind FROM task_counts WHERE tenant_id = ?1";
            collect(connection, sql, [tenant.0], |row| row.get(0))?
        }
    };
    let mut found: Vec<(i64, i64)> = Vec::new();
    for kind in &kinds {
        for state in wanted(filter) {
            let parameters = params![
                tenant.0,
                kind,
                state_code(state),
                before.at,
                before.id,
                as_i64(limit)
            ];
            found.extend(collect(connection, LISTED, parameters, |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?);
        }
    }
    found.sort_unstable_by(|a, b| b.cmp(a));
    found.truncate(limit);
    Ok(found.into_iter().map(|(_, id)| id).collect())
}

fn children(
    connection: &Connection,
    tenant: TenantId,
    parent: TaskId,
    filter: &TaskFilter,
) -> Result<Vec<i64>, Failure> {
    let states = wanted(filter).fold(0i64, |states, state| states | 1 << state_code(state));
    let parameters = params![
        parent.0,
        filter.before.map_or(i64::MAX, |task| task.0),
        tenant.0,
        states,
        filter.kind,
        as_i64(filter.limit.min(LISTED_MAX))
    ];
    collect(connection, CHILDREN, parameters, |row| row.get(0))
}

fn wanted(filter: &TaskFilter) -> impl Iterator<Item = TaskState> {
    let is_wanted = |state: &&TaskState| filter.states.is_empty() || filter.states.contains(state);
    TaskState::ALL.iter().filter(is_wanted).copied()
}

fn read_task(connection: &Connection, id: TaskId) -> Result<Option<TaskRow>, Failure> {
    first(
        connection,
        "SELECT t.id, t.tenant_id, t.kind, t.payload, t.state, t.rank, t.run_at, t.enqueued_at,
           t.started_at, t.finished_at, t.attempt, t.attempts_max, t.timeout_ms, t.dedupe,
           t.parent_id, t.owner, l.lease_until, t.epoch, t.cancel_requested, t.rescues, t.error,
           t.waiting_for, t.result, coalesce(p.completed, 0), p.total, p.current,
           coalesce(p.errors, 0), coalesce(p.seq, 0)
         FROM tasks t
         LEFT JOIN task_progress p ON p.task_id = t.id
         LEFT JOIN task_leases l ON l.owner = t.owner AND t.state = 2
         WHERE t.id = ?1",
        [id.0],
        task_row,
    )
}

fn task_row(row: &Row<'_>) -> Result<TaskRow, Failure> {
    let time = |index| -> Result<Option<Timestamp>, Failure> {
        Ok(row.get::<Option<i64>>(index)?.map(Timestamp))
    };
    let parent: Option<i64> = row.get(14)?;
    Ok(TaskRow {
        id: TaskId(row.get(0)?),
        tenant: TenantId(row.get(1)?),
        kind: row.get(2)?,
        payload: row.get(3)?,
        state: state_from_code(row.get(4)?)?,
        priority: priority(row, 5)?,
        run_at: Timestamp(row.get(6)?),
        enqueued_at: Timestamp(row.get(7)?),
        started_at: time(8)?,
        finished_at: time(9)?,
        attempt: small(row, 10)?,
        attempts_max: small(row, 11)?,
        timeout: Duration::from_millis(count(row, 12)?),
        dedupe: row.get(13)?,
        parent: parent.map(TaskId),
        worker: row.get(15)?,
        lease_until: time(16)?,
        epoch: count(row, 17)?,
        cancel_requested: row.get(18)?,
        rescues: small(row, 19)?,
        error: row.get(20)?,
        waiting_for: row.get(21)?,
        result: row.get(22)?,
        progress: progress(row, 23)?,
        progress_seq: count(row, 27)?,
    })
}
