//! The worker's watch: a thread that no task can hold up. It renews leases,
//! saves progress, passes on cancellations, ends what takes too long, takes
//! over what dead processes left behind, and fits the slots to the load.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Result;
use store::Signal;
use types::{Progress, TaskId, Timestamp};

use super::kind::StopReason;
use super::shared::{LEASE_FOR, Running, Shared, lock, task_ref};
use super::slots::{LoadMeter, STEP_EVERY};

/// How often there is a look around. What other processes committed is looked
/// for every `store.poll_ms`: one read of the database's change counter.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A difference between the clock and the time that passed beyond which what
/// is due is looked up anew: the machine slept, or somebody set the clock.
const JUMP: Duration = Duration::from_secs(2);
const HEARTBEAT_EVERY: Duration = Duration::from_secs(LEASE_FOR.as_secs() / 3);

pub(super) struct Watch {
    shared: Arc<Shared>,
    meter: LoadMeter,
    last_heartbeat: Instant,
    last_step: Instant,
    last_look: (Instant, Timestamp),
    last_poll: Option<Instant>,
    data_version: u64,
    trouble: Option<String>,
}

impl Watch {
    pub(super) fn new(shared: Arc<Shared>) -> Watch {
        Watch {
            last_look: (Instant::now(), shared.services.app.clock.now()),
            shared,
            meter: LoadMeter::default(),
            last_heartbeat: Instant::now(),
            last_step: Instant::now(),
            last_poll: None,
            data_version: 0,
            trouble: None,
        }
    }

    pub(super) fn run(mut self) {
        while !self.shared.ended.load(Ordering::SeqCst) {
            std::thread::park_timeout(LOOK_EVERY);
            let trouble = self.look().err().map(|error| format!("{error:#}"));
            // Said once, and again when it changes.
            if let Some(text) = &trouble
                && self.trouble.as_ref() != Some(text)
            {
                tracing::error!(error = %text, "the worker's watch could not reach the store");
            }
            self.trouble = trouble;
        }
    }

    fn look(&mut self) -> Result<()> {
        let running: Vec<Arc<Running>> = lock(&self.shared.running).values().cloned().collect();
        self.end_overdue(&running);
        self.fit_slots(running.len());
        let jumped = self.clock_jumped();
        let metrics = &self.shared.services.metrics.tasks;
        metrics.slots_busy.set(running.len() as i64);
        metrics
            .slots
            .set(self.shared.slots.load(Ordering::SeqCst) as i64);
        // Whoever hears of a commit has woken the foreman himself.
        let heard = self.shared.heard.swap(false, Ordering::SeqCst);
        let changed = self.poll()?;
        if changed || jumped {
            self.shared.wake();
        }
        let store = &self.shared.services.store;
        let heartbeat_due = self.last_heartbeat.elapsed() >= HEARTBEAT_EVERY;
        if heartbeat_due {
            self.last_heartbeat = Instant::now();
            self.shared.rescue()?;
        }
        if !running.is_empty() {
            let mut signals = self.save_progress(&running)?;
            if heartbeat_due {
                let until = self.shared.services.app.clock.now().plus(LEASE_FOR);
                signals.extend(store.heartbeat(self.shared.owner(), until)?);
            } else if changed || heard {
                signals.extend(store.task_signals(self.shared.owner())?);
            }
            pass_on(&running, &signals);
        }
        Ok(())
    }

    /// Whether anybody committed anything since the last time, if it is time to
    /// look: perhaps another process that nobody told of.
    fn poll(&mut self) -> Result<bool> {
        let services = &self.shared.services;
        let every = services.app.poll_every();
        if self.last_poll.is_some_and(|last| last.elapsed() < every) {
            return Ok(false);
        }
        let version = services.store.data_version()?;
        self.last_poll = Some(Instant::now());
        Ok(std::mem::replace(&mut self.data_version, version) != version)
    }

    fn clock_jumped(&mut self) -> bool {
        let now = (Instant::now(), self.shared.services.app.clock.now());
        let (instant, clock) = std::mem::replace(&mut self.last_look, now);
        let passed = i64::try_from((now.0 - instant).as_millis()).unwrap_or(i64::MAX);
        let shown = now.1.0.saturating_sub(clock.0);
        let off_by = shown.saturating_sub(passed).unsigned_abs();
        off_by > JUMP.as_millis() as u64
    }

    fn save_progress(&self, running: &[Arc<Running>]) -> Result<Vec<(TaskId, Signal)>> {
        let mut changed: Vec<(store::TaskRef, Progress)> = Vec::new();
        for running in running {
            if running.abandoned.load(Ordering::SeqCst) {
                continue;
            }
            if let Some(now) = running.context.progress() {
                let mut shown = lock(&running.shown);
                if *shown != now {
                    shown.clone_from(&now);
                    changed.push((task_ref(running), now));
                }
            }
        }
        if changed.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.shared.services.store.update_progress(changed)?)
    }

    /// Tells runs whose time is up to stop, and gives up on those that do not.
    fn end_overdue(&self, running: &[Arc<Running>]) {
        let grace = self.shared.options.grace;
        for running in running {
            let begun = *lock(&running.begun);
            // A person at a terminal has Ctrl-C and wants no time limit.
            let timed = running.context.foreground.is_none();
            if timed && begun.is_some_and(|begun| begun.elapsed() >= running.context.task.timeout) {
                running.tell(StopReason::TimedOut);
            }
            let told = *lock(&running.told);
            if told.is_some_and(|told| told.elapsed() >= grace) {
                self.shared.abandon(running);
            }
        }
    }

    fn fit_slots(&mut self, running: usize) {
        if self.last_step.elapsed() < STEP_EVERY
            || (running == 0 && self.last_step.elapsed() < 5 * STEP_EVERY)
        {
            return;
        }
        self.last_step = Instant::now();
        let slots = self.shared.slots.load(Ordering::SeqCst);
        let load = self.meter.read(running);
        let next = self.shared.options.slots.step(slots, load);
        if next != slots {
            tracing::debug!(
                slots = next,
                cpu = load.cpu,
                memory_bytes = load.memory_bytes,
                running,
                "fitted the worker's slots"
            );
            self.shared.slots.store(next, Ordering::SeqCst);
            self.shared.wake();
        }
    }
}

fn pass_on(running: &[Arc<Running>], signals: &[(TaskId, Signal)]) {
    for (task, signal) in signals {
        for running in running.iter().filter(|r| r.context.task.id == *task) {
            running.tell(match signal {
                Signal::Cancel => StopReason::Cancelled,
                Signal::Lost => StopReason::Lost,
            });
        }
    }
}
