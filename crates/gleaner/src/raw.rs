//! Raw copies of pages: the objects that `archive` keeps for what `store` knows.
//!
//! Objects are stored by `pipeline/archive.rs`. Here they are read, for whoever
//! the store says may, and removed when no version of a page has them any more.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use archive::{Archive, ArchiveError, ArchiveErrorKind, Record};
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use guard::{BreakerPolicy, BreakerSnapshot, CircuitBreaker};
use store::{PageRow, Store};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use types::{Clock, TenantId, Timestamp};

use crate::causes::chain;
use crate::config::Config;

/// An archive that failed twice in a row is left alone for a while: each failure
/// may have taken as long as `archive.timeout_ms`.
const LEFT_ALONE: BreakerPolicy = BreakerPolicy {
    threshold: 2,
    open_for: Duration::from_secs(30),
};
/// Objects stored or removed at the same time, by one crawl or one clean-up.
const OBJECTS_AT_ONCE: usize = 16;
/// Objects removed before it is noted.
const REMOVALS_PER_STEP: usize = 256;
/// Until the removal of an object that failed is tried again.
const REMOVE_AGAIN_AFTER: Duration = Duration::from_secs(600);

/// The configured archive with its connections; one for all of a process.
pub struct RawStore {
    archive: Archive,
    /// Its own: connections belong to the runtime that opened them, and those
    /// of crawls come and go.
    runtime: Mutex<Option<Runtime>>,
    handle: tokio::runtime::Handle,
    breaker: CircuitBreaker,
    clock: Arc<dyn Clock>,
    /// Of what a copy may be, when it is read.
    body_bytes_max: u64,
}

impl std::fmt::Debug for RawStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RawStore").field(&self.archive).finish()
    }
}

impl Drop for RawStore {
    fn drop(&mut self) {
        let runtime = self
            .runtime
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = runtime.take() {
            // Waiting for it is not allowed everywhere where this may be dropped.
            runtime.shutdown_background();
        }
    }
}

/// An object to be stored, made by `bytes` on a thread for computing.
pub struct ToStore {
    pub key: String,
    pub bytes: Box<dyn FnOnce() -> Vec<u8> + Send>,
}

impl RawStore {
    /// `None` where no archive is configured.
    pub fn open(config: &Config, clock: Arc<dyn Clock>) -> Result<Option<RawStore>> {
        let Some(settings) = config.archive_settings() else {
            return Ok(None);
        };
        let archive = Archive::open(&settings).context("archive.url")?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("archive")
            .enable_all()
            .build()
            .context("start the archive's runtime")?;
        Ok(Some(RawStore {
            archive,
            handle: runtime.handle().clone(),
            runtime: Mutex::new(Some(runtime)),
            breaker: CircuitBreaker::new("archive", LEFT_ALONE),
            clock,
            body_bytes_max: config.fetch.body_bytes_max,
        }))
    }

    pub fn describe(&self) -> &str {
        self.archive.describe()
    }

