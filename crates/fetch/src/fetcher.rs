//! One request, one answer; and chains of them where redirects are followed.

use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use http::header::{ACCEPT, ACCEPT_ENCODING, IF_MODIFIED_SINCE, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::{Client, Request, Response};
use tokio::time::{Instant, timeout, timeout_at};
use types::{CanonicalUrl, Clock, SystemClock};

use crate::answer::{FetchRequest, Fetched, Followed, Hop, Outcome, Want};
use crate::body::{self, BodyLimits};
use crate::client::Clients;
use crate::config::{FetchConfig, ROBOTS_REDIRECTS_MAX, URL_BYTES_MAX};
use crate::dns::Lookup;
use crate::error::{Failure, FetchError, FetchErrorKind};
use crate::guard::{RefusedAddress, Route};
use crate::headers;
use crate::post::{PostRequest, Posted};

/// For the body of an answer to a message, which is only shown.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// Fetches URLs within the limits of its [`FetchConfig`]. Clones share
/// connections; one fetcher serves any number of concurrent requests.
#[derive(Clone)]
pub struct Fetcher(Arc<Inner>);

struct Inner {
    config: FetchConfig,
    clients: Clients,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Fetcher").field(&self.0.config).finish()
    }
}

impl Fetcher {
    /// Fails, with [`FetchErrorKind::Config`], only for unusable settings.
    pub fn new(config: FetchConfig) -> Result<Fetcher, FetchError> {
        Fetcher::with_parts(config, &Lookup::System, Arc::new(SystemClock))
    }

    /// With another source of addresses and time. The clock is asked only for
    /// a `Retry-After` date in an answer without `Date`.
    pub fn with_parts(
        config: FetchConfig,
        lookup: &Lookup,
        clock: Arc<dyn Clock>,
    ) -> Result<Fetcher, FetchError> {
        let clients = Clients::new(&config, lookup)?;
        Ok(Fetcher(Arc::new(Inner {
            config,
            clients,
            clock,
        })))
    }

    #[must_use]
    pub fn config(&self) -> &FetchConfig {
        &self.0.config
    }

    /// One hop: a redirect is returned, not followed, because its target is a
    /// URL of its own to which robots rules and pace apply.
    pub async fn fetch(&self, request: &FetchRequest<'_>) -> Result<Fetched, FetchError> {
        let deadline = self.0.deadline();
        self.0.fetch_until(request, deadline).await
    }

    /// Sends a message. Nothing is followed: a redirect is the answer. Once the
    /// status is known the answer stands, however the body goes on.
    pub async fn post(&self, request: PostRequest<'_>) -> Result<Posted, FetchError> {
        let url = request.url;
        let posted = self.0.post(request).await;
        posted.map_err(|failure| FetchError::of(url, failure))
    }

    /// Follows redirects: for robots.txt (at most 5, RFC 9309 §2.3.1.2) and
    /// for fetching a single page on request. Each hop passes the guard, the
    /// total time holds for the whole chain, and a circle is an error of kind
    /// [`FetchErrorKind::RedirectLoop`]. Validators are sent to the first host only.
    pub async fn fetch_following(
        &self,
        request: &FetchRequest<'_>,
    ) -> Result<Followed, FetchError> {
        let deadline = self.0.deadline();
        let redirects_max = match request.want {
            Want::Robots => ROBOTS_REDIRECTS_MAX,
            Want::Page | Want::Sitemap | Want::Any => self.0.config.redirects_max,
        };
        let origin = request.url.host_key();
        let mut seen = HashSet::from([request.url.clone()]);
        let mut hops: Vec<Hop> = Vec::new();
        let mut url = request.url.clone();
        loop {
            let same_host = url.host_key() == origin;
            let hop = FetchRequest {
                url: &url,
                etag: request.etag.filter(|_| same_host),
                last_modified: request.last_modified.filter(|_| same_host),
                want: request.want,
            };
            let fetched = self.0.fetch_until(&hop, deadline).await?;
            let Outcome::Redirect { to } = &fetched.outcome else {
                return Ok(Followed { fetched, hops });
            };
            let stop = |problem: String| {
                let failure = Failure::new(FetchErrorKind::RedirectLoop, problem);
                Err(FetchError::of(&url, failure))
            };
            let next = match to {
                Ok(next) => next.clone(),
                Err(raw) => {
                    let shown: String = raw.chars().take(100).collect();
                    return stop(format!("redirect leads to no usable URL: {shown:?}"));
                }
            };
            if hops.len() >= usize::try_from(redirects_max).unwrap_or(usize::MAX) {
                return stop(format!("more than {redirects_max} redirects"));
            }
            if !seen.insert(next.clone()) {
                return stop("redirects lead in a circle".to_owned());
            }
            hops.push(Hop {
                from: url,
                status: fetched.status,
            });
            url = next;
        }
    }
}

