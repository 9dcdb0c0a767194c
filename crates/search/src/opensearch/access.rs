//! Who is asked, and as whom: URLs, credentials, certificates.

use reqwest::Url;
use reqwest::header::HeaderValue;

use super::client::OpensearchConfig;
use crate::error::{SearchError, SearchErrorKind};

/// A node, and the user and password that its URL has.
pub(super) fn node(text: &str) -> Result<(Url, Option<(String, String)>), SearchError> {
    let wrong = || {
        // It may hold a password: not repeated.
        SearchError::of_server(
            SearchErrorKind::Refused,
            "search.opensearch.urls: one is no URL such as https://search.example.org:9200",
        )
    };
    let mut url = Url::parse(text.trim()).map_err(|_| wrong())?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong());
    }
    let login = (!url.username().is_empty()).then(|| {
        let password = url.password().unwrap_or_default();
        (unescaped(url.username()), unescaped(password))
    });
    let cleared = url.set_username("").and_then(|()| url.set_password(None));
    cleared.map_err(|()| wrong())?;
    url.set_query(None);
    url.set_fragment(None);
    Ok((url, login))
}

/// Percent signs of a URL's user and password.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        let hex = tail.get(..2).filter(|_| *byte == b'%');
        let hex = hex.and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(decoded) => {
                bytes.push(decoded);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(super) fn authorization(
    user: &str,
    password: &str,
    key: &str,
) -> Result<Option<HeaderValue>, String> {
    let text = if !key.is_empty() {
        format!("ApiKey {key}")
    } else if !user.is_empty() {
        format!("Basic {}", base64(format!("{user}:{password}").as_bytes()))
    } else {
        return Ok(None);
    };
    let value = HeaderValue::from_str(&text);
    let mut value = value.map_err(|_| {
        "search.opensearch.api_key holds characters that a header cannot".to_owned()
    })?;
    value.set_sensitive(true);
    Ok(Some(value))
}

fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |n: usize| u32::from(group.get(n).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for n in 0..4 {
            if n <= group.len() {
                text.push(char::from(SIGNS[(bits >> (18 - 6 * n) & 63) as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

pub(super) fn tls(config: &OpensearchConfig) -> Result<rustls::ClientConfig, SearchError> {
    tls::client_config(config.ca_file.as_deref()).map_err(|error| {
        SearchError::of_server(SearchErrorKind::Refused, error.to_string()).caused_by(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_of_urls_are_taken_out_of_them() {
        let check = |text: &str, url: &str, login: Option<(&str, &str)>| {
            let (found, found_login) = node(text).expect("a node");
            assert_eq!(found.as_str(), url);
            let found_login = found_login.as_ref().map(|(u, p)| (u.as_str(), p.as_str()));
            assert_eq!(found_login, login);
        };
        check("http://a:9200", "http://a:9200/", None);
        let login = Some(("ada", "p@ss"));
        check("https://ada:p%40ss@a:9200/x", "https://a:9200/x", login);
        for wrong in ["", "a:9200", "ftp://a", "localhost"] {
            let error = node(wrong).expect_err(wrong);
            assert_eq!(error.kind(), SearchErrorKind::Refused, "{wrong}");
        }
    }

    #[test]
    fn credentials_are_of_one_kind() {
        let check = |user, password, key, expected: Option<&str>| {
            let value = authorization(user, password, key).expect("a header");
            let value = value.as_ref().map(|value| value.to_str().expect("ASCII"));
            assert_eq!(value, expected);
        };
        check("", "", "", None);
        check("ada", "secret", "", Some("Basic YWRhOnNlY3JldA=="));
        check("ada", "secrets", "", Some("Basic YWRhOnNlY3JldHM="));
        check("admin", "admin", "", Some("Basic YWRtaW46YWRtaW4="));
        check("ada", "secret", "a2V5", Some("ApiKey a2V5"));
        assert!(authorization("", "", "a\nb").is_err());
    }
}
