//! Queued work as it goes in, is run and is looked at.

use std::time::Duration;

use types::{Priority, Progress, TaskId, TaskState, TenantId, Timestamp};

/// One piece of work to be queued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTask {
    pub tenant: TenantId,
    /// Names the code that runs it: 1 to 64 bytes.
    pub kind: String,
    /// JSON, opaque here; at most 256 KiB.
    pub payload: String,
    pub priority: Priority,
    /// Not before this time. `None` and past times mean now.
    pub run_at: Option<Timestamp>,
    /// At least 1.
    pub attempts_max: u32,
    /// Of one attempt; kept for the worker, which enforces it. At least 1 ms.
    pub timeout: Duration,
    /// Among the pending tasks of a tenant only one has this key; at most 200 bytes.
    pub dedupe: Option<String>,
    pub parent: Option<TaskId>,
}

/// What became of a [`NewTask`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enqueued {
    pub id: TaskId,
    /// False when a pending task with the same key stands for it.
    pub created: bool,
}

/// What became of a task that its caller wants to run at once.
#[derive(Clone, Debug, PartialEq)]
pub enum EnqueueRunning {
    Claimed(Box<ClaimedTask>),
    /// A task with the same key runs already.
    AlreadyRunning {
        id: TaskId,
        owner: String,
    },
}

/// Which tasks a worker would take.
#[derive(Clone, Debug)]
pub struct Claim {
    /// At most 200 bytes.
    pub owner: String,
    /// Until when the owner is believed to live without another heartbeat.
    /// Holds for everything that it runs.
    pub lease_until: Timestamp,
    /// Tasks taken at most; no more than 1,000 in any case.
    pub limit: usize,
    /// Other kinds are left alone.
    pub kinds: Vec<KindLimit>,
    /// This task or none, out of turn; kinds, limits and pauses hold as for any.
    pub only: Option<TaskId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindLimit {
    pub kind: String,
    /// Tasks of the kind that run at a time, in all processes together; 0 means no limit.
    pub running_max: u32,
}

/// One run of a task. It holds as long as nobody else claimed the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskRef {
    pub id: TaskId,
    /// Fencing token: another claim has a higher one.
    pub epoch: u64,
}

/// A task that the claiming owner now runs.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimedTask {
    pub id: TaskId,
    pub epoch: u64,
    pub tenant: TenantId,
    pub kind: String,
    pub payload: String,
    /// 1 for the first.
    pub attempt: u32,
    pub attempts_max: u32,
    pub timeout: Duration,
    pub priority: Priority,
    /// As an earlier run left it.
    pub progress: Progress,
    pub parent: Option<TaskId>,
    pub enqueued_at: Timestamp,
    /// When it was due.
    pub run_at: Timestamp,
}

impl ClaimedTask {
    #[must_use]
    pub fn task_ref(&self) -> TaskRef {
        TaskRef {
            id: self.id,
            epoch: self.epoch,
        }
    }
}

/// The end of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finish {
    pub task: TaskRef,
    pub end: TaskEnd,
    /// Queued in the same transaction, unless the run was lost.
    pub follow_ups: Vec<NewTask>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskEnd {
    /// Also when a cancel was requested meanwhile.
    Succeeded {
        /// JSON, opaque here; at most 256 KiB.
        result: Option<String>,
    },
    /// Another attempt would not help.
    Failed {
        error: String,
    },
    /// Another attempt at this time; dead when all attempts are used up.
    Retry {
        error: String,
        at: Timestamp,
    },
    /// Not now. Burns no attempt.
    Snooze {
        at: Timestamp,
        why: String,
    },
    /// The worker stops. Burns no attempt and keeps its place in the queue.
    Released,
    Cancelled,
}

/// What a [`Finish`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finished {
    Now {
        state: TaskState,
        follow_ups: Vec<Enqueued>,
    },
    /// The task is no longer this run's: nothing was changed or queued.
    Lost,
}

/// What a worker must know of a task it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Someone wants it cancelled.
    Cancel,
    /// It is no longer this run's: stop, and throw away what is not committed.
    Lost,
}

/// What came of cancelling a task that was not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cancelled {
    Now,
    /// It runs; its worker is told with its next heartbeat or progress.
    Requested,
}

/// Running tasks whose workers are gone, by what became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RescueReport {
    pub queued: Vec<TaskId>,
    /// A cancel had been requested.
    pub cancelled: Vec<TaskId>,
    /// Lost five workers without getting any further.
    pub dead: Vec<TaskId>,
}

impl RescueReport {
    pub(crate) fn and(mut self, mut other: RescueReport) -> RescueReport {
        self.queued.append(&mut other.queued);
        self.cancelled.append(&mut other.cancelled);
        self.dead.append(&mut other.dead);
        self
    }
}

/// Which tasks to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskFilter {
    /// Empty means any.
    pub states: Vec<TaskState>,
    pub kind: Option<String>,
    pub parent: Option<TaskId>,
    /// Continues a list: tasks older than this one.
    pub before: Option<TaskId>,
    /// No more than 500 in any case.
    pub limit: usize,
}

