//! Short messages between threads and processes: that something changed, that
//! there is work. Lossy by design: whoever listens also looks by itself now and
//! then, and at once when it is told that it missed something.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio::sync::Notify;

use crate::redis_link::Redis;
use crate::sync::lock;

/// What a subscriber may leave unread. Of more, the oldest are missed.
const UNREAD_MAX: usize = 64;
/// Of a topic's name and message together.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 - 1;
/// Of a message's head: its sender and the length of its topic.
const HEAD_BYTES: usize = 10;

/// What a [`Subscription`] hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    Message(Bytes),
    /// There were messages that did not arrive, or may have been: look for
    /// what they would have told.
    Missed,
}

/// Topic and message have 64 KiB or more together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message of the bus is shorter than 64 KiB")]
pub struct TooLong;

/// Tells everybody in this process at once, and those in others by Redis. All
/// messages of a deployment come to all its processes, so keep them few and
/// short. Clones share their subscriptions.
#[derive(Clone, Debug)]
pub struct Bus {
    topics: Arc<Topics>,
    redis: Option<Redis>,
}

/// Hears what is published on a topic from its beginning to its drop.
pub struct Subscription {
    topic: Box<str>,
    queue: Arc<Queue>,
    topics: Arc<Topics>,
}

impl Bus {
    #[must_use]
    pub fn new(redis: Option<Redis>) -> Bus {
        let shared = redis.as_ref().map(|redis| Arc::clone(redis.topics()));
        Bus {
            topics: shared.unwrap_or_default(),
            redis,
        }
    }

    /// Does not wait, neither for Redis nor for subscribers.
    pub fn publish(&self, topic: &str, message: &[u8]) -> Result<(), TooLong> {
        if topic.len() + message.len() > MESSAGE_BYTES_MAX {
            return Err(TooLong);
        }
        let heard = || Heard::Message(Bytes::copy_from_slice(message));
        self.topics.tell(topic, &heard);
        self.publish_to_others(topic, message)
    }

    /// As [`Bus::publish`], for other processes alone.
    pub fn publish_to_others(&self, topic: &str, message: &[u8]) -> Result<(), TooLong> {
        if topic.len() + message.len() > MESSAGE_BYTES_MAX {
            return Err(TooLong);
        }
        if let Some(redis) = &self.redis {
            redis.publish(self.topics.encode(topic, message));
        }
        Ok(())
    }

    #[must_use]
    pub fn subscribe(&self, topic: &str) -> Subscription {
        Subscription {
            topic: topic.into(),
            queue: self.topics.add(topic),
            topics: Arc::clone(&self.topics),
        }
    }
}

impl Subscription {
    /// The next message. May be cancelled without losing one.
    pub async fn next(&mut self) -> Heard {
        loop {
            // A permit is kept for whoever comes after the message.
            if let Some(heard) = self.queue.take() {
                return heard;
            }
            self.queue.arrived.notified().await;
        }
    }

    /// The same for a thread; `None` when none came for so long.
    pub fn wait(&mut self, wait_max: Duration) -> Option<Heard> {
        let unread = lock(&self.queue.unread);
        let (mut unread, _) = self
            .queue
            .added
            .wait_timeout_while(unread, wait_max, |unread| unread.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        unread.pop_front()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.topics.remove(&self.topic, &self.queue);
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

/// Who listens to what in this process.
#[derive(Debug)]
pub(crate) struct Topics {
    /// Of this process, so that it does not hear itself twice.
    sender: u64,
    topics: Mutex<HashMap<Box<str>, Vec<Weak<Queue>>>>,
}

#[derive(Debug, Default)]
struct Queue {
    unread: Mutex<VecDeque<Heard>>,
    /// For threads, and for tasks.
    added: Condvar,
    arrived: Notify,
}

impl Default for Topics {
    fn default() -> Topics {
        Topics {
            sender: RandomState::new().build_hasher().finish(),
            topics: Mutex::default(),
        }
    }
}

impl Topics {
    fn add(&self, topic: &str) -> Arc<Queue> {
        let queue = Arc::default();
        let mut topics = lock(&self.topics);
        let queues = topics.entry(topic.into()).or_default();
        queues.push(Arc::downgrade(&queue));
        queue
    }

    fn remove(&self, topic: &str, queue: &Arc<Queue>) {
        let mut topics = lock(&self.topics);
        if let Some(queues) = topics.get_mut(topic) {
            queues.retain(|other| !std::ptr::eq(other.as_ptr(), Arc::as_ptr(queue)));
            if queues.is_empty() {
                topics.remove(topic);
            }
        }
    }

    fn tell(&self, topic: &str, heard: &dyn Fn() -> Heard) {
        let topics = lock(&self.topics);
        let queues = topics.get(topic).into_iter().flatten();
        for queue in queues.filter_map(Weak::upgrade) {
            queue.add(heard());
        }
    }

    /// After a time in which nothing was heard of other processes.
    pub(crate) fn missed(&self) {
        let topics = lock(&self.topics);
        for queue in topics.values().flatten().filter_map(Weak::upgrade) {
            queue.add(Heard::Missed);
        }
    }

    /// A message as it comes from Redis; what no process of ours sent is left out.
    pub(crate) fn heard(&self, message: &[u8]) {
        let Some((head, rest)) = message.split_at_checked(HEAD_BYTES) else {
            return;
        };
        let (sender, length) = head.split_at(8);
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        if sender == self.sender.to_be_bytes() || rest.len() > MESSAGE_BYTES_MAX {
            return;
        }
        if let Some((topic, message)) = rest.split_at_checked(length)
            && let Ok(topic) = std::str::from_utf8(topic)
        {
            self.tell(topic, &|| Heard::Message(Bytes::copy_from_slice(message)));
        }
    }

    fn encode(&self, topic: &str, message: &[u8]) -> Bytes {
        let mut encoded = BytesMut::with_capacity(HEAD_BYTES + topic.len() + message.len());
        encoded.put_u64(self.sender);
        let length = u16::try_from(topic.len());
        encoded.put_u16(length.expect("bug: a topic longer than any message"));
        encoded.put_slice(topic.as_bytes());
        encoded.put_slice(message);
        encoded.freeze()
    }
}

impl Queue {
    fn add(&self, heard: Heard) {
        let mut unread = lock(&self.unread);
        if heard == Heard::Missed && unread.back() == Some(&Heard::Missed) {
            return;
        }
        if unread.len() >= UNREAD_MAX {
            unread.pop_front();
            if let Some(oldest) = unread.front_mut() {
                *oldest = Heard::Missed;
            }
        }
        unread.push_back(heard);
        drop(unread);
        self.added.notify_all();
        self.arrived.notify_one();
    }

    fn take(&self) -> Option<Heard> {
        lock(&self.unread).pop_front()
    }
}
