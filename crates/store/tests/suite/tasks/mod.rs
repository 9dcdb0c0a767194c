//! The queue: its rules, a model of it, and crashes.

pub(crate) mod conformance;
mod fairness;
mod follow_ups;
mod model;
mod oracle;
mod rules;
mod simulation;
mod threads;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use store::{
    Claim, ClaimedTask, EverCount, Finish, Finished, KindLimit, NewTask, QueueCount, Store,
    TaskEnd, TaskFilter, TaskRef, TaskRow,
};
use types::{ManualClock, Priority, TaskId, TaskState, TenantId, Timestamp};

pub(crate) const LEASE: Duration = Duration::from_secs(30);

pub(crate) fn task(kind: &str) -> NewTask {
    NewTask {
        tenant: TenantId::DEFAULT,
        kind: kind.to_owned(),
        payload: "{}".to_owned(),
        priority: Priority::DEFAULT,
        run_at: None,
        attempts_max: 3,
        timeout: Duration::from_secs(1800),
        dedupe: None,
        parent: None,
    }
}

pub(crate) fn keyed(kind: &str, key: &str) -> NewTask {
    NewTask {
        dedupe: Some(key.to_owned()),
        ..task(kind)
    }
}

/// An engine under test, with the clock it goes by.
pub(crate) struct Engine {
    pub(crate) store: Store,
    pub(crate) clock: Arc<ManualClock>,
}

