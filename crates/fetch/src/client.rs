//! Building the HTTP clients from the settings.

use std::time::Duration;

use http::header::{ACCEPT_ENCODING, ACCEPT_LANGUAGE, USER_AGENT};
use http::{HeaderMap, HeaderValue};
use reqwest::{Client, Proxy};
use rustls::ClientConfig;
use url::Url;

use crate::config::FetchConfig;
use crate::decode;
use crate::dns::{GuardedResolver, Lookup};
use crate::error::FetchError;

/// Keeps sums of times far from overflow; a longer one is surely a slip of units.
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3600);

/// One client per [`Route`](crate::guard::Route). Apart, because a resolver
/// sees no port: a name allowed for one port would be allowed for all, and
/// connection pools must not be shared either.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    pub(crate) guarded: Client,
    pub(crate) exact: Option<Client>,
    /// Requests of `guarded` go through a proxy.
    pub(crate) proxied: bool,
}

impl Clients {
    pub(crate) fn new(config: &FetchConfig, lookup: &Lookup) -> Result<Clients, FetchError> {
        check(config)?;
        let tls = tls(config)?;
        let headers = headers(config)?;
        let proxy = proxy(config)?;
        let resolver = |trusted| {
            let guard = config.guard.clone();
            GuardedResolver::new(lookup.clone(), guard, trusted, config.dns_cache_ttl)
        };

        let proxy_host = proxy.as_ref().map(|(host, _)| host.clone());
        let guarded = builder(config, tls.clone(), headers.clone())
            .dns_resolver(resolver(proxy_host.into_iter().collect()));
        let proxied = proxy.is_some();
        let guarded = match proxy {
            Some((_, proxy)) => guarded.proxy(proxy),
            None => guarded,
        };
        let hosts: Vec<String> = config
            .guard
            .allow_exact
            .iter()
            .map(|(host, _)| host.clone())
            .collect();
        let exact = if hosts.is_empty() {
            None
        } else {
            Some(build(
                builder(config, tls, headers).dns_resolver(resolver(hosts)),
            )?)
        };
        Ok(Clients {
            guarded: build(guarded)?,
            exact,
            proxied,
        })
    }
}

fn check(config: &FetchConfig) -> Result<(), FetchError> {
    if config.user_agent.trim().is_empty() {
        return Err(FetchError::config("user agent is empty"));
    }
    let times = [
        ("connect_timeout", config.connect_timeout),
        ("read_timeout", config.read_timeout),
        ("total_timeout", config.total_timeout),
    ];
    for (name, time) in times {
        if time.is_zero() {
            return Err(FetchError::config(format!("{name} is 0")));
        }
        if time > TIMEOUT_MAX {
            return Err(FetchError::config(format!("{name} is over a day")));
        }
    }
    Ok(())
}

fn builder(config: &FetchConfig, tls: ClientConfig, headers: HeaderMap) -> reqwest::ClientBuilder {
    let builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .default_headers(headers)
        .connect_timeout(config.connect_timeout)
        .pool_max_idle_per_host(config.pool_idle_per_host)
        .pool_idle_timeout(config.pool_idle_timeout)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        // Retries belong to the caller, who keeps the pace.
        .retry(reqwest::retry::never())
        // The environment must not send requests past the guard.
        .no_proxy()
        // Decoded in `decode`.
        .no_gzip()
        .no_brotli()
        .no_zstd()
        .no_deflate();
    if config.http2 {
        let header_bytes_max = u32::try_from(config.header_bytes_max).unwrap_or(u32::MAX);
        builder.http2_max_header_list_size(header_bytes_max)
    } else {
        builder.http1_only()
    }
}

fn build(builder: reqwest::ClientBuilder) -> Result<Client, FetchError> {
    builder
        .build()
        .map_err(|error| FetchError::config("client settings rejected").with_source(error))
}

fn headers(config: &FetchConfig) -> Result<HeaderMap, FetchError> {
    let mut headers = HeaderMap::new();
    let value = |name: &str, text: &str| {
        HeaderValue::from_str(text).map_err(|error| {
            FetchError::config(format!("{name} cannot be sent in a header")).with_source(error)
        })
    };
    headers.insert(USER_AGENT, value("user agent", config.user_agent.trim())?);
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(decode::ACCEPTED));
    if let Some(language) = &config.accept_language {
        headers.insert(ACCEPT_LANGUAGE, value("accept_language", language)?);
    }
    Ok(headers)
}

fn tls(config: &FetchConfig) -> Result<ClientConfig, FetchError> {
    let mut tls = tls::client_config(config.extra_ca_file.as_deref())
        .map_err(|error| FetchError::config(error.to_string()).with_source(error))?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    if config.http2 {
        tls.alpn_protocols.insert(0, b"h2".to_vec());
    }
    Ok(tls)
}

/// The proxy with its host name. Errors do not repeat the URL: it may hold a password.
fn proxy(config: &FetchConfig) -> Result<Option<(String, Proxy)>, FetchError> {
    let Some(text) = &config.proxy else {
        return Ok(None);
    };
    let url = Url::parse(text)
        .map_err(|error| FetchError::config("proxy is not a URL").with_source(error))?;
    if !matches!(url.scheme(), "http" | "https") {
        let problem = "proxy is neither http:// nor https://";
        return Err(FetchError::config(problem));
    }
    let host = url.host_str().unwrap_or_default().to_owned();
    let proxy = Proxy::all(url).map_err(|error| {
        FetchError::config("proxy is not usable").with_source(error.without_url())
    })?;
    Ok(Some((host, proxy)))
}
