//! What a running crawl tells whoever watches: counters that any thread may
//! bump, and how long each stage was busy.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A stage of the pipeline, for timing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Fetch,
    Extract,
    Chunk,
    Links,
    Write,
    Index,
    Embed,
}

impl Stage {
    pub const ALL: [Stage; 7] = [
        Stage::Fetch,
        Stage::Extract,
        Stage::Chunk,
        Stage::Links,
        Stage::Write,
        Stage::Index,
        Stage::Embed,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Stage::Fetch => "fetch",
            Stage::Extract => "extract",
            Stage::Chunk => "chunk",
            Stage::Links => "links",
            Stage::Write => "write",
            Stage::Index => "index",
            Stage::Embed => "embed",
        }
    }
}

#[derive(Debug, Default)]
pub struct Progress {
    pub found: AtomicU64,
    pub done: AtomicU64,
    pub stored: AtomicU64,
    pub failed: AtomicU64,
    pub skipped: AtomicU64,
    pub bytes: AtomicU64,
    pub in_flight: AtomicU64,
    pub indexed: AtomicU64,
    pub vectors_done: AtomicU64,
    pub vectors_pending: AtomicU64,
    /// Texts whose vector was computed in this run, and found in the cache.
    pub texts_embedded: AtomicU64,
    pub texts_cached: AtomicU64,
    current: Mutex<Option<String>>,
    stage_nanos: [AtomicU64; Stage::ALL.len()],
    fetch_times: Histogram,
}

impl Progress {
    /// Runs `work` and adds its wall time to the stage. For CPU stages on a
    /// machine with free cores that is CPU time; for fetches it is waiting.
    pub fn timed<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let out = work();
        self.add_time(stage, start.elapsed());
        out
    }

    pub fn add_time(&self, stage: Stage, elapsed: Duration) {
        let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.stage_nanos[stage as usize].fetch_add(nanos, Ordering::Relaxed);
        if stage == Stage::Fetch {
            self.fetch_times.add(elapsed);
        }
    }

    /// The URL asked for last.
    pub fn current(&self) -> Option<String> {
        self.current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub fn set_current(&self, url: &str) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let text = current.get_or_insert_default();
        text.clear();
        text.push_str(url);
    }

    /// The time that the given share of all requests did not exceed.
    pub fn fetch_quantile(&self, share: f64) -> Duration {
        self.fetch_times.quantile(share)
    }

    pub fn stage_time(&self, stage: Stage) -> Duration {
        Duration::from_nanos(self.stage_nanos[stage as usize].load(Ordering::Relaxed))
    }

    pub fn set_counts(&self, counts: &store::CrawlCounts) {
        let stored = counts.added + counts.updated + counts.unchanged;
        self.found.store(counts.found, Ordering::Relaxed);
        self.stored.store(stored, Ordering::Relaxed);
        self.failed.store(counts.failed, Ordering::Relaxed);
        self.skipped.store(counts.skipped, Ordering::Relaxed);
        self.done
            .store(stored + counts.failed + counts.skipped, Ordering::Relaxed);
    }
}

/// Counts of times in buckets an eighth of a power of two wide, so that a
/// quantile is at most 13 % off.
#[derive(Debug)]
struct Histogram {
    buckets: [AtomicU64; Histogram::BUCKETS],
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram {
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl Histogram {
    /// Up to 2^32 µs, which is over an hour.
    const BUCKETS: usize = 256;

    fn add(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.buckets[Histogram::bucket(us)].fetch_add(1, Ordering::Relaxed);
    }

    fn bucket(us: u64) -> usize {
        if us < 8 {
            return us as usize;
        }
        let power = us.ilog2() as usize;
        let eighth = (us >> (power - 3)) as usize & 7;
        ((power - 2) * 8 + eighth).min(Histogram::BUCKETS - 1)
    }

    /// First time of the bucket after, in µs.
    fn upper_us(bucket: usize) -> u64 {
        let next = bucket + 1;
        if next < 8 {
            return next as u64;
        }
        let (power, eighth) = (next / 8 + 2, next as u64 % 8);
        (8 + eighth) << (power - 3)
    }

    fn quantile(&self, share: f64) -> Duration {
        let counts: Vec<u64> = self
            .buckets
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .collect();
        let wanted = (counts.iter().sum::<u64>() as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_micros(Histogram::upper_us(bucket));
            }
        }
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_lies_below_the_end_of_its_bucket() {
        for us in [
            0,
            1,
            7,
            8,
            9,
            15,
            16,
            17,
            1000,
            4095,
            4096,
            1_000_000,
            3_600_000_000,
        ] {
            let bucket = Histogram::bucket(us);
            let upper = Histogram::upper_us(bucket);
            assert!(
                us < upper && upper as f64 <= us.max(8) as f64 * 1.126 + 1.0,
                "{us}: {upper}"
            );
            assert!(bucket == 0 || Histogram::upper_us(bucket - 1) <= us, "{us}");
        }
    }

    #[test]
    fn quantiles_of_requests() {
        let progress = Progress::default();
        assert_eq!(progress.fetch_quantile(0.5), Duration::ZERO);
        for ms in 1..=100 {
            progress.add_time(Stage::Fetch, Duration::from_millis(ms));
        }
        let close = |share: f64, ms: f64| {
            let got = progress.fetch_quantile(share).as_secs_f64() * 1000.0;
            assert!((got / ms - 1.0).abs() < 0.13, "{share}: {got}");
        };
        close(0.5, 50.0);
        close(0.95, 95.0);
        assert_eq!(
            progress.stage_time(Stage::Fetch),
            Duration::from_millis(5050)
        );
    }
}
