//! What a response is: by its media type, else by its bytes, else by its URL.

use url::Url;

/// Bytes looked at; the HTML Standard's MIME sniffing reads 1,445.
const SNIFF_BYTES: usize = 1_445;

/// Kind of a response body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentKind {
    Html,
    Text,
    Markdown,
    Pdf,
    /// RSS, Atom or JSON Feed.
    Feed,
    Sitemap,
    Other,
}

/// Decides the kind. `first_bytes` may be the whole body; it decides when the
/// type is missing, generic or covers several kinds (XML, JSON).
#[must_use]
pub fn content_kind(content_type: Option<&str>, url: &Url, first_bytes: &[u8]) -> ContentKind {
    let media_type = content_type
        .and_then(|value| value.split(';').next())
        .map(|value| value.trim().to_ascii_lowercase())
        .unwrap_or_default();
    let bytes = &first_bytes[..first_bytes.len().min(SNIFF_BYTES)];
    match media_type.as_str() {
        "text/html" | "application/xhtml+xml" => match sniff(bytes) {
            // Servers label feeds and PDF as HTML; never the other way round.
            Some(kind @ (ContentKind::Pdf | ContentKind::Feed | ContentKind::Sitemap)) => kind,
            _ => ContentKind::Html,
        },
        "text/markdown" | "text/x-markdown" => ContentKind::Markdown,
        "text/plain" => match (sniff(bytes), extension(url)) {
            (Some(kind @ (ContentKind::Pdf | ContentKind::Feed | ContentKind::Sitemap)), _) => kind,
            (_, Some("md" | "markdown")) => ContentKind::Markdown,
            _ if is_binary(bytes) => ContentKind::Other,
            _ => ContentKind::Text,
        },
        "application/pdf" | "application/x-pdf" => ContentKind::Pdf,
        "application/rss+xml"
        | "application/atom+xml"
        | "application/rdf+xml"
        | "application/feed+json" => ContentKind::Feed,
        "text/xml" | "application/xml" | "application/json" | "application/gzip"
        | "application/x-gzip" => sniff(bytes)
            .filter(|kind| !matches!(kind, ContentKind::Text))
            .unwrap_or(ContentKind::Other),
        ""
        | "application/octet-stream"
        | "binary/octet-stream"
        | "unknown/unknown"
        | "application/unknown"
        | "*/*" => sniff_all(bytes, url),
        _ => ContentKind::Other,
    }
}

fn sniff_all(bytes: &[u8], url: &Url) -> ContentKind {
    if let Some(kind) = sniff(bytes) {
        return kind;
    }
    if is_binary(bytes) {
        return ContentKind::Other;
    }
    match extension(url) {
        Some("md" | "markdown") => ContentKind::Markdown,
        Some("html" | "htm" | "xhtml") => ContentKind::Html,
        Some("txt" | "text" | "rst" | "log") | None => ContentKind::Text,
        Some(extension) if extension.len() > 5 => ContentKind::Text,
        Some(_) if bytes.is_empty() => ContentKind::Other,
        Some("json" | "js" | "css" | "csv" | "xml" | "svg") => ContentKind::Other,
        Some(_) => ContentKind::Text,
    }
}

/// Kind by signature.
fn sniff(bytes: &[u8]) -> Option<ContentKind> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let bytes = bytes.trim_ascii_start();
    if bytes.starts_with(b"%PDF-") {
        return Some(ContentKind::Pdf);
    }
    let lower = bytes.to_ascii_lowercase();
    if lower.starts_with(b"{") {
        return has(&lower, b"jsonfeed.org/version").then_some(ContentKind::Feed);
    }
    if !lower.starts_with(b"<") {
        return None;
    }
    let name = first_element(&lower)?;
    match name {
        b"rss" | b"feed" | b"rdf:rdf" | b"rdf" => Some(ContentKind::Feed),
        b"urlset" | b"sitemapindex" => Some(ContentKind::Sitemap),
        _ if lower.starts_with(b"<!doctype html") => Some(ContentKind::Html),
        b"html" | b"head" | b"body" | b"title" | b"script" | b"style" | b"div" | b"p" | b"h1"
        | b"table" | b"a" | b"br" | b"b" | b"font" | b"iframe" | b"meta" | b"link" | b"main"
        | b"article" | b"section" | b"span" | b"center" | b"pre" => Some(ContentKind::Html),
        _ => None,
    }
}

