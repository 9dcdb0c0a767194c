//! One limit for several processes: the same algorithm, kept in Redis.

use types::Timestamp;

use crate::rate::{Decision, Quota, RateLimiter, RateStats, decide, digest};
use crate::rate_shard::Digest;
use crate::redis_link::{Call, Redis, Script};

/// What Lua's numbers hold exactly, with room for one more second: a bucket
/// that takes longer to fill, 52 days, is kept in this process.
const SHARED_NS_MAX: i128 = 1 << 52;

/// Counts requests per key of all processes with the same Redis, and of this
/// one alone without one or while it is away. This process then goes on from
/// what Redis last said of a key, so what was used up stays used up.
#[derive(Debug)]
pub struct SharedRateLimiter {
    local: RateLimiter,
    redis: Option<Redis>,
}

impl SharedRateLimiter {
    /// `keys_max` is for the memory of this process, as in [`RateLimiter::new`].
    /// In Redis a key is gone when its bucket is full.
    #[must_use]
    pub fn new(keys_max: usize, redis: Option<Redis>) -> SharedRateLimiter {
        SharedRateLimiter {
            local: RateLimiter::new(keys_max),
            redis,
        }
    }

    /// As [`RateLimiter::check`]. Redis counts by its own clock, this process
    /// by `now`.
    pub async fn check(
        &self,
        key: impl AsRef<[u8]>,
        quota: Quota,
        cost: u32,
        now: Timestamp,
    ) -> Decision {
        if let Some(redis) = &self.redis {
            let digest = digest(key.as_ref());
            if let Some(owed) = spend(redis, &digest, quota, cost).await {
                let (decision, owed_then) = decide(Some(owed), quota, cost, 0);
                self.local.count(&decision);
                let owed = owed_then.unwrap_or(owed);
                if owed > 0 {
                    self.local.remember(digest, owed, now);
                }
                return decision;
            }
        }
        self.local.check(key, quota, cost, now)
    }

    /// Of this process; `keys` and `evicted` of its memory.
    #[must_use]
    pub fn stats(&self) -> RateStats {
        self.local.stats()
    }
}

/// What the key owed before, in nanoseconds. `None`: ask the local limiter.
async fn spend(redis: &Redis, digest: &Digest, quota: Quota, cost: u32) -> Option<i128> {
    let tolerance = quota.tolerance_ns();
    if tolerance > SHARED_NS_MAX {
        return None;
    }
    let fits = cost <= quota.burst();
    // What does not fit is not counted, and may be too large a number.
    let cost_ns = if fits {
        quota.interval_ns() * i128::from(cost)
    } else {
        0
    };
    let name = u128::from_be_bytes(*digest);
    let key = redis.key(format_args!("rate:{name:032x}"));
    let answer = redis
        .ask(Call::Script {
            script: Script::Rate,
            keys: vec![key],
            arguments: [cost_ns, tolerance, i128::from(fits)]
                .map(|number| number.to_string().into_bytes())
                .into(),
        })
        .await;
    let owed: String = redis::from_redis_value(answer.ok()?).ok()?;
    owed.parse().ok()
}