impl Inner {
    fn deadline(&self) -> Instant {
        Instant::now() + self.config.total_timeout
    }

    async fn fetch_until(
        &self,
        request: &FetchRequest<'_>,
        deadline: Instant,
    ) -> Result<Fetched, FetchError> {
        let hop = async {
            let started = Instant::now();
            let (client, sent) = self
                .prepare(request)
                .map_err(|failure| FetchError::of(request.url, failure))?;
            let response = self
                .send(client, sent)
                .await
                .map_err(|failure| FetchError::of(request.url, failure))?;
            let retry_after = headers::retry_after(response.headers(), &*self.clock);
            let fetched = self.receive(request, response, started, retry_after).await;
            fetched.map_err(|failure| {
                FetchError::of(request.url, failure).with_retry_after(retry_after)
            })
        };
        let Ok(result) = timeout_at(deadline, hop).await else {
            let failure = Failure::timeout("timed out after", self.config.total_timeout);
            return Err(FetchError::of(request.url, failure));
        };
        if let Ok(fetched) = &result {
            tracing::debug!(
                url = %fetched.url,
                status = fetched.status,
                wire_bytes = fetched.wire_bytes,
                elapsed_ms = fetched.elapsed.as_secs_f64() * 1000.0,
                "fetched {}", fetched.url
            );
        }
        result
    }

    async fn post(&self, request: PostRequest<'_>) -> Result<Posted, Failure> {
        let started = Instant::now();
        let client = self.client_for(request.url)?;
        let mut sent = Request::new(Method::POST, request.url.as_url().clone());
        // Shown as it comes, so it should come as it is.
        let identity = HeaderValue::from_static("identity");
        sent.headers_mut().insert(ACCEPT_ENCODING, identity);
        sent.headers_mut().extend(request.headers);
        *sent.body_mut() = Some(request.body.into());
        let total_timeout = self.config.total_timeout;
        let Ok(answered) = timeout(total_timeout, self.send(client, sent)).await else {
            return Err(Failure::timeout("timed out after", total_timeout));
        };
        let mut response = answered?;
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        let mut answer = BytesMut::new();
        while answer.len() < request.answer_bytes_max {
            let chunk = timeout_at(deadline, response.chunk()).await;
            let Ok(Ok(Some(chunk))) = chunk else {
                break;
            };
            let room = request.answer_bytes_max - answer.len();
            answer.extend_from_slice(&chunk[..chunk.len().min(room)]);
        }
        Ok(Posted {
            status: response.status().as_u16(),
            retry_after: headers::retry_after(response.headers(), &*self.clock),
            answer: answer.freeze(),
            elapsed: started.elapsed(),
        })
    }

    /// Everything that can be checked before a byte is sent.
    fn prepare(&self, request: &FetchRequest<'_>) -> Result<(&Client, Request), Failure> {
        let url = request.url;
        let client = self.client_for(url)?;
        let mut sent = Request::new(Method::GET, url.as_url().clone());
        let headers = sent.headers_mut();
        headers.insert(ACCEPT, accept(request.want));
        insert_validator(headers, IF_NONE_MATCH, request.etag);
        insert_validator(headers, IF_MODIFIED_SINCE, request.last_modified);
        Ok((client, sent))
    }

    /// The client that may ask this URL (P3).
    fn client_for(&self, url: &CanonicalUrl) -> Result<&Client, Failure> {
        if url.as_str().len() > URL_BYTES_MAX {
            let problem = format!("URL is longer than {URL_BYTES_MAX} bytes");
            return Err(Failure::new(FetchErrorKind::TooLarge, problem));
        }
        let (client, proxied) = match (self.config.guard.route(url)?, &self.clients.exact) {
            (Route::Exact, Some(exact)) => (exact, false),
            _ => (&self.clients.guarded, self.clients.proxied),
        };
        if proxied {
            self.refuse_localhost(url)?;
        }
        Ok(client)
    }

