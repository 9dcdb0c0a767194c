//! The thread that talks to the store: it claims as many tasks as there are
//! free slots and finishes what the slots hand back, both in batches.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use store::{Claim, ClaimedTask, Finish, KindLimit, TaskEnd};
use types::TaskId;

use super::kind::{Foreground, StopReason, TaskContext};
use super::shared::{Ending, LEASE_FOR, Message, Running, Shared, lock};

/// Short tasks are claimed ahead for about this long, so that the store is not
/// asked for each of them; a more urgent task waits no longer for it.
const AHEAD: Duration = Duration::from_millis(50);
const AHEAD_MAX: usize = 256;
/// Runs longer than this are never claimed ahead of.
const SHORT: Duration = Duration::from_millis(20);

/// The thread that talks to the store.
pub(super) struct Foreman<'a> {
    shared: &'a Arc<Shared>,
    inbox: &'a Receiver<Message>,
    bell: &'a Receiver<()>,
    finishes: Vec<(Arc<Running>, Finish)>,
    /// How long tasks took lately, as a moving mean; `None` before the first.
    mean: Option<Duration>,
    adopted: VecDeque<(ClaimedTask, Option<Arc<Foreground>>)>,
    waited_for: HashSet<TaskId>,
}

impl<'a> Foreman<'a> {
    pub(super) fn new(
        shared: &'a Arc<Shared>,
        inbox: &'a Receiver<Message>,
        bell: &'a Receiver<()>,
    ) -> Self {
        Foreman {
            shared,
            inbox,
            bell,
            finishes: Vec::new(),
            mean: None,
            adopted: VecDeque::new(),
            waited_for: HashSet::new(),
        }
    }

