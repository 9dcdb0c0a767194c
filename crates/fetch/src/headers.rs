//! What response headers say, as far as a crawler cares.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{
    CONTENT_TYPE, DATE, ETAG, HeaderName, LAST_MODIFIED, LINK, LOCATION, RETRY_AFTER,
};
use http::{HeaderMap, HeaderValue};
use types::{CanonicalUrl, Clock};

use crate::config::URL_BYTES_MAX;

/// Longer waits are as good as never.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// The header as text; `None` where it is missing, or not visible ASCII (a
/// validator must be sent back byte for byte).
pub(crate) fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

pub(crate) fn content_type(headers: &HeaderMap) -> Option<String> {
    let value = String::from_utf8_lossy(headers.get(CONTENT_TYPE)?.as_bytes());
    let value = value.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

pub(crate) fn etag(headers: &HeaderMap) -> Option<String> {
    text(headers, &ETAG)
}

pub(crate) fn last_modified(headers: &HeaderMap) -> Option<String> {
    text(headers, &LAST_MODIFIED)
}

pub(crate) fn x_robots_tag(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all("x-robots-tag")
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_owned())
        .collect()
}

/// Bytes of all headers as HTTP/1 sends them: `name: value` and a line end.
pub(crate) fn size_bytes(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum()
}

/// Whether a page may have this content type. Without a usable one the
/// extractor looks at the bytes.
pub(crate) fn is_page_type(content_type: Option<&str>) -> bool {
    let Some(value) = content_type else {
        return true;
    };
    let essence = value.split([';', ',']).next().unwrap_or_default().trim();
    let Some((kind, subtype)) = essence.split_once('/') else {
        return true;
    };
    let subtype = subtype.to_ascii_lowercase();
    match kind.to_ascii_lowercase().as_str() {
        "text" => matches!(
            subtype.as_str(),
            "html" | "plain" | "markdown" | "x-markdown" | "xml"
        ),
        "application" => {
            matches!(subtype.as_str(), "pdf" | "x-pdf" | "xml") || subtype.ends_with("+xml")
        }
        "*" => true,
        _ => false,
    }
}

/// Where a redirect leads; see [`Outcome::Redirect`](crate::Outcome::Redirect).
pub(crate) fn redirect_target(
    headers: &HeaderMap,
    base: &CanonicalUrl,
) -> Result<CanonicalUrl, String> {
    let raw = headers.get(LOCATION).map(HeaderValue::as_bytes);
    let raw = raw.unwrap_or_default().trim_ascii();
    if raw.len() > URL_BYTES_MAX {
        return Err(String::from_utf8_lossy(&raw[..URL_BYTES_MAX]).into_owned());
    }
    // Locations with raw UTF-8 are common; the URL parser percent-encodes them.
    let raw = String::from_utf8_lossy(raw).into_owned();
    if raw.is_empty() {
        return Err(raw);
    }
    base.as_url()
        .join(&raw)
        .ok()
        .and_then(|url| CanonicalUrl::from_url(url).ok())
        .filter(|url| url.as_str().len() <= URL_BYTES_MAX)
        .ok_or(raw)
}

/// Seconds or an HTTP date (RFC 9110 §10.2.3). A date is taken relative to the
/// server's own `Date`, so that a wrong clock on either side does no harm.
pub(crate) fn retry_after(headers: &HeaderMap, clock: &dyn Clock) -> Option<Duration> {
    let value = text(headers, &RETRY_AFTER)?;
    if value.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit are a very long time.
        let seconds = value.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
    }
    let until = httpdate::parse_http_date(&value).ok()?;
    let now = text(headers, &DATE)
        .and_then(|date| httpdate::parse_http_date(&date).ok())
        .unwrap_or_else(|| system_time(clock));
    let wait = until.duration_since(now).unwrap_or_default();
    Some(wait.min(RETRY_AFTER_MAX))
}

fn system_time(clock: &dyn Clock) -> SystemTime {
    let since_epoch = u64::try_from(clock.now().0).unwrap_or(0);
    UNIX_EPOCH + Duration::from_millis(since_epoch)
}

