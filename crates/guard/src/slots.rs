//! So many at a time: in this process, and in all that have the same Redis.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use tokio::time::MissedTickBehavior;

use crate::redis_link::{Call, Redis, Script};

/// A slot whose holder has said nothing for so long is another's: its process
/// is dead, or cannot reach Redis.
const HELD_FOR: Duration = Duration::from_secs(15);
/// How often a holder says that it is there.
const KEEP_EVERY: Duration = Duration::from_secs(4);
/// Who waits and has not asked for so long waits no more.
const WAITS_FOR: Duration = Duration::from_secs(2);
/// How often it is asked whether a slot is free, by the first of those of a
/// process who wait: work that is worth a slot takes far longer.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// A number of slots that all processes with the same Redis share, and that
/// this one has alone without one or while it is away. Whoever comes first is
/// first, among processes as within one.
#[derive(Debug)]
pub struct SharedSlots {
    here: Semaphore,
    shared: Option<Shared>,
}

#[derive(Debug)]
struct Shared {
    redis: Redis,
    key: String,
    slots: u32,
    /// The one of this process that asks Redis; the others queue for it, so
    /// that Redis is asked as often however many wait.
    front: Mutex<()>,
    /// Of whoever asks next: begins by chance, so that processes have different ones.
    next_name: AtomicU64,
}

/// Free again when dropped.
#[derive(Debug)]
pub struct Slot<'a> {
    held: Option<Held<'a>>,
    _here: Option<SemaphorePermit<'a>>,
}

/// A place in Redis, among those who hold or wait.
#[derive(Debug)]
struct Held<'a> {
    shared: &'a Shared,
    name: String,
}

impl SharedSlots {
    /// `name` is what is shared, among all of the deployment; at least one slot
    /// there is. Processes that say different numbers each keep to their own.
    #[must_use]
    pub fn new(name: &str, slots: u32, redis: Option<Redis>) -> SharedSlots {
        let slots = slots.max(1);
        let name = blake3::hash(name.as_bytes()).to_hex();
        SharedSlots {
            here: Semaphore::new(slots as usize),
            shared: redis.map(|redis| Shared {
                key: redis.key(format_args!("slots:{}", &name[..32])),
                redis,
                slots,
                front: Mutex::new(()),
                next_name: AtomicU64::new(RandomState::new().build_hasher().finish()),
            }),
        }
    }

    /// Waits for a slot, as long as it takes; dropping the future leaves the
    /// queue. Needs a runtime with time.
    pub async fn take(&self) -> Slot<'_> {
        // Fails when it is closed, which nobody can do.
        let here = self.here.acquire().await.ok();
        let held = match &self.shared {
            Some(shared) => Some(shared.take().await),
            None => None,
        };
        Slot { held, _here: here }
    }
}

impl Slot<'_> {
    /// Keeps the slot until the work is done. Work that takes seconds is to be
    /// done in here: a slot that nobody keeps is another's after 15 s.
    pub async fn hold<T>(&self, work: impl Future<Output = T>) -> T {
        let Some(held) = &self.held else {
            return work.await;
        };
        let mut work = pin!(work);
        let mut ticks =
            tokio::time::interval_at(tokio::time::Instant::now() + KEEP_EVERY, KEEP_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                _ = ticks.tick() => held.shared.redis.tell(held.call("keep")),
            }
        }
    }
}

impl Shared {
    async fn take(&self) -> Held<'_> {
        let name = self.next_name.fetch_add(1, Ordering::Relaxed);
        // Leaves when dropped: the queue as well as the slot.
        let held = Held {
            shared: self,
            name: format!("{name:016x}"),
        };
        let _front = self.front.lock().await;
        loop {
            // Away: it goes by the slots of this process alone, and what is
            // under way makes itself known once Redis is back.
            let Ok(answer) = self.redis.ask(held.call("take")).await else {
                return held;
            };
            // Anything else it says is as good as no answer.
            if redis::from_redis_value(answer).unwrap_or(true) {
                return held;
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }
}

impl Held<'_> {
    fn call(&self, action: &str) -> Call {
        let numbers = [
            u128::from(self.shared.slots),
            HELD_FOR.as_millis(),
            WAITS_FOR.as_millis(),
        ];
        let numbers = numbers.map(|number| number.to_string().into_bytes());
        Call::Script {
            script: Script::Slots,
            keys: vec![self.shared.key.clone()],
            arguments: [action, &self.name]
                .map(|text| text.as_bytes().to_vec())
                .into_iter()
                .chain(numbers)
                .collect(),
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // Should this be lost, it is another's after HELD_FOR.
        self.shared.redis.tell(self.call("leave"));
    }
}
