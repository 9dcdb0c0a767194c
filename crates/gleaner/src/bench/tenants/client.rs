//! A client of the API: one connection, kept open, and what each call came to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::super::report::Times;

const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(60);

/// What is asked of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    Create,
    Status,
    Search,
    /// Calls of the benchmark itself, which count for nothing.
    Own,
}

impl Call {
    pub const COUNTED: [Call; 3] = [Call::Create, Call::Status, Call::Search];

    pub fn name(self) -> &'static str {
        match self {
            Call::Create => "create",
            Call::Status => "status",
            Call::Search => "search",
            Call::Own => "own",
        }
    }
}

/// What all calls came to.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    counts: Arc<Mutex<CallCounts>>,
}

#[derive(Clone, Debug, Default)]
pub struct CallCounts {
    pub times: BTreeMap<Call, Times>,
    /// Everything but 2xx, by call and status; `None`: no answer.
    pub errors: BTreeMap<(Call, Option<u16>), u64>,
}

impl Calls {
    fn count(&self, call: Call, status: Option<u16>, took: Duration) {
        if call == Call::Own {
            return;
        }
        let mut counts = self.lock();
        counts.times.entry(call).or_default().push(took);
        if !status.is_some_and(|status| (200..300).contains(&status)) {
            *counts.errors.entry((call, status)).or_default() += 1;
        }
    }

    pub fn counts(&self) -> CallCounts {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, CallCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CallCounts {
    pub fn all(&self) -> u64 {
        self.times.values().map(|times| times.count() as u64).sum()
    }

    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }
}

/// An answer in full.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Bytes,
}

impl Answer {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).context("the server's answer is no JSON")
    }
}

/// Asks with a key, or as the owner without one.
#[derive(Debug)]
pub struct Client {
    server: SocketAddr,
    key: Option<String>,
    calls: Calls,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    pub fn new(server: SocketAddr, key: Option<String>, calls: Calls) -> Client {
        Client {
            server,
            key,
            calls,
            connection: None,
        }
    }

    /// Asks with this key from now on.
    pub fn use_key(&mut self, key: &str) {
        self.key = Some(key.to_owned());
    }

    pub async fn get(&mut self, call: Call, path: &str) -> Result<Answer> {
        self.ask(call, Method::GET, path, None).await
    }

    /// Asks once and counts what came of it. An error: there was no answer.
    pub async fn ask(
        &mut self,
        call: Call,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer> {
        let start = Instant::now();
        let asked = tokio::time::timeout(PATIENCE, self.send(method, path, body)).await;
        let answer = asked
            .unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {} s", PATIENCE.as_secs())));
        if answer.is_err() {
            // Whatever state it is in.
            self.connection = None;
        }
        let status = answer.as_ref().ok().map(|answer| answer.status);
        self.calls.count(call, status, start.elapsed());
        answer
    }

    async fn send(&mut self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer> {
        // The server closes what is idle for long; that is no error.
        let mut open = self.connection.take();
        if let Some(connection) = &mut open
            && connection.ready().await.is_err()
        {
            open = None;
        }
        let connection = match open {
            Some(open) => self.connection.insert(open),
            None => self.connection.insert(connect(self.server).await?),
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.server.to_string());
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, format!("Bearer {key}"));
        }
        let bytes = match body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        let request = request.body(Full::new(bytes)).context("make a request")?;
        let response = connection.send_request(request).await?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => bail!("the answer broke off: {error}"),
        };
        Ok(Answer { status, body })
    }
}

async fn connect(server: SocketAddr) -> Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(server)
        .await
        .context("connect to the server")?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        // Its end is seen by whoever asks next.
        let _ = connection.await;
    });
    Ok(sender)
}
