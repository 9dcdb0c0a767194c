//! Why no answer was got.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use types::CanonicalUrl;

use crate::dns::LookupError;
use crate::guard::RefusedAddress;

/// What a caller can do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FetchErrorKind {
    /// The name did not resolve.
    Dns,
    /// No connection: refused, unreachable, reset while connecting.
    Connect,
    /// Certificate or handshake rejected.
    Tls,
    /// One of the configured times ran out.
    Timeout,
    /// Body, headers or URL over the configured limit.
    TooLarge,
    /// Every address of the host is private and not allow-listed.
    PrivateAddress,
    /// Invalid HTTP, broken content coding, connection cut during the answer.
    Protocol,
    /// Redirects in a circle, too often or to no URL.
    RedirectLoop,
    /// The settings cannot be used; only from building a fetcher.
    Config,
}

impl FetchErrorKind {
    /// Whether the same request may succeed later without anyone changing anything.
    #[must_use]
    pub fn is_transient(self) -> bool {
        match self {
            FetchErrorKind::Dns
            | FetchErrorKind::Connect
            | FetchErrorKind::Timeout
            | FetchErrorKind::Protocol => true,
            FetchErrorKind::Tls
            | FetchErrorKind::TooLarge
            | FetchErrorKind::PrivateAddress
            | FetchErrorKind::RedirectLoop
            | FetchErrorKind::Config => false,
        }
    }
}

/// A failure, worded to follow "failed to ...". The source, where there is
/// one, is the root cause alone, not the layers of the HTTP client above it.
#[derive(Debug)]
pub struct FetchError {
    kind: FetchErrorKind,
    /// `fetch http://example.org/`
    action: String,
    problem: String,
    retry_after: Option<Duration>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl FetchError {
    #[must_use]
    pub fn kind(&self) -> FetchErrorKind {
        self.kind
    }

    /// What went wrong, without the URL, which may hold what nobody else should see.
    #[must_use]
    pub fn problem(&self) -> &str {
        &self.problem
    }

    /// What `Retry-After` said, where the failure came after the headers.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    pub(crate) fn config(problem: impl Into<String>) -> FetchError {
        FetchError {
            kind: FetchErrorKind::Config,
            action: "set up the HTTP client".to_owned(),
            problem: problem.into(),
            retry_after: None,
            source: None,
        }
    }

    pub(crate) fn with_source(
        mut self,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> FetchError {
        self.source = Some(source.into());
        self
    }

    pub(crate) fn of(url: &CanonicalUrl, failure: Failure) -> FetchError {
        FetchError {
            kind: failure.kind,
            action: format!("fetch {}", shortened(url.as_str())),
            problem: failure.problem,
            retry_after: None,
            source: failure.source,
        }
    }

    pub(crate) fn with_retry_after(mut self, retry_after: Option<Duration>) -> FetchError {
        self.retry_after = retry_after;
        self
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.action, self.problem)
    }
}

impl Error for FetchError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// A failure inside this crate, before its URL is attached.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: FetchErrorKind,
    problem: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    pub(crate) fn new(kind: FetchErrorKind, problem: impl Into<String>) -> Failure {
        Failure {
            kind,
            problem: problem.into(),
            source: None,
        }
    }

    pub(crate) fn timeout(what: &str, after: Duration) -> Failure {
        let seconds = after.as_secs_f64();
        Failure::new(FetchErrorKind::Timeout, format!("{what} {seconds} s"))
    }

    pub(crate) fn decode(coding: &str, error: io::Error) -> Failure {
        Failure {
            kind: FetchErrorKind::Protocol,
            problem: format!("body is not valid {coding}"),
            source: Some(error.into()),
        }
    }

    /// The request was sent, or tried to be, and no head came back.
    pub(crate) fn sending(error: &reqwest::Error, connect_timeout: Duration) -> Failure {
        if let Some(lookup) = find::<LookupError>(error) {
            return match lookup {
                LookupError::Refused(ip) => RefusedAddress(*ip).into(),
                LookupError::Failed(_) => {
                    Failure::caused(FetchErrorKind::Dns, "name does not resolve", error)
                }
            };
        }
        if find::<rustls::Error>(error).is_some() {
            return Failure::caused(FetchErrorKind::Tls, "TLS handshake failed", error);
        }
        if error.is_timeout() {
            return Failure::timeout("connect timed out after", connect_timeout);
        }
        if error.is_connect() {
            return Failure::caused(FetchErrorKind::Connect, "connection failed", error);
        }
        if find::<hyper::Error>(error).is_some_and(hyper::Error::is_parse_too_large) {
            let problem = "response head is larger than the HTTP client takes";
            return Failure::caused(FetchErrorKind::TooLarge, problem, error);
        }
        Failure::caused(FetchErrorKind::Protocol, "no valid HTTP answer", error)
    }

    /// The head came, the body broke.
    pub(crate) fn receiving(error: &reqwest::Error, wire_bytes: u64) -> Failure {
        let problem = format!("body broke off after {wire_bytes} bytes");
        Failure::caused(FetchErrorKind::Protocol, problem, error)
    }

    fn caused(kind: FetchErrorKind, problem: impl Into<String>, error: &reqwest::Error) -> Failure {
        Failure {
            kind,
            problem: problem.into(),
            source: Some(root_cause(error).to_string().into()),
        }
    }
}

impl From<RefusedAddress> for Failure {
    fn from(RefusedAddress(ip): RefusedAddress) -> Failure {
        Failure::new(
            FetchErrorKind::PrivateAddress,
            format!("address {ip} is private and not allow-listed"),
        )
    }
}

/// The first `T` in the chain of causes.
fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut current = error;
    loop {
        if let Some(found) = current.downcast_ref::<T>() {
            return Some(found);
        }
        current = cause(current)?;
    }
}

fn root_cause<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut current = error;
    while let Some(next) = cause(current) {
        current = next;
    }
    current
}

/// Like `source()`, but does not skip the error inside an `io::Error`.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    if let Some(inner) = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        return Some(inner);
    }
    error.source()
}

/// An error message of 8 KiB helps nobody.
fn shortened(url: &str) -> String {
    const CHARS_MAX: usize = 300;
    match url.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &url[..end]),
        None => url.to_owned(),
    }
}
