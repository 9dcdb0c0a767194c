//! What the threads of one worker share: the tasks it runs, its slots, and the
//! messages between them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, Sender};
use store::{ClaimedTask, KindLimit, Store, StoreError, StoreErrorKind, TaskEnd, TaskRef};
use types::TaskId;

use super::kind::{Foreground, Outcome, StopReason, TaskContext, TaskKind};
use super::run::{end_of, run_one};
use super::slots::SlotPolicy;
use crate::services::Services;

/// How long a lease holds without another heartbeat.
pub const LEASE_FOR: Duration = Duration::from_secs(60);
#[derive(Clone)]
pub struct WorkerOptions {
    /// What it can run.
    pub kinds: Vec<Arc<dyn TaskKind>>,
    /// Which of them it takes from the queue.
    pub claims: Vec<&'static str>,
    pub slots: SlotPolicy,
    /// After being told to stop, a run has so long before it is given up.
    pub grace: Duration,
}

impl WorkerOptions {
    /// What it takes from the queue into its slots, or beside them, and how
    /// much of each at most.
    pub(super) fn kind_limits(&self, light: bool) -> Vec<KindLimit> {
        let claimed = |kind: &&Arc<dyn TaskKind>| {
            kind.is_light() == light && self.claims.contains(&kind.name())
        };
        let kinds = self.kinds.iter().filter(claimed);
        kinds
            .map(|kind| KindLimit {
                kind: kind.name().to_owned(),
                running_max: kind.running_max(),
            })
            .collect()
    }

    pub(super) fn is_light(&self, kind: &str) -> bool {
        let named = self.kinds.iter().find(|known| known.name() == kind);
        named.is_some_and(|kind| kind.is_light())
    }
}

pub(super) struct Shared {
    pub(super) services: Arc<Services>,
    pub(super) options: WorkerOptions,
    pub(super) running: Mutex<HashMap<TaskId, Arc<Running>>>,
    pub(super) slots: AtomicUsize,
    pub(super) stopping: AtomicBool,
    /// Nothing runs and nothing will: the watch may end.
    pub(super) ended: AtomicBool,
    pub(super) messages: Sender<Message>,
    pub(super) work: Sender<Arc<Running>>,
    pub(super) work_out: Receiver<Arc<Running>>,
    pub(super) ends: Mutex<HashMap<TaskId, Ending>>,
    pub(super) ended_one: Condvar,
    pub(super) trouble: Mutex<Option<String>>,
    /// Another process told of a commit for workers: perhaps somebody is to stop.
    pub(super) heard: Arc<AtomicBool>,
}

/// A task in one of this worker's slots, or on its way to one.
pub(super) struct Running {
    pub(super) context: TaskContext,
    pub(super) begun: Mutex<Option<Instant>>,
    /// When it was told to stop.
    pub(super) told: Mutex<Option<Instant>>,
    /// Its slot was given up; what it returns is thrown away.
    pub(super) abandoned: AtomicBool,
    pub(super) shown: Mutex<types::Progress>,
}

pub(super) enum Message {
    /// There may be something to claim.
    Wake,
    Ended {
        running: Arc<Running>,
        end: TaskEnd,
        follow_ups: Vec<store::NewTask>,
        took: Duration,
    },
    Adopt(ClaimedTask, Option<Arc<Foreground>>),
}

/// How a task that was waited for ended.
#[derive(Clone, Debug)]
pub struct Ending {
    pub error: Option<String>,
}

impl Shared {
    pub(super) fn owner(&self) -> &str {
        self.services.store.instance()
    }

    pub(super) fn wake(&self) {
        let _ = self.messages.send(Message::Wake);
    }

    pub(super) fn stop(&self) {
        if !self.stopping.swap(true, Ordering::SeqCst) {
            for running in lock(&self.running).values() {
                running.tell(StopReason::Shutdown);
            }
        }
        self.wake();
    }

