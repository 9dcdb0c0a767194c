//! The thread that has the connection: connects, sends, notices, connects again.

use std::convert::Infallible;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{ConnectionInfo, PushInfo, PushKind, RedisError, ServerErrorKind, Value};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use crate::bus::Topics;

use super::connect::{self, Server};
use super::{Away, Call, Known, Question, RedisOptions};

pub(super) struct Link {
    options: RedisOptions,
    info: ConnectionInfo,
    questions: mpsc::Receiver<Question>,
    known: Arc<Known>,
    topics: Arc<Topics>,
}

/// How it went with one connection.
enum End {
    /// Nobody holds the other end any more.
    Closed,
    Lost(String),
}

impl Link {
    pub(super) fn new(
        options: RedisOptions,
        info: ConnectionInfo,
        questions: mpsc::Receiver<Question>,
        known: Arc<Known>,
        topics: Arc<Topics>,
    ) -> Link {
        Link {
            options,
            info,
            questions,
            known,
            topics,
        }
    }

    pub(super) async fn run(mut self) {
        let mut pause = self.options.retry_after;
        loop {
            let topics = Arc::clone(&self.topics);
            let config = connect::limited(&self.options).set_push_sender(move |push| {
                hear(&topics, push);
                Ok::<_, Infallible>(())
            });
            let opened = connect::open(&self.options, &self.info, config);
            let opened = tokio::select! {
                opened = opened => opened,
                () = refuse(&mut self.questions) => return,
            };
            let problem = match opened {
                Ok(server) => {
                    let began = Instant::now();
                    if self.known.up(&server.address) {
                        self.topics.missed();
                    }
                    match self.serve(server).await {
                        End::Closed => return,
                        End::Lost(problem) => {
                            // One that fails right away is not tried more often for it.
                            if began.elapsed() >= self.options.retry_after_max {
                                pause = self.options.retry_after;
                            }
                            problem
                        }
                    }
                }
                Err(error) => error.to_string(),
            };
            self.known.down(problem);
            let until = Instant::now() + jittered(pause);
            pause = (pause * 2).min(self.options.retry_after_max);
            tokio::select! {
                () = sleep_until(until) => {}
                () = refuse(&mut self.questions) => return,
            }
        }
    }

    async fn serve(&mut self, server: Server) -> End {
        let server = Arc::new(server);
        let (lost, mut has_lost) = mpsc::channel::<String>(1);
        let every = self.options.sentinels_every;
        let mut look = interval_at(Instant::now() + every, every);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                Some(problem) = has_lost.recv() => return End::Lost(problem),
                question = self.questions.recv() => {
                    let Some(question) = question else {
                        return End::Closed;
                    };
                    let channel = connect::channel(&self.options);
                    tokio::spawn(answer(question, Arc::clone(&server), channel, lost.clone()));
                }
                _ = look.tick() => {
                    // Also finds a dead server that nobody asks anything.
                    let (options, lost) = (self.options.clone(), lost.clone());
                    let (connection, address) = (server.connection.clone(), server.address.clone());
                    tokio::spawn(async move {
                        if let Some(problem) = look_after(&options, connection, &address).await {
                            // Full: another one has said so already.
                            let _ = lost.try_send(problem);
                        }
                    });
                }
            }
        }
    }
}

/// What the server sends unasked: messages, among others.
fn hear(topics: &Topics, push: PushInfo) {
    if push.kind == PushKind::Message
        && let Some(Value::BulkString(message)) = push.data.last()
    {
        topics.heard(message);
    }
}

/// Answers everybody that there is no Redis; ends when there is nobody left.
async fn refuse(questions: &mut mpsc::Receiver<Question>) {
    while let Some(question) = questions.recv().await {
        question.answer.tell(Err(Away));
    }
}

async fn look_after(
    options: &RedisOptions,
    mut connection: MultiplexedConnection,
    address: &str,
) -> Option<String> {
    if !options.sentinels.is_empty()
        && let Ok(master) = connect::master(options).await
        && master.to_string() != address
    {
        return Some(format!("{master} is the master now"));
    }
    let ping = redis::cmd("PING");
    let pong = ping.query_async::<Value>(&mut connection).await;
    pong.err().map(|error| error.to_string())
}

async fn answer(
    question: Question,
    server: Arc<Server>,
    channel: String,
    lost: mpsc::Sender<String>,
) {
    let mut connection = server.connection.clone();
    let answered = match question.call {
        Call::Script {
            script,
            keys,
            arguments,
        } => {
            let mut command = redis::cmd("EVALSHA");
            command.arg(&server.hashes[script as usize]).arg(keys.len());
            command.arg(keys).arg(arguments).arg(&server.run_id);
            command.query_async(&mut connection).await
        }
        Call::Commands(commands) => commands.query_async(&mut connection).await,
        Call::Publish(message) => {
            let mut command = redis::cmd("PUBLISH");
            command.arg(channel).arg(message.as_ref());
            command.query_async(&mut connection).await
        }
    };
    let answered = answered.map_err(|error: RedisError| {
        if says_nothing_of_the_connection(&error) {
            tracing::debug!(%error, "Redis refuses a command");
        } else {
            // Full: another one has said so already.
            let _ = lost.try_send(error.to_string());
        }
        Away
    });
    question.answer.tell(answered);
}

/// An answer to just this command, such as that memory is full. All else, among
/// it a master that became a replica or forgot our scripts, is mended by
/// connecting again.
fn says_nothing_of_the_connection(error: &RedisError) -> bool {
    use redis::ErrorKind;
    match error.kind() {
        ErrorKind::Server(
            ServerErrorKind::ResponseError | ServerErrorKind::ExecAbort | ServerErrorKind::NoPerm,
        ) => true,
        ErrorKind::Extension => error.code() == Some("OOM"),
        _ => false,
    }
}

/// Between half of it and all, so that processes do not come back all at once.
fn jittered(pause: Duration) -> Duration {
    let chance = RandomState::new().build_hasher().finish();
    let part = (chance % 1000) as f64 / 1000.0;
    pause.mul_f64(0.5 + part / 2.0)
}
