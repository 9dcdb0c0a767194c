//! Live progress: one thread reads what is watched, however many watch it.
//!
//! Each watched task or crawl is a slot with its newest state. Streams read
//! from slots at their own speed; one that is slow misses states in between
//! and holds no memory. An event's id names a state, so a stream that is
//! resumed with `Last-Event-ID` hears nothing twice.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, select};
use store::{Store, StoreError, StoreErrorKind, Subscription};
use tokio::sync::watch;
use types::{CrawlId, TaskId, TenantId};

use super::error::{ApiError, Code};
use crate::operations::crawls;
use crate::operations::sources::NotFound;
use crate::view::{CrawlView, TaskView};

/// Least time between two looks, so that a fast crawl does not keep the
/// thread busy.
const PAUSE: Duration = Duration::from_millis(100);

/// Something whose state can be streamed.
pub trait Watched: Clone + PartialEq + Send + Sync + 'static {
    /// Names this state.
    fn event_id(&self) -> String;
    /// Nothing will change any more.
    fn is_over(&self) -> bool;
}

impl Watched for TaskView {
    fn event_id(&self) -> String {
        format!("{}.{}.{}", self.state, self.attempt, self.progress_seq)
    }

    fn is_over(&self) -> bool {
        self.finished_at.is_some()
    }
}

impl Watched for CrawlView {
    fn event_id(&self) -> String {
        let ended = self.added + self.updated + self.unchanged + self.failed + self.skipped;
        format!("{}.{}.{ended}", self.status, self.found)
    }

    fn is_over(&self) -> bool {
        self.finished_at.is_some()
    }
}

/// The watched things of one type.
struct Slots<K, V> {
    slots: Mutex<HashMap<(TenantId, K), watch::Sender<V>>>,
}

impl<K: Copy + Eq + Hash, V: Watched> Slots<K, V> {
    fn new() -> Slots<K, V> {
        Slots {
            slots: Mutex::default(),
        }
    }

    fn watch(&self, tenant: TenantId, key: K, now: V) -> watch::Receiver<V> {
        let mut slots = lock(&self.slots);
        match slots.get(&(tenant, key)) {
            Some(slot) => slot.subscribe(),
            None => {
                let (slot, receiver) = watch::channel(now);
                slots.insert((tenant, key), slot);
                receiver
            }
        }
    }

    /// Reads each watched thing anew. Slots nobody reads go; so do those of
    /// things that are no more, which ends their streams.
    fn refresh(&self, read: impl Fn(TenantId, K) -> Result<V>) {
        let watched: Vec<(TenantId, K)> = {
            let mut slots = lock(&self.slots);
            slots.retain(|_, slot| slot.receiver_count() > 0);
            slots.keys().copied().collect()
        };
        for (tenant, key) in watched {
            let state = read(tenant, key);
            let mut slots = lock(&self.slots);
            match state {
                Ok(state) => {
                    if let Some(slot) = slots.get(&(tenant, key)) {
                        slot.send_if_modified(|known| {
                            let changed = *known != state;
                            if changed {
                                *known = state;
                            }
                            changed
                        });
                    }
                }
                Err(error) if is_not_found(&error) => {
                    slots.remove(&(tenant, key));
                }
                Err(error) => tracing::warn!(%error, "could not read what is being watched"),
            }
        }
    }

    /// Ends the streams of all.
    fn clear(&self) {
        lock(&self.slots).clear();
    }

    fn streams(&self) -> usize {
        lock(&self.slots)
            .values()
            .map(watch::Sender::receiver_count)
            .sum()
    }
}

