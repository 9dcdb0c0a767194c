//! What a kind of task is, and what it sees while it runs.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use store::{ClaimedTask, NewTask, Store, StoreError};
use tokio::sync::watch;
use types::{Progress, TaskId};

use super::outcome::CrawlOutcome;
use super::summarize::SummarizeOutcome;
use crate::pipeline::progress::Progress as CrawlProgress;
use crate::services::Services;
use crate::summaries::batch::{PageDone, Report};

/// One kind of work. Runs must be idempotent: a killed worker's task is run
/// again from its start, with whatever the first run had committed in place.
pub trait TaskKind: Send + Sync {
    /// Stable name, stored with every task.
    fn name(&self) -> &'static str;

    /// How many run at a time, in all processes together; 0: no limit.
    fn running_max(&self) -> u32 {
        0
    }

    /// True when a run mostly waits for the network. One such task of each kind
    /// runs beside those in the slots, so that no long crawl keeps it waiting.
    fn is_light(&self) -> bool {
        false
    }

    /// Longest waits between attempts.
    fn retry(&self) -> RetryDelay {
        RetryDelay::Exponential
    }

    /// True when a run that ran out of time goes on later where it stopped, so
    /// that long work is done in slices and burns no attempts.
    fn goes_on(&self) -> bool {
        false
    }

    fn run(&self, context: &TaskContext) -> Result<Outcome, TaskFailure>;
}

/// A run that came to an end of its own.
#[derive(Debug)]
pub enum Outcome {
    Done {
        result: Option<serde_json::Value>,
        follow_ups: Vec<NewTask>,
    },
    /// It heeded [`TaskContext::stop`]; what that means depends on the reason.
    Stopped,
    /// Not now: burns no attempt.
    Later { after: Duration, why: String },
}

impl Outcome {
    pub fn done(result: impl serde::Serialize) -> Result<Outcome, TaskFailure> {
        let result = serde_json::to_value(result).map_err(|e| TaskFailure::Permanent(e.into()))?;
        Ok(Outcome::Done {
            result: Some(result),
            follow_ups: Vec::new(),
        })
    }
}

#[derive(Debug)]
pub enum TaskFailure {
    /// Another attempt would fail as well.
    Permanent(anyhow::Error),
    /// Another attempt may do better.
    Transient(anyhow::Error),
}

impl From<anyhow::Error> for TaskFailure {
    fn from(error: anyhow::Error) -> TaskFailure {
        TaskFailure::Transient(error)
    }
}

impl From<store::StoreError> for TaskFailure {
    fn from(error: store::StoreError) -> TaskFailure {
        TaskFailure::Transient(error.into())
    }
}

/// Waits between attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryDelay {
    /// 60, 120, 240 s and so on: a site that is down stays so for a while.
    Crawl,
    /// 2^attempt seconds with up to half of it as jitter, at most an hour.
    Exponential,
}

impl RetryDelay {
    /// Before the attempt after `attempt` (the first is 1). `random` is any number.
    pub fn after(self, attempt: u32, random: u64) -> Duration {
        let doubled = |base: u64, times: u32| base.saturating_mul(1 << times.min(20));
        match self {
            RetryDelay::Crawl => {
                Duration::from_secs(doubled(60, attempt.saturating_sub(1)).min(3600))
            }
            RetryDelay::Exponential => {
                let seconds = doubled(1, attempt).min(3600);
                Duration::from_millis(seconds * 1000 + random % (seconds * 500))
            }
        }
    }
}

/// Why a run should stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum StopReason {
    /// Someone cancelled the task.
    Cancelled = 1,
    /// Its time is up.
    TimedOut = 2,
    /// The worker ends.
    Shutdown = 3,
    /// Another worker has the task.
    Lost = 4,
}

/// Tells a run to stop; the first reason stands.
#[derive(Debug)]
pub struct StopSwitch {
    sender: watch::Sender<bool>,
    reason: AtomicU8,
}

impl Default for StopSwitch {
    fn default() -> StopSwitch {
        StopSwitch {
            sender: watch::Sender::new(false),
            reason: AtomicU8::new(0),
        }
    }
}

