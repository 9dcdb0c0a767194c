//! Requests to the cluster, and what its answers mean.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Url};
use serde_json::Value;
use tokio::runtime::{Builder, Handle};
use tracing::debug;

use super::access::{authorization, node, tls};
use crate::error::{SearchError, SearchErrorKind};

/// An answer to a search: 3,000 candidates with the places of 64 words are some megabytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;
const CONNECT_MAX: Duration = Duration::from_secs(5);
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LONGEST: Duration = Duration::from_secs(5);
/// Characters of a server's own words that are repeated.
const REASON_CHARS_MAX: usize = 300;

/// Where the cluster is and how it is spoken to.
#[derive(Clone)]
pub struct OpensearchConfig {
    /// Nodes, `http://` or `https://`; one that cannot be reached is passed
    /// over for the next. A user and password in a URL are used with all.
    pub urls: Vec<String>,
    /// What names of indexes begin with.
    pub prefix: String,
    /// Whose pages these are: an index of another owner is left alone.
    pub owner: String,
    pub username: String,
    pub password: String,
    /// As the server shows it, in Base64; instead of user and password.
    pub api_key: String,
    /// Certificates to trust besides those of public authorities, PEM.
    pub ca_file: Option<PathBuf>,
    /// Of each request.
    pub timeout: Duration,
    /// How long writing waits for a cluster that is overloaded or read-only.
    pub retry_for: Duration,
    /// Primary shards of an index that is made.
    pub shards: u32,
}

impl Default for OpensearchConfig {
    fn default() -> OpensearchConfig {
        OpensearchConfig {
            urls: Vec::new(),
            prefix: "gleaner".to_owned(),
            owner: String::new(),
            username: String::new(),
            password: String::new(),
            api_key: String::new(),
            ca_file: None,
            timeout: Duration::from_secs(10),
            retry_for: Duration::from_secs(30),
            shards: 1,
        }
    }
}

impl std::fmt::Debug for OpensearchConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpensearchConfig")
            .field("prefix", &self.prefix)
            .field("timeout", &self.timeout)
            .field("shards", &self.shards)
            .finish_non_exhaustive()
    }
}

/// Whether a request is tried again while the cluster takes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// Somebody waits for the answer.
    None,
    /// Work that can wait.
    Some,
}

/// One request.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) body: Bytes,
}

impl Ask {
    pub(super) fn get(path: impl Into<String>) -> Ask {
        Ask::of(Method::GET, path, Bytes::new())
    }

    pub(super) fn post(path: impl Into<String>, body: &Value) -> Ask {
        Ask::of(Method::POST, path, body.to_string().into_bytes())
    }

    pub(super) fn put(path: impl Into<String>, body: &Value) -> Ask {
        Ask::of(Method::PUT, path, body.to_string().into_bytes())
    }

