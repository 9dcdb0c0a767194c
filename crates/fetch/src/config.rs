//! Settings and limits of a [`Fetcher`](crate::Fetcher).

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::guard::AddressGuard;

/// 512 KiB, see [`Want::Robots`](crate::Want::Robots).
pub(crate) const ROBOTS_BYTES_MAX: u64 = 512 * 1024;
/// 50 MiB, the limit of sitemaps.org.
pub(crate) const SITEMAP_BYTES_MAX: u64 = 50 * 1024 * 1024;
/// RFC 9309 §2.3.1.2: crawlers should follow at least five redirects of robots.txt.
pub(crate) const ROBOTS_REDIRECTS_MAX: u32 = 5;
/// RFC 9110 §4.1 asks for 8000 octets at least; nothing good comes longer.
pub(crate) const URL_BYTES_MAX: usize = 8 * 1024;

/// How to fetch. Every limit holds for each request on its own. Timeouts are
/// more than 0 and at most a day.
#[derive(Clone)]
pub struct FetchConfig {
    /// Names this crawler and how to reach its operator, e.g.
    /// `gleaner/1.0 (+https://example.org/bot)`.
    pub user_agent: String,
    /// Sent as `Accept-Language` when set.
    pub accept_language: Option<String>,
    /// DNS, TCP and TLS together. Default 10 s.
    pub connect_timeout: Duration,
    /// Longest silence while waiting for the head or the next bytes of the body. Default 20 s.
    pub read_timeout: Duration,
    /// Whole request, or whole chain of redirects where they are followed. Default 60 s.
    pub total_timeout: Duration,
    /// Decoded body. Default 16 MiB. Robots and sitemaps have limits of their own.
    pub body_bytes_max: u64,
    /// Body as transferred. Default 16 MiB.
    pub wire_bytes_max: u64,
    /// All response headers: names, values and 4 bytes each. Default 64 KiB.
    pub header_bytes_max: usize,
    /// Redirects that `fetch_following` follows; robots.txt always gets 5. Default 10.
    pub redirects_max: u32,
    /// Offer HTTP/2 by ALPN. Default true.
    pub http2: bool,
    /// Idle connections kept per scheme, host and port; 0 keeps none. Default 16.
    pub pool_idle_per_host: usize,
    /// Default 30 s.
    pub pool_idle_timeout: Duration,
    /// How long DNS answers (already checked by the guard) are reused; 0 turns it off. Default 60 s.
    pub dns_cache_ttl: Duration,
    /// Which private addresses may be asked after all. Default none.
    pub guard: AddressGuard,
    /// `http://` or `https://` proxy for everything but the guard's exact pairs.
    /// The proxy resolves names, so only literal addresses (and `localhost`)
    /// can be checked here. The environment's proxy settings are not read. Default none.
    pub proxy: Option<String>,
    /// PEM file of further trusted root certificates, beside Mozilla's. Default none.
    pub extra_ca_file: Option<PathBuf>,
}

impl Default for FetchConfig {
    fn default() -> FetchConfig {
        FetchConfig {
            user_agent: concat!("gleaner/", env!("CARGO_PKG_VERSION")).to_owned(),
            accept_language: None,
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(20),
            total_timeout: Duration::from_secs(60),
            body_bytes_max: 16 * 1024 * 1024,
            wire_bytes_max: 16 * 1024 * 1024,
            header_bytes_max: 64 * 1024,
            redirects_max: 10,
            http2: true,
            pool_idle_per_host: 16,
            pool_idle_timeout: Duration::from_secs(30),
            dns_cache_ttl: Duration::from_secs(60),
            guard: AddressGuard::default(),
            proxy: None,
            extra_ca_file: None,
        }
    }
}

/// By hand, because a proxy URL may hold a password.
impl fmt::Debug for FetchConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchConfig")
            .field("user_agent", &self.user_agent)
            .field("accept_language", &self.accept_language)
            .field("connect_timeout", &self.connect_timeout)
            .field("read_timeout", &self.read_timeout)
            .field("total_timeout", &self.total_timeout)
            .field("body_bytes_max", &self.body_bytes_max)
            .field("wire_bytes_max", &self.wire_bytes_max)
            .field("header_bytes_max", &self.header_bytes_max)
            .field("redirects_max", &self.redirects_max)
            .field("http2", &self.http2)
            .field("pool_idle_per_host", &self.pool_idle_per_host)
            .field("pool_idle_timeout", &self.pool_idle_timeout)
            .field("dns_cache_ttl", &self.dns_cache_ttl)
            .field("guard", &self.guard)
            .field("proxy", &self.proxy.as_ref().map(|_| "…"))
            .field("extra_ca_file", &self.extra_ca_file)
            .finish()
    }
}
