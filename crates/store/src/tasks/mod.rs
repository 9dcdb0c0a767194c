//! The durable queue: tasks that are enqueued in any transaction of the store,
//! claimed by workers and ended once.
//!
//! - **Who may end a task.** A claim raises the task's epoch; a run whose epoch
//!   is no longer the task's changes nothing (invariant Q1). An owner's lease
//!   covers all that it runs; when the owner is gone, [`Store::rescue_tasks`]
//!   queues its tasks again.
//! - **Who goes first.** Between tenants, stride scheduling by weight; within a
//!   tenant the priority, then the time it was due, then the order of arrival.
//!   A claim reads the first entries of an index per tenant and kind, so it
//!   takes the same time however long the queue is.
//! - **Keys.** Among the pending tasks of a tenant a dedupe key is unique. A
//!   running task does not hold its key: what arrives meanwhile may concern
//!   something it has already passed. When it comes back to wait and another
//!   one waits with the key, it waits without.
//! - **Numbers.** Counts per tenant, kind and state change in the transaction
//!   that changes the tasks; nothing is counted by a scan.

mod claim;
mod control;
mod enqueue;
mod fair;
mod finish;
mod housekeep;
mod list;
mod load;
mod status;
mod step;
mod tally;

pub(crate) use control::cancel_pending;
pub(crate) use enqueue::enqueue;

#[cfg(test)]
pub(crate) use {claim::PROMOTE, enqueue::PENDING_KEY, enqueue::RUNNING_KEY, fair::HEADS};
#[cfg(test)]
pub(crate) use {fair::TURNS, finish::SIGNALS, housekeep::CLEAR, list::LISTED};
#[cfg(test)]
pub(crate) use {housekeep::OWNERS, list::CHILDREN, load::OVERDUE};
#[cfg(test)]
pub(crate) use {status::NEXT_RUN, status::OLDEST};
#[cfg(test)]
pub(crate) use {step::END, step::RUN};

use types::TaskId;

use crate::error::Failure;

/// Of a payload or a result.
const JSON_BYTES_MAX: usize = 256 * 1024;
const KIND_BYTES_MAX: usize = 64;
const KEY_BYTES_MAX: usize = 200;
const OWNER_BYTES_MAX: usize = 200;

// States as stored: 0 to 6 in the order of `TaskState::ALL`. SQL names them by number.

fn state_code(state: types::TaskState) -> i64 {
    state as i64
}

fn state_from_code(code: i64) -> Result<types::TaskState, Failure> {
    usize::try_from(code)
        .ok()
        .and_then(|code| types::TaskState::ALL.get(code).copied())
        .ok_or_else(|| Failure::corrupt(format!("unknown task state {code}")))
}

fn no_task(id: TaskId) -> Failure {
    Failure::not_found(format!("no task {id}"))
}

fn check_owner(owner: &str) -> Result<(), Failure> {
    if owner.is_empty() || owner.len() > OWNER_BYTES_MAX {
        let bytes = owner.len();
        return Err(Failure::conflict(format!(
            "an owner's name has 1 to {OWNER_BYTES_MAX} bytes, not {bytes}"
        )));
    }
    Ok(())
}
