//! A worker: claims tasks, runs them, and tells the store how they ended.
//!
//! Three kinds of thread. The *foreman* ([`super::foreman`]) talks to the
//! store. Each *slot* ([`super::shared`]) runs one task at a time, on a thread
//! of its own, so that a task which never yields holds up nobody else. The
//! *watch* ([`super::watch`]) keeps leases alive and passes on who should stop.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use crossbeam_channel::{bounded, unbounded};
use store::{ClaimedTask, Subscription};
use types::TaskId;

use super::foreman::Foreman;
use super::kind::Foreground;
use super::shared::{Ending, Message, Shared, WorkerOptions, lock};
use super::watch::Watch;
use crate::services::Services;

/// A running worker; dropping it stops it.
pub struct Worker {
    shared: Arc<Shared>,
    foreman: Option<JoinHandle<()>>,
    watch: Option<JoinHandle<()>>,
    _bell: Subscription,
}

impl Worker {
    pub fn start(services: &Arc<Services>, options: WorkerOptions) -> Result<Worker> {
        services.takes_from_queue(&options.claims);
        let (messages, inbox) = unbounded();
        let (work, work_out) = unbounded();
        let shared = Arc::new(Shared {
            services: services.clone(),
            slots: AtomicUsize::new(options.slots.start()),
            options,
            running: Mutex::default(),
            stopping: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            messages: messages.clone(),
            work,
            work_out,
            ends: Mutex::default(),
            ended_one: Condvar::new(),
            trouble: Mutex::default(),
            heard: Arc::default(),
        });
        let (rung, bell) = bounded::<()>(1);
        let wake = messages.clone();
        // One waiting wake-up is enough; the foreman takes it with all others.
        let bell_in = rung.clone();
        let heard = shared.heard.clone();
        let subscription = services.store.on_any_commit(Arc::new(move |commit| {
            if !commit.is_own {
                // Most commits of others are pages of theirs.
                if !commit.is_for_workers {
                    return;
                }
                heard.store(true, Ordering::SeqCst);
            }
            if bell_in.try_send(()).is_ok() {
                let _ = wake.send(Message::Wake);
            }
        }));
        shared.rescue()?;
        for _ in 0..shared.options.slots.max.max(1) {
            shared.start_slot()?;
        }
        let foreman = {
            let shared = shared.clone();
            std::thread::Builder::new()
                .name("foreman".into())
                .spawn(move || Foreman::new(&shared, &inbox, &bell).run())
                .context("start the foreman thread")?
        };
        let watch = {
            let shared = shared.clone();
            std::thread::Builder::new()
                .name("watch".into())
                .spawn(move || Watch::new(shared).run())
                .context("start the watch thread")?
        };
        shared.wake();
        Ok(Worker {
            shared,
            foreman: Some(foreman),
            watch: Some(watch),
            _bell: subscription,
        })
    }

    /// Runs a task that its caller claimed.
    pub fn adopt(&self, task: ClaimedTask, foreground: Option<Arc<Foreground>>) {
        let _ = self.shared.messages.send(Message::Adopt(task, foreground));
    }

    /// Waits for the end of an adopted task. `None` after `patience`.
    pub fn wait(&self, task: TaskId, patience: Duration) -> Option<Ending> {
        let mut ends = lock(&self.shared.ends);
        let until = Instant::now() + patience;
        loop {
            if let Some(ending) = ends.get(&task) {
                return Some(ending.clone());
            }
            let left = until.checked_duration_since(Instant::now())?;
            ends = self
                .shared
                .ended_one
                .wait_timeout(ends, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Tells everything to stop. May be called twice; does not wait.
    pub fn stop(&self) {
        self.shared.stop();
    }

    #[cfg(test)]
    pub(super) fn rescue(&self) -> Result<()> {
        self.shared.rescue()
    }

    /// Tasks running now.
    pub fn running(&self) -> usize {
        lock(&self.shared.running).len()
    }

    /// Stops and waits until everything has ended or been given up, at most
    /// the grace period; what is left goes back into the queue.
    pub fn join(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        self.shared.stop();
        for thread in [self.foreman.take(), self.watch.take()]
            .into_iter()
            .flatten()
        {
            if thread.join().is_err() {
                anyhow::bail!("bug: a thread of the worker panicked");
            }
        }
        match lock(&self.shared.trouble).take() {
            Some(trouble) => anyhow::bail!(trouble),
            None => Ok(()),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.foreman.is_some()
            && let Err(error) = self.end()
        {
            tracing::error!(%error, "the worker ended badly");
        }
    }
}
