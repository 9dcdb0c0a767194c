//! The one connection to Redis that a process has, and what is known of it.
//!
//! Redis makes several processes behave as one; it never is the only place of
//! anything. So nobody waits for it: while it does not answer, every question
//! is answered at once by [`Away`], the caller decides by itself, and a thread
//! tries to get it back, through the Sentinels if there are any.

mod connect;
mod link;
mod scripts;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use redis::IntoConnectionInfo as _;
use tokio::sync::{mpsc, oneshot};

use crate::bus::Topics;
use crate::sync::lock;
use link::Link;
pub(crate) use scripts::Script;

/// Questions that wait for the thread that sends them; beyond, Redis counts as
/// away for the caller.
const QUESTIONS_MAX: usize = 1024;

/// Where Redis is, and how patient to be with it.
#[derive(Clone)]
pub struct RedisOptions {
    /// `redis://[user:password@]host[:port][/database]`. With Sentinels, only
    /// user, password and database of it are used, and it may be empty.
    pub url: String,
    /// `host:port` of each Sentinel; none: the server of `url`.
    pub sentinels: Vec<String>,
    /// What the Sentinels call the master.
    pub master: String,
    /// Begins every key and channel, so that deployments may share a server.
    pub prefix: String,
    pub connect_timeout: Duration,
    /// A server that takes longer to answer counts as away.
    pub answer_timeout: Duration,
    /// Between attempts to get it back: doubled from the first to the second,
    /// up to half of it left off by chance.
    pub retry_after: Duration,
    pub retry_after_max: Duration,
    /// How often the Sentinels are asked whether the master is another.
    pub sentinels_every: Duration,
}

impl Default for RedisOptions {
    fn default() -> RedisOptions {
        RedisOptions {
            url: String::new(),
            sentinels: Vec::new(),
            master: "mymaster".to_owned(),
            prefix: "gleaner".to_owned(),
            connect_timeout: Duration::from_millis(500),
            answer_timeout: Duration::from_millis(250),
            retry_after: Duration::from_millis(100),
            retry_after_max: Duration::from_secs(2),
            sentinels_every: Duration::from_secs(2),
        }
    }
}

/// Says nothing of user and password.
impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions")
            .field("sentinels", &self.sentinels)
            .field("master", &self.master)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// Why there is no connection to begin with. An address that nobody answers at
/// is no reason: it may come up later.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    #[error("the address is not of the form redis://[user:password@]host[:port][/database]")]
    Address,
    #[error("a Sentinel is given as host:port, not as {0:?}")]
    Sentinel(String),
    #[error("start a thread")]
    Thread(#[source] std::io::Error),
}

/// What is known of the server, for display.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisStatus {
    pub is_up: bool,
    /// `host:port` of the server last connected to.
    pub server: Option<String>,
    /// How often a connection was made.
    pub connections: u64,
    /// Why it is away.
    pub problem: Option<String>,
}

/// Redis does not answer, or not with what was asked for. The log knows why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Away;

pub(crate) type Answer = Result<redis::Value, Away>;

/// One process's Redis; clones share it.
#[derive(Clone)]
pub struct Redis {
    inner: Arc<Inner>,
}

struct Inner {
    prefix: String,
    questions: mpsc::Sender<Question>,
    known: Arc<Known>,
    topics: Arc<Topics>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

struct Question {
    call: Call,
    answer: Asker,
}

/// Who waits for an answer, and may have stopped to.
enum Asker {
    Task(oneshot::Sender<Answer>),
    Thread(std::sync::mpsc::SyncSender<Answer>),
    Nobody,
}

impl Asker {
    fn tell(self, answer: Answer) {
        match self {
            Asker::Task(asker) => drop(asker.send(answer)),
            Asker::Thread(asker) => drop(asker.send(answer)),
            Asker::Nobody => {}
        }
    }
}

pub(crate) enum Call {
    Script {
        script: Script,
        keys: Vec<String>,
        arguments: Vec<Vec<u8>>,
    },
    /// Sent at once; the answers come as one array.
    Commands(redis::Pipeline),
    /// To all processes of the deployment.
    Publish(Bytes),
}

#[derive(Debug, Default)]
struct Known {
    /// The same as in the status, to be read without a lock.
    is_up: AtomicBool,
    connections: AtomicU64,
    status: Mutex<RedisStatus>,
    changed: Condvar,
}

impl Redis {
    /// Starts the thread that connects, and does not wait for it.
    pub fn start(options: RedisOptions) -> Result<Redis, RedisError> {
        let url = if options.url.is_empty() && !options.sentinels.is_empty() {
            "redis://sentinels/"
        } else {
            &options.url
        };
        let info = url
            .into_connection_info()
            .map_err(|_| RedisError::Address)?;
        if !matches!(info.addr(), redis::ConnectionAddr::Tcp(..)) {
            return Err(RedisError::Address);
        }
        for sentinel in &options.sentinels {
            if connect::host_and_port(sentinel).is_none() {
                return Err(RedisError::Sentinel(sentinel.clone()));
            }
        }
        let (questions, receiver) = mpsc::channel(QUESTIONS_MAX);
        let known = Arc::new(Known::default());
        let prefix = options.prefix.clone();
        let topics = Arc::new(Topics::default());
        let link = Link::new(
            options,
            info,
            receiver,
            Arc::clone(&known),
            Arc::clone(&topics),
        );
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(RedisError::Thread)?;
        let thread = std::thread::Builder::new()
            .name("redis".to_owned())
            .spawn(move || runtime.block_on(link.run()))
            .map_err(RedisError::Thread)?;
        Ok(Redis {
            inner: Arc::new(Inner {
                prefix,
                questions,
                known,
                topics,
                thread: Mutex::new(Some(thread)),
            }),
        })
    }

