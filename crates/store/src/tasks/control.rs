//! What people do to tasks and queues.

use types::{TaskId, TaskState, TenantId, Timestamp};

use super::enqueue::PENDING_KEY;
use super::step::{End, Held, Wait, end, put_back, read_held};
use super::tally::Tally;
use super::{KIND_BYTES_MAX, no_task};
use crate::error::Failure;
use crate::sql::{Connection, collect, execute, first, params};
use crate::watch::note_for_workers;
use crate::{Cancelled, PausedQueue, Store, StoreError};

impl Store {
    /// Cancels a pending task at once and asks the worker of a running one to
    /// stop. Fails with a conflict when the task is finished.
    pub fn cancel_task(&self, tenant: TenantId, id: TaskId) -> Result<Cancelled, StoreError> {
        let now = self.now();
        self.holder(id)?
            .write("cancel the task", move |connection| {
                cancel(connection, tenant, id, now)
            })
    }

    /// Queues a dead, failed or cancelled task again, with all its attempts.
    /// Fails with a conflict in any other state, and when a pending task has
    /// its key.
    pub fn retry_task(&self, tenant: TenantId, id: TaskId) -> Result<(), StoreError> {
        let now = self.now();
        self.holder(id)?.write("retry the task", move |connection| {
            retry(connection, tenant, id, now)
        })
    }

    /// Makes a scheduled task due now: a paused crawl that goes on, a retry
    /// that should not wait. Fails with a conflict in any other state.
    pub fn hurry_task(&self, tenant: TenantId, id: TaskId) -> Result<(), StoreError> {
        let now = self.now();
        self.holder(id)?.write("hurry the task", move |connection| {
            note_for_workers();
            let rows = execute(
                connection,
                "UPDATE tasks SET run_at = min(run_at, ?3)
                 WHERE id = ?1 AND tenant_id = ?2 AND state = 0",
                params![id.0, tenant.0, now.0],
            )?;
            if rows == 0 {
                return Err(Failure::conflict(format!("task {id} is not scheduled")));
            }
            Ok(())
        })
    }

    /// Keeps tasks of a kind, or with `None` of all kinds, from being claimed;
    /// what runs goes on. False when it was paused before.
    ///
    /// The pause of all kinds is one of its own: lifting it leaves the pauses
    /// of single kinds.
    pub fn pause_queue(&self, kind: Option<&str>) -> Result<bool, StoreError> {
        let now = self.now();
        let kind = stored_kind(kind, "pause the queue")?;
        self.write_every("pause the queue", move |connection| {
            let sql = "INSERT INTO paused_queues (kind, paused_at) VALUES (?1, ?2)
                       ON CONFLICT (kind) DO NOTHING";
            Ok(execute(connection, sql, params![kind, now.0])? == 1)
        })
        .map(|done| done[0])
    }

    /// Lifts a pause. False when there was none.
    pub fn resume_queue(&self, kind: Option<&str>) -> Result<bool, StoreError> {
        let kind = stored_kind(kind, "resume the queue")?;
        self.write_every("resume the queue", move |connection| {
            note_for_workers();
            let sql = "DELETE FROM paused_queues WHERE kind = ?1";
            Ok(execute(connection, sql, [&kind])? == 1)
        })
        .map(|done| done[0])
    }

    pub fn paused_queues(&self) -> Result<Vec<PausedQueue>, StoreError> {
        self.home().read("list paused queues", |connection| {
            let sql = "SELECT kind, paused_at FROM paused_queues ORDER BY kind";
            collect(connection, sql, [], |row| {
                let kind: String = row.get(0)?;
                Ok(PausedQueue {
                    kind: (!kind.is_empty()).then_some(kind),
                    paused_at: Timestamp(row.get(1)?),
                })
            })
        })
    }
}

fn cancel(
    connection: &Connection,
    tenant: TenantId,
    id: TaskId,
    now: Timestamp,
) -> Result<Cancelled, Failure> {
    let task = tenants_task(connection, tenant, id)?;
    if task.state.is_finished() {
        let code = task.state.code();
        return Err(Failure::conflict(format!("task {id} is already {code}")));
    }
    if task.state == TaskState::Running {
        note_for_workers();
        let sql = "UPDATE tasks SET cancel_requested = 1 WHERE id = ?1";
        execute(connection, sql, [id.0])?;
        return Ok(Cancelled::Requested);
    }
    let mut tally = Tally::default();
    end(connection, &mut tally, &task, End::CANCELLED, now)?;
    tally.save(connection)?;
    Ok(Cancelled::Now)
}

/// Cancels the pending tasks of a kind, also those whose key another one has.
pub(crate) fn cancel_pending(
    connection: &Connection,
    tenant: TenantId,
    kind: &str,
    now: Timestamp,
) -> Result<(), Failure> {
    let sql = "SELECT id FROM tasks WHERE tenant_id = ?1 AND kind = ?2 AND state < 2";
    let pending = collect(connection, sql, params![tenant.0, kind], |row| {
        Ok(TaskId(row.get(0)?))
    })?;
    for id in pending {
        cancel(connection, tenant, id, now)?;
    }
    Ok(())
}

fn retry(
    connection: &Connection,
    tenant: TenantId,
    id: TaskId,
    now: Timestamp,
) -> Result<(), Failure> {
    let task = tenants_task(connection, tenant, id)?;
    if !matches!(
        task.state,
        TaskState::Dead | TaskState::Failed | TaskState::Cancelled
    ) {
        let code = task.state.code();
        return Err(Failure::conflict(format!(
            "task {id} is {code}; only dead, failed and cancelled tasks can be retried"
        )));
    }
    if let Some(key) = &task.dedupe {
        let parameters = params![tenant.0, key];
        let other = first(connection, PENDING_KEY, parameters, |row| {
            Ok(TaskId(row.get(0)?))
        })?;
        if let Some(other) = other {
            return Err(Failure::conflict(format!(
                "task {id} has the key {key:?}, and task {other} with this key waits already"
            )));
        }
    }
    let mut tally = Tally::default();
    let wait = Wait {
        run_at: now.0,
        attempt: 0,
        error: None,
        why: None,
    };
    put_back(connection, &mut tally, &task, wait, now)?;
    let sql = "UPDATE tasks SET rescues = 0, cancel_requested = 0 WHERE id = ?1";
    execute(connection, sql, [id.0])?;
    tally.save(connection)
}

/// Another tenant's task does not exist (T1).
fn tenants_task(connection: &Connection, tenant: TenantId, id: TaskId) -> Result<Held, Failure> {
    read_held(connection, id)?
        .filter(|task| task.tenant == tenant)
        .ok_or_else(|| no_task(id))
}

/// The empty name stands for all kinds, so it cannot be asked for.
fn stored_kind(kind: Option<&str>, what: &str) -> Result<String, StoreError> {
    match kind {
        None => Ok(String::new()),
        Some(kind) if (1..=KIND_BYTES_MAX).contains(&kind.len()) => Ok(kind.to_owned()),
        Some(kind) => {
            let bytes = kind.len();
            let why = format!("a kind has 1 to {KIND_BYTES_MAX} bytes, not {bytes}");
            Err(Failure::conflict(why).into_store_error(what, "the request"))
        }
    }
}
