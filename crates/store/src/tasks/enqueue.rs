//! New tasks.

use types::{TaskId, TaskState, TenantId, Timestamp};

use super::step::{read_held, run, set_lease};
use super::tally::Tally;
use super::{
    JSON_BYTES_MAX, KEY_BYTES_MAX, KIND_BYTES_MAX, check_owner, state_code, state_from_code,
};
use crate::error::Failure;
use crate::rebalance::leaving;
use crate::sql::{Connection, execute, first, insert, params};
use crate::tenants::check_tenant;
use crate::{EnqueueRunning, Enqueued, NewTask, Store, StoreError};

impl Store {
    /// Queues tasks, all or none; in the home, unless this handle was narrowed
    /// down to the database that has what they are about.
    ///
    /// A task whose dedupe key a pending task of the tenant has is not created:
    /// that one stands for it, and takes the better priority and the earlier
    /// time of the two. A running task with the key stands for nothing.
    ///
    /// Fails with a conflict on a kind that is empty or too long, no attempts,
    /// no timeout, or a payload or key over its limit.
    pub fn enqueue_tasks(&self, tasks: Vec<NewTask>) -> Result<Vec<Enqueued>, StoreError> {
        let now = self.now();
        self.first().write("queue tasks", move |connection| {
            enqueue(connection, &tasks, now)
        })
    }

    /// Queues the same tasks in each database that can be reached now.
    pub fn enqueue_everywhere(&self, tasks: Vec<NewTask>) -> Result<(), StoreError> {
        let now = self.now();
        self.write_gathered("queue tasks", move |connection| {
            enqueue(connection, &tasks, now)
        })?;
        Ok(())
    }

    /// Queues a task and gives it to `owner` at once, for a command that runs
    /// it in the foreground: its time, pauses, limits and other tasks' turns do
    /// not hold it back. A pending task with the same key is taken instead of a
    /// new one.
    pub fn enqueue_running(
        &self,
        task: NewTask,
        owner: &str,
        lease_until: Timestamp,
    ) -> Result<EnqueueRunning, StoreError> {
        let now = self.now();
        let owner = owner.to_owned();
        self.first().write("start a task", move |connection| {
            enqueue_running(connection, &task, &owner, lease_until, now)
        })
    }
}

/// Queues tasks inside any transaction of the store.
pub(crate) fn enqueue(
    connection: &Connection,
    tasks: &[NewTask],
    now: Timestamp,
) -> Result<Vec<Enqueued>, Failure> {
    let mut known = None;
    let leaving = leaving(connection)?;
    for task in tasks {
        check(task)?;
        leaving.as_ref().map_or(Ok(()), |l| l.check_task(task))?;
        if known.replace(task.tenant) != Some(task.tenant) {
            check_tenant(connection, task.tenant)?;
        }
    }
    let mut tally = Tally::default();
    let enqueued = tasks
        .iter()
        .map(|task| enqueue_one(connection, &mut tally, task, now))
        .collect::<Result<_, _>>()?;
    tally.save(connection)?;
    Ok(enqueued)
}

/// Why the task cannot be queued, whatever is stored.
pub(super) fn check(task: &NewTask) -> Result<(), Failure> {
    let refuse = |why: String| Err(Failure::conflict(why));
    let (kind, payload) = (&task.kind, task.payload.len());
    if kind.is_empty() {
        return refuse("a task needs a kind".to_owned());
    }
    if kind.len() > KIND_BYTES_MAX {
        let bytes = kind.len();
        return refuse(format!(
            "the kind of a task has at most {KIND_BYTES_MAX} bytes, not {bytes}"
        ));
    }
    if payload > JSON_BYTES_MAX {
        return refuse(format!(
            "the payload of a {kind} task has at most {JSON_BYTES_MAX} bytes, not {payload}"
        ));
    }
    if task.attempts_max == 0 {
        return refuse(format!("a {kind} task needs at least one attempt"));
    }
    if task.timeout.as_millis() == 0 {
        return refuse(format!("a {kind} task needs a timeout of at least 1 ms"));
    }
    if let Some(bytes) = task.dedupe.as_ref().map(String::len)
        && bytes > KEY_BYTES_MAX
    {
        return refuse(format!(
            "the key of a {kind} task has at most {KEY_BYTES_MAX} bytes, not {bytes}"
        ));
    }
    Ok(())
}

pub(crate) const PENDING_KEY: &str = "
    SELECT id, state, rank, run_at, kind FROM tasks
    WHERE tenant_id = ?1 AND dedupe = ?2 AND state < 2";