/// Absolute target of the first `Link: <…>; rel=canonical` (RFC 8288, RFC 6596).
pub(crate) fn link_canonical(headers: &HeaderMap, base: &CanonicalUrl) -> Option<String> {
    headers
        .get_all(LINK)
        .iter()
        .find_map(|value| canonical_of(&String::from_utf8_lossy(value.as_bytes())))
        .and_then(|target| base.as_url().join(&target).ok())
        .filter(|url| url.as_str().len() <= URL_BYTES_MAX)
        .map(String::from)
}

fn canonical_of(value: &str) -> Option<String> {
    let mut rest = value;
    // Each round consumes at least the `<` it found.
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        let end = rest.find('>')?;
        let target = &rest[..end];
        rest = &rest[end + 1..];
        let (is_canonical, after) = parameters(rest);
        if is_canonical {
            return Some(target.trim().to_owned());
        }
        rest = after;
    }
    None
}

/// Reads `; name=value` pairs up to the comma that ends the link. Whether they
/// make it canonical for this very page, and what follows.
fn parameters(mut rest: &str) -> (bool, &str) {
    let mut relation = None;
    let mut anchored = false;
    loop {
        rest = rest.trim_start();
        let Some(parameter) = rest.strip_prefix(';') else {
            let after = rest.find(',').map_or("", |comma| &rest[comma + 1..]);
            let canonical = relation.is_some_and(|relation: String| {
                let mut words = relation.split_ascii_whitespace();
                words.any(|word| word.eq_ignore_ascii_case("canonical"))
            });
            // An anchor makes the link one from elsewhere (RFC 8288 §3.2).
            return (canonical && !anchored, after);
        };
        let name_end = parameter.find(['=', ';', ',']).unwrap_or(parameter.len());
        let name = parameter[..name_end].trim();
        let (value, after) = match parameter[name_end..].strip_prefix('=') {
            Some(value) => parameter_value(value.trim_start()),
            None => (String::new(), &parameter[name_end..]),
        };
        // Only the first rel counts (RFC 8288 §3.3).
        if name.eq_ignore_ascii_case("rel") && relation.is_none() {
            relation = Some(value);
        } else if name.eq_ignore_ascii_case("anchor") {
            anchored = true;
        }
        rest = after;
    }
}

