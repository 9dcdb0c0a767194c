//! Sending a small message, such as a webhook: the other thing that leaves for
//! addresses which strangers name, so the same guard and limits hold for it.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use types::CanonicalUrl;

/// One message. Its own headers are sent besides those of the fetcher.
pub struct PostRequest<'a> {
    pub url: &'a CanonicalUrl,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Of the answer's body so many bytes are read, the rest is left.
    pub answer_bytes_max: usize,
}

/// Without headers and body, which may hold what only the receiver should see.
impl fmt::Debug for PostRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostRequest")
            .field("url", &self.url)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// What the receiver answered. A redirect is an answer like any other.
#[derive(Clone, Debug)]
pub struct Posted {
    pub status: u16,
    /// How long the receiver asks to wait, at most a year.
    pub retry_after: Option<Duration>,
    /// What the body began with, not decoded.
    pub answer: Bytes,
    /// From the call until the end of what was read.
    pub elapsed: Duration,
}