/// Local name of the first element behind declarations and comments; a name
/// space prefix is dropped except for `rdf:`.
fn first_element(lower: &[u8]) -> Option<&[u8]> {
    let mut rest = lower;
    loop {
        let start = rest.iter().position(|byte| *byte == b'<')?;
        rest = &rest[start + 1..];
        if let Some(comment) = rest.strip_prefix(b"!--") {
            let end = comment.windows(3).position(|window| window == b"-->")?;
            rest = &comment[end + 3..];
        } else if rest.starts_with(b"?") || rest.starts_with(b"!") {
            let end = rest.iter().position(|byte| *byte == b'>')?;
            rest = &rest[end + 1..];
        } else {
            let end = rest
                .iter()
                .position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/'))
                .unwrap_or(rest.len());
            let name = &rest[..end];
            if name == b"rdf:rdf" {
                return Some(name);
            }
            return name.rsplit(|byte| *byte == b':').next();
        }
    }
}

fn has(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

/// Control bytes that no text holds (MIME Sniffing Standard, "binary data byte").
fn is_binary(bytes: &[u8]) -> bool {
    if bytes.starts_with(b"\xFE\xFF") || bytes.starts_with(b"\xFF\xFE") {
        return false;
    }
    bytes
        .iter()
        .any(|byte| matches!(byte, 0..=8 | 0x0B | 0x0E..=0x1A | 0x1C..=0x1F))
}

fn extension(url: &Url) -> Option<&'static str> {
    const KNOWN: &[&str] = &[
        "md", "markdown", "html", "htm", "xhtml", "txt", "text", "rst", "log", "json", "js", "css",
        "csv", "xml", "svg",
    ];
    let file = url.path().rsplit('/').next()?;
    let (_, extension) = file.rsplit_once('.')?;
    KNOWN
        .iter()
        .find(|known| extension.eq_ignore_ascii_case(known))
        .copied()
        .or(Some("?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(content_type: &str, url: &str, bytes: &[u8], expected: ContentKind) {
        let url = Url::parse(url).expect("valid test URL");
        let content_type = Some(content_type).filter(|value| !value.is_empty());
        assert_eq!(
            content_kind(content_type, &url, bytes),
            expected,
            "{content_type:?} {url}"
        );
    }

    #[test]
    fn kinds() {
        use ContentKind::*;
        let page = "https://a.org/page";
        check("text/html; charset=utf-8", page, b"x", Html);
        check("TEXT/HTML", page, b"%PDF-1.4", Pdf);
        check(
            "text/html",
            page,
            b"<?xml version='1.0'?><!-- x --><rss version='2.0'>",
            Feed,
        );
        check("text/plain", page, b"plain", Text);
        check("text/plain", "https://a.org/README.md", b"# hi", Markdown);
        check("text/plain", page, b"\x00\x01\x02", Other);
        check(
            "application/xml",
            page,
            b"<?xml?><urlset xmlns='x'>",
            Sitemap,
        );
        check("application/xml", page, b"<sm:urlset>", Sitemap);
        check("application/xml", page, b"<RDF:RDF>", Feed);
        check("application/xml", page, b"<unknown>", Other);
        check(
            "application/json",
            page,
            br#"{"version":"https://jsonfeed.org/version/1.1"}"#,
            Feed,
        );
        check("application/json", page, b"{}", Other);
        check("image/png", page, b"<html>", Other);
        check("", page, b"  <!DOCTYPE html><x>", Html);
        check("", page, b"\xEF\xBB\xBF<html>", Html);
        check(
            "application/octet-stream",
            "https://a.org/a.md",
            b"# hi",
            Markdown,
        );
        check("", "https://a.org/a.bin", b"\x7FELF\x02\x01", Other);
        check("", "https://a.org/notes.txt", b"hello", Text);
    }
}
