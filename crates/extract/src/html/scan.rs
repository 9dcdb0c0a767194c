//! What the token stream alone tells: links, metas, base, canonical.
//!
//! Both the full parse and the links-only pass feed the same scan, so they
//! cannot disagree about a page's links.

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::{Tag as TokenTag, TagKind};
use html5ever::{LocalName, local_name};

/// Anchor text kept per link, bytes.
const LINK_TEXT_BYTES_MAX: usize = 300;
/// Longest URL worth keeping; servers refuse longer ones (RFC 9110 §4.1 asks for 8,000).
const HREF_BYTES_MAX: usize = 8 * 1024;
/// Feeds noted per page.
const FEEDS_MAX: usize = 16;
const METAS_MAX: usize = 400;
const META_BYTES_MAX: usize = 8 * 1024;

#[derive(Debug, Default, Clone)]
pub(crate) struct RawLink {
    pub(crate) href: String,
    pub(crate) text: String,
    pub(crate) nofollow: bool,
}

#[derive(Debug, Default)]
pub(crate) struct PageScan {
    pub(crate) base: Option<String>,
    pub(crate) html_lang: Option<String>,
    pub(crate) canonical: Option<String>,
    /// Hrefs of `<link rel=alternate>` with a feed's media type.
    pub(crate) feeds: Vec<String>,
    /// Lower-case `property`, `name` or `itemprop`, then `content`.
    pub(crate) metas: Vec<(String, String)>,
    /// Content of `<meta http-equiv=refresh>`.
    pub(crate) refresh: Option<String>,
    pub(crate) content_language: Option<String>,
    /// `<link rel=up|home|index|…>`: the page is part of a manual.
    pub(crate) has_manual_links: bool,
    pub(crate) links: Vec<RawLink>,
    links_max: usize,
    open_link: Option<OpenLink>,
    template_depth: u32,
    /// Inside `<script>`, `<style>` and their like.
    in_raw_text: bool,
}

#[derive(Debug)]
struct OpenLink {
    index: usize,
    image_alt: String,
}

impl PageScan {
    pub(crate) fn new(links_max: usize) -> PageScan {
        PageScan {
            links_max,
            ..PageScan::default()
        }
    }

    pub(super) fn tag(&mut self, tag: &TokenTag) {
        if tag.name == local_name!("template") {
            match tag.kind {
                TagKind::StartTag => self.template_depth += 1,
                TagKind::EndTag => self.template_depth = self.template_depth.saturating_sub(1),
            }
        }
        if is_raw_text(&tag.name) {
            self.in_raw_text = tag.kind == TagKind::StartTag && !tag.self_closing;
        }
        // Nothing ends `<plaintext>`.
        self.in_raw_text |= tag.name == local_name!("plaintext");
        if self.template_depth > 0 {
            return;
        }
        match tag.kind {
            TagKind::StartTag => self.start(tag),
            TagKind::EndTag if tag.name == local_name!("a") => self.close_link(),
            TagKind::EndTag => {}
        }
    }

    pub(super) fn text(&mut self, text: &str) {
        if self.in_raw_text || self.template_depth > 0 {
            return;
        }
        if let Some(open) = &self.open_link {
            fold_into(&mut self.links[open.index].text, text, LINK_TEXT_BYTES_MAX);
        }
    }

    /// Whether text matters now: inside a link.
    pub(super) fn wants_text(&self) -> bool {
        self.open_link.is_some()
    }

    pub(super) fn finish(&mut self) {
        self.close_link();
    }

    fn start(&mut self, tag: &TokenTag) {
        match tag.name {
            local_name!("a") => {
                self.close_link();
                if let Some(href) = attr(tag, &local_name!("href")) {
                    let index = self.links.len();
                    if self.add_link(tag, href) {
                        self.open_link = Some(OpenLink {
                            index,
                            image_alt: String::new(),
                        });
                    }
                }
            }
            local_name!("area") => {
                if let Some(href) = attr(tag, &local_name!("href"))
                    && self.add_link(tag, href)
                    && let Some(alt) = attr(tag, &local_name!("alt"))
                    && let Some(link) = self.links.last_mut()
                {
                    fold_into(&mut link.text, alt, LINK_TEXT_BYTES_MAX);
                }
            }
            local_name!("iframe") | local_name!("frame") => {
                if let Some(src) = attr(tag, &local_name!("src"))
                    && self.add_link(tag, src)
                    && let Some(title) = attr(tag, &local_name!("title"))
                    && let Some(link) = self.links.last_mut()
                {
                    fold_into(&mut link.text, title, LINK_TEXT_BYTES_MAX);
                }
            }
            local_name!("img") => {
                if let Some(open) = &mut self.open_link
                    && let Some(alt) = attr(tag, &local_name!("alt"))
                {
                    fold_into(&mut open.image_alt, alt, LINK_TEXT_BYTES_MAX);
                }
            }
            local_name!("base") if self.base.is_none() => {
                self.base = attr(tag, &local_name!("href"))
                    .filter(|href| href.len() <= HREF_BYTES_MAX)
                    .map(|href| href.trim().to_owned());
            }
            local_name!("html") if self.html_lang.is_none() => {
                self.html_lang = attr(tag, &local_name!("lang"))
                    .or_else(|| attr(tag, &LocalName::from("xml:lang")))
                    .map(|lang| lang.chars().take(35).collect());
            }
            local_name!("link") => self.link_element(tag),
            local_name!("meta") => self.meta(tag),
            _ => {}
        }
    }

