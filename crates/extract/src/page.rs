//! Bytes -> [`Page`]: the stages in order.

use types::Page;
use url::Url;

use crate::charset::decode;
use crate::content::find_content;
use crate::error::ExtractError;
use crate::feed::{Feed, parse_feed};
use crate::fingerprint::{content_hash, simhash};
use crate::html::{self, ParseLimits};
use crate::kind::{ContentKind, content_kind};
use crate::limits::ExtractLimits;
use crate::links::{PageLinks, base_url, page_links};
use crate::meta::{self, Structured};
use crate::record::{self, RecordRules, Stated};
use crate::render::{RenderLimits, render};
use crate::sitemap::{Sitemap, parse_sitemap};
use crate::{markdown_page, text_page};

/// One response, as far as extraction needs it.
#[derive(Clone, Copy, Debug)]
pub struct ExtractInput<'a> {
    pub bytes: &'a [u8],
    /// The `Content-Type` header.
    pub content_type: Option<&'a str>,
    /// Address of the page, after redirects.
    pub url: &'a Url,
    /// All `X-Robots-Tag` headers.
    pub x_robots_tag: &'a [String],
    /// Target of a `Link: <…>; rel=canonical` header.
    pub link_canonical: Option<&'a str>,
}

/// What a response turned out to be.
#[derive(Clone, Debug)]
pub enum Extracted {
    Page(Box<Page>),
    /// Run [`crate::extract_pdf`] where a crash or a large heap does no harm.
    Pdf,
    Feed(Feed),
    Sitemap(Sitemap),
    /// Neither HTML, text, Markdown, PDF, a feed nor a sitemap.
    Unsupported {
        content_type: String,
    },
}

/// Extracts HTML, plain text and Markdown; reads feeds and sitemaps; recognises PDF.
pub fn extract(
    input: &ExtractInput<'_>,
    limits: &ExtractLimits,
) -> Result<Extracted, ExtractError> {
    extract_with_rules(input, limits, None)
}

/// As [`extract`], with a source's own rules for the record of HTML pages.
pub fn extract_with_rules(
    input: &ExtractInput<'_>,
    limits: &ExtractLimits,
    rules: Option<&RecordRules>,
) -> Result<Extracted, ExtractError> {
    let kind = content_kind(input.content_type, input.url, input.bytes);
    let mut page = match kind {
        ContentKind::Html => html_page(input, limits, rules),
        ContentKind::Text => text_page::text_page(&decoded(input, false), limits),
        ContentKind::Markdown => {
            markdown_page::markdown_page(&decoded(input, false), input.url, limits)
        }
        ContentKind::Pdf => return Ok(Extracted::Pdf),
        ContentKind::Feed => {
            return parse_feed(input.bytes, input.url, limits).map(Extracted::Feed);
        }
        ContentKind::Sitemap => {
            return parse_sitemap(input.bytes, input.url, limits).map(Extracted::Sitemap);
        }
        ContentKind::Other => {
            return Ok(Extracted::Unsupported {
                content_type: input.content_type.unwrap_or_default().to_owned(),
            });
        }
    };
    if kind != ContentKind::Html {
        page.directives = meta::directives(&[], input.x_robots_tag);
        page.canonical = input
            .link_canonical
            .and_then(|href| input.url.join(href).ok())
            .map(String::from);
        page.language = meta::language(&[], &page.text);
    }
    fingerprint(&mut page);
    Ok(Extracted::Page(Box::new(page)))
}

/// Links and directives alone, for visits that keep no content. Finds exactly
/// the links [`extract`] finds.
#[must_use]
pub fn extract_links(input: &ExtractInput<'_>, limits: &ExtractLimits) -> PageLinks {
    match content_kind(input.content_type, input.url, input.bytes) {
        ContentKind::Html => {
            let html = decoded(input, true);
            let scan = html::scan_only(&html, limits.links_max);
            page_links(scan, input.url, input.x_robots_tag, input.link_canonical)
        }
        kind => {
            let links = if kind == ContentKind::Markdown {
                markdown_page::markdown_page(&decoded(input, false), input.url, limits).links
            } else {
                Vec::new()
            };
            PageLinks {
                links,
                directives: meta::directives(&[], input.x_robots_tag),
                canonical: input
                    .link_canonical
                    .and_then(|href| input.url.join(href).ok())
                    .map(String::from),
                refresh: None,
                feeds: Vec::new(),
            }
        }
    }
}

/// Fingerprints, once everything else is known; again when title or text change.
pub fn fingerprint(page: &mut Page) {
    page.content_hash = content_hash(&page.title, &page.text);
    page.simhash = simhash(&page.text);
}

fn decoded<'a>(input: &ExtractInput<'a>, is_markup: bool) -> std::borrow::Cow<'a, str> {
    decode(
        input.bytes,
        input.content_type,
        is_markup,
        input.url.host_str(),
    )
}

fn html_page(
    input: &ExtractInput<'_>,
    limits: &ExtractLimits,
    rules: Option<&RecordRules>,
) -> Page {
    let text = decoded(input, true);
    let (dom, scan) = html::parse(
        &text,
        ParseLimits {
            links_max: limits.links_max,
            depth_max: limits.dom_depth_max,
            nodes_max: limits.dom_nodes_max,
        },
    );
    let base = base_url(&scan, input.url);
    let content = find_content(&dom, &scan);
    let rendered = render(
        &dom,
        &content,
        &base,
        RenderLimits {
            text_bytes_max: limits.text_bytes_max,
            markdown_bytes_max: limits.markdown_bytes_max,
            images_max: limits.images_max,
        },
    );
    let mut page = Page {
        markdown: rendered.markdown,
        text: rendered.text,
        blocks: rendered.blocks,
        images: rendered.images,
        ..Page::default()
    };
    let first_heading = page
        .headings()
        .next()
        .map(|heading| heading.text.to_owned());
    let structured = Structured::read(&dom, limits.structured_bytes_max);
    let facts = meta::metadata(
        &dom,
        &scan,
        &structured,
        first_heading.as_deref(),
        input.url,
        limits,
    );
    page.title = facts.title;
    page.description = facts.description;
    page.author = facts.author;
    page.published_at = facts.published_at;
    page.modified_at = facts.modified_at;
    page.open_graph = facts.open_graph;
    page.structured = facts.structured;
    page.record = record::find(
        &Stated {
            url: input.url,
            canonical: scan.canonical.as_deref().or(input.link_canonical),
            json_ld: structured.json_ld(),
            microdata: structured.microdata(),
            scan: &scan,
            is_documentation: content.is_documentation,
            title: &page.title,
            author: page.author.as_deref(),
            published_at: page.published_at,
        },
        &dom,
        rules,
    );
    let locale = scan
        .metas
        .iter()
        .find(|(key, _)| key == "og:locale")
        .map(|(_, content)| content.as_str());
    page.language = meta::language(
        &[
            scan.html_lang.as_deref(),
            scan.content_language.as_deref(),
            locale,
        ],
        &page.text,
    );
    let found = page_links(scan, input.url, input.x_robots_tag, input.link_canonical);
    page.links = found.links;
    page.directives = found.directives;
    page.canonical = found.canonical;
    page.refresh = found.refresh;
    page.feeds = found.feeds;
    page
}
