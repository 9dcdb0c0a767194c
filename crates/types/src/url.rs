//! URLs in the one spelling that the store compares by.

use std::fmt;

/// Why a string is no crawlable URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlError {
    /// Not a URL by the WHATWG URL Standard.
    Malformed,
    /// A URL, but not `http:` or `https:`.
    Scheme,
    /// No host.
    NoHost,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            UrlError::Malformed => "malformed URL",
            UrlError::Scheme => "scheme is neither http nor https",
            UrlError::NoHost => "URL has no host",
        })
    }
}

impl std::error::Error for UrlError {}

/// An absolute http(s) URL, serialised by the WHATWG URL Standard, without a
/// fragment, user name or password. Two pages are the same page exactly when
/// these strings are equal. Rules that depend on configuration (tracking
/// parameters, query order) are applied by `frontier` before it builds one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CanonicalUrl {
    url: url::Url,
}

impl CanonicalUrl {
    /// Parses and canonicalises an absolute URL.
    pub fn parse(input: &str) -> Result<CanonicalUrl, UrlError> {
        let url = url::Url::parse(input.trim()).map_err(|_| UrlError::Malformed)?;
        CanonicalUrl::from_url(url)
    }

    /// Canonicalises a parsed URL: drops the fragment and credentials. The
    /// parser has already lower-cased the host, dropped the default port,
    /// resolved dot segments and percent-encoded what must be.
    pub fn from_url(mut url: url::Url) -> Result<CanonicalUrl, UrlError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(UrlError::Scheme);
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(UrlError::NoHost);
        }
        url.set_fragment(None);
        // Both setters fail only for URLs without a host, refused above.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        Ok(CanonicalUrl { url })
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    #[must_use]
    pub fn as_url(&self) -> &url::Url {
        &self.url
    }

    /// Lower-case host name or IP literal, without port.
    #[must_use]
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    #[must_use]
    pub fn host_key(&self) -> HostKey {
        let port = self.url.port_or_known_default().unwrap_or(0);
        HostKey(format!("{}://{}:{}", self.url.scheme(), self.host(), port))
    }

    /// Path and query, as a robots.txt rule sees it.
    #[must_use]
    pub fn path_and_query(&self) -> &str {
        &self.url[url::Position::BeforePath..url::Position::AfterQuery]
    }
}

impl fmt::Debug for CanonicalUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for CanonicalUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Scheme, host and port: the authority that robots.txt, pace, concurrency,
/// leases and breakers apply to (RFC 9309 §2.3 scopes robots.txt to it).
/// Spelled `https://example.org:443`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostKey(String);

impl HostKey {
    /// Takes back a string made by [`HostKey::as_str`], e.g. from the database.
    #[must_use]
    pub fn from_stored(text: String) -> HostKey {
        HostKey(text)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `http://host:port/robots.txt`
    #[must_use]
    pub fn robots_url(&self) -> String {
        format!("{}/robots.txt", self.0)
    }
}

impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, expected: Result<&str, UrlError>) {
        let got = CanonicalUrl::parse(input);
        assert_eq!(
            got.as_ref().map(CanonicalUrl::as_str).map_err(|e| *e),
            expected,
            "{input}"
        );
    }

    #[test]
    fn one_spelling_per_page() {
        check(
            "HTTP://Example.ORG:80/a/../b#frag",
            Ok("http://example.org/b"),
        );
        check("https://user:pw@example.org", Ok("https://example.org/"));
        check(
            "  https://example.org/a b ",
            Ok("https://example.org/a%20b"),
        );
        check(
            "https://bücher.example/",
            Ok("https://xn--bcher-kva.example/"),
        );
        check("mailto:a@b.c", Err(UrlError::Scheme));
        check("/relative", Err(UrlError::Malformed));
        check("http://", Err(UrlError::Malformed));
    }

    #[test]
    fn host_key_separates_scheme_and_port() {
        let key = |u: &str| CanonicalUrl::parse(u).expect("valid").host_key();
        assert_eq!(key("http://a.org/x"), key("http://a.org:80/y"));
        assert_ne!(key("http://a.org/"), key("https://a.org/"));
        assert_eq!(
            key("https://a.org/").robots_url(),
            "https://a.org:443/robots.txt"
        );
    }
}
