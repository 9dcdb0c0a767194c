//! The part of a breaker that lies in Redis; `breaker.lua` has its rules.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::breaker::{BreakerPolicy, BreakerState};
use crate::redis_link::{Call, Redis, Script};

/// A probe that has not ended by then has died with its process, unless the
/// breaker stays open for longer anyway.
const PROBE_MAX: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct SharedBreaker {
    redis: Redis,
    key: String,
    policy: BreakerPolicy,
    /// Of the next call: begins by chance, so that processes have different ones.
    next_call: AtomicU64,
}

/// What Redis says.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) state: BreakerState,
    pub(crate) failures: u32,
    pub(crate) opens_total: u64,
    /// Until the next probe, while open.
    pub(crate) retry_after: Option<Duration>,
    pub(crate) period: u64,
    pub(crate) may_call: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    Success,
    Failure,
    Nothing,
}

impl SharedBreaker {
    /// The address is kept as a hash: it may hold a password.
    pub(crate) fn new(
        name: &str,
        address: &str,
        policy: BreakerPolicy,
        redis: Redis,
    ) -> SharedBreaker {
        let address = blake3::hash(address.as_bytes()).to_hex();
        SharedBreaker {
            key: redis.key(format_args!("breaker:{name}:{}", &address[..16])),
            redis,
            policy,
            next_call: AtomicU64::new(RandomState::new().build_hasher().finish()),
        }
    }

    /// Also gives the name of the call that may be made. `None`: Redis is away.
    pub(crate) fn acquire(&self) -> Option<(View, u64)> {
        let call = self.next_call.fetch_add(1, Ordering::Relaxed);
        Some((self.run("acquire", (0, call))?, call))
    }

    pub(crate) fn look(&self) -> Option<View> {
        self.run("look", (0, 0))
    }

    pub(crate) fn tell(&self, outcome: Outcome, call: (u64, u64)) -> Option<View> {
        let action = match outcome {
            Outcome::Success => "success",
            Outcome::Failure => "failure",
            Outcome::Nothing => "nothing",
        };
        self.run(action, call)
    }

    fn run(&self, action: &str, (period, call): (u64, u64)) -> Option<View> {
        let open_for = self.policy.open_for;
        let numbers = [
            u128::from(self.policy.threshold),
            open_for.as_millis(),
            PROBE_MAX.max(open_for).as_millis(),
            u128::from(period),
            u128::from(call),
        ];
        let numbers = numbers.map(|number| number.to_string().into_bytes());
        let answer = self.redis.ask_blocking(Call::Script {
            script: Script::Breaker,
            keys: vec![self.key.clone()],
            arguments: [action.as_bytes().to_vec()]
                .into_iter()
                .chain(numbers)
                .collect(),
        });
        let (state, failures, opens_total, wait_ms, period, may_call): (
            u8,
            u32,
            u64,
            i64,
            u64,
            bool,
        ) = redis::from_redis_value(answer.ok()?).ok()?;
        Some(View {
            state: match state {
                0 => BreakerState::Closed,
                1 => BreakerState::Open,
                _ => BreakerState::HalfOpen,
            },
            failures,
            opens_total,
            retry_after: u64::try_from(wait_ms).ok().map(Duration::from_millis),
            period,
            may_call,
        })
    }
}
