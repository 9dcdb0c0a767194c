//! The words spoken between the dispatcher and its caller.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use types::{CanonicalUrl, HostKey, Timestamp};

use crate::breaker::BreakerPolicy;

/// How hard a crawl may press.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacePolicy {
    /// Least time between two request starts at one host. A larger
    /// `Crawl-delay` takes its place. 0 means full speed.
    pub delay: Duration,
    /// Requests in flight at one host. 0 counts as 1.
    pub concurrency_per_host: u32,
    /// Requests in flight in all. 0 counts as 1.
    pub concurrency: u32,
    /// A larger `Crawl-delay` is cut to this.
    pub crawl_delay_max: Duration,
    pub breaker: BreakerPolicy,
    /// URLs held in memory per host; the rest stay in the store. With very many
    /// hosts the dispatcher holds fewer of each.
    pub window_per_host: usize,
}

impl Default for PacePolicy {
    fn default() -> PacePolicy {
        PacePolicy {
            delay: Duration::from_secs(1),
            concurrency_per_host: 2,
            concurrency: 64,
            crawl_delay_max: Duration::from_secs(30),
            breaker: BreakerPolicy::default(),
            window_per_host: 256,
        }
    }
}

/// What a URL is expected to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UrlKind {
    Page,
    Sitemap,
    Feed,
}

impl UrlKind {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            UrlKind::Page => "page",
            UrlKind::Sitemap => "sitemap",
            UrlKind::Feed => "feed",
        }
    }
}

impl fmt::Display for UrlKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no [`UrlKind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownUrlKind;

impl fmt::Display for UnknownUrlKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("URL kind is none of page, sitemap, feed")
    }
}

impl std::error::Error for UnknownUrlKind {}

impl FromStr for UrlKind {
    type Err = UnknownUrlKind;

    fn from_str(text: &str) -> Result<UrlKind, UnknownUrlKind> {
        match text {
            "page" => Ok(UrlKind::Page),
            "sitemap" => Ok(UrlKind::Sitemap),
            "feed" => Ok(UrlKind::Feed),
            _ => Err(UnknownUrlKind),
        }
    }
}

/// A row of the durable queue, read into memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedUrl {
    /// Row id in the store; larger means queued later.
    pub row: i64,
    pub url: CanonicalUrl,
    pub kind: UrlKind,
    pub depth: u32,
    /// Attempts already made.
    pub attempt: u32,
    /// Not to be requested earlier.
    pub not_before: Timestamp,
    pub etag: Option<String>,
    pub last_modified: Option<String>,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Request this URL now, then tell `finished` (or `not_sent`).
    Fetch(QueuedUrl),
    /// Read this host's queued rows above `after_row`, up to `refill_rows_max` of
    /// them, and hand them to `refill`.
    Refill { host: HostKey, after_row: i64 },
    /// Get this host's robots.txt, then tell `robots_known`. In flight until then.
    Robots(HostKey),
    /// The host is broken: record the URL as failed, or delay it. Not in flight.
    Refuse(QueuedUrl),
    /// Nothing may start before this time, unless something in flight ends.
    Wait(Timestamp),
    /// Nothing may start before something in flight (or a refill) ends.
    Busy,
    /// Nothing is left and nothing in flight. New work may still be added.
    Done,
}

/// How a request ended, as far as its host's pace is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchSignal {
    /// The host answered, whatever it said about the URL (a 404 is `Ok`).
    Ok,
    /// The host did not answer, or with a server error. Counts for the breaker.
    Failed,
    /// The host asks for less (429, 503). It waits, and the breaker counts it.
    Throttled { retry_after: Option<Duration> },
    /// Says nothing about the host (cancelled, refused on our side after the
    /// request started).
    Neutral,
}