    #[must_use]
    pub fn status(&self) -> RedisStatus {
        lock(&self.inner.known.status).clone()
    }

    /// Waits until the status is so; `false` when it takes longer than that.
    pub fn wait_for(&self, wait_max: Duration, is_so: impl Fn(&RedisStatus) -> bool) -> bool {
        let known = &self.inner.known;
        let (status, _) = known
            .changed
            .wait_timeout_while(lock(&known.status), wait_max, |status| !is_so(status))
            .unwrap_or_else(PoisonError::into_inner);
        is_so(&status)
    }

    /// As in the status, without a lock.
    pub(crate) fn connections(&self) -> u64 {
        self.inner.known.connections.load(Ordering::Acquire)
    }

    pub(crate) fn is_up(&self) -> bool {
        self.inner.known.is_up.load(Ordering::Acquire)
    }

    /// A key of this deployment.
    pub(crate) fn key(&self, name: impl fmt::Display) -> String {
        format!("{}:{name}", self.inner.prefix)
    }

    /// Who in this process hears what others publish.
    pub(crate) fn topics(&self) -> &Arc<Topics> {
        &self.inner.topics
    }

    /// Does not wait; lost while Redis is away.
    pub(crate) fn publish(&self, message: Bytes) {
        // Whoever listens looks by itself after an outage.
        self.tell(Call::Publish(message));
    }

    pub(crate) async fn ask(&self, call: Call) -> Answer {
        let (asker, answer) = oneshot::channel();
        self.send(call, Asker::Task(asker))?;
        answer.await.unwrap_or(Err(Away))
    }

    /// Does not wait for the answer; lost while Redis is away.
    pub(crate) fn tell(&self, call: Call) {
        let _ = self.send(call, Asker::Nobody);
    }

    /// As [`Redis::ask`], holding the thread until there is an answer.
    pub(crate) fn ask_blocking(&self, call: Call) -> Answer {
        let (asker, answer) = std::sync::mpsc::sync_channel(1);
        self.send(call, Asker::Thread(asker))?;
        answer.recv().unwrap_or(Err(Away))
    }

    /// An answer comes within the time limit of the connection, or `Away`.
    fn send(&self, call: Call, answer: Asker) -> Result<(), Away> {
        if !self.is_up() {
            return Err(Away);
        }
        let question = Question { call, answer };
        self.inner.questions.try_send(question).map_err(|_| Away)
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Closes the channel, which ends the thread.
        self.questions = mpsc::channel(1).0;
        if let Some(thread) = lock(&self.thread).take() {
            // A panic there was reported where it happened.
            let _ = thread.join();
        }
    }
}

impl Known {
    /// `true`: it was connected before.
    fn up(&self, server: &str) -> bool {
        let mut status = lock(&self.status);
        status.problem = None;
        status.is_up = true;
        status.server = Some(server.to_owned());
        let is_again = status.connections > 0;
        status.connections += 1;
        self.connections
            .store(status.connections, Ordering::Release);
        self.is_up.store(true, Ordering::Release);
        drop(status);
        self.changed.notify_all();
        if is_again {
            tracing::info!(server, "Redis answers again");
        } else {
            tracing::info!(server, "connected to Redis at {server}");
        }
        is_again
    }

    fn down(&self, problem: String) {
        let mut status = lock(&self.status);
        let is_news = status.problem.is_none();
        if is_news {
            let server = status.server.as_deref().unwrap_or_default();
            tracing::warn!(
                problem,
                server,
                "Redis is away: until it is back, this process limits, breaks and remembers by itself, and hears of others only when it looks"
            );
        }
        status.is_up = false;
        status.problem = Some(problem);
        self.is_up.store(false, Ordering::Release);
        drop(status);
        self.changed.notify_all();
    }
}