    /// By the clock that objects are named by.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn breaker(&self) -> BreakerSnapshot {
        self.breaker.snapshot(self.clock.now())
    }

    /// Whether objects can be stored, read and removed.
    pub fn probe(&self) -> Result<(), ArchiveError> {
        self.handle.block_on(self.archive.probe())
    }

    /// Stores objects, some at a time, and says of each whether it is there
    /// now. After a failure no further one is begun, and after several none at
    /// all for a while: pages do not wait for an archive that is away.
    pub fn store(&self, objects: Vec<ToStore>) -> Vec<bool> {
        let count = objects.len();
        let Ok(permit) = self.breaker.try_acquire(self.clock.now()) else {
            return vec![false; count];
        };
        let failure: Mutex<Option<ArchiveError>> = Mutex::new(None);
        let has_failed = AtomicBool::new(false);
        let store = async |object: ToStore| {
            if has_failed.load(Ordering::Relaxed) {
                return false;
            }
            let Ok(bytes) = self.handle.spawn_blocking(object.bytes).await else {
                return false;
            };
            match self.archive.put(&object.key, Bytes::from(bytes)).await {
                Ok(()) => true,
                Err(error) => {
                    has_failed.store(true, Ordering::Relaxed);
                    let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
                    failure.get_or_insert(error);
                    false
                }
            }
        };
        let stored: Vec<bool> = self.handle.block_on(
            stream::iter(objects)
                .map(store)
                .buffered(OBJECTS_AT_ONCE)
                .collect(),
        );
        match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            None => permit.success(),
            Some(error) => {
                permit.failure(self.clock.now());
                let missed = stored.iter().filter(|stored| !**stored).count();
                tracing::warn!(
                    archive = self.describe(),
                    missed,
                    error = chain(&error),
                    "could not store {missed} raw copies; their pages are stored without"
                );
            }
        }
        stored
    }

    /// The record of a version as it lies there, compressed; `None` without one.
    pub fn record(
        &self,
        store: &Store,
        tenant: TenantId,
        page: &PageRow,
        version: u32,
    ) -> Result<Option<Bytes>> {
        let Some(key) = store.raw_key(tenant, page.id, version)? else {
            return Ok(None);
        };
        // What cannot be compressed gets larger by less than a thousandth.
        let bytes_max = self.body_bytes_max.saturating_add(2 * 1024 * 1024);
        let read = self.handle.block_on(self.archive.get(&key, bytes_max));
        let read = read.map_err(|error| {
            let what = match error.kind() {
                ArchiveErrorKind::TooLarge => "; raise fetch.body_bytes_max to read it",
                ArchiveErrorKind::Absent => "; is archive.url what it was when it was stored?",
                _ => "",
            };
            let id = page.id;
            anyhow::Error::new(error).context(format!(
                "read the raw copy of page {id}, version {version}{what}"
            ))
        });
        read.map(Some)
    }

    /// What the server answered for a version; `None` without a copy.
    pub fn read(
        &self,
        store: &Store,
        tenant: TenantId,
        page: &PageRow,
        version: u32,
    ) -> Result<Option<Record>> {
        let record = self.record(store, tenant, page, version)?;
        let read = record.map(|record| archive::read_record(&record, self.body_bytes_max));
        read.transpose()
            .with_context(|| format!("read the raw copy of page {}, version {version}", page.id))
    }

    /// Removes the objects that no version has any more; how many went. What
    /// cannot be removed now is tried again later.
    pub fn clean_up(&self, store: &Store, stop: &watch::Receiver<bool>) -> Result<u64> {
        let mut removed = 0;
        loop {
            let keys = store.due_raw_removals(REMOVALS_PER_STEP)?;
            if keys.is_empty() {
                return Ok(removed);
            }
            let archive = &self.archive;
            let results: Vec<(String, Result<(), ArchiveError>)> = self.handle.block_on(
                stream::iter(keys)
                    .map(|key| async move {
                        let result = archive.delete(&key).await;
                        (key, result)
                    })
                    .buffer_unordered(OBJECTS_AT_ONCE)
                    .collect(),
            );
            let (gone, left): (Vec<_>, Vec<_>) =
                results.into_iter().partition(|(_, result)| result.is_ok());
            let gone: Vec<String> = gone.into_iter().map(|(key, _)| key).collect();
            removed += gone.len() as u64;
            store.raw_removed(&gone)?;
            let count = left.len();
            let mut left = left.into_iter();
            if let Some((first, Err(error))) = left.next() {
                let mut keys = vec![first];
                keys.extend(left.map(|(key, _)| key));
                store.put_off_raw_removals(&keys, REMOVE_AGAIN_AFTER)?;
                let problem = chain(&error);
                bail!("could not remove {count} raw copies, they wait: {problem}");
            }
            if *stop.borrow() {
                return Ok(removed);
            }
        }
    }
}