impl Engine {
    pub(crate) fn new() -> Engine {
        let clock = crate::support::clock();
        Engine {
            store: crate::engine::store(clock.clone()),
            clock,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        types::Clock::now(self.clock.as_ref())
    }

    pub(crate) fn later(&self, seconds: u64) -> Timestamp {
        self.now().plus(Duration::from_secs(seconds))
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub(crate) fn enqueue(&self, task: NewTask) -> TaskId {
        self.store.enqueue_tasks(vec![task]).unwrap().remove(0).id
    }

    pub(crate) fn enqueue_many(&self, count: usize, task: &NewTask) -> Vec<TaskId> {
        let tasks = vec![task.clone(); count];
        let enqueued = self.store.enqueue_tasks(tasks).unwrap();
        enqueued.into_iter().map(|task| task.id).collect()
    }

    /// Why the queue refuses the task.
    pub(crate) fn refusal(&self, task: NewTask) -> String {
        let error = self.store.enqueue_tasks(vec![task]).unwrap_err();
        error.to_string()
    }

    /// Claims as worker `w`, of any of the kinds `a` to `d`.
    pub(crate) fn claim(&self, limit: usize) -> Vec<ClaimedTask> {
        self.claim_as("w", limit, &["a", "b", "c", "d"])
    }

    pub(crate) fn claim_as(&self, owner: &str, limit: usize, kinds: &[&str]) -> Vec<ClaimedTask> {
        self.store
            .claim_tasks(&self.want(owner, limit, kinds))
            .unwrap()
    }

    pub(crate) fn want(&self, owner: &str, limit: usize, kinds: &[&str]) -> Claim {
        let any = |kind: &&str| KindLimit {
            kind: (*kind).to_owned(),
            running_max: 0,
        };
        Claim {
            owner: owner.to_owned(),
            lease_until: self.now().plus(LEASE),
            limit,
            kinds: kinds.iter().map(any).collect(),
            only: None,
        }
    }

    pub(crate) fn claim_ids(&self, limit: usize) -> Vec<TaskId> {
        self.claim(limit).iter().map(|task| task.id).collect()
    }

    pub(crate) fn claim_one(&self) -> ClaimedTask {
        let mut claimed = self.claim(1);
        claimed.pop().expect("a task is queued")
    }

    pub(crate) fn finish(&self, task: TaskRef, end: TaskEnd) -> Option<TaskState> {
        let finish = Finish {
            task,
            end,
            follow_ups: Vec::new(),
        };
        match self.store.finish_tasks(vec![finish]).unwrap().remove(0) {
            Finished::Now { state, .. } => Some(state),
            Finished::Lost => None,
        }
    }

    pub(crate) fn succeed(&self, task: &ClaimedTask) {
        let end = TaskEnd::Succeeded { result: None };
        let state = self.finish(task.task_ref(), end);
        assert_eq!(state, Some(TaskState::Succeeded));
    }

    /// A task of kind `a` that has been claimed and ended that way.
    pub(crate) fn ended(&self, end: TaskEnd) -> TaskId {
        let id = self.enqueue(NewTask {
            attempts_max: 1,
            priority: Priority::HIGH,
            ..task("a")
        });
        let claimed = self.claim_one();
        assert_eq!(claimed.id, id);
        self.finish(claimed.task_ref(), end).expect("not lost");
        id
    }

    pub(crate) fn task(&self, id: TaskId) -> TaskRow {
        self.store.task(TenantId::DEFAULT, id).unwrap()
    }

    pub(crate) fn state(&self, id: TaskId) -> TaskState {
        self.task(id).state
    }

    pub(crate) fn count(&self, kind: &str) -> QueueCount {
        let status = self.store.queue_status(None).unwrap();
        let found = status.into_iter().find(|count| count.kind == kind);
        found.unwrap_or_default()
    }

    /// All tasks of a tenant, page by page.
    pub(crate) fn all(&self, tenant: TenantId) -> Vec<TaskRow> {
        let mut all: Vec<TaskRow> = Vec::new();
        loop {
            let filter = TaskFilter {
                before: all.last().map(|task| task.id),
                ..TaskFilter::default()
            };
            let page = self.store.tasks(tenant, &filter).unwrap();
            if page.is_empty() {
                return all;
            }
            all.extend(page);
        }
    }

    /// The maintained numbers equal a recount of the rows.
    pub(crate) fn check_counts(&self, tenants: &[TenantId]) {
        let mut totals: BTreeMap<String, QueueCount> = BTreeMap::new();
        for tenant in tenants {
            let counted = recount(&self.all(*tenant));
            for (kind, count) in &counted {
                add(totals.entry(kind.clone()).or_default(), count);
            }
            let status = self.store.queue_status(Some(*tenant)).unwrap();
            assert_eq!(current(status), current(counted.into_values().collect()));
        }
        let status = self.store.queue_status(None).unwrap();
        assert_eq!(current(status), current(totals.into_values().collect()));
    }
}

fn recount(rows: &[TaskRow]) -> BTreeMap<String, QueueCount> {
    let mut counts: BTreeMap<String, QueueCount> = BTreeMap::new();
    for row in rows {
        let count = counts.entry(row.kind.clone()).or_default();
        count.kind.clone_from(&row.kind);
        *state_count(count, row.state) += 1;
        if row.state == TaskState::Queued {
            let oldest = count.oldest_queued.get_or_insert(row.run_at);
            *oldest = row.run_at.min(*oldest);
        }
    }
    counts
}

pub(crate) fn state_count(count: &mut QueueCount, state: TaskState) -> &mut u64 {
    match state {
        TaskState::Scheduled => &mut count.scheduled,
        TaskState::Queued => &mut count.queued,
        TaskState::Running => &mut count.running,
        TaskState::Succeeded => &mut count.succeeded,
        TaskState::Failed => &mut count.failed,
        TaskState::Cancelled => &mut count.cancelled,
        TaskState::Dead => &mut count.dead,
    }
}

fn add(total: &mut QueueCount, count: &QueueCount) {
    total.kind.clone_from(&count.kind);
    for state in TaskState::ALL {
        *state_count(total, *state) += *state_count(&mut count.clone(), *state);
    }
    total.oldest_queued = match (total.oldest_queued, count.oldest_queued) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
}

/// What a recount of rows can know: neither what ever was nor empty kinds.
fn current(counts: Vec<QueueCount>) -> Vec<QueueCount> {
    let mut current: Vec<QueueCount> = counts
        .into_iter()
        .map(|count| QueueCount {
            ever: EverCount::default(),
            ..count
        })
        .collect();
    let is_empty = |count: &QueueCount| {
        let mut count = count.clone();
        TaskState::ALL
            .iter()
            .all(|state| *state_count(&mut count, *state) == 0)
    };
    current.retain(|count| !is_empty(count));
    current
}
