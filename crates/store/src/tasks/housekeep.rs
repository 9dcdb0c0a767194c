//! Tasks that nobody runs any more, and tasks that nobody needs any more.

use std::time::Duration;

use types::{TaskId, TaskState, TenantId, Timestamp};

use super::step::{End, Held, Wait, end, held, put_back, select_held};
use super::tally::Tally;
use super::{state_code, state_from_code};
use crate::error::Failure;
use crate::rows::as_i64;
use crate::sql::{Connection, collect, execute, first, params};
use crate::{HousekeepReport, RescueReport, Retention, Store, StoreError};

/// Workers that a task may take with it before it is left alone.
const RESCUES_MAX: i64 = 5;

impl Store {
    /// Queues again what the `lost_owners` run and, with `expired`, what is run
    /// by owners whose leases ran out. Burns no attempt.
    ///
    /// A task that has lost five workers without its progress growing is dead:
    /// it may be what kills them.
    pub fn rescue_tasks(
        &self,
        lost_owners: &[String],
        expired: bool,
    ) -> Result<RescueReport, StoreError> {
        let now = self.now();
        let mut owners = lost_owners.to_vec();
        self.write_gathered("rescue tasks", move |connection| {
            if expired {
                let sql = "SELECT owner FROM task_leases WHERE lease_until <= ?1";
                owners.extend(collect(connection, sql, [now.0], |row| row.get(0))?);
            }
            owners.sort();
            owners.dedup();
            let mut tally = Tally::default();
            let mut report = RescueReport::default();
            for owner in &owners {
                for task in running_tasks(connection, owner)? {
                    rescue(connection, &mut tally, &task, &mut report, now)?;
                }
                drop_lease(connection, owner)?;
            }
            tally.save(connection)?;
            Ok(report)
        })
        .map(|parts| {
            parts
                .into_iter()
                .fold(RescueReport::default(), RescueReport::and)
        })
    }

    /// Puts everything that `owner` runs back into the queue, as a worker does
    /// that stops; how many tasks. Burns no attempt. Where a cancel was
    /// requested the task is cancelled.
    pub fn release_tasks(&self, owner: &str) -> Result<u64, StoreError> {
        let now = self.now();
        let owner = owner.to_owned();
        self.write_gathered("release tasks", move |connection| {
            let mut tally = Tally::default();
            let tasks = running_tasks(connection, &owner)?;
            for task in &tasks {
                if task.cancel_requested {
                    end(connection, &mut tally, task, End::CANCELLED, now)?;
                } else {
                    put_back(connection, &mut tally, task, Wait::as_before(task), now)?;
                }
            }
            drop_lease(connection, &owner)?;
            tally.save(connection)?;
            Ok(as_i64(tasks.len()).unsigned_abs())
        })
        .map(|parts| parts.into_iter().sum())
    }

    /// Owners of running tasks, alive or not.
    pub fn running_owners(&self) -> Result<Vec<String>, StoreError> {
        let mut owners = self
            .gather(|shard| {
                shard.read("list owners of running tasks", |connection| {
                    collect(connection, OWNERS, [], |row| row.get(0))
                })
            })?
            .concat();
        owners.sort();
        owners.dedup();
        Ok(owners)
    }

    /// Deletes finished tasks that were kept long enough, at most `limit` of
    /// them. Never touches a task that waits or runs.
    pub fn housekeep_tasks(
        &self,
        retention: &Retention,
        limit: usize,
    ) -> Result<HousekeepReport, StoreError> {
        let now = self.now();
        let retention = *retention;
        self.write_gathered("clear finished tasks away", move |connection| {
            let mut tally = Tally::default();
            let mut report = HousekeepReport::default();
            let mut left = limit;
            for (state, kept, deleted) in [
                (
                    TaskState::Succeeded,
                    retention.results,
                    &mut report.succeeded,
                ),
                (TaskState::Failed, retention.failures, &mut report.failed),
                (
                    TaskState::Cancelled,
                    retention.failures,
                    &mut report.cancelled,
                ),
                (TaskState::Dead, retention.dead, &mut report.dead),
            ] {
                let rows = clear(connection, &mut tally, state, before(now, kept), left)?;
                *deleted = as_i64(rows).unsigned_abs();
                left -= rows;
            }
            report.more = left == 0;
            tally.save(connection)?;
            Ok(report)
        })
        .map(|parts| {
            parts
                .into_iter()
                .fold(HousekeepReport::default(), HousekeepReport::and)
        })
    }
}

pub(crate) const OWNERS: &str = "
    WITH RECURSIVE owners(owner) AS (
      SELECT min(owner) FROM tasks WHERE state = 2
      UNION ALL
      SELECT (SELECT min(t.owner) FROM tasks t WHERE t.state = 2 AND t.owner > owners.owner)
      FROM owners WHERE owners.owner IS NOT NULL
    )
    SELECT owner FROM owners WHERE owner IS NOT NULL";

