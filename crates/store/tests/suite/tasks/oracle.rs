//! The queue as simply as it can be said: one map, every rule a loop over it.

use std::collections::{BTreeMap, BTreeSet};

use store::{EverCount, NewTask, QueueCount, TaskEnd};
use types::{TaskState, Timestamp};

use super::state_count;

const STRIDE: i64 = 1_000_000;

#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) new: NewTask,
    pub(crate) rank: u8,
    pub(crate) run_at: i64,
    pub(crate) state: TaskState,
    pub(crate) epoch: u64,
    pub(crate) attempt: u32,
    pub(crate) key: Option<String>,
    pub(crate) owner: String,
    pub(crate) cancel_requested: bool,
    pub(crate) completed: u64,
    pub(crate) rescued_at: u64,
    pub(crate) rescues: u32,
    pub(crate) finished_at: i64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    pub(crate) weight: i64,
    pub(crate) running_max: usize,
    pub(crate) pass: i64,
}

#[derive(Debug, Default)]
pub(crate) struct Oracle {
    pub(crate) now: i64,
    pub(crate) last_id: i64,
    pub(crate) tasks: BTreeMap<i64, Known>,
    pub(crate) leases: BTreeMap<String, i64>,
    pub(crate) paused: BTreeSet<String>,
    pub(crate) shares: BTreeMap<i64, Share>,
    pub(crate) floor: i64,
    pub(crate) ever: BTreeMap<String, EverCount>,
}

impl Oracle {
    fn enter(&mut self, id: i64, state: TaskState) {
        let task = self.tasks.get_mut(&id).unwrap();
        task.state = state;
        if state.is_finished() {
            task.finished_at = self.now;
        }
        let ever = self.ever.entry(task.new.kind.clone()).or_default();
        match state {
            TaskState::Succeeded => ever.succeeded += 1,
            TaskState::Failed => ever.failed += 1,
            TaskState::Cancelled => ever.cancelled += 1,
            TaskState::Dead => ever.dead += 1,
            _ => {}
        }
    }

    fn wait(&mut self, id: i64, run_at: i64) {
        let task = &self.tasks[&id];
        let (tenant, key) = (task.new.tenant, task.key.clone());
        let taken = key.is_some_and(|key| self.with_key(tenant.0, &key, true).is_some());
        let state = if run_at <= self.now {
            TaskState::Queued
        } else {
            TaskState::Scheduled
        };
        let task = self.tasks.get_mut(&id).unwrap();
        task.run_at = run_at;
        if taken {
            task.key = None;
        }
        self.enter(id, state);
    }

    fn with_key(&self, tenant: i64, key: &str, pending: bool) -> Option<i64> {
        let matches = |task: &Known| {
            task.new.tenant.0 == tenant
                && task.key.as_deref() == Some(key)
                && if pending {
                    task.state.is_pending()
                } else {
                    task.state == TaskState::Running
                }
        };
        let mut found = self.tasks.iter().filter(|(_, task)| matches(task));
        found.next().map(|(id, _)| *id)
    }

    /// Id, and whether it is new.
    pub(crate) fn enqueue(&mut self, new: &NewTask) -> (i64, bool) {
        let now = self.now;
        let run_at = new.run_at.map_or(now, |at| at.0.max(now));
        if let Some(key) = &new.dedupe
            && let Some(id) = self.with_key(new.tenant.0, key, true)
        {
            let task = self.tasks.get_mut(&id).unwrap();
            task.rank = task.rank.min(new.priority.rank());
            task.run_at = task.run_at.min(run_at);
            if task.run_at <= now {
                self.enter(id, TaskState::Queued);
            }
            return (id, false);
        }
        self.last_id += 1;
        let known = Known {
            new: new.clone(),
            rank: new.priority.rank(),
            run_at,
            state: TaskState::Scheduled,
            epoch: 0,
            attempt: 0,
            key: new.dedupe.clone(),
            owner: String::new(),
            cancel_requested: false,
            completed: 0,
            rescued_at: 0,
            rescues: 0,
            finished_at: 0,
        };
        self.tasks.insert(self.last_id, known);
        self.ever.entry(new.kind.clone()).or_default().enqueued += 1;
        self.shares.entry(new.tenant.0).or_insert(Share {
            weight: 1,
            running_max: 0,
            pass: 0,
        });
        self.wait_first(self.last_id);
        (self.last_id, true)
    }

