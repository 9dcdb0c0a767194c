//! What is asked and what comes back.

use std::time::Duration;

use bytes::Bytes;
use types::CanonicalUrl;

/// One request. The validators come from an earlier answer for the same URL.
#[derive(Clone, Copy, Debug)]
pub struct FetchRequest<'a> {
    pub url: &'a CanonicalUrl,
    /// Sent as `If-None-Match`.
    pub etag: Option<&'a str>,
    /// Sent as `If-Modified-Since`.
    pub last_modified: Option<&'a str>,
    pub want: Want,
}

impl<'a> FetchRequest<'a> {
    /// An unconditional request.
    #[must_use]
    pub fn new(url: &'a CanonicalUrl, want: Want) -> FetchRequest<'a> {
        FetchRequest {
            url,
            etag: None,
            last_modified: None,
            want,
        }
    }
}

/// What the body is for; decides the `Accept` header and the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Want {
    /// HTML, text, Markdown, PDF, XML and feeds; anything else is [`Outcome::Unwanted`].
    Page,
    /// Any content type; the first 512 KiB of the decoded body count, the rest
    /// is cut off (RFC 9309 §2.5 asks for at least 500 KiB).
    Robots,
    /// Any content type, at most 50 MiB decoded (sitemaps.org); a `.gz` file is inflated.
    Sitemap,
    /// Any content type.
    Any,
}

/// An answer to one request.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The URL that was asked.
    pub url: CanonicalUrl,
    pub status: u16,
    pub outcome: Outcome,
    pub content_type: Option<String>,
    pub etag: Option<String>,
    pub last_modified: Option<String>,
    /// Every `X-Robots-Tag` header, in order.
    pub x_robots_tag: Vec<String>,
    /// Absolute target of `Link: <…>; rel=canonical`.
    pub link_canonical: Option<String>,
    /// How long the server asks to wait, at most a year.
    pub retry_after: Option<Duration>,
    /// Bytes of the body as transferred, before decoding; 0 where it was not read.
    pub wire_bytes: u64,
    /// From the call until the end of the body.
    pub elapsed: Duration,
    pub http_version: http::Version,
    /// All headers, as far as HTTP means them: names in lower case.
    pub headers: http::HeaderMap,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// 2xx: the decoded body.
    Body(Bytes),
    /// 304 to a conditional request.
    NotModified,
    /// 3xx with a `Location`.
    Redirect {
        /// The absolute target, or the `Location` as sent where it names no
        /// http(s) URL, is longer than 8 KiB (then cut) or is missing (then empty).
        to: Result<CanonicalUrl, String>,
    },
    /// 2xx with a content type that was not wanted; the body was not read.
    Unwanted,
    /// Any other status; the body was dropped.
    Status,
}

/// The answer at the end of a chain of redirects.
#[derive(Clone, Debug)]
pub struct Followed {
    /// Never [`Outcome::Redirect`].
    pub fetched: Fetched,
    /// The redirects on the way, in order.
    pub hops: Vec<Hop>,
}

/// One followed redirect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    pub from: CanonicalUrl,
    pub status: u16,
}