pub(crate) const CLEAR: &str = "
    DELETE FROM tasks WHERE id IN (
      SELECT id FROM tasks WHERE state > 2 AND state = ?1 AND finished_at <= ?2
      ORDER BY finished_at LIMIT ?3)
    RETURNING id, tenant_id, kind, state";

fn running_tasks(connection: &Connection, owner: &str) -> Result<Vec<Held>, Failure> {
    let sql = select_held!("WHERE state = 2 AND owner = ?1 ORDER BY id");
    collect(connection, sql, [owner], held)
}

/// Nothing runs under the lease any more. The next claim makes a new one.
fn drop_lease(connection: &Connection, owner: &str) -> Result<(), Failure> {
    execute(
        connection,
        "DELETE FROM task_leases WHERE owner = ?1",
        [owner],
    )?;
    Ok(())
}

fn rescue(
    connection: &Connection,
    tally: &mut Tally,
    task: &Held,
    report: &mut RescueReport,
    now: Timestamp,
) -> Result<(), Failure> {
    if task.cancel_requested {
        end(connection, tally, task, End::CANCELLED, now)?;
        report.cancelled.push(task.id);
        return Ok(());
    }
    let rescues: Option<i64> = first(
        connection,
        "UPDATE tasks SET rescues = CASE WHEN done.completed > rescue_completed THEN 1
                                    ELSE rescues + 1 END,
           rescue_completed = done.completed
         FROM (SELECT coalesce(max(completed), 0) AS completed
               FROM task_progress WHERE task_id = ?1) AS done
         WHERE id = ?1 RETURNING rescues",
        [task.id.0],
        |row| row.get(0),
    )?;
    if rescues >= Some(RESCUES_MAX) {
        let error = "its worker died five times while running it, and it got no further in between";
        end(connection, tally, task, End::dead(error), now)?;
        report.dead.push(task.id);
        return Ok(());
    }
    put_back(connection, tally, task, Wait::as_before(task), now)?;
    report.queued.push(task.id);
    Ok(())
}

fn before(now: Timestamp, kept: Duration) -> i64 {
    let kept_ms = i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
    now.0.saturating_sub(kept_ms)
}

fn clear(
    connection: &Connection,
    tally: &mut Tally,
    state: TaskState,
    finished_before: i64,
    limit: usize,
) -> Result<usize, Failure> {
    let parameters = params![state_code(state), finished_before, as_i64(limit)];
    let cleared = collect(connection, CLEAR, parameters, |row| {
        let kind: String = row.get(2)?;
        let state = state_from_code(row.get(3)?)?;
        Ok((TaskId(row.get(0)?), TenantId(row.get(1)?), kind, state))
    })?;
    for (id, tenant, kind, state) in &cleared {
        tally.deleted(*tenant, kind, *state);
        let sql = "DELETE FROM task_progress WHERE task_id = ?1";
        execute(connection, sql, [id.0])?;
    }
    Ok(cleared.len())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use types::{Clock, ManualClock};

    use super::*;
    use crate::{Claim, EnqueueRunning, NewTask, TaskEnd};

    /// A lease that nobody can see must not stay for ever: each process leaves one.
    #[test]
    fn leases_end_with_their_owners() {
        let clock = Arc::new(ManualClock::default());
        let store = Store::open_memory(clock.clone()).unwrap();
        let leases = || -> i64 {
            let sql = "SELECT count(*) FROM task_leases";
            let count =
                |c: &Connection| Ok(first(c, sql, [], |row| row.get(0))?.unwrap_or_default());
            store.home().read("count leases", count).unwrap()
        };
        let task = NewTask {
            tenant: TenantId::DEFAULT,
            kind: "a".to_owned(),
            payload: String::new(),
            priority: types::Priority::DEFAULT,
            run_at: None,
            attempts_max: 1,
            timeout: Duration::from_secs(1),
            dedupe: None,
            parent: None,
        };
        let start = |owner: &str| {
            let until = clock.now().plus(Duration::from_secs(9));
            store.enqueue_running(task.clone(), owner, until).unwrap()
        };
        start("lost");
        start("stopped");
        let EnqueueRunning::Claimed(run) = start("idle") else {
            panic!("nothing has its key");
        };
        let end = TaskEnd::Succeeded { result: None };
        store
            .finish_tasks(vec![crate::Finish {
                task: run.task_ref(),
                end,
                follow_ups: Vec::new(),
            }])
            .unwrap();
        assert_eq!(leases(), 3);
        store.rescue_tasks(&["lost".to_owned()], false).unwrap();
        store.release_tasks("stopped").unwrap();
        assert_eq!(leases(), 1);
        clock.advance(Duration::from_secs(9));
        store.rescue_tasks(&[], true).unwrap();
        assert_eq!(leases(), 0);
        let nothing = Claim {
            owner: "w".to_owned(),
            lease_until: clock.now(),
            limit: 9,
            kinds: Vec::new(),
            only: None,
        };
        store.claim_tasks(&nothing).unwrap();
        assert_eq!(leases(), 0, "who takes nothing needs no lease");
    }
}
