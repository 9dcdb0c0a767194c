//! Tests through the crate's edge: bytes in, pages out.

mod content;
mod fingerprint;
mod hostile;
mod links;
mod metadata;
mod other_kinds;
mod records;
mod render;
mod sitemaps;

use extract::{ExtractInput, ExtractLimits, Extracted, PageLinks, extract, extract_links};
use types::Page;
use url::Url;

const PAGE_URL: &str = "https://example.org/docs/page.html";

fn url() -> Url {
    Url::parse(PAGE_URL).expect("valid test URL")
}

fn page_of(bytes: &[u8], content_type: Option<&str>) -> Page {
    page_with(bytes, content_type, &ExtractLimits::default())
}

fn page_with(bytes: &[u8], content_type: Option<&str>, limits: &ExtractLimits) -> Page {
    let url = url();
    let input = ExtractInput {
        bytes,
        content_type,
        url: &url,
        x_robots_tag: &[],
        link_canonical: None,
    };
    match extract(&input, limits).expect("extraction never fails on text") {
        Extracted::Page(page) => {
            assert_valid(&page);
            *page
        }
        other => panic!("expected a page, got {other:?}"),
    }
}

/// A page whose body is `body` and whose content is unmistakable.
fn html_page(body: &str) -> Page {
    let html = format!("<!doctype html><title>T</title><body><main>{body}</main></body>");
    page_of(html.as_bytes(), Some("text/html; charset=utf-8"))
}

fn links_of(html: &str) -> PageLinks {
    let url = url();
    let input = ExtractInput {
        bytes: html.as_bytes(),
        content_type: Some("text/html"),
        url: &url,
        x_robots_tag: &[],
        link_canonical: None,
    };
    extract_links(&input, &ExtractLimits::default())
}

/// What every page must hold, whatever the input.
fn assert_valid(page: &Page) {
    let mut end = 0;
    for (number, block) in page.blocks.iter().enumerate() {
        assert!(block.range.start < block.range.end, "empty block {number}");
        assert!(page.text.is_char_boundary(block.range.start));
        assert!(page.text.is_char_boundary(block.range.end));
        let between = &page.text[end..block.range.start];
        match number {
            0 => assert_eq!(between, "", "text before the first block"),
            _ => assert!(matches!(between, "\n" | "\n\n"), "separator {between:?}"),
        }
        end = block.range.end;
    }
    assert_eq!(end, page.text.len(), "text behind the last block");
    for link in &page.links {
        assert!(link.url.starts_with("http://") || link.url.starts_with("https://"));
    }
}