    fn wait_first(&mut self, id: i64) {
        let state = if self.tasks[&id].run_at <= self.now {
            TaskState::Queued
        } else {
            TaskState::Scheduled
        };
        self.enter(id, state);
    }

    pub(crate) fn running_with_key(&self, new: &NewTask) -> Option<i64> {
        let key = new.dedupe.as_ref()?;
        self.with_key(new.tenant.0, key, false)
    }

    pub(crate) fn run(&mut self, id: i64, owner: &str, lease_until: Timestamp) {
        self.enter(id, TaskState::Running);
        let task = self.tasks.get_mut(&id).unwrap();
        task.epoch += 1;
        task.attempt += 1;
        task.cancel_requested = false;
        owner.clone_into(&mut task.owner);
        self.leases.insert(owner.to_owned(), lease_until.0);
    }

    fn running(&self, is_counted: impl Fn(&Known) -> bool) -> usize {
        let running = self
            .tasks
            .values()
            .filter(|t| t.state == TaskState::Running);
        running.filter(|t| is_counted(t)).count()
    }

    pub(crate) fn promote(&mut self) {
        let due = |task: &Known| task.state == TaskState::Scheduled && task.run_at <= self.now;
        let due: Vec<i64> = ids(&self.tasks, due);
        for id in due {
            self.enter(id, TaskState::Queued);
        }
    }

    /// What the next claim of one task of these kinds takes.
    pub(crate) fn next(&mut self, kinds: &[(String, usize)]) -> Option<i64> {
        let may_run = |task: &Known| {
            let kind = &task.new.kind;
            let most = kinds.iter().find(|(name, _)| name == kind);
            let cap = self.shares[&task.new.tenant.0].running_max;
            task.state == TaskState::Queued
                && !self.paused.contains("")
                && !self.paused.contains(kind)
                && most.is_some_and(|(_, most)| {
                    *most == 0 || self.running(|t| t.new.kind == *kind) < *most
                })
                && (cap == 0 || self.running(|t| t.new.tenant == task.new.tenant) < cap)
        };
        let ready = ids(&self.tasks, may_run);
        let turn = |id: &i64| {
            let task = &self.tasks[id];
            let tenant = task.new.tenant.0;
            let pass = self.shares[&tenant].pass;
            (pass, tenant, task.rank, task.run_at, *id)
        };
        let id = ready.into_iter().min_by_key(turn)?;
        let share = self.shares.get_mut(&self.tasks[&id].new.tenant.0).unwrap();
        self.floor = self.floor.max(share.pass);
        share.pass = self.floor + STRIDE / share.weight;
        Some(id)
    }

    pub(crate) fn is_run(&self, id: i64, epoch: u64) -> bool {
        let task = self.tasks.get(&id);
        task.is_some_and(|task| task.state == TaskState::Running && task.epoch == epoch)
    }

    pub(crate) fn finish(&mut self, id: i64, epoch: u64, end: &TaskEnd) -> Option<TaskState> {
        if !self.is_run(id, epoch) {
            return None;
        }
        let task = self.tasks.get_mut(&id).unwrap();
        let (cancelled, run_at) = (task.cancel_requested, task.run_at);
        let used_up = task.attempt >= task.new.attempts_max;
        match end {
            TaskEnd::Succeeded { .. } => self.enter(id, TaskState::Succeeded),
            TaskEnd::Failed { .. } => self.enter(id, TaskState::Failed),
            TaskEnd::Cancelled => self.enter(id, TaskState::Cancelled),
            _ if cancelled => self.enter(id, TaskState::Cancelled),
            TaskEnd::Retry { .. } if used_up => self.enter(id, TaskState::Dead),
            TaskEnd::Retry { at, .. } => self.wait(id, at.0.max(self.now)),
            TaskEnd::Snooze { at, .. } => {
                task.attempt -= 1;
                self.wait(id, at.0.max(self.now));
            }
            TaskEnd::Released => {
                task.attempt -= 1;
                self.wait(id, run_at);
            }
        }
        Some(self.tasks[&id].state)
    }

