//! Sitemaps (sitemaps.org protocol 0.9), read leniently.

use types::Timestamp;
use url::Url;

use crate::error::{ExtractError, ExtractErrorKind};
use crate::feed::parse_feed;
use crate::limits::ExtractLimits;
use crate::meta::parse_date;
use crate::xml::{for_each_element, text_of, unpacked};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SitemapEntry {
    /// Absolute http(s) URL.
    pub url: String,
    pub lastmod: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sitemap {
    /// Pages.
    pub entries: Vec<SitemapEntry>,
    /// Further sitemaps, of an index.
    pub children: Vec<SitemapEntry>,
}

/// Reads an XML sitemap or index, a plain list of URLs, or a feed used as a
/// sitemap; any of them may be packed with gzip.
///
/// Relative addresses are resolved against `base`, though the protocol wants
/// absolute ones. Fails with [`ExtractErrorKind::TooLarge`] past the limit and
/// with [`ExtractErrorKind::Malformed`] when nothing sitemap-like is found.
pub fn parse_sitemap(
    bytes: &[u8],
    base: &Url,
    limits: &ExtractLimits,
) -> Result<Sitemap, ExtractError> {
    let bytes = unpacked(bytes, limits.sitemap_bytes_max)?;
    let text = text_of(&bytes);
    let trimmed = text.trim_start();
    if !trimmed.starts_with('<') {
        return plain_list(trimmed, base, limits);
    }
    let mut reader = Reader {
        base,
        entries_max: limits.sitemap_entries_max,
        sitemap: Sitemap::default(),
        location: None,
        lastmod: None,
        root: None,
    };
    for_each_element(trimmed, |element| {
        let Some(name) = element.path.last() else {
            return true;
        };
        if reader.root.is_none() {
            reader.root = element.path.first().cloned();
        }
        reader.end_of(name, element.path.len(), element.text);
        reader.sitemap.entries.len() + reader.sitemap.children.len() < reader.entries_max
    });
    match reader.root.as_deref() {
        Some("rss" | "feed" | "rdf") => {
            let feed = parse_feed(&bytes, base, limits)?;
            let entries = feed
                .entries
                .into_iter()
                .map(|entry| SitemapEntry {
                    url: entry.url,
                    lastmod: entry.updated_at,
                })
                .collect();
            Ok(Sitemap {
                entries,
                children: Vec::new(),
            })
        }
        Some("urlset" | "sitemapindex" | "url" | "sitemap") => Ok(reader.sitemap),
        _ if reader.sitemap != Sitemap::default() => Ok(reader.sitemap),
        _ => Err(ExtractError::new(
            ExtractErrorKind::Malformed,
            "neither a sitemap nor a feed",
        )),
    }
}

struct Reader<'a> {
    base: &'a Url,
    entries_max: usize,
    sitemap: Sitemap,
    location: Option<String>,
    lastmod: Option<Timestamp>,
    root: Option<String>,
}

impl Reader<'_> {
    fn end_of(&mut self, name: &str, depth: usize, text: &str) {
        match name {
            // Pictures and videos have a `loc` of their own, one level deeper.
            "loc" if depth <= 3 => {
                if let Some(url) = absolute(self.base, text) {
                    self.location.get_or_insert(url);
                }
            }
            "lastmod" if depth <= 3 => self.lastmod = parse_date(text),
            "url" | "sitemap" => {
                let lastmod = self.lastmod.take();
                // Some generators put the address right into the element.
                let bare = || {
                    (text.contains("://"))
                        .then(|| absolute(self.base, text))
                        .flatten()
                };
                if let Some(url) = self.location.take().or_else(bare) {
                    let list = if name == "sitemap" {
                        &mut self.sitemap.children
                    } else {
                        &mut self.sitemap.entries
                    };
                    list.push(SitemapEntry { url, lastmod });
                }
            }
            "urlset" | "sitemapindex" => {
                for word in text.split_whitespace().filter(|word| word.contains("://")) {
                    let Some(url) = absolute(self.base, word) else {
                        continue;
                    };
                    let list = if name == "sitemapindex" {
                        &mut self.sitemap.children
                    } else {
                        &mut self.sitemap.entries
                    };
                    if list.len() < self.entries_max {
                        list.push(SitemapEntry { url, lastmod: None });
                    }
                }
            }
            _ => {}
        }
    }
}

fn plain_list(text: &str, base: &Url, limits: &ExtractLimits) -> Result<Sitemap, ExtractError> {
    let entries: Vec<SitemapEntry> = text
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("http://") || line.starts_with("https://"))
        .filter_map(|line| absolute(base, line))
        .take(limits.sitemap_entries_max)
        .map(|url| SitemapEntry { url, lastmod: None })
        .collect();
    if entries.is_empty() && !text.trim().is_empty() {
        return Err(ExtractError::new(
            ExtractErrorKind::Malformed,
            "a text without any URL is no sitemap",
        ));
    }
    Ok(Sitemap {
        entries,
        children: Vec::new(),
    })
}

fn absolute(base: &Url, text: &str) -> Option<String> {
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    base.join(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .map(String::from)
}
