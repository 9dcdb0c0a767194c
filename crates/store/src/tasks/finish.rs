//! What workers tell of the tasks they run.

use types::{Progress, TaskId, TaskState, Timestamp};

use super::step::{End, Held, Wait, end, put_back, read_held};
use super::tally::Tally;
use super::{JSON_BYTES_MAX, enqueue};
use crate::error::Failure;
use crate::frontier::cut;
use crate::sql::{Connection, collect, execute, params};
use crate::tenants::check_tenant;
use crate::{Finish, Finished, Signal, Store, StoreError, TaskEnd, TaskRef};

impl Store {
    /// Ends runs, those of one database in one transaction; what came of each,
    /// in the same order.
    ///
    /// - A run that is no longer the task's changes nothing and queues nothing.
    /// - A cancel request turns whatever would make the task wait again into
    ///   its cancellation; an end that was reached stands.
    /// - A result over 256 KiB or a follow-up that cannot be queued fails that
    ///   task, with the reason as its error, and queues nothing for it.
    pub fn finish_tasks(&self, finishes: Vec<Finish>) -> Result<Vec<Finished>, StoreError> {
        let now = self.now();
        self.write_grouped(
            "finish tasks",
            finishes,
            |finish| finish.task.id,
            move |connection, finishes| {
                let mut tally = Tally::default();
                let mut finished = Vec::with_capacity(finishes.len());
                for finish in finishes {
                    finished.push(finish_one(connection, &mut tally, finish, now)?);
                }
                tally.save(connection)?;
                Ok(finished)
            },
        )
    }

    /// Renews the lease of a live owner and tells what others want of the tasks
    /// it runs. Costs one row however many these are.
    pub fn heartbeat(
        &self,
        owner: &str,
        lease_until: Timestamp,
    ) -> Result<Vec<(TaskId, Signal)>, StoreError> {
        let owner = owner.to_owned();
        self.write_gathered("renew the lease", move |connection| {
            execute(
                connection,
                "UPDATE task_leases SET lease_until = ?2 WHERE owner = ?1",
                params![owner, lease_until.0],
            )?;
            collect(connection, SIGNALS, [&owner], |row| {
                Ok((TaskId(row.get(0)?), Signal::Cancel))
            })
        })
        .map(|parts| parts.concat())
    }

    /// What others want of the tasks that an owner runs, without renewing its lease.
    pub fn task_signals(&self, owner: &str) -> Result<Vec<(TaskId, Signal)>, StoreError> {
        self.gather(|shard| {
            shard.read("read signals", |connection| {
                collect(connection, SIGNALS, [owner], |row| {
                    Ok((TaskId(row.get(0)?), Signal::Cancel))
                })
            })
        })
        .map(|parts| parts.concat())
    }

    /// Saves how far running tasks are; those that should stop, and why.
    pub fn update_progress(
        &self,
        progress: Vec<(TaskRef, Progress)>,
    ) -> Result<Vec<(TaskId, Signal)>, StoreError> {
        let signals = self.write_grouped(
            "save progress",
            progress,
            |(task, _)| task.id,
            |connection, progress| {
                let save = |(task, progress): &(TaskRef, Progress)| {
                    let signal = update_progress(connection, *task, progress)?;
                    Ok(signal.map(|signal| (task.id, signal)))
                };
                progress.iter().map(save).collect()
            },
        )?;
        Ok(signals.into_iter().flatten().collect())
    }
}

pub(crate) const SIGNALS: &str = "
    SELECT id FROM tasks WHERE state = 2 AND owner = ?1 AND cancel_requested = 1 ORDER BY id";

fn finish_one(
    connection: &Connection,
    tally: &mut Tally,
    finish: &Finish,
    now: Timestamp,
) -> Result<Finished, Failure> {
    let Some(task) = current_run(connection, finish.task)? else {
        return Ok(Finished::Lost);
    };
    if let Some(why) = refusal(connection, finish)? {
        let state = end(connection, tally, &task, End::failed(cut(&why)), now)?;
        return Ok(Finished::Now {
            state,
            follow_ups: Vec::new(),
        });
    }
    let ended = match &finish.end {
        TaskEnd::Succeeded { result } => Some(End {
            state: TaskState::Succeeded,
            error: None,
            result: result.as_deref(),
        }),
        TaskEnd::Failed { error } => Some(End::failed(cut(error))),
        TaskEnd::Retry { error, .. } if task.cancel_requested => Some(End {
            error: Some(cut(error)),
            ..End::CANCELLED
        }),
        TaskEnd::Retry { error, .. } if task.attempt >= task.attempts_max => {
            Some(End::dead(cut(error)))
        }
        TaskEnd::Cancelled => Some(End::CANCELLED),
        _ => task.cancel_requested.then_some(End::CANCELLED),
    };
    let state = match ended {
        Some(ended) => end(connection, tally, &task, ended, now)?,
        None => put_back(connection, tally, &task, wait(finish, &task, now), now)?,
    };
    let follow_ups = if finish.follow_ups.is_empty() {
        Vec::new()
    } else {
        enqueue(connection, &finish.follow_ups, now)?
    };
    Ok(Finished::Now { state, follow_ups })
}

fn wait<'f>(finish: &'f Finish, task: &Held, now: Timestamp) -> Wait<'f> {
    match &finish.end {
        TaskEnd::Retry { error, at } => Wait {
            run_at: at.0.max(now.0),
            attempt: task.attempt,
            error: Some(cut(error)),
            why: None,
        },
        TaskEnd::Snooze { at, why } => Wait {
            run_at: at.0.max(now.0),
            why: Some(cut(why)),
            ..Wait::as_before(task)
        },
        _ => Wait::as_before(task),
    }
}

/// Why this end cannot be stored. One task's fault must not take with it the
/// others that end in the same transaction.
fn refusal(connection: &Connection, finish: &Finish) -> Result<Option<String>, Failure> {
    if let TaskEnd::Succeeded {
        result: Some(result),
    } = &finish.end
        && result.len() > JSON_BYTES_MAX
    {
        let bytes = result.len();
        return Ok(Some(format!(
            "its result has {bytes} bytes; at most {JSON_BYTES_MAX} are kept"
        )));
    }
    for task in &finish.follow_ups {
        let checked =
            super::enqueue::check(task).and_then(|()| check_tenant(connection, task.tenant));
        match checked {
            Ok(()) => {}
            Err(Failure::Store(why)) => {
                return Ok(Some(format!("its follow-up was refused: {why}")));
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(None)
}

/// The task, if it still runs as `run`.
fn current_run(connection: &Connection, run: TaskRef) -> Result<Option<Held>, Failure> {
    let task = read_held(connection, run.id)?;
    Ok(task.filter(|task| task.state == TaskState::Running && task.epoch == run.epoch))
}

fn update_progress(
    connection: &Connection,
    run: TaskRef,
    progress: &Progress,
) -> Result<Option<Signal>, Failure> {
    let Some(task) = current_run(connection, run)? else {
        return Ok(Some(Signal::Lost));
    };
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    execute(
        connection,
        "INSERT INTO task_progress (task_id, seq, completed, total, errors, current)
         VALUES (?1, 1, ?2, ?3, ?4, ?5)
         ON CONFLICT (task_id) DO UPDATE SET seq = task_progress.seq + 1, completed = excluded.completed,
           total = excluded.total, errors = excluded.errors, current = excluded.current",
        params![
            run.id.0,
            number(progress.completed),
            progress.total.map(number),
            number(progress.errors),
            progress.current.as_deref().map(cut)
        ],
    )?;
    Ok(task.cancel_requested.then_some(Signal::Cancel))
}
