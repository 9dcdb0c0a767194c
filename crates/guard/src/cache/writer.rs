//! Writing to disk behind the callers' backs: one thread, a bounded queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use types::Timestamp;

use super::disk::NewRow;
use super::options::CacheOptions;
use super::shared::Shared;

/// One transaction writes this much at most; those who invalidate wait for it.
const BATCH_JOBS_MAX: usize = 64;
const BATCH_BYTES_MAX: u64 = 4 * 1024 * 1024;
const HELD_BACK_RETRY: Duration = Duration::from_secs(1);

enum Job {
    Store(NewRow),
    Used(i64, Timestamp),
    /// There is a chore.
    Wake,
    /// Answer when all before is done.
    Flush(SyncSender<()>),
}

/// The callers' end of the queue. Dropping it writes what is queued.
pub(crate) struct WriteBehind {
    sender: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    queued_bytes: Arc<AtomicU64>,
    queue_bytes_max: u64,
    shared: Arc<Shared>,
}

impl WriteBehind {
    pub(crate) fn start(
        shared: Arc<Shared>,
        options: &CacheOptions,
    ) -> std::io::Result<WriteBehind> {
        let (sender, receiver) = sync_channel(options.queue_values_max.max(1));
        let queued_bytes = Arc::new(AtomicU64::new(0));
        let writing = Writing {
            shared: Arc::clone(&shared),
            receiver,
            queued_bytes: Arc::clone(&queued_bytes),
            is_over: false,
        };
        let thread = std::thread::Builder::new()
            .name("cache-writer".to_owned())
            .spawn(move || writing.run())?;
        Ok(WriteBehind {
            sender: Some(sender),
            thread: Some(thread),
            queued_bytes,
            queue_bytes_max: options.queue_bytes_max,
            shared,
        })
    }

    /// Queues a value, or does not: a full queue means that disks are slow, and
    /// then nobody is served by waiting for them.
    pub(crate) fn store(&self, row: NewRow) {
        let bytes = row.held.value.len() as u64;
        let queued = self.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        if queued + bytes > self.queue_bytes_max || !self.try_send(Job::Store(row)) {
            self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.shared
                .counters
                .writes_skipped
                .fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn used(&self, row: i64, at: Timestamp) {
        self.try_send(Job::Used(row, at));
    }

    /// A full queue needs no waking.
    pub(crate) fn wake(&self) {
        self.try_send(Job::Wake);
    }

    /// Waits until what was queued before is written or given up, and what was
    /// invalidated is swept.
    pub(crate) fn flush(&self) {
        let (done, is_done) = sync_channel(1);
        if let Some(sender) = &self.sender
            && sender.send(Job::Flush(done)).is_ok()
        {
            // An error means that the thread is gone, and all it had with it.
            let _ = is_done.recv();
        }
    }

    fn try_send(&self, job: Job) -> bool {
        self.sender
            .as_ref()
            .is_some_and(|sender| sender.try_send(job).is_ok())
    }
}

impl Drop for WriteBehind {
    fn drop(&mut self) {
        self.sender.take();
        if let Some(thread) = self.thread.take() {
            // A panic there was reported where it happened.
            let _ = thread.join();
        }
    }
}

struct Writing {
    shared: Arc<Shared>,
    receiver: Receiver<Job>,
    queued_bytes: Arc<AtomicU64>,
    /// The file holds more than it may, and one transaction was not enough.
    is_over: bool,
}

#[derive(Default)]
struct Batch {
    jobs: usize,
    bytes: u64,
    rows: Vec<NewRow>,
    used: Vec<(i64, Timestamp)>,
    flushed: Option<SyncSender<()>>,
}

impl Writing {
    fn run(mut self) {
        while let Ok(first) = self.next() {
            let mut batch = Batch::default();
            let mut next = first;
            while let Some(job) = next {
                batch.add(job);
                let is_full = batch.jobs >= BATCH_JOBS_MAX
                    || batch.bytes >= BATCH_BYTES_MAX
                    || batch.flushed.is_some();
                next = if is_full {
                    None
                } else {
                    self.receiver.try_recv().ok()
                };
            }
            self.shared.number_held_back();
            let flushed = batch.flushed.take();
            self.write(batch);
            self.shared.do_chore();
            if let Some(flushed) = flushed {
                while self.shared.has_chores() {
                    self.shared.do_chore();
                }
                // Whoever asked may have stopped waiting.
                let _ = flushed.send(());
            }
        }
    }

    /// A job, or `None` when there is something else to do meanwhile. An error:
    /// the cache is gone.
    fn next(&self) -> Result<Option<Job>, TryRecvError> {
        if self.is_over || self.shared.has_chores() {
            match self.receiver.try_recv() {
                Err(TryRecvError::Empty) => Ok(None),
                result => result.map(Some),
            }
        } else if self.shared.are_held_back() {
            match self.receiver.recv_timeout(HELD_BACK_RETRY) {
                Ok(job) => Ok(Some(job)),
                Err(RecvTimeoutError::Timeout) => Ok(None),
                Err(RecvTimeoutError::Disconnected) => Err(TryRecvError::Disconnected),
            }
        } else {
            self.receiver
                .recv()
                .map(Some)
                .map_err(|_| TryRecvError::Disconnected)
        }
    }

    fn write(&mut self, mut batch: Batch) {
        // What was invalidated while it waited would only be swept again.
        batch
            .rows
            .retain(|row| self.shared.is_current(&row.key, row.held.stamp));
        if self.is_over || !batch.rows.is_empty() || !batch.used.is_empty() {
            let now = self.shared.clock.now();
            let written = self
                .shared
                .on_disk(|disk| disk.store(&batch.rows, &batch.used, now));
            let counters = &self.shared.counters;
            if written.is_none() {
                let skipped = batch.rows.len() as u64;
                counters
                    .writes_skipped
                    .fetch_add(skipped, Ordering::Relaxed);
            }
            let written = written.unwrap_or_default();
            self.is_over = written.is_over;
            for area in written.evicted {
                counters.area(&area).disk.evicted(1);
            }
        }
        self.queued_bytes.fetch_sub(batch.bytes, Ordering::Relaxed);
    }
}

impl Batch {
    fn add(&mut self, job: Job) {
        self.jobs += 1;
        match job {
            Job::Store(row) => {
                self.bytes += row.held.value.len() as u64;
                self.rows.push(row);
            }
            Job::Used(row, at) => self.used.push((row, at)),
            Job::Wake => {}
            Job::Flush(done) => self.flushed = Some(done),
        }
    }
}
