//! How the service was doing for the last hour, for plots that outlive a page.
//!
//! One thread takes a sample every few seconds and keeps the newest ones:
//! 720 of about 64 bytes. When no process committed anything since the last
//! sample, the store is not read.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use store::{Store, StoreError};
use types::{Clock, CrawlId, Timestamp};

use super::cached::Answers;
use super::recent::Recent;

pub const EVERY: Duration = Duration::from_secs(5);
/// An hour.
pub const SAMPLES_MAX: usize = 720;
/// Crawls whose answered URLs are counted; older ones have long ended.
const CRAWLS_MAX: usize = 1_000;

/// Of the time between two looks, over all tenants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    pub at: Timestamp,
    /// URLs that crawls of any process had answered.
    pub pages_per_s: f64,
    pub tasks_waiting: u64,
    pub tasks_running: u64,
    pub requests_per_s: f64,
    /// Requests answered with 4xx or 5xx.
    pub errors_per_s: f64,
    /// Of the answers that the cache was asked for; `None` when there were none.
    pub cache_hit_rate: Option<f64>,
}

/// Numbers that only grow, as they were at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    requests: u64,
    errors: u64,
    cache_hits: u64,
    cache_asked: u64,
}

/// What was read of the store, and as of which change.
#[derive(Clone, Debug, Default)]
struct Stored {
    version: Option<u64>,
    fetched: HashMap<CrawlId, u64>,
    tasks_waiting: u64,
    tasks_running: u64,
}

