//! What keeps the service from being overrun.
//!
//! A [`RateLimiter`] says who asks too often, [`SharedSlots`] let so many work
//! at a time, a [`Cache`] answers what was answered before and computes each
//! thing once, and a [`CircuitBreaker`] leaves a service alone that keeps
//! failing.
//!
//! It deliberately knows nothing of HTTP, of tenants beyond a number, or of
//! what is stored: keys are opaque, values are bytes. Limits and breakers take
//! time as an argument, the cache a [`types::Clock`]. Nothing here fails its
//! caller: a broken disk makes the cache smaller, not the service wrong.
//! With [`Redis`], several processes limit, break and remember as one; while it
//! is away each does so by itself. Nothing is kept there alone.
//! Start at [`RateLimiter::check`], [`SharedSlots::take`],
//! [`Cache::get_or_compute`] and [`CircuitBreaker::try_acquire`].

mod rate;
mod rate_shard;
mod rate_shared;

mod slots;

mod cache;

mod breaker;
mod breaker_shared;

mod bus;

mod redis_link;

mod sync;

pub use breaker::{BreakerPolicy, BreakerSnapshot, BreakerState, CircuitBreaker, Permit, Refused};
pub use bus::{Bus, Heard, Subscription, TooLong};
pub use cache::{
    AreaStats, Cache, CacheKey, CacheOptions, CacheStats, DiskState, Stamp, TierStats,
};
pub use rate::{Decision, Quota, RateLimiter, RateStats};
pub use rate_shared::SharedRateLimiter;
pub use redis_link::{Redis, RedisError, RedisOptions, RedisStatus};
pub use slots::{SharedSlots, Slot};