impl Default for TaskFilter {
    /// The newest 50.
    fn default() -> TaskFilter {
        TaskFilter {
            states: Vec::new(),
            kind: None,
            parent: None,
            before: None,
            limit: 50,
        }
    }
}

/// Everything about a task.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskRow {
    pub id: TaskId,
    pub tenant: TenantId,
    pub kind: String,
    pub payload: String,
    pub state: TaskState,
    pub priority: Priority,
    pub run_at: Timestamp,
    pub enqueued_at: Timestamp,
    /// Of the last run.
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    /// Attempts begun, without those that were given back.
    pub attempt: u32,
    pub attempts_max: u32,
    pub timeout: Duration,
    /// `None` also after another pending task took the key over.
    pub dedupe: Option<String>,
    pub parent: Option<TaskId>,
    /// Who runs it, or ran it last.
    pub worker: Option<String>,
    /// While it runs.
    pub lease_until: Option<Timestamp>,
    pub epoch: u64,
    pub cancel_requested: bool,
    /// Workers lost since it last got further.
    pub rescues: u32,
    /// Of the last attempt that had one.
    pub error: Option<String>,
    /// Why it was put off, until it runs again.
    pub waiting_for: Option<String>,
    pub result: Option<String>,
    pub progress: Progress,
    /// Grows with each progress written; 0 before the first.
    pub progress_seq: u64,
}

/// One kind of the queue in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueCount {
    pub kind: String,
    pub scheduled: u64,
    pub queued: u64,
    pub running: u64,
    pub succeeded: u64,
    pub failed: u64,
    pub cancelled: u64,
    pub dead: u64,
    pub ever: EverCount,
    /// When the queued task that waits longest was due.
    pub oldest_queued: Option<Timestamp>,
}

/// Since the database was made, whatever has been cleared away. A task that is
/// retried by hand may end more than once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EverCount {
    pub enqueued: u64,
    pub succeeded: u64,
    pub failed: u64,
    pub cancelled: u64,
    pub dead: u64,
}

impl QueueCount {
    pub(crate) fn and(self, other: QueueCount) -> QueueCount {
        QueueCount {
            kind: other.kind,
            scheduled: self.scheduled + other.scheduled,
            queued: self.queued + other.queued,
            running: self.running + other.running,
            succeeded: self.succeeded + other.succeeded,
            failed: self.failed + other.failed,
            cancelled: self.cancelled + other.cancelled,
            dead: self.dead + other.dead,
            ever: EverCount {
                enqueued: self.ever.enqueued + other.ever.enqueued,
                succeeded: self.ever.succeeded + other.ever.succeeded,
                failed: self.ever.failed + other.ever.failed,
                cancelled: self.ever.cancelled + other.ever.cancelled,
                dead: self.ever.dead + other.ever.dead,
            },
            oldest_queued: self
                .oldest_queued
                .into_iter()
                .chain(other.oldest_queued)
                .min(),
        }
    }
}

/// How much there is to do, of all tenants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueLoad {
    /// One for each kind there ever was, by name.
    pub kinds: Vec<KindLoad>,
    /// Tasks, ready or running, that the tenants' caps let run at a time.
    pub runnable: u64,
}

/// How much of one kind there is to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KindLoad {
    pub kind: String,
    /// Due and not begun: queued, and those scheduled whose time has come.
    pub ready: u64,
    pub running: u64,
    /// Ends there ever were, good and bad.
    pub ended_ever: u64,
    pub is_paused: bool,
}

impl QueueLoad {
    pub(crate) fn and(mut self, other: QueueLoad) -> QueueLoad {
        for more in other.kinds {
            match self.kinds.iter_mut().find(|known| known.kind == more.kind) {
                Some(known) => {
                    known.ready += more.ready;
                    known.running += more.running;
                    known.ended_ever += more.ended_ever;
                }
                None => self.kinds.push(more),
            }
        }
        self.kinds.sort_by(|a, b| a.kind.cmp(&b.kind));
        self.runnable += other.runnable;
        self
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PausedQueue {
    /// `None`: all kinds.
    pub kind: Option<String>,
    pub paused_at: Timestamp,
}

/// How long finished tasks are kept, from their end on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Of succeeded tasks.
    pub results: Duration,
    /// Of failed and cancelled tasks.
    pub failures: Duration,
    pub dead: Duration,
}

impl Default for Retention {
    /// One hour, one day, one week.
    fn default() -> Retention {
        const HOUR: Duration = Duration::from_secs(3600);
        Retention {
            results: HOUR,
            failures: 24 * HOUR,
            dead: 7 * 24 * HOUR,
        }
    }
}

/// Finished tasks cleared away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HousekeepReport {
    pub succeeded: u64,
    pub failed: u64,
    pub cancelled: u64,
    pub dead: u64,
    /// The limit was reached: there may be more to clear away.
    pub more: bool,
}

impl HousekeepReport {
    pub(crate) fn and(self, other: HousekeepReport) -> HousekeepReport {
        HousekeepReport {
            succeeded: self.succeeded + other.succeeded,
            failed: self.failed + other.failed,
            cancelled: self.cancelled + other.cancelled,
            dead: self.dead + other.dead,
            more: self.more || other.more,
        }
    }
}