    /// True when it was cancelled or asked to stop, false when it is finished.
    pub(crate) fn cancel(&mut self, id: i64) -> bool {
        let task = self.tasks.get_mut(&id).unwrap();
        if task.state == TaskState::Running {
            task.cancel_requested = true;
            return true;
        }
        let was_pending = task.state.is_pending();
        if was_pending {
            self.enter(id, TaskState::Cancelled);
        }
        was_pending
    }

    pub(crate) fn retry(&mut self, id: i64) -> bool {
        let task = &self.tasks[&id];
        let ended = matches!(
            task.state,
            TaskState::Dead | TaskState::Failed | TaskState::Cancelled
        );
        let tenant = task.new.tenant.0;
        let key = task.key.as_deref();
        if !ended || key.is_some_and(|key| self.with_key(tenant, key, true).is_some()) {
            return false;
        }
        let task = self.tasks.get_mut(&id).unwrap();
        (task.attempt, task.rescues) = (0, 0);
        self.wait(id, self.now);
        true
    }

    /// Ids queued, cancelled and dead.
    pub(crate) fn rescue(&mut self, lost: &[String], expired: bool) -> [Vec<i64>; 3] {
        let mut owners: BTreeSet<String> = lost.iter().cloned().collect();
        if expired {
            let ran_out = self.leases.iter().filter(|(_, until)| **until <= self.now);
            owners.extend(ran_out.map(|(owner, _)| owner.clone()));
        }
        let mut report = [Vec::new(), Vec::new(), Vec::new()];
        for owner in owners {
            self.leases.remove(&owner);
            for id in self.run_by(&owner) {
                let task = self.tasks.get_mut(&id).unwrap();
                if task.cancel_requested {
                    self.enter(id, TaskState::Cancelled);
                    report[1].push(id);
                    continue;
                }
                if task.completed > task.rescued_at {
                    task.rescues = 0;
                }
                task.rescued_at = task.completed;
                task.rescues += 1;
                if task.rescues >= 5 {
                    self.enter(id, TaskState::Dead);
                    report[2].push(id);
                    continue;
                }
                task.attempt -= 1;
                let run_at = task.run_at;
                self.wait(id, run_at);
                report[0].push(id);
            }
        }
        report
    }

    pub(crate) fn release(&mut self, owner: &str) -> usize {
        let running = self.run_by(owner);
        for id in &running {
            let epoch = self.tasks[id].epoch;
            self.finish(*id, epoch, &TaskEnd::Released);
        }
        self.leases.remove(owner);
        running.len()
    }

    pub(crate) fn run_by(&self, owner: &str) -> Vec<i64> {
        ids(&self.tasks, |task| {
            task.state == TaskState::Running && task.owner == owner
        })
    }

    /// Deletes up to `limit` finished tasks: one hour, a day, a week.
    pub(crate) fn housekeep(&mut self, limit: usize) {
        let mut left = limit;
        let ages = [
            (TaskState::Succeeded, 1),
            (TaskState::Failed, 24),
            (TaskState::Cancelled, 24),
            (TaskState::Dead, 168),
        ];
        for (state, hours) in ages {
            let before = self.now - hours * 3_600_000;
            let mut old = ids(&self.tasks, |task| {
                task.state == state && task.finished_at <= before
            });
            old.sort_by_key(|id| (self.tasks[id].finished_at, *id));
            old.truncate(left);
            left -= old.len();
            for id in old {
                self.tasks.remove(&id);
            }
        }
    }

    pub(crate) fn counts(&self) -> Vec<QueueCount> {
        let mut counts: BTreeMap<&str, QueueCount> = BTreeMap::new();
        for (kind, ever) in &self.ever {
            let count = counts.entry(kind).or_default();
            (count.kind, count.ever) = (kind.clone(), *ever);
        }
        for task in self.tasks.values() {
            let count = counts.get_mut(task.new.kind.as_str()).unwrap();
            *state_count(count, task.state) += 1;
            if task.state == TaskState::Queued {
                let oldest = count.oldest_queued.get_or_insert(Timestamp(task.run_at));
                oldest.0 = oldest.0.min(task.run_at);
            }
        }
        counts.into_values().collect()
    }
}

fn ids(tasks: &BTreeMap<i64, Known>, is_wanted: impl Fn(&Known) -> bool) -> Vec<i64> {
    let wanted = tasks.iter().filter(|(_, task)| is_wanted(task));
    wanted.map(|(id, _)| *id).collect()
}