pub(crate) const RUNNING_KEY: &str = "
    SELECT id, owner FROM tasks WHERE tenant_id = ?1 AND dedupe = ?2 AND state = 2";

struct Pending {
    id: TaskId,
    state: TaskState,
    rank: u8,
    run_at: i64,
    kind: String,
}

fn pending_with_key(
    connection: &Connection,
    tenant: TenantId,
    key: &str,
) -> Result<Option<Pending>, Failure> {
    first(connection, PENDING_KEY, params![tenant.0, key], |row| {
        Ok(Pending {
            id: TaskId(row.get(0)?),
            state: state_from_code(row.get(1)?)?,
            rank: row.get(2)?,
            run_at: row.get(3)?,
            kind: row.get(4)?,
        })
    })
}

fn enqueue_one(
    connection: &Connection,
    tally: &mut Tally,
    task: &NewTask,
    now: Timestamp,
) -> Result<Enqueued, Failure> {
    let run_at = task.run_at.unwrap_or(now).max(now);
    if let Some(key) = &task.dedupe
        && let Some(pending) = pending_with_key(connection, task.tenant, key)?
    {
        let id = pending.id;
        take_the_better(connection, tally, task, pending, run_at, now)?;
        return Ok(Enqueued { id, created: false });
    }
    let state = if run_at == now {
        TaskState::Queued
    } else {
        TaskState::Scheduled
    };
    let id = insert(
        connection,
        "INSERT INTO tasks (tenant_id, state, rank, run_at, epoch, attempt, attempts_max,
           timeout_ms, rescues, rescue_completed, cancel_requested, enqueued_at, parent_id, kind,
           dedupe, payload)
         VALUES (?1, ?2, ?3, ?4, 0, 0, ?5, ?6, 0, 0, 0, ?7, ?8, ?9, ?10, ?11)",
        params![
            task.tenant.0,
            state_code(state),
            task.priority.rank(),
            run_at.0,
            task.attempts_max,
            i64::try_from(task.timeout.as_millis()).unwrap_or(i64::MAX),
            now.0,
            task.parent.map(|parent| parent.0),
            task.kind,
            task.dedupe,
            task.payload
        ],
    )?;
    let id = TaskId(id);
    tally.enqueued(task.tenant, &task.kind, state);
    Ok(Enqueued { id, created: true })
}

fn take_the_better(
    connection: &Connection,
    tally: &mut Tally,
    task: &NewTask,
    pending: Pending,
    run_at: Timestamp,
    now: Timestamp,
) -> Result<(), Failure> {
    let rank = pending.rank.min(task.priority.rank());
    let run_at = pending.run_at.min(run_at.0);
    let state = if run_at <= now.0 {
        TaskState::Queued
    } else {
        pending.state
    };
    if (rank, run_at, state) == (pending.rank, pending.run_at, pending.state) {
        return Ok(());
    }
    execute(
        connection,
        "UPDATE tasks SET rank = ?2, run_at = ?3, state = ?4 WHERE id = ?1",
        params![pending.id.0, rank, run_at, state_code(state)],
    )?;
    tally.moved(task.tenant, &pending.kind, pending.state, state);
    Ok(())
}

fn enqueue_running(
    connection: &Connection,
    task: &NewTask,
    owner: &str,
    lease_until: Timestamp,
    now: Timestamp,
) -> Result<EnqueueRunning, Failure> {
    check(task)?;
    leaving(connection)?.map_or(Ok(()), |l| l.check_task(task))?;
    check_owner(owner)?;
    check_tenant(connection, task.tenant)?;
    if let Some(key) = &task.dedupe {
        let parameters = params![task.tenant.0, key];
        let running = first(connection, RUNNING_KEY, parameters, |row| {
            Ok((TaskId(row.get(0)?), row.get(1)?))
        })?;
        if let Some((id, owner)) = running {
            return Ok(EnqueueRunning::AlreadyRunning { id, owner });
        }
    }
    let mut tally = Tally::default();
    let id = enqueue_one(connection, &mut tally, task, now)?.id;
    let pending = read_held(connection, id)?
        .ok_or_else(|| Failure::bug(format!("task {id} vanished while it was queued")))?;
    set_lease(connection, owner, lease_until)?;
    let claimed = run(connection, &mut tally, id, pending.state, owner, now)?;
    tally.save(connection)?;
    Ok(EnqueueRunning::Claimed(Box::new(claimed)))
}
