//! Events in a stream of NATS JetStream, read as anybody reads one.

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, ReplayPolicy, pull};
use async_nats::jetstream::{self, stream};
use futures_util::StreamExt;
use serde_json::Value;
use tokio::runtime::Runtime;

/// Far longer than any event takes.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A connection to a server, and what a test wants of it.
pub struct Reader {
    runtime: Runtime,
    context: jetstream::Context,
    stream: String,
}

/// One message of the stream.
#[derive(Clone, Debug)]
pub struct Read {
    pub subject: String,
    /// `Nats-Msg-Id`.
    pub id: String,
    pub body: Value,
    /// As it came.
    pub bytes: Vec<u8>,
}

impl Read {
    pub fn kind(&self) -> &str {
        self.body["type"].as_str().expect("a type")
    }
}

impl Reader {
    pub fn connect(url: &str, stream: &str) -> Reader {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let context = runtime.block_on(async {
            // A server that was just started may need a moment.
            let options = async_nats::ConnectOptions::new().retry_on_initial_connect();
            let client = options.connect(url).await.expect("NATS");
            client.flush().await.expect("a connection");
            jetstream::new(client)
        });
        Reader {
            context,
            stream: stream.to_owned(),
            runtime,
        }
    }

    pub fn make(&self, config: stream::Config) {
        let made = self.runtime.block_on(self.context.create_stream(config));
        made.expect("a stream");
    }

    pub fn config(&self) -> stream::Config {
        let found = self.runtime.block_on(self.context.get_stream(&self.stream));
        found.expect("the stream").cached_info().config.clone()
    }

    /// Forgets all messages.
    pub fn purge(&self) {
        let purged = self.runtime.block_on(async {
            let stream = self.context.get_stream(&self.stream).await;
            stream.expect("the stream").purge().await
        });
        purged.expect("purged");
    }

    pub fn delete(&self) {
        let deleted = self
            .runtime
            .block_on(self.context.delete_stream(&self.stream));
        deleted.expect("deleted");
    }

    /// From the first message, until one for which `is_last` holds.
    pub fn until(&self, filter: &str, is_last: impl Fn(&[Read]) -> bool) -> Vec<Read> {
        let mut all = Vec::new();
        let read = async {
            let stream = loop {
                // It is made when the first event is published.
                match self.context.get_stream(&self.stream).await {
                    Ok(stream) => break stream,
                    Err(_) => tokio::task::yield_now().await,
                }
            };
            let consumer = stream.create_consumer(pull::Config {
                deliver_policy: DeliverPolicy::All,
                replay_policy: ReplayPolicy::Instant,
                ack_policy: AckPolicy::None,
                filter_subject: filter.to_owned(),
                ..pull::Config::default()
            });
            let consumer = consumer.await.expect("a consumer");
            let mut messages = consumer.messages().await.expect("messages");
            while !is_last(&all) {
                let message = messages.next().await.expect("a message").expect("read");
                let headers = message.headers.as_ref().expect("headers");
                all.push(Read {
                    subject: message.subject.to_string(),
                    id: headers.get("Nats-Msg-Id").expect("an id").to_string(),
                    body: serde_json::from_slice(&message.payload).expect("JSON"),
                    bytes: message.payload.to_vec(),
                });
            }
        };
        let ended = self
            .runtime
            .block_on(async { tokio::time::timeout(PATIENCE, read).await });
        if ended.is_err() {
            panic!("the last one never came: {all:#?}");
        }
        all
    }

    /// So many events of this type, and all before the last of them.
    pub fn until_count(&self, kind: &str, count: usize) -> Vec<Read> {
        self.until("", |all| {
            all.iter().filter(|one| one.kind() == kind).count() >= count
        })
    }
}

/// As a reader leaves out repeats.
pub fn without_repeats(all: &[Read]) -> Vec<Read> {
    let mut seen = BTreeSet::new();
    let new = all.iter().filter(|one| seen.insert(one.id.clone()));
    new.cloned().collect()
}