    pub(super) fn run(mut self) {
        let mut asleep = Duration::ZERO;
        loop {
            match self.inbox.recv_timeout(asleep) {
                Ok(message) => self.hear(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            while let Ok(message) = self.inbox.try_recv() {
                self.hear(message);
            }
            // Before looking, so that what is committed while looking rings again.
            while self.bell.try_recv().is_ok() {}
            // What cannot be finished while one database is away keeps nothing
            // of the others from being started.
            let finished = self.finish();
            let started = self.start();
            let worked = finished.and(started);
            asleep = match worked {
                Ok(true) => Duration::ZERO,
                Ok(false) => self.until_due(),
                Err(error) => {
                    tracing::error!(error = %format!("{error:#}"), "the worker could not reach the store; trying again");
                    Duration::from_secs(1)
                }
            };
            if self.shared.stopping.load(Ordering::SeqCst)
                && self.finishes.is_empty()
                && lock(&self.shared.running).is_empty()
            {
                break;
            }
        }
        if let Err(error) = self
            .shared
            .services
            .store
            .release_tasks(self.shared.owner())
        {
            *lock(&self.shared.trouble) = Some(format!("give tasks back: {error:#}"));
        }
        self.shared.ended.store(true, Ordering::SeqCst);
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Wake => {}
            Message::Adopt(task, foreground) => {
                self.waited_for.insert(task.id);
                self.adopted.push_back((task, foreground));
            }
            Message::Ended {
                running,
                end,
                follow_ups,
                took,
            } => {
                let task = &running.context.task;
                let metrics = &self.shared.services.metrics.tasks;
                metrics.ended(&task.kind, &end, took);
                // Of what the slots run, which is claimed ahead.
                if !self.shared.options.is_light(&task.kind) {
                    let mean = self.mean.unwrap_or(took);
                    self.mean = Some((mean * 7 + took) / 8);
                }
                let finish = Finish {
                    task: running.context.task.task_ref(),
                    end,
                    follow_ups,
                };
                self.finishes.push((running, finish));
            }
        }
    }

    fn finish(&mut self) -> Result<()> {
        if self.finishes.is_empty() {
            return Ok(());
        }
        let finishes = self.finishes.iter().map(|(_, f)| f.clone()).collect();
        self.shared.services.store.finish_tasks(finishes)?;
        let mut running = lock(&self.shared.running);
        for (was, finish) in self.finishes.drain(..) {
            let id = finish.task.id;
            // The same task may run again already, under a later epoch.
            if running.get(&id).is_some_and(|now| Arc::ptr_eq(now, &was)) {
                running.remove(&id);
            }
            if self.waited_for.remove(&id) {
                let ending = ending(&finish);
                lock(&self.shared.ends).insert(id, ending);
                self.shared.ended_one.notify_all();
            }
        }
        Ok(())
    }

    /// Fills the slots. True when there may be more to claim at once.
    fn start(&mut self) -> Result<bool> {
        while let Some((task, foreground)) = self.adopted.pop_front() {
            self.give(task, foreground);
        }
        if self.shared.stopping.load(Ordering::SeqCst) || self.shared.options.claims.is_empty() {
            return Ok(false);
        }
        let slots = self.shared.slots.load(Ordering::SeqCst);
        let ahead = self.ahead(slots);
        self.claim_light()?;
        let busy = lock(&self.shared.running).len();
        let busy = busy.saturating_sub(self.light());
        // Claims come in batches: not one for each task that ends.
        if busy > slots.saturating_sub(1) + ahead / 2 {
            return Ok(false);
        }
        let limit = (slots + ahead).saturating_sub(busy);
        let claimed = self.claim(limit, self.shared.options.kind_limits(false))?;
        Ok(claimed > 0 && claimed == limit && ahead > 0)
    }

    /// One light task of each kind runs beside the slots: those that wait for
    /// slow endpoints hold up no others.
    fn claim_light(&self) -> Result<()> {
        loop {
            let mut kinds = self.shared.options.kind_limits(true);
            let running = lock(&self.shared.running);
            let is_running = |kind: &KindLimit| {
                let mut tasks = running.values().map(|running| &running.context.task);
                tasks.any(|task| task.kind == kind.kind)
            };
            kinds.retain(|kind| !is_running(kind));
            drop(running);
            if self.claim(1, kinds)? == 0 {
                return Ok(());
            }
        }
    }

    /// Light tasks that run.
    fn light(&self) -> usize {
        let running = lock(&self.shared.running);
        let kinds = running.values().map(|running| &running.context.task.kind);
        kinds
            .filter(|kind| self.shared.options.is_light(kind))
            .count()
    }

    /// Takes up to `limit` tasks of these kinds; how many there were.
    fn claim(&self, limit: usize, kinds: Vec<KindLimit>) -> Result<usize> {
        let store = &self.shared.services.store;
        if limit == 0 || kinds.is_empty() || !store.may_claim(&kinds)? {
            return Ok(0);
        }
        let claim = Claim {
            owner: self.shared.owner().to_owned(),
            lease_until: self.shared.services.app.clock.now().plus(LEASE_FOR),
            limit,
            kinds,
            only: None,
        };
        let claimed = store.claim_tasks(&claim)?;
        let count = claimed.len();
        for task in claimed {
            self.give(task, None);
        }
        Ok(count)
    }

    fn give(&self, task: ClaimedTask, foreground: Option<Arc<Foreground>>) {
        let id = task.id;
        let running = Arc::new(Running {
            context: TaskContext::new(task, self.shared.services.clone(), foreground),
            begun: Mutex::default(),
            told: Mutex::default(),
            abandoned: AtomicBool::new(false),
            shown: Mutex::default(),
        });
        if self.shared.stopping.load(Ordering::SeqCst) {
            running.tell(StopReason::Shutdown);
        }
        lock(&self.shared.running).insert(id, running.clone());
        if self.shared.options.is_light(&running.context.task.kind) {
            match self.shared.start_light(running.clone()) {
                Ok(()) => return,
                Err(error) => {
                    tracing::error!(error = %format!("{error:#}"), "a light task has to wait for a slot");
                }
            }
        }
        // The receiving end lives as long as `shared`.
        let _ = self.shared.work.send(running);
    }

    /// How many tasks to claim beyond the free slots.
    fn ahead(&self, slots: usize) -> usize {
        match self.mean {
            Some(mean) if mean < SHORT => {
                let each = mean.max(Duration::from_micros(10)).as_secs_f64();
                let fits = (AHEAD.as_secs_f64() / each) as usize * slots;
                fits.min(AHEAD_MAX)
            }
            _ => 0,
        }
    }

    /// Until the next scheduled task is due. Commits of this process wake the
    /// foreman, the watch tells it of those of others.
    fn until_due(&self) -> Duration {
        const LONG: Duration = Duration::from_secs(3600);
        let now = self.shared.services.app.clock.now();
        match self.shared.services.store.next_run_at() {
            Ok(Some(at)) if at > now => at.since(now).min(LONG),
            // Due, but kept back by a limit or a pause: an end or a commit wakes us.
            _ => LONG,
        }
    }
}

fn ending(finish: &Finish) -> Ending {
    let error = match &finish.end {
        TaskEnd::Failed { error } | TaskEnd::Retry { error, .. } => Some(error.clone()),
        TaskEnd::Snooze { why, .. } => Some(why.clone()),
        TaskEnd::Succeeded { .. } | TaskEnd::Released | TaskEnd::Cancelled => None,
    };
    Ending { error }
}