fn parameter_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',']).unwrap_or(text.len());
        return (text[..end].trim().to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use types::{ManualClock, Timestamp};

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("a header value");
            map.append(*name, value);
        }
        map
    }

    fn base() -> CanonicalUrl {
        CanonicalUrl::parse("https://example.org/dir/page?q=1").expect("a URL")
    }

    #[test]
    fn page_types() {
        let check = |value: &str, expected: bool| {
            assert_eq!(is_page_type(Some(value)), expected, "{value}");
        };
        assert!(is_page_type(None));
        check("text/html", true);
        check("Text/HTML; charset=ISO-8859-1", true);
        check("text/html,text/html", true);
        check("application/xhtml+xml", true);
        check("text/plain", true);
        check("text/markdown; variant=GFM", true);
        check("application/pdf", true);
        check("application/xml", true);
        check("application/rss+xml", true);
        check("application/atom+xml", true);
        check("html", true);
        check("image/svg+xml", false);
        check("image/png", false);
        check("text/css", false);
        check("text/javascript", false);
        check("application/json", false);
        check("application/zip", false);
        check("application/octet-stream", false);
        check("video/mp4", false);
    }

    #[test]
    fn retry_after_in_both_forms() {
        // 1994-11-06T08:49:37Z
        let clock = ManualClock::at(Timestamp(784_111_777_000));
        let check = |pairs: &[(&'static str, &str)], seconds: Option<u64>| {
            let got = retry_after(&headers(pairs), &clock).map(|wait| wait.as_secs());
            assert_eq!(got, seconds, "{pairs:?}");
        };
        check(&[], None);
        check(&[("retry-after", "120")], Some(120));
        check(&[("retry-after", " 0 ")], Some(0));
        check(
            &[("retry-after", "99999999999999999999999")],
            Some(365 * 24 * 3600),
        );
        check(&[("retry-after", "-5")], None);
        check(&[("retry-after", "soon")], None);
        check(&[("retry-after", "1.5")], None);
        let date = "Sun, 06 Nov 1994 08:50:37 GMT";
        check(&[("retry-after", date)], Some(60));
        check(
            &[("retry-after", "Sunday, 06-Nov-94 08:50:37 GMT")],
            Some(60),
        );
        check(&[("retry-after", "Sun Nov  6 08:50:37 1994")], Some(60));
        check(
            &[
                ("retry-after", date),
                ("date", "Sun, 06 Nov 1994 08:50:07 GMT"),
            ],
            Some(30),
        );
        check(
            &[
                ("retry-after", date),
                ("date", "Sun, 06 Nov 1994 09:00:00 GMT"),
            ],
            Some(0),
        );
        check(&[("retry-after", date), ("date", "nonsense")], Some(60));
    }

    #[test]
    fn canonical_links() {
        let check = |values: &[&str], expected: Option<&str>| {
            let pairs: Vec<_> = values.iter().map(|value| ("link", *value)).collect();
            let got = link_canonical(&headers(&pairs), &base());
            assert_eq!(got.as_deref(), expected, "{values:?}");
        };
        check(&[], None);
        check(
            &["<https://a.org/x>; rel=canonical"],
            Some("https://a.org/x"),
        );
        check(&["</x>; rel=\"canonical\""], Some("https://example.org/x"));
        check(
            &["<x>;REL=\"next Canonical\""],
            Some("https://example.org/dir/x"),
        );
        check(
            &["<a>; rel=next, <b>; rel=canonical"],
            Some("https://example.org/dir/b"),
        );
        check(
            &["<a>; rel=next", "<b>; rel=canonical"],
            Some("https://example.org/dir/b"),
        );
        check(&["<a,b>; title=\"x, <z>; rel=canonical\"; rel=next"], None);
        check(
            &["<a>; title=\"q\\\"; rel=next\"; rel=canonical"],
            Some("https://example.org/dir/a"),
        );
        check(&["<a>; rel=next; rel=canonical"], None);
        check(&["<a>; rel=canonical; anchor=\"#part\""], None);
        check(
            &["<a>; crossorigin; rel=canonical"],
            Some("https://example.org/dir/a"),
        );
        check(&["<a rel=canonical"], None);
        check(&["<a>; rel=canonicals"], None);
        check(&["a; rel=canonical"], None);
        check(&["<a>; rel=\"canonical"], Some("https://example.org/dir/a"));
    }

    #[test]
    fn redirect_targets() {
        let check = |location: &str, expected: Result<&str, &str>| {
            let got = redirect_target(&headers(&[("location", location)]), &base());
            let got = got
                .as_ref()
                .map(CanonicalUrl::as_str)
                .map_err(String::as_str);
            assert_eq!(got, expected, "{location}");
        };
        check("/x#frag", Ok("https://example.org/x"));
        check(" y ", Ok("https://example.org/dir/y"));
        check("?q=2", Ok("https://example.org/dir/page?q=2"));
        check("//other.org", Ok("https://other.org/"));
        check("http://127.1/", Ok("http://127.0.0.1/"));
        check("/é", Ok("https://example.org/%C3%A9"));
        check("mailto:a@b.c", Err("mailto:a@b.c"));
        check("javascript:alert(1)", Err("javascript:alert(1)"));
        check("http://[::1", Err("http://[::1"));
        check("", Err(""));
        let long = format!("/{}", "x".repeat(URL_BYTES_MAX));
        check(&long, Err(&long[..URL_BYTES_MAX]));
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(200*40))]

        #[test]
        fn hostile_headers_do_no_harm(value in "[<>;,=\"\\\\ a-c0-9:/#é-]{0,60}") {
            let relation = format!("{value}; rel=canonical");
            for link in [value.as_str(), relation.as_str()] {
                if let Some(target) = link_canonical(&headers(&[("link", link)]), &base()) {
                    proptest::prop_assert!(url::Url::parse(&target).is_ok());
                }
            }
            let clock = ManualClock::at(Timestamp(i64::MIN));
            let wait = retry_after(&headers(&[("retry-after", &value)]), &clock);
            proptest::prop_assert!(wait.is_none_or(|wait| wait <= RETRY_AFTER_MAX));
            if let Err(raw) = redirect_target(&headers(&[("location", &value)]), &base()) {
                proptest::prop_assert_eq!(raw, value.trim());
            }
        }
    }
}
