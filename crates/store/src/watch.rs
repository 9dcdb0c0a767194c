//! How others learn that something was written.

use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::error::Failure;
use crate::location::Location;
use crate::options::StoreOptions;
use crate::shard::Shard;
use crate::sql::Connection;
use crate::{Store, StoreError};

type Listener = Arc<dyn Fn(Commit) + Send + Sync>;

/// What is known of a commit that was heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Made by this process.
    pub is_own: bool,
    /// It changed which tasks may begin, or asked one to stop.
    pub is_for_workers: bool,
}

thread_local! {
    static IS_FOR_WORKERS: Cell<bool> = const { Cell::new(false) };
}

/// Called by writes that change which tasks may begin, or that ask one to stop.
pub(crate) fn note_for_workers() {
    IS_FOR_WORKERS.set(true);
}

/// Whether what was written on this thread since the last call noted that.
pub(crate) fn take_for_workers() -> bool {
    IS_FOR_WORKERS.take()
}

impl Store {
    /// Calls `listener` after each group that this process commits, before the
    /// writes in it return, until the subscription is dropped. It runs on the
    /// writer's thread: it must be quick, and must not use the store itself.
    /// A store opened for reading never calls it.
    #[must_use = "dropping the subscription ends it"]
    pub fn on_commit(&self, listener: Arc<dyn Fn() + Send + Sync>) -> Subscription {
        self.on_any_commit(Arc::new(move |commit| {
            if commit.is_own {
                listener();
            }
        }))
    }

    /// As [`Store::on_commit`], and also for commits of other processes, as far
    /// as [`Store::heard_of_commit`] is told of them.
    #[must_use = "dropping the subscription ends it"]
    pub fn on_any_commit(&self, listener: Listener) -> Subscription {
        let add = |shard: &Shard| {
            let bell = shard.bell();
            (Arc::downgrade(bell), bell.add(listener.clone()))
        };
        // What all wait for (a host that is free) is there.
        let is_among = self.all().any(|shard| std::ptr::eq(shard, self.home()));
        let home = (!is_among).then(|| self.home());
        Subscription {
            bells: self.all().chain(home).map(add).collect(),
        }
    }

    /// Passes on to listeners that another process committed.
    pub fn heard_of_commit(&self, is_for_workers: bool) {
        // Every listener is there, whatever else it listens to.
        self.home().bell().ring(Commit {
            is_own: false,
            is_for_workers,
        });
    }

    /// A number that differs from the last one asked of this handle if anybody,
    /// in this process or another, changed anything meanwhile. It says nothing
    /// else. Cheap enough to be polled.
    pub fn data_version(&self) -> Result<u64, StoreError> {
        let versions = self.gather(Shard::data_version)?;
        Ok(versions.into_iter().fold(0, u64::wrapping_add))
    }
}

/// Keeps a listener of [`Store::on_commit`] or [`Store::on_any_commit`] listening.
pub struct Subscription {
    bells: Vec<(Weak<Bell>, u64)>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        for (bell, id) in &self.bells {
            if let Some(bell) = bell.upgrade() {
                bell.remove(*id);
            }
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("databases", &self.bells.len())
            .finish_non_exhaustive()
    }
}

/// All who listen to one writer.
#[derive(Default)]
pub(crate) struct Bell {
    listeners: Mutex<Listeners>,
}

#[derive(Default)]
struct Listeners {
    last_id: u64,
    /// Shared, so that ringing holds no lock: a listener may unsubscribe.
    all: Arc<Vec<(u64, Listener)>>,
}

impl Bell {
    pub(crate) fn ring(&self, commit: Commit) {
        let all = self.lock().all.clone();
        for (_, listener) in all.iter() {
            if catch_unwind(AssertUnwindSafe(|| listener(commit))).is_err() {
                tracing::error!("a listener to commits panicked");
            }
        }
    }

    fn add(&self, listener: Listener) -> u64 {
        let mut listeners = self.lock();
        listeners.last_id += 1;
        let id = listeners.last_id;
        Arc::make_mut(&mut listeners.all).push((id, listener));
        id
    }

    fn remove(&self, id: u64) {
        Arc::make_mut(&mut self.lock().all).retain(|(other, _)| *other != id);
    }

    /// A panic elsewhere leaves the list consistent.
    fn lock(&self) -> MutexGuard<'_, Listeners> {
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection of its own: the number only compares within one connection,
/// and leaves out what that connection writes itself.
#[derive(Default)]
pub(crate) struct Watcher {
    connection: Mutex<Option<Connection>>,
}

impl Watcher {
    pub(crate) fn version(&self, location: &Location) -> Result<u64, Failure> {
        let mut slot = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let connection = match slot.take() {
            Some(connection) => connection,
            None => {
                let options = StoreOptions {
                    mmap_mb: 0,
                    ..StoreOptions::default()
                };
                location.open_reader(&options)?
            }
        };
        let version = connection.data_version()?;
        *slot = Some(connection);
        Ok(version)
    }
}