    /// Puts the tasks of processes that are gone back into the queue.
    pub(super) fn rescue(&self) -> Result<()> {
        let store = &self.services.store;
        let shards = store.shards();
        for shard in &shards {
            match self.rescue_in(shard) {
                // Its tasks wait for it; those of others are looked for.
                Err(error) if shards.len() > 1 && error.kind() == StoreErrorKind::Unavailable => {
                    tracing::debug!(%error, "lost tasks of a database are not looked for");
                }
                looked => looked?,
            }
        }
        let leases = store.host_lease_owners()?;
        let lost = store.lost_owners(&leases);
        if !lost.is_empty() {
            store.drop_host_leases(&lost, self.services.app.clock.now())?;
        }
        Ok(())
    }

    fn rescue_in(&self, store: &Store) -> Result<(), StoreError> {
        let owners = store.running_owners()?;
        let lost = store.lost_owners(&owners);
        if !lost.is_empty() {
            let report = store.rescue_tasks(&lost, false)?;
            let rescued = report.queued.len() + report.dead.len();
            self.services
                .metrics
                .tasks
                .taken_over
                .inc_by(rescued as u64);
            tracing::info!(
                queued = report.queued.len(),
                dead = report.dead.len(),
                "took over tasks of a worker that is gone"
            );
        }
        Ok(())
    }

    /// A thread that runs one task after the other.
    pub(super) fn start_slot(self: &Arc<Self>) -> Result<()> {
        let (work, messages) = (self.work_out.clone(), self.messages.clone());
        let kinds = self.kinds();
        std::thread::Builder::new()
            .name("slot".into())
            .spawn(move || {
                while let Ok(running) = work.recv() {
                    if !run_here(&kinds, running, &messages) {
                        return;
                    }
                }
            })
            .context("start a worker thread")?;
        Ok(())
    }

    /// A thread for one light task.
    pub(super) fn start_light(&self, running: Arc<Running>) -> Result<()> {
        let (kinds, messages) = (self.kinds(), self.messages.clone());
        std::thread::Builder::new()
            .name("light".into())
            .spawn(move || run_here(&kinds, running, &messages))
            .context("start a thread for a light task")?;
        Ok(())
    }

    fn kinds(&self) -> Kinds {
        let kinds = self.options.kinds.iter();
        kinds.map(|kind| (kind.name(), kind.clone())).collect()
    }

    /// Gives up on a run that does not stop: its slot is filled anew and the
    /// task's end is what it would have been had it stopped.
    pub(super) fn abandon(self: &Arc<Self>, running: &Arc<Running>) {
        if running.abandoned.swap(true, Ordering::SeqCst) {
            return;
        }
        let task = &running.context.task;
        tracing::error!(task = %task.id, kind = %task.kind, "the task does not stop; its thread is given up");
        if !self.stopping.load(Ordering::SeqCst)
            && !self.options.is_light(&task.kind)
            && let Err(error) = self.start_slot()
        {
            tracing::error!(%error, "could not fill the slot anew");
        }
        let end = end_of(&running.context, None, Ok(Outcome::Stopped));
        let _ = self.messages.send(Message::Ended {
            running: running.clone(),
            end,
            follow_ups: Vec::new(),
            took: task.timeout,
        });
    }
}

type Kinds = HashMap<&'static str, Arc<dyn TaskKind>>;

/// Runs a task on this thread and tells of its end. False when the run was
/// given up meanwhile: another thread has this one's place.
fn run_here(kinds: &Kinds, running: Arc<Running>, messages: &Sender<Message>) -> bool {
    let start = Instant::now();
    *lock(&running.begun) = Some(start);
    let (task, services) = (&running.context.task, &running.context.services);
    let waited = services.app.clock.now().since(task.run_at);
    services.metrics.tasks.begun(&task.kind, waited);
    let (end, follow_ups) = run_one(kinds, &running.context);
    if running.abandoned.load(Ordering::SeqCst) {
        return false;
    }
    let ended = Message::Ended {
        running,
        end,
        follow_ups,
        took: start.elapsed(),
    };
    messages.send(ended).is_ok()
}

impl Running {
    pub(super) fn tell(&self, reason: StopReason) {
        self.context.switch.stop(reason);
        lock(&self.told).get_or_insert_with(Instant::now);
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Needed by the watch to save progress.
pub(super) fn task_ref(running: &Running) -> TaskRef {
    running.context.task.task_ref()
}