    /// A proxy would resolve these names to itself (RFC 6761 §6.3).
    fn refuse_localhost(&self, url: &CanonicalUrl) -> Result<(), RefusedAddress> {
        let name = url.host().trim_end_matches('.');
        if name != "localhost" && !name.ends_with(".localhost") {
            return Ok(());
        }
        let loopback = [
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ];
        if loopback.iter().any(|ip| self.config.guard.verdict(*ip)) {
            return Ok(());
        }
        Err(RefusedAddress(loopback[0]))
    }

    async fn send(&self, client: &Client, request: Request) -> Result<Response, Failure> {
        // The client's connect timeout ends the first part.
        let head_timeout = self.config.connect_timeout + self.config.read_timeout;
        match timeout(head_timeout, client.execute(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(Failure::sending(&error, self.config.connect_timeout)),
            Err(_) => Err(Failure::timeout("no answer for", head_timeout)),
        }
    }

    async fn receive(
        &self,
        request: &FetchRequest<'_>,
        mut response: Response,
        started: Instant,
        retry_after: Option<Duration>,
    ) -> Result<Fetched, Failure> {
        let header_bytes = headers::size_bytes(response.headers());
        if header_bytes > self.config.header_bytes_max {
            let header_bytes_max = self.config.header_bytes_max;
            let problem = format!("response headers are larger than {header_bytes_max} bytes");
            return Err(Failure::new(FetchErrorKind::TooLarge, problem));
        }
        let content_type = headers::content_type(response.headers());
        let (outcome, wire_bytes) = self
            .outcome(request, &mut response, content_type.as_deref())
            .await?;
        let headers = std::mem::take(response.headers_mut());
        Ok(Fetched {
            url: request.url.clone(),
            status: response.status().as_u16(),
            outcome,
            etag: headers::etag(&headers),
            last_modified: headers::last_modified(&headers),
            x_robots_tag: headers::x_robots_tag(&headers),
            link_canonical: headers::link_canonical(&headers, request.url),
            content_type,
            retry_after,
            wire_bytes,
            elapsed: started.elapsed(),
            http_version: response.version(),
            headers,
        })
    }

    async fn outcome(
        &self,
        request: &FetchRequest<'_>,
        response: &mut Response,
        content_type: Option<&str>,
    ) -> Result<(Outcome, u64), Failure> {
        let status = response.status();
        if status.is_success() {
            if request.want == Want::Page && !headers::is_page_type(content_type) {
                return Ok((Outcome::Unwanted, 0));
            }
            let limits = BodyLimits::of(request.want, &self.config);
            let (bytes, wire_bytes) =
                body::read(response, limits, self.config.read_timeout).await?;
            let bytes = if request.want == Want::Sitemap && bytes.starts_with(&[0x1f, 0x8b]) {
                body::inflate_gzip_file(bytes, limits).await?
            } else {
                bytes
            };
            return Ok((Outcome::Body(bytes), wire_bytes));
        }
        let conditional = request.etag.is_some() || request.last_modified.is_some();
        let outcome = match status {
            StatusCode::NOT_MODIFIED if conditional => Outcome::NotModified,
            _ if is_redirect(status, response.headers()) => Outcome::Redirect {
                to: headers::redirect_target(response.headers(), request.url),
            },
            _ => Outcome::Status,
        };
        body::drain(response, self.config.wire_bytes_max).await;
        Ok((outcome, 0))
    }
}

fn is_redirect(status: StatusCode, headers: &HeaderMap) -> bool {
    match status.as_u16() {
        301 | 302 | 303 | 307 | 308 => true,
        // Multiple choices: only where the server prefers one (RFC 9110 §15.4.1).
        300 => headers.contains_key(http::header::LOCATION),
        _ => false,
    }
}

fn accept(want: Want) -> HeaderValue {
    HeaderValue::from_static(match want {
        Want::Page => {
            "text/html,application/xhtml+xml,application/pdf;q=0.9,text/markdown;q=0.9,\
             text/plain;q=0.8,application/xml;q=0.7,*/*;q=0.1"
        }
        Want::Robots => "text/plain,*/*;q=0.5",
        Want::Sitemap => "application/xml,text/xml,application/gzip,text/plain;q=0.8,*/*;q=0.5",
        Want::Any => "*/*",
    })
}

/// A validator that cannot be sent is left out: the answer is then a full one,
/// which is right as well.
fn insert_validator(headers: &mut HeaderMap, name: http::HeaderName, value: Option<&str>) {
    if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
        headers.insert(name, value);
    }
}
