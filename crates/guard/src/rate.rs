//! Who asks too often: the generic cell rate algorithm.
//!
//! GCRA is defined in ITU-T Recommendation I.371 ("virtual scheduling"); its
//! use for requests is described by Brandur Leach, "Rate Limiting, Cells, and
//! GCRA" (2015). Of each key it keeps one moment, the *theoretical arrival
//! time*: when its bucket will be full again. There is no refill to run and no
//! window whose edge lets twice the quota through.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use types::Timestamp;

use crate::rate_shard::{Digest, Shard};
use crate::sync::lock;

/// Enough that threads on a large machine rarely meet; a power of two.
const SHARDS_MAX: usize = 64;
/// Fewer, and chance would fill one shard while others have room.
const SHARD_KEYS_MIN: usize = 256;
const NANOS_PER_MS: i128 = 1_000_000;

/// How much may be asked: `requests` for every `per`, `burst` of them at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// 0 allows nothing at all.
    pub requests: u32,
    pub per: Duration,
    /// What a key that was quiet may ask at once. 0 allows nothing at all.
    pub burst: u32,
}

impl Quota {
    /// So many for every `per`, all of them at once if need be.
    #[must_use]
    pub fn new(requests: u32, per: Duration) -> Quota {
        Quota {
            requests,
            per,
            burst: requests,
        }
    }

    /// Time between two requests at the steady rate.
    pub(crate) fn interval_ns(self) -> i128 {
        let per_ns = i128::try_from(self.per.as_nanos()).unwrap_or(i128::MAX);
        // Rounded up, so that never more than the quota passes.
        let requests = i128::from(self.requests.max(1));
        (per_ns / requests + i128::from(per_ns % requests > 0)).max(1)
    }

    pub(crate) fn burst(self) -> u32 {
        if self.requests == 0 { 0 } else { self.burst }
    }

    /// What a key may owe: a whole bucket.
    pub(crate) fn tolerance_ns(self) -> i128 {
        self.interval_ns().saturating_mul(i128::from(self.burst()))
    }
}

impl Default for Quota {
    /// 100 requests a minute.
    fn default() -> Quota {
        Quota::new(100, Duration::from_secs(60))
    }
}

/// What came of a request, in the terms of the `RateLimit` header fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    /// What `remaining` counts down from: the burst.
    pub limit: u32,
    /// What may still be asked at once.
    pub remaining: u32,
    /// After which time this very request is allowed if nothing else is asked.
    /// `None` when it is allowed now, and when it never will be.
    pub retry_after: Option<Duration>,
    /// After which time all of `limit` is there again if nothing is asked.
    pub reset_after: Duration,
}

impl Decision {
    /// It costs more than the quota gives at once: no waiting helps.
    #[must_use]
    pub fn is_never(&self) -> bool {
        !self.allowed && self.retry_after.is_none()
    }
}

/// What a [`RateLimiter`] has seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateStats {
    pub allowed: u64,
    pub refused: u64,
    /// Keys held in memory now.
    pub keys: usize,
    /// Keys dropped for want of room while their bucket was not full.
    pub evicted: u64,
}

/// Counts requests per key for any number of threads, in bounded memory.
#[derive(Debug)]
pub struct RateLimiter {
    shards: Vec<Mutex<Shard>>,
    allowed: AtomicU64,
    refused: AtomicU64,
}