pub struct Events {
    store: Store,
    watched: Arc<AllSlots>,
    streams_max: usize,
    is_closed: AtomicBool,
    /// Has the thread look.
    ring: Sender<()>,
    _bell: Subscription,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct AllSlots {
    tasks: Slots<TaskId, TaskView>,
    crawls: Slots<CrawlId, CrawlView>,
}

impl Events {
    /// `poll_every`: how often it is looked for commits that nobody told of.
    pub fn start(store: &Store, streams_max: usize, poll_every: Duration) -> Result<Events> {
        let watched = Arc::new(AllSlots {
            tasks: Slots::new(),
            crawls: Slots::new(),
        });
        let (ring, bell) = bounded::<()>(1);
        let rung = ring.clone();
        let subscription = store.on_any_commit(Arc::new(move |_| {
            // One ring that waits is enough.
            let _ = rung.try_send(());
        }));
        let (stop, stopped) = bounded::<()>(0);
        let thread = {
            let (store, watched) = (store.clone(), watched.clone());
            std::thread::Builder::new()
                .name("events".into())
                .spawn(move || look(&store, &watched, poll_every, &bell, &stopped))
                .context("start the events thread")?
        };
        Ok(Events {
            store: store.clone(),
            watched,
            streams_max,
            is_closed: AtomicBool::new(false),
            ring,
            _bell: subscription,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    pub fn watch_task(
        &self,
        tenant: TenantId,
        id: TaskId,
    ) -> Result<watch::Receiver<TaskView>, ApiError> {
        self.check_limit()?;
        let now = read_task(&self.store, tenant, id)?;
        let watching = self.watched.tasks.watch(tenant, id, now);
        self.look_again();
        Ok(watching)
    }

    pub fn watch_crawl(
        &self,
        tenant: TenantId,
        id: CrawlId,
    ) -> Result<watch::Receiver<CrawlView>, ApiError> {
        self.check_limit()?;
        let now = read_crawl(&self.store, tenant, id)?;
        let watching = self.watched.crawls.watch(tenant, id, now);
        self.look_again();
        Ok(watching)
    }

    /// What was committed before anybody watched rang for nobody.
    fn look_again(&self) {
        // Full: it is about to look.
        let _ = self.ring.try_send(());
    }

    /// Ends all streams, and lets none begin any more. May be called twice.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        self.watched.tasks.clear();
        self.watched.crawls.clear();
    }

    /// Streams that are open.
    pub fn streams(&self) -> usize {
        self.watched.tasks.streams() + self.watched.crawls.streams()
    }

    fn check_limit(&self) -> Result<(), ApiError> {
        if self.is_closed.load(Ordering::SeqCst) {
            let message = "the server is being stopped";
            return Err(ApiError::new(Code::Overloaded, message).after(1));
        }
        if self.streams() < self.streams_max {
            return Ok(());
        }
        let message = format!("{} event streams are open already", self.streams_max);
        Err(ApiError::new(Code::Overloaded, message).after(5))
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the events thread panicked");
        }
    }
}

fn look(
    store: &Store,
    watched: &AllSlots,
    poll_every: Duration,
    bell: &Receiver<()>,
    stopped: &Receiver<()>,
) {
    let mut version = None;
    // Ends when the sender is dropped.
    while stopped.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
        let rung = select! {
            recv(bell) -> rung => rung.is_ok(),
            recv(stopped) -> _ => return,
            default(poll_every) => false,
        };
        if watched.tasks.streams() + watched.crawls.streams() == 0 {
            version = None;
            continue;
        }
        let now = store.data_version().ok();
        if !rung && now.is_some() && now == version {
            continue;
        }
        version = now;
        watched
            .tasks
            .refresh(|tenant, id| read_task(store, tenant, id));
        watched
            .crawls
            .refresh(|tenant, id| read_crawl(store, tenant, id));
    }
}

fn read_task(store: &Store, tenant: TenantId, id: TaskId) -> Result<TaskView> {
    Ok(TaskView::new(&store.task(tenant, id)?))
}

fn read_crawl(store: &Store, tenant: TenantId, id: CrawlId) -> Result<CrawlView> {
    crawls::find(store, tenant, id).map(|crawl| CrawlView::new(&crawl))
}

fn is_not_found(error: &anyhow::Error) -> bool {
    error.is::<NotFound>()
        || error
            .downcast_ref::<StoreError>()
            .is_some_and(|error| error.kind() == StoreErrorKind::NotFound)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
