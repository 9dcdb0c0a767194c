use std::io::Write;
use std::path::Path;

use extract::{ExtractErrorKind, ExtractLimits, Sitemap, parse_feed, parse_sitemap};
use serde_json::Value;
use types::Timestamp;

use crate::url;

fn parse(bytes: &[u8]) -> Sitemap {
    parse_sitemap(bytes, &url(), &ExtractLimits::default()).expect("a sitemap")
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// Files of other test suites, with what a plain XML reading finds in them.
#[test]
fn golden_files() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sitemaps");
    let expected = std::fs::read_to_string(folder.join("expected.json")).expect("expected.json");
    let expected: Value = serde_json::from_str(&expected).expect("JSON");
    let mut files = 0;
    for (name, expected) in expected.as_object().expect("an object") {
        let bytes = std::fs::read(folder.join(name)).expect("test file");
        let sitemap = parse(&bytes);
        if expected["kind"] == "sitemapindex" {
            // Bare addresses without <loc>: our reading is more lenient.
            assert!(sitemap.entries.is_empty(), "{name}");
            assert!(sitemap.children.len() > 5, "{name}");
            assert_eq!(
                sitemap.children[0].url,
                "https://example.com/sitemap.jss?portalCode=10260&lang=en"
            );
        } else {
            // One file lists a further sitemap behind its pages.
            let found: Vec<_> = sitemap
                .entries
                .iter()
                .chain(&sitemap.children)
                .map(|entry| entry.url.as_str())
                .collect();
            let wanted: Vec<_> = expected["locs"]
                .as_array()
                .expect("locs")
                .iter()
                .map(|loc| loc.as_str().expect("a string"))
                .collect();
            assert_eq!(
                found.len() as u64,
                expected["count"].as_u64().expect("count"),
                "{name}"
            );
            assert_eq!(found[..wanted.len()], wanted, "{name}");
        }
        assert_eq!(parse(&packed(&bytes)), sitemap, "packed {name}");
        files += 1;
    }
    assert_eq!(files, 15);
}

#[test]
fn index_with_times() {
    let sitemap = parse(
        b"\xEF\xBB\xBF\n<?xml version='1.0'?><sitemapindex><sitemap><loc> /s1.xml.gz </loc>\
          <lastmod>2024-01-02</lastmod></sitemap><sitemap><loc><![CDATA[https://b.org/?a&b]]></loc></sitemap>",
    );
    let children: Vec<_> = sitemap
        .children
        .iter()
        .map(|entry| (entry.url.as_str(), entry.lastmod))
        .collect();
    assert_eq!(
        children,
        [
            (
                "https://example.org/s1.xml.gz",
                Some(Timestamp(1_704_153_600_000))
            ),
            ("https://b.org/?a&b", None),
        ]
    );
}

#[test]
fn bombs_and_garbage() {
    let limits = ExtractLimits {
        sitemap_bytes_max: 10_000,
        ..ExtractLimits::default()
    };
    let kind = |bytes: &[u8]| {
        parse_sitemap(bytes, &url(), &limits)
            .map(|_| ())
            .map_err(|error| error.kind())
    };
    let bomb = packed(&vec![b' '; 1_000_000]);
    assert!(bomb.len() < 10_000);
    assert_eq!(kind(&bomb), Err(ExtractErrorKind::TooLarge));
    assert_eq!(kind(&[b' '; 10_001]), Err(ExtractErrorKind::TooLarge));
    assert_eq!(kind(b"\x1F\x8Bgarbage"), Err(ExtractErrorKind::Malformed));
    assert_eq!(
        kind(b"<html><body>not found"),
        Err(ExtractErrorKind::Malformed)
    );
    assert_eq!(kind(b"hello"), Err(ExtractErrorKind::Malformed));
    assert_eq!(kind(b""), Ok(()));
}

#[test]
fn entries_are_capped() {
    let limits = ExtractLimits {
        sitemap_entries_max: 3,
        ..ExtractLimits::default()
    };
    let many = format!(
        "<urlset>{}</urlset>",
        "<url><loc>https://a.org/</loc></url>".repeat(10)
    );
    let sitemap = parse_sitemap(many.as_bytes(), &url(), &limits).expect("a sitemap");
    assert_eq!(sitemap.entries.len(), 3);
}

#[test]
fn feeds() {
    let check = |bytes: &str, title: &str, entries: &[(&str, &str, Option<i64>)]| {
        let feed = parse_feed(bytes.as_bytes(), &url(), &ExtractLimits::default()).expect("a feed");
        assert_eq!(feed.title, title);
        let found: Vec<_> = feed
            .entries
            .iter()
            .map(|e| (e.url.as_str(), e.title.as_str(), e.updated_at.map(|t| t.0)))
            .collect();
        assert_eq!(found, entries, "{bytes}");
    };
    check(
        "<rss version='2.0'><channel><title>Feed</title><link>https://a.org</link>\
         <item><title>One &amp;amp; <![CDATA[<b>two</b>]]></title><link>/1</link><pubDate>Tue, 02 Jan 2024 03:04:05 GMT</pubDate></item>\
         <item><guid isPermaLink='false'>abc</guid><title>No address</title></item>\
         <item><guid>https://a.org/3</guid></item></channel></rss>",
        "Feed",
        &[
            (
                "https://example.org/1",
                "One & two",
                Some(1_704_164_645_000),
            ),
            ("https://a.org/3", "", None),
        ],
    );
    check(
        "<rdf:RDF xmlns:rdf='r'><channel><title>Old</title></channel><item><title>T</title>\
         <link>https://a.org/x</link><dc:date>2024-01-02</dc:date></item></rdf:RDF>",
        "Old",
        &[("https://a.org/x", "T", Some(1_704_153_600_000))],
    );
    check(
        "<feed><title type='html'>Atom</title><entry><title>E</title><link rel='self' href='/self'/>\
         <link rel='alternate' href='/page'/><published>2023-01-01</published><updated>2024-01-02</updated></entry></feed>",
        "Atom",
        &[("https://example.org/page", "E", Some(1_704_153_600_000))],
    );
    check(
        "{\"version\":\"https://jsonfeed.org/version/1.1\",\"title\":\"J\",\"items\":[{\"id\":\"1\",\"url\":\"/j\",\"title\":\"T\"},{}]}",
        "J",
        &[("https://example.org/j", "T", None)],
    );
    let error = parse_feed(b"<html>", &url(), &ExtractLimits::default()).expect_err("no feed");
    assert_eq!(error.kind(), ExtractErrorKind::Malformed);
}