impl RateLimiter {
    /// `keys_max` bounds memory: about 100 bytes a key. One key more takes the
    /// place of one that is (nearly) where it would be if it were forgotten.
    #[must_use]
    pub fn new(keys_max: usize) -> RateLimiter {
        let count = (keys_max / SHARD_KEYS_MIN)
            .clamp(1, SHARDS_MAX)
            .next_power_of_two();
        let per_shard = keys_max.div_ceil(count).max(1);
        RateLimiter {
            shards: (0..count)
                .map(|_| Mutex::new(Shard::new(per_shard)))
                .collect(),
            allowed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Decides on a request of `cost` and, when it is allowed, counts it. A
    /// `cost` of 0 only looks. The key is kept as a hash.
    pub fn check(
        &self,
        key: impl AsRef<[u8]>,
        quota: Quota,
        cost: u32,
        now: Timestamp,
    ) -> Decision {
        let digest = digest(key.as_ref());
        let now_ns = nanos(now);
        let mut shard = self.shard(&digest);
        let full_at = shard.full_at(&digest);
        let (decision, full_at_then) = decide(full_at, quota, cost, now_ns);
        if let Some(full_at) = full_at_then {
            shard.set(digest, full_at, now_ns);
        }
        drop(shard);
        self.count(&decision);
        decision
    }

    /// Takes over what was decided elsewhere, to go on from there.
    pub(crate) fn remember(&self, digest: Digest, owed_ns: i128, now: Timestamp) {
        let now_ns = nanos(now);
        let mut shard = self.shard(&digest);
        shard.set(digest, now_ns.saturating_add(owed_ns), now_ns);
    }

    pub(crate) fn count(&self, decision: &Decision) {
        let counter = if decision.allowed {
            &self.allowed
        } else {
            &self.refused
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn shard(&self, digest: &Digest) -> MutexGuard<'_, Shard> {
        // The mask is exact: the number of shards is a power of two.
        let index = usize::from(digest[0]) & (self.shards.len() - 1);
        lock(&self.shards[index])
    }

    #[must_use]
    pub fn stats(&self) -> RateStats {
        let mut stats = RateStats {
            allowed: self.allowed.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            ..RateStats::default()
        };
        for shard in &self.shards {
            let shard = lock(shard);
            stats.keys += shard.len();
            stats.evicted += shard.evicted();
        }
        stats
    }
}

/// Half of a hash: 128 bits do not collide by chance, and a limiter that is
/// dumped tells neither addresses nor tokens.
pub(crate) fn digest(key: &[u8]) -> Digest {
    let hash = blake3::hash(key);
    let mut digest = Digest::default();
    let taken = digest.len();
    digest.copy_from_slice(&hash.as_bytes()[..taken]);
    digest
}

fn nanos(now: Timestamp) -> i128 {
    i128::from(now.0) * NANOS_PER_MS
}

/// The algorithm: the decision, and the new moment to keep if it changed.
pub(crate) fn decide(
    full_at: Option<i128>,
    quota: Quota,
    cost: u32,
    now_ns: i128,
) -> (Decision, Option<i128>) {
    let interval = quota.interval_ns();
    let burst = quota.burst();
    let tolerance = quota.tolerance_ns();
    // No key can owe more than a whole bucket. It looks as if one did when the
    // clock went back or the quota became smaller, and nobody is to wait for that.
    let full_at = full_at
        .unwrap_or(now_ns)
        .clamp(now_ns, now_ns.saturating_add(tolerance));
    let after = full_at.saturating_add(interval.saturating_mul(i128::from(cost)));
    let allowed_at = after.saturating_sub(tolerance);
    let fits = cost <= burst;
    let allowed = fits && allowed_at <= now_ns;
    let full_at = if allowed { after } else { full_at };
    let owed = full_at - now_ns;
    let remaining = (tolerance - owed) / interval;
    let decision = Decision {
        allowed,
        limit: burst,
        remaining: u32::try_from(remaining).unwrap_or(burst),
        retry_after: (fits && !allowed).then(|| whole_ms(allowed_at - now_ns)),
        reset_after: whole_ms(owed),
    };
    (decision, (allowed && cost > 0).then_some(full_at))
}

/// Rounded up to the resolution of [`Timestamp`]: at that moment it is true.
fn whole_ms(nanos: i128) -> Duration {
    let ms = nanos.max(0).saturating_add(NANOS_PER_MS - 1) / NANOS_PER_MS;
    Duration::from_millis(u64::try_from(ms).unwrap_or(u64::MAX))
}