impl StopSwitch {
    pub fn stop(&self, reason: StopReason) {
        let first =
            self.reason
                .compare_exchange(0, reason as u8, Ordering::AcqRel, Ordering::Acquire);
        if first.is_ok() {
            self.sender.send_replace(true);
        }
    }

    pub fn reason(&self) -> Option<StopReason> {
        match self.reason.load(Ordering::Acquire) {
            1 => Some(StopReason::Cancelled),
            2 => Some(StopReason::TimedOut),
            3 => Some(StopReason::Shutdown),
            4 => Some(StopReason::Lost),
            _ => None,
        }
    }
}

/// A person who waits at a terminal for one crawl, or for summaries.
#[derive(Default)]
pub struct Foreground {
    pub progress: Arc<CrawlProgress>,
    /// How the crawl ended, also when it was interrupted.
    pub outcome: Mutex<Option<CrawlOutcome>>,
    /// Told of every page that was summarised.
    pub on_page: Option<OnPage>,
    /// What the summaries came to so far.
    pub summary: Mutex<Option<SummarizeOutcome>>,
}

type OnPage = Box<dyn Fn(&PageDone, &Report) + Send + Sync>;

type Gauge = Box<dyn Fn() -> Progress + Send>;

/// What a running task sees of its worker.
pub struct TaskContext {
    pub task: ClaimedTask,
    pub services: Arc<Services>,
    /// Set when a command runs this task itself.
    pub foreground: Option<Arc<Foreground>>,
    pub(super) switch: StopSwitch,
    gauge: Mutex<Option<Gauge>>,
}

impl TaskContext {
    pub(super) fn new(
        task: ClaimedTask,
        services: Arc<Services>,
        foreground: Option<Arc<Foreground>>,
    ) -> TaskContext {
        TaskContext {
            task,
            services,
            foreground,
            switch: StopSwitch::default(),
            gauge: Mutex::new(None),
        }
    }

    /// With the database alone that has the task, and so all that it is about.
    pub fn store(&self) -> Result<Store, StoreError> {
        self.services.store.shard_of_task(self.task.id)
    }

    pub fn id(&self) -> TaskId {
        self.task.id
    }

    /// Turns true when the run should stop.
    pub fn stop(&self) -> watch::Receiver<bool> {
        self.switch.sender.subscribe()
    }

    pub fn stop_reason(&self) -> Option<StopReason> {
        self.switch.reason()
    }

    /// How the progress is found out; asked a few times a second.
    pub fn show(&self, gauge: impl Fn() -> Progress + Send + 'static) {
        *self.gauge.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(gauge));
    }

    pub(super) fn progress(&self) -> Option<Progress> {
        let gauge = self.gauge.lock().unwrap_or_else(PoisonError::into_inner);
        gauge.as_ref().map(|gauge| gauge())
    }

    /// The payload as this version of the kind writes it.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<T, TaskFailure> {
        serde_json::from_str(&self.task.payload).map_err(|error| {
            TaskFailure::Permanent(anyhow::anyhow!(
                "the payload is not one that this version of `{}` understands: {error}",
                self.task.kind
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_delays() {
        let crawl: Vec<u64> = (1..=4)
            .map(|attempt| RetryDelay::Crawl.after(attempt, 7).as_secs())
            .collect();
        assert_eq!(crawl, [60, 120, 240, 480]);
        for (attempt, least) in [(1, 2.0), (2, 4.0), (3, 8.0), (30, 3600.0)] {
            for random in [0, 1, 999, u64::MAX] {
                let seconds = RetryDelay::Exponential.after(attempt, random).as_secs_f64();
                assert!(
                    (least..=least * 1.5).contains(&seconds),
                    "{attempt}: {seconds}"
                );
            }
        }
    }

    #[test]
    fn the_first_reason_to_stop_stands() {
        let switch = StopSwitch::default();
        let stopped = switch.sender.subscribe();
        assert_eq!((switch.reason(), *stopped.borrow()), (None, false));
        switch.stop(StopReason::TimedOut);
        switch.stop(StopReason::Cancelled);
        assert_eq!(switch.reason(), Some(StopReason::TimedOut));
        assert!(*stopped.borrow());
    }
}
