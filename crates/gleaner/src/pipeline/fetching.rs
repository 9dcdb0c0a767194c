//! One request of a crawl: what came back, and what the pace must know of it.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fetch::{FetchError, FetchErrorKind, FetchRequest, Fetched, Fetcher, Outcome, Want};
use frontier::{FetchSignal, QueuedUrl, RetryPolicy, UrlKind};
use types::{CanonicalUrl, Clock, FailReason};

use super::archive::Head;
use crate::causes::chain;

/// What a request ended in, for the CPU stage to make a visit of.
#[derive(Debug)]
pub enum Response {
    Body(Body),
    NotModified,
    Redirect {
        to: Result<CanonicalUrl, String>,
    },
    Unwanted {
        content_type: String,
    },
    /// Failed for good.
    Failed {
        reason: FailReason,
        detail: String,
    },
    /// Failed for now; the same URL comes again.
    Retry {
        attempt: u32,
        not_before: types::Timestamp,
        detail: String,
    },
}

#[derive(Debug)]
pub struct Body {
    pub bytes: Bytes,
    pub content_type: Option<String>,
    pub etag: Option<String>,
    pub last_modified: Option<String>,
    pub x_robots_tag: Vec<String>,
    pub link_canonical: Option<String>,
    /// Where raw copies are kept.
    pub head: Option<Box<Head>>,
}

/// One URL with its response, on its way to the CPU stage.
#[derive(Debug)]
pub struct Job {
    pub url: QueuedUrl,
    pub status: Option<u16>,
    pub wire_bytes: u64,
    pub response: Response,
    /// When the response was complete.
    pub received: Instant,
}

impl Job {
    /// Of the body it carries.
    pub fn bytes(&self) -> u64 {
        match &self.response {
            Response::Body(body) => body.bytes.len() as u64,
            _ => 0,
        }
    }
}

/// What the dispatcher learns from a request.
#[derive(Debug)]
pub struct Signal {
    pub signal: FetchSignal,
    /// The URL again, when it is to be retried.
    pub retry: Option<QueuedUrl>,
}

#[derive(Clone)]
pub struct Fetching {
    pub fetcher: Fetcher,
    pub retry: RetryPolicy,
    pub clock: Arc<dyn Clock>,
    /// Whether heads of answers are kept, for raw copies.
    pub keeps_heads: bool,
    /// Source of jitter.
    pub random: RandomState,
}

impl std::fmt::Debug for Fetching {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetching")
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}

impl Fetching {
    pub async fn run(&self, url: QueuedUrl) -> (Job, Signal) {
        let want = match url.kind {
            UrlKind::Page => Want::Page,
            UrlKind::Sitemap | UrlKind::Feed => Want::Sitemap,
        };
        let request = FetchRequest {
            url: &url.url,
            etag: url.etag.as_deref(),
            last_modified: url.last_modified.as_deref(),
            want,
        };
        match self.fetcher.fetch(&request).await {
            Ok(fetched) => self.answered(url, fetched),
            Err(error) => self.failed(url, &error),
        }
    }

    fn answered(&self, url: QueuedUrl, fetched: Fetched) -> (Job, Signal) {
        let status = Some(fetched.status);
        let wire_bytes = fetched.wire_bytes;
        let job = |url, response| Job {
            url,
            status,
            wire_bytes,
            response,
            received: Instant::now(),
        };
        let ok = Signal {
            signal: FetchSignal::Ok,
            retry: None,
        };
        match fetched.outcome {
            Outcome::Body(bytes) => {
                let head = self.keeps_heads.then(|| Head {
                    version: fetched.http_version,
                    status: fetched.status,
                    headers: fetched.headers,
                    received_at: self.clock.now(),
                });
                let body = Body {
                    bytes,
                    content_type: fetched.content_type,
                    etag: fetched.etag,
                    last_modified: fetched.last_modified,
                    x_robots_tag: fetched.x_robots_tag,
                    link_canonical: fetched.link_canonical,
                    head: head.map(Box::new),
                };
                (job(url, Response::Body(body)), ok)
            }
            Outcome::NotModified => (job(url, Response::NotModified), ok),
            Outcome::Redirect { to } => (job(url, Response::Redirect { to }), ok),
            Outcome::Unwanted => {
                let content_type = fetched.content_type.unwrap_or_default();
                (job(url, Response::Unwanted { content_type }), ok)
            }
            Outcome::Status => {
                let detail = format!("HTTP {}", fetched.status);
                let throttled = fetched.status == 429
                    || (fetched.status == 503 && fetched.retry_after.is_some());
                let (reason, transient) = match fetched.status {
                    404 | 410 => (FailReason::NotFound, false),
                    _ if throttled => (FailReason::Throttled, true),
                    408 => (FailReason::ClientError, true),
                    500 | 502 | 503 | 504 => (FailReason::ServerError, true),
                    400..=499 => (FailReason::ClientError, false),
                    _ => (FailReason::ServerError, false),
                };
                let signal = match reason {
                    FailReason::Throttled => FetchSignal::Throttled {
                        retry_after: fetched.retry_after,
                    },
                    FailReason::ServerError => FetchSignal::Failed,
                    _ => FetchSignal::Ok,
                };
                self.unsuccessful(
                    url,
                    status,
                    (reason, detail, transient),
                    fetched.retry_after,
                    signal,
                )
            }
        }
    }

    fn failed(&self, url: QueuedUrl, error: &FetchError) -> (Job, Signal) {
        let reason = fail_reason(error);
        let transient = error.kind().is_transient();
        let signal = if transient || matches!(reason, FailReason::Tls | FailReason::Dns) {
            FetchSignal::Failed
        } else {
            FetchSignal::Neutral
        };
        self.unsuccessful(url, None, (reason, chain(error), transient), None, signal)
    }

    fn unsuccessful(
        &self,
        url: QueuedUrl,
        status: Option<u16>,
        (reason, detail, transient): (FailReason, String, bool),
        retry_after: Option<Duration>,
        signal: FetchSignal,
    ) -> (Job, Signal) {
        let attempt = url.attempt + 1;
        let random = self.random.hash_one((url.row, attempt));
        let delay = transient
            .then(|| self.retry.delay(attempt, retry_after, random))
            .flatten();
        let (response, retry) = match delay {
            Some(delay) => {
                let not_before = self.clock.now().plus(delay);
                let again = QueuedUrl {
                    attempt,
                    not_before,
                    ..url.clone()
                };
                (
                    Response::Retry {
                        attempt,
                        not_before,
                        detail,
                    },
                    Some(again),
                )
            }
            None => (Response::Failed { reason, detail }, None),
        };
        (
            Job {
                url,
                status,
                wire_bytes: 0,
                response,
                received: Instant::now(),
            },
            Signal { signal, retry },
        )
    }
}

/// The outcome that an error leads to once its retries are used up.
pub fn fail_reason(error: &FetchError) -> FailReason {
    match error.kind() {
        FetchErrorKind::Dns => FailReason::Dns,
        FetchErrorKind::Connect => FailReason::Connect,
        FetchErrorKind::Tls => FailReason::Tls,
        FetchErrorKind::Timeout => FailReason::Timeout,
        FetchErrorKind::TooLarge => FailReason::TooLarge,
        FetchErrorKind::PrivateAddress => FailReason::PrivateAddress,
        FetchErrorKind::RedirectLoop => FailReason::RedirectLoop,
        FetchErrorKind::Protocol | FetchErrorKind::Config => FailReason::Protocol,
    }
}