    pub(super) fn of(method: Method, path: impl Into<String>, body: impl Into<Bytes>) -> Ask {
        Ask {
            method,
            path: path.into(),
            body: body.into(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Answer {
    /// The kind of an error, such as `index_not_found_exception`.
    pub(super) fn error_type(&self) -> &str {
        self.body["error"]["type"].as_str().unwrap_or_default()
    }

    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// A client of one cluster. Its requests run on a thread that all clients
/// share, so it serves any thread, in a runtime of its own or not.
pub(super) struct Client {
    nodes: Arc<[Url]>,
    /// The node that answered last.
    at: Arc<AtomicUsize>,
    http: reqwest::Client,
    authorization: Option<HeaderValue>,
    timeout: Duration,
    retry_for: Duration,
    /// Nodes without what is secret.
    name: String,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Client {
    pub(super) fn new(config: &OpensearchConfig) -> Result<Client, SearchError> {
        let refused = |message: String| SearchError::of_server(SearchErrorKind::Refused, message);
        let mut nodes = Vec::new();
        let mut login = (config.username.clone(), config.password.clone());
        for text in &config.urls {
            let (url, of_url) = node(text)?;
            if let Some(of_url) = of_url.filter(|_| login.0.is_empty()) {
                login = of_url;
            }
            nodes.push(url);
        }
        if nodes.is_empty() {
            return Err(refused("no OpenSearch server is named".to_owned()));
        }
        let authorization = authorization(&login.0, &login.1, &config.api_key);
        let authorization = authorization.map_err(refused)?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls(config)?)
            .connect_timeout(config.timeout.min(CONNECT_MAX))
            .timeout(config.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| {
                refused("prepare the OpenSearch client".to_owned()).caused_by(error)
            })?;
        let names: Vec<&str> = nodes
            .iter()
            .map(|url| url.as_str().trim_end_matches('/'))
            .collect();
        let name = format!("OpenSearch at {}", names.join(", "));
        Ok(Client {
            nodes: nodes.into(),
            at: Arc::default(),
            http,
            authorization,
            timeout: config.timeout,
            retry_for: config.retry_for,
            name,
        })
    }

    /// What is said of it to people.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The answer, which is a success.
    pub(super) fn ask(&self, ask: Ask, patience: Patience) -> Result<Value, SearchError> {
        let answer = self.answer(ask, patience)?;
        if answer.is_success() {
            Ok(answer.body)
        } else {
            Err(self.failed(&answer))
        }
    }

    /// The answer, be it a refusal. An error when there is none.
    pub(super) fn answer(&self, ask: Ask, patience: Patience) -> Result<Answer, SearchError> {
        let since = Instant::now();
        let mut pause = RETRY_FIRST;
        loop {
            let answer = self.once(ask.clone());
            let waits = match &answer {
                Ok(answer) => matches!(answer.status, 429 | 502..=504),
                Err(error) => error.kind() == SearchErrorKind::Unavailable,
            };
            let is_over = since.elapsed() + pause > self.retry_for;
            if !waits || patience == Patience::None || is_over {
                return answer;
            }
            debug!(
                pause_ms = pause.as_millis() as u64,
                "OpenSearch is asked again"
            );
            self.pause(&mut pause)?;
        }
    }

    /// Waits, the next time for longer.
    pub(super) fn pause(&self, pause: &mut Duration) -> Result<(), SearchError> {
        let length = *pause;
        *pause = (length * 2).min(RETRY_LONGEST);
        on_thread(async move { tokio::time::sleep(length).await })
    }

    pub(super) fn first_pause() -> Duration {
        RETRY_FIRST
    }

    pub(super) fn retry_for(&self) -> Duration {
        self.retry_for
    }

    /// Asks the nodes in turn until one can be reached.
    fn once(&self, ask: Ask) -> Result<Answer, SearchError> {
        let (nodes, at, http) = (
            Arc::clone(&self.nodes),
            Arc::clone(&self.at),
            self.http.clone(),
        );
        let authorization = self.authorization.clone();
        let sent = on_thread(async move {
            let first = at.load(Ordering::Relaxed);
            let mut sent = Err(Trouble::NoNode);
            for n in 0..nodes.len() {
                let node = (first + n) % nodes.len();
                let url = join(&nodes[node], &ask.path);
                sent = send(&http, &ask, url, authorization.clone()).await;
                match &sent {
                    Err(Trouble::Transport(error)) if error.is_connect() => {}
                    _ => {
                        at.store(node, Ordering::Relaxed);
                        break;
                    }
                }
            }
            sent
        })?;
        // Read here: the thread of the requests is there for all searches.
        let read = sent.and_then(|(status, body)| read(status, &body));
        read.map_err(|trouble| self.trouble(trouble))
    }

    fn trouble(&self, trouble: Trouble) -> SearchError {
        let name = &self.name;
        let unavailable = |message| SearchError::of_server(SearchErrorKind::Unavailable, message);
        match trouble {
            Trouble::Transport(error) if error.is_timeout() => {
                let timeout = self.timeout.as_secs_f64();
                unavailable(format!("{name} did not answer within {timeout} s"))
            }
            Trouble::Transport(error) => {
                unavailable(format!("{name} cannot be reached")).caused_by(error.without_url())
            }
            Trouble::NoNode => unavailable(format!("{name} cannot be reached")),
            Trouble::TooLong => SearchError::of_server(
                SearchErrorKind::Index,
                format!("{name} answered with more than {ANSWER_BYTES_MAX} bytes"),
            ),
            Trouble::NoJson(status) => {
                let message = format!("{name} answered {status} with something else than JSON");
                SearchError::of_server(kind_of(status, ""), message)
            }
        }
    }

    /// What an answer that is no success means.
    pub(super) fn failed(&self, answer: &Answer) -> SearchError {
        let (status, error) = (answer.status, &answer.body["error"]);
        let reason = error["reason"].as_str().or(error.as_str());
        let reason = reason.or(answer.body["message"].as_str());
        self.refusal(status, answer.error_type(), reason.unwrap_or_default())
    }

    pub(super) fn refusal(&self, status: u16, error: &str, reason: &str) -> SearchError {
        let name = &self.name;
        let plain = reason.chars().filter(|c| !c.is_control());
        let reason: String = plain.take(REASON_CHARS_MAX).collect();
        let message = match (status, error) {
            (401, _) => format!(
                "{name} refuses the credentials (search.opensearch.username and password, or api_key): {reason}"
            ),
            (_, "cluster_block_exception") => format!(
                "{name} takes no writes: {reason}; a full disk does that, and so does a setting of the cluster"
            ),
            (403, _) => format!("{name} does not allow that: {reason}"),
            (429, _) => format!("{name} is overloaded: {error}: {reason}"),
            (404, _) => format!("{name} has no such index: {reason}"),
            _ => format!("{name} answered {status}: {error}: {reason}"),
        };
        SearchError::of_server(kind_of(status, error), message)
    }
}

fn kind_of(status: u16, error: &str) -> SearchErrorKind {
    match (status, error) {
        (_, "cluster_block_exception") => SearchErrorKind::Unavailable,
        (_, "index_not_found_exception") => SearchErrorKind::NotFound,
        (401 | 403, _) => SearchErrorKind::Refused,
        (408 | 429 | 500..=599, _) => SearchErrorKind::Unavailable,
        _ => SearchErrorKind::Index,
    }
}

#[derive(Debug)]
enum Trouble {
    Transport(reqwest::Error),
    NoNode,
    TooLong,
    NoJson(u16),
}

async fn send(
    http: &reqwest::Client,
    ask: &Ask,
    url: Url,
    authorization: Option<HeaderValue>,
) -> Result<(u16, Vec<u8>), Trouble> {
    let mut request = http.request(ask.method.clone(), url);
    if !ask.body.is_empty() {
        let kind = if ask.path.contains("/_bulk") {
            "application/x-ndjson"
        } else {
            "application/json"
        };
        request = request.header(CONTENT_TYPE, kind).body(ask.body.clone());
    }
    if let Some(value) = authorization {
        request = request.header(AUTHORIZATION, value);
    }
    let mut response = request.send().await.map_err(Trouble::Transport)?;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(Trouble::Transport)? {
        if body.len() + part.len() > ANSWER_BYTES_MAX {
            return Err(Trouble::TooLong);
        }
        body.extend_from_slice(&part);
    }
    Ok((status, body))
}

fn read(status: u16, body: &[u8]) -> Result<Answer, Trouble> {
    if body.is_empty() {
        return Ok(Answer {
            status,
            body: Value::Null,
        });
    }
    match serde_json::from_slice(body) {
        Ok(body) => Ok(Answer { status, body }),
        // A proxy, or a security layer, says no in words of its own.
        Err(_) if status >= 400 => Ok(Answer {
            status,
            body: serde_json::json!({"error": String::from_utf8_lossy(body)}),
        }),
        Err(_) => Err(Trouble::NoJson(status)),
    }
}

/// The node's URL, which may have a path of its own, with `path` behind it.
fn join(node: &Url, path: &str) -> Url {
    let base = node.as_str().trim_end_matches('/');
    Url::parse(&format!("{base}{path}")).unwrap_or_else(|_| node.clone())
}

/// Runs `future` on the thread that waits for all clusters, and waits for it.
fn on_thread<F>(future: F) -> Result<F::Output, SearchError>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    let (reply, answer) = mpsc::sync_channel(1);
    handle()?.spawn(async move {
        // Nobody takes it when the one who asked has panicked.
        let _ = reply.send(future.await);
    });
    answer
        .recv()
        .map_err(|_| SearchError::bug("a request to OpenSearch panicked"))
}

fn handle() -> Result<&'static Handle, SearchError> {
    static HANDLE: OnceLock<Handle> = OnceLock::new();
    if let Some(handle) = HANDLE.get() {
        return Ok(handle);
    }
    let failed = |error: std::io::Error| {
        SearchError::of_server(SearchErrorKind::Unavailable, "start the OpenSearch thread")
            .caused_by(error)
    };
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(failed)?;
    let handle = runtime.handle().clone();
    // Two that start it at once make two; one is used, the other idles.
    thread::Builder::new()
        .name("opensearch".to_owned())
        .spawn(move || runtime.block_on(std::future::pending::<()>()))
        .map_err(failed)?;
    Ok(HANDLE.get_or_init(|| handle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_may_have_a_path_of_their_own() {
        let node = Url::parse("http://a:9200/x/").expect("a URL");
        assert_eq!(
            join(&node, "/_search?a=b").as_str(),
            "http://a:9200/x/_search?a=b"
        );
    }
}