    fn link_element(&mut self, tag: &TokenTag) {
        let Some(rel) = attr(tag, &local_name!("rel")) else {
            return;
        };
        let has = |name: &str| {
            rel.split_ascii_whitespace()
                .any(|w| w.eq_ignore_ascii_case(name))
        };
        let href = attr(tag, &local_name!("href"))
            .map(str::trim)
            .filter(|href| !href.is_empty() && href.len() <= HREF_BYTES_MAX);
        let Some(href) = href else { return };
        if has("canonical") && self.canonical.is_none() {
            self.canonical = Some(href.to_owned());
        } else if has("alternate")
            && self.feeds.len() < FEEDS_MAX
            && attr(tag, &local_name!("type")).is_some_and(is_feed_type)
        {
            self.feeds.push(href.to_owned());
        }
    }

    fn meta(&mut self, tag: &TokenTag) {
        let Some(content) = attr(tag, &local_name!("content")) else {
            return;
        };
        let content = content.trim();
        if content.is_empty() || content.len() > META_BYTES_MAX {
            return;
        }
        if let Some(equivalent) = attr(tag, &LocalName::from("http-equiv")) {
            if equivalent.eq_ignore_ascii_case("refresh") && self.refresh.is_none() {
                self.refresh = Some(content.to_owned());
            } else if equivalent.eq_ignore_ascii_case("content-language") {
                self.content_language = Some(content.to_owned());
            }
        }
        let key = attr(tag, &LocalName::from("property"))
            .or_else(|| attr(tag, &local_name!("name")))
            .or_else(|| attr(tag, &LocalName::from("itemprop")));
        if let Some(key) = key
            && self.metas.len() < METAS_MAX
            && key.len() <= 200
        {
            // RDFa allows several properties in one attribute.
            for word in key.split_ascii_whitespace().take(4) {
                self.metas
                    .push((word.to_ascii_lowercase(), content.to_owned()));
            }
        }
    }

    fn add_link(&mut self, tag: &TokenTag, href: &str) -> bool {
        let href = href.trim();
        if href.is_empty() || href.len() > HREF_BYTES_MAX || self.links.len() >= self.links_max {
            return false;
        }
        let nofollow = attr(tag, &local_name!("rel")).is_some_and(|rel| {
            rel.split(|c: char| c.is_ascii_whitespace() || c == ',')
                .any(|word| {
                    ["nofollow", "ugc", "sponsored"]
                        .iter()
                        .any(|known| word.eq_ignore_ascii_case(known))
                })
        });
        self.links.push(RawLink {
            href: href.to_owned(),
            text: String::new(),
            nofollow,
        });
        true
    }

    fn close_link(&mut self) {
        let Some(open) = self.open_link.take() else {
            return;
        };
        let link = &mut self.links[open.index];
        link.text.truncate(link.text.trim_end().len());
        if link.text.is_empty() {
            link.text = open.image_alt.trim_end().to_owned();
        }
    }
}

pub(super) fn is_raw_text(name: &LocalName) -> bool {
    matches!(
        *name,
        local_name!("script")
            | local_name!("style")
            | local_name!("title")
            | local_name!("textarea")
            | local_name!("xmp")
            | local_name!("iframe")
            | local_name!("noembed")
            | local_name!("noframes")
    )
}

fn attr<'a>(tag: &'a TokenTag, name: &LocalName) -> Option<&'a str> {
    tag.attrs
        .iter()
        .find(|attr| attr.name.local == *name)
        .map(|attr: &html5ever::Attribute| -> &StrTendril { &attr.value })
        .map(|value| &**value)
}

/// Appends `text` with white space folded, up to `bytes_max` in all.
fn fold_into(target: &mut String, text: &str, bytes_max: usize) {
    for character in text.chars() {
        if target.len() + character.len_utf8() > bytes_max {
            return;
        }
        if character.is_whitespace() {
            if !target.is_empty() && !target.ends_with(' ') {
                target.push(' ');
            }
        } else {
            target.push(character);
        }
    }
}

fn is_feed_type(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    [
        "application/rss+xml",
        "application/atom+xml",
        "application/feed+json",
    ]
    .iter()
    .any(|known| essence.eq_ignore_ascii_case(known))
}