pub struct History {
    samples: Arc<Mutex<VecDeque<Sample>>>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Sampler {
    store: Store,
    recent: Arc<Recent>,
    answers: Arc<Answers>,
    clock: Arc<dyn Clock>,
    samples: Arc<Mutex<VecDeque<Sample>>>,
    looked_at: Instant,
    totals: Totals,
    stored: Stored,
}

impl History {
    pub fn start(
        store: &Store,
        recent: Arc<Recent>,
        answers: Arc<Answers>,
        clock: Arc<dyn Clock>,
    ) -> Result<History> {
        let samples: Arc<Mutex<VecDeque<Sample>>> = Arc::default();
        let (stop, stopped) = bounded::<()>(0);
        let sampler = Sampler {
            store: store.clone(),
            recent,
            answers,
            clock,
            samples: samples.clone(),
            looked_at: Instant::now(),
            totals: Totals::default(),
            stored: Stored::default(),
        };
        let thread = std::thread::Builder::new()
            .name("history".into())
            .spawn(move || sampler.run(&stopped))
            .context("start the history thread")?;
        Ok(History {
            samples,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Oldest first; only those after `since` when it is given.
    pub fn samples(&self, since: Option<Timestamp>) -> Vec<Sample> {
        let samples = lock(&self.samples);
        let wanted = |sample: &&Sample| since.is_none_or(|since| sample.at > since);
        samples.iter().filter(wanted).copied().collect()
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the history thread panicked");
        }
    }
}

impl Sampler {
    /// Until the other end of `stopped` is dropped.
    fn run(mut self, stopped: &Receiver<()>) {
        // What was done before is nobody's rate.
        match self.read_stored() {
            Ok(stored) => self.stored = stored,
            Err(error) => tracing::warn!(%error, "could not read the figures to begin with"),
        }
        loop {
            self.look();
            if stopped.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    fn look(&mut self) {
        let took = self.looked_at.elapsed();
        self.looked_at = Instant::now();
        let stored = self.read_stored().unwrap_or_else(|error| {
            tracing::warn!(%error, "could not read the figures of a sample");
            self.stored.clone()
        });
        let totals = self.read_totals();
        let now = self.clock.now();
        let sample = sample(
            // As precise as it is told: who asks for what came after it means this.
            Timestamp(now.0 - now.0.rem_euclid(1_000)),
            took,
            (&self.totals, &self.stored),
            (&totals, &stored),
        );
        (self.totals, self.stored) = (totals, stored);
        keep(&mut lock(&self.samples), sample);
    }

    fn read_totals(&self) -> Totals {
        let (requests, errors) = self.recent.totals();
        let stats = self.answers.stats();
        let totals = || {
            [Some(&stats.here), stats.shared.as_ref()]
                .into_iter()
                .flatten()
        };
        // The second tier is asked for what memory does not have.
        let hits = totals().map(|cache| cache.total.memory.hits + cache.total.disk.hits);
        let asked = totals().map(|cache| cache.total.memory.hits + cache.total.memory.misses);
        Totals {
            requests,
            errors,
            cache_hits: hits.sum(),
            cache_asked: asked.sum(),
        }
    }

    fn read_stored(&self) -> Result<Stored, StoreError> {
        let version = self.store.data_version()?;
        if self.stored.version == Some(version) {
            return Ok(self.stored.clone());
        }
        let fetched = self.store.newest_crawls_fetched(CRAWLS_MAX)?;
        let kinds = self.store.queue_status(None)?;
        Ok(Stored {
            version: Some(version),
            fetched: fetched.into_iter().collect(),
            tasks_waiting: kinds.iter().map(|kind| kind.queued).sum(),
            tasks_running: kinds.iter().map(|kind| kind.running).sum(),
        })
    }
}

fn sample(
    at: Timestamp,
    took: Duration,
    before: (&Totals, &Stored),
    now: (&Totals, &Stored),
) -> Sample {
    let per_s = |more: u64| {
        let seconds = took.as_secs_f64();
        if seconds > 0.0 {
            (more as f64 / seconds * 100.0).round() / 100.0
        } else {
            0.0
        }
    };
    let known = |crawl: &CrawlId| before.1.fetched.get(crawl).copied().unwrap_or(0);
    let fetched = now.1.fetched.iter();
    let pages = fetched.map(|(crawl, fetched)| fetched.saturating_sub(known(crawl)));
    let asked = now.0.cache_asked.saturating_sub(before.0.cache_asked);
    let hits = now.0.cache_hits.saturating_sub(before.0.cache_hits);
    Sample {
        at,
        pages_per_s: per_s(pages.sum()),
        tasks_waiting: now.1.tasks_waiting,
        tasks_running: now.1.tasks_running,
        requests_per_s: per_s(now.0.requests.saturating_sub(before.0.requests)),
        errors_per_s: per_s(now.0.errors.saturating_sub(before.0.errors)),
        cache_hit_rate: (asked > 0)
            .then(|| (hits.min(asked) as f64 / asked as f64 * 1e4).round() / 1e4),
    }
}

fn keep(samples: &mut VecDeque<Sample>, sample: Sample) {
    if samples.len() == SAMPLES_MAX {
        samples.pop_front();
    }
    samples.push_back(sample);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(fetched: &[(i64, u64)]) -> Stored {
        Stored {
            fetched: fetched.iter().map(|(id, n)| (CrawlId(*id), *n)).collect(),
            tasks_waiting: 3,
            tasks_running: 1,
            ..Stored::default()
        }
    }

    #[test]
    fn a_sample_is_of_the_time_since_the_last_one() {
        let before = Totals {
            requests: 10,
            errors: 1,
            cache_hits: 2,
            cache_asked: 4,
        };
        let now = Totals {
            requests: 60,
            errors: 2,
            cache_hits: 5,
            cache_asked: 8,
        };
        // The second crawl went on, the third began, the first is listed no more.
        let (first, then) = (stored(&[(1, 500), (2, 40)]), stored(&[(2, 90), (3, 5)]));
        let found = sample(
            Timestamp(7),
            Duration::from_secs(5),
            (&before, &first),
            (&now, &then),
        );
        let expected = Sample {
            at: Timestamp(7),
            pages_per_s: 11.0,
            tasks_waiting: 3,
            tasks_running: 1,
            requests_per_s: 10.0,
            errors_per_s: 0.2,
            cache_hit_rate: Some(0.75),
        };
        assert_eq!(found, expected);
        let idle = sample(Timestamp(8), Duration::ZERO, (&now, &then), (&now, &then));
        assert_eq!((idle.pages_per_s, idle.cache_hit_rate), (0.0, None));
    }

    #[test]
    fn an_hour_is_kept() {
        let mut samples = VecDeque::new();
        for at in 0..2 * SAMPLES_MAX as i64 {
            let nothing = (&Totals::default(), &Stored::default());
            keep(&mut samples, sample(Timestamp(at), EVERY, nothing, nothing));
        }
        assert_eq!(samples.len(), SAMPLES_MAX);
        assert_eq!(samples[0].at, Timestamp(SAMPLES_MAX as i64));
    }
}
