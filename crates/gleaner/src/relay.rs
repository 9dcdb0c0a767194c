//! Commits of this process, told to the others of the deployment by the bus,
//! and theirs, passed on to whoever listens here: workers, the index, event
//! streams. So nobody waits for the next look at the database.
//!
//! The bus loses messages, and is away with Redis. Everybody who listens looks
//! by itself as well (`store.poll_ms`), so what is lost is time.
//! Messages say as much as everybody needs to know: whether there is something
//! for workers. They are few, whatever is written: see [`Pace`].

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use guard::{Bus, Heard, Redis};
use store::{Commit, Store, Subscription};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

/// Least time between two messages of a process, and between two that it
/// passes on to its threads, when one is for workers. The first comes at once.
const WORK_EVERY: Duration = Duration::from_millis(20);
/// The same for all else: as often as event streams and the index look.
const NEWS_EVERY: Duration = Duration::from_millis(100);

/// The one message that is not for workers.
const NEWS: &[u8] = b"news";
const WORK: &[u8] = b"work";

/// What went over the bus since this process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RelayStats {
    pub told: u64,
    pub heard: u64,
    /// Times that messages may not have arrived.
    pub missed: u64,
}

/// Running until it is dropped.
pub struct Relay {
    _bell: Subscription,
    counters: Arc<Counters>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Counters {
    told: AtomicU64,
    heard: AtomicU64,
    missed: AtomicU64,
}

/// Own commits that were not told yet.
#[derive(Debug, Default)]
struct Rung {
    is_for_workers: AtomicBool,
    any: Notify,
}

impl Relay {
    /// `None` for a database that only processes of this machine can have open:
    /// nothing tells it from one of the same name elsewhere, and a look at it
    /// costs next to nothing.
    pub fn start(store: &Store, redis: &Redis) -> Result<Option<Relay>> {
        let Some(database) = store.database_id() else {
            return Ok(None);
        };
        let rung: Arc<Rung> = Arc::default();
        let bell = {
            let rung = rung.clone();
            store.on_any_commit(Arc::new(move |commit: Commit| {
                if commit.is_own {
                    let is_for_workers = commit.is_for_workers;
                    rung.is_for_workers
                        .fetch_or(is_for_workers, Ordering::SeqCst);
                    rung.any.notify_one();
                }
            }))
        };
        let counters: Arc<Counters> = Arc::default();
        let topic = format!("commits {database}");
        let bus = Bus::new(Some(redis.clone()));
        let mut others = bus.subscribe(&topic);
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .context("start the relay's runtime")?;
        let thread = {
            let (store, counters) = (store.clone(), counters.clone());
            let relayed = async move {
                tokio::select! {
                    _ = stopped => {}
                    () = relay(&store, (&bus, &topic), &mut others, &rung, &counters) => {}
                }
            };
            std::thread::Builder::new()
                .name("relay".into())
                .spawn(move || runtime.block_on(relayed))
                .context("start the relay's thread")?
        };
        Ok(Some(Relay {
            _bell: bell,
            counters,
            stop: Some(stop),
            thread: Some(thread),
        }))
    }

    pub fn stats(&self) -> RelayStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RelayStats {
            told: read(&self.counters.told),
            heard: read(&self.counters.heard),
            missed: read(&self.counters.missed),
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the relay's thread panicked");
        }
    }
}

async fn relay(
    store: &Store,
    (bus, topic): (&Bus, &str),
    others: &mut guard::Subscription,
    rung: &Rung,
    counters: &Counters,
) {
    let (mut to_tell, mut to_pass_on) = (Pace::default(), Pace::default());
    let add = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
    loop {
        // All of these may be left waiting without losing anything.
        tokio::select! {
            () = rung.any.notified() => {
                to_tell.add(rung.is_for_workers.swap(false, Ordering::SeqCst));
            }
            heard = others.next() => match heard {
                Heard::Message(message) => {
                    add(&counters.heard);
                    to_pass_on.add(message != NEWS);
                }
                Heard::Missed => {
                    add(&counters.missed);
                    to_pass_on.add(true);
                    // What was told meanwhile arrived nowhere, either.
                    to_tell.add(true);
                }
            },
            is_for_workers = to_tell.due() => {
                let message = if is_for_workers { WORK } else { NEWS };
                let told = bus.publish_to_others(topic, message);
                told.expect("bug: a message of four letters is too long");
                add(&counters.told);
            }
            is_for_workers = to_pass_on.due() => store.heard_of_commit(is_for_workers),
        }
    }
}

/// News that are put together until it is time for them again.
#[derive(Debug, Default)]
struct Pace {
    /// Whether they are for workers; `None`: there are none.
    waits: Option<bool>,
    last: Option<Instant>,
}

impl Pace {
    fn add(&mut self, is_for_workers: bool) {
        self.waits = Some(self.waits.unwrap_or(false) || is_for_workers);
    }

    /// When it is time for what waits; `None` while nothing does.
    fn due_at(&self, now: Instant) -> Option<Instant> {
        let every = match self.waits? {
            true => WORK_EVERY,
            false => NEWS_EVERY,
        };
        Some(self.last.map_or(now, |last| last + every))
    }

    fn take(&mut self, now: Instant) -> bool {
        self.last = Some(now);
        self.waits.take().unwrap_or(false)
    }

    /// Takes what waits once it is time for it.
    async fn due(&mut self) -> bool {
        match self.due_at(Instant::now()) {
            Some(at) => sleep_until(at).await,
            None => pending().await,
        }
        self.take(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_come_at_once_then_in_their_pace_and_together() {
        let mut pace = Pace::default();
        let begun = Instant::now();
        assert_eq!(pace.due_at(begun), None);
        pace.add(false);
        assert_eq!(pace.due_at(begun), Some(begun));
        assert!(!pace.take(begun));
        assert_eq!(pace.due_at(begun), None);

        pace.add(false);
        assert_eq!(pace.due_at(begun), Some(begun + NEWS_EVERY));
        pace.add(true);
        pace.add(false);
        assert_eq!(pace.due_at(begun), Some(begun + WORK_EVERY));
        assert!(pace.take(begun + WORK_EVERY));

        pace.add(false);
        let due = begun + WORK_EVERY + NEWS_EVERY;
        assert_eq!(pace.due_at(begun), Some(due));
    }
}
