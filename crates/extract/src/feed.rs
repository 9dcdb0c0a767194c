//! RSS 0.9x, 1.0 and 2.0, Atom, JSON Feed: addresses, titles and times.

use serde_json::Value;
use types::Timestamp;
use url::Url;

use crate::error::{ExtractError, ExtractErrorKind};
use crate::limits::ExtractLimits;
use crate::meta::parse_date;
use crate::xml::{Element, for_each_element, text_of, unescape, unpacked};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedEntry {
    /// Absolute http(s) URL.
    pub url: String,
    pub title: String,
    /// Last change, else publication.
    pub updated_at: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Feed {
    pub title: String,
    /// In the feed's order; entries without an address are left out.
    pub entries: Vec<FeedEntry>,
}

/// Reads a feed. Fails when the bytes hold none.
pub fn parse_feed(bytes: &[u8], base: &Url, limits: &ExtractLimits) -> Result<Feed, ExtractError> {
    let bytes = unpacked(bytes, limits.sitemap_bytes_max)?;
    let text = text_of(&bytes);
    let trimmed = text.trim_start();
    if trimmed.starts_with('{') {
        return json_feed(trimmed, base, limits);
    }
    let mut reader = Reader {
        base,
        feed: Feed::default(),
        entry: Draft::default(),
        is_feed: false,
    };
    for_each_element(trimmed, |element| {
        reader.end_of(element);
        reader.feed.entries.len() < limits.sitemap_entries_max
    });
    if !reader.is_feed {
        return Err(ExtractError::new(
            ExtractErrorKind::Malformed,
            "neither RSS, Atom nor JSON Feed",
        ));
    }
    Ok(reader.feed)
}

#[derive(Default)]
struct Draft {
    url: Option<String>,
    permalink: Option<String>,
    title: String,
    published_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
}

struct Reader<'a> {
    base: &'a Url,
    feed: Feed,
    entry: Draft,
    is_feed: bool,
}

impl Reader<'_> {
    fn end_of(&mut self, element: &Element<'_>) {
        let path: Vec<&str> = element.path.iter().map(String::as_str).collect();
        self.is_feed |= matches!(path.first(), Some(&("rss" | "feed" | "rdf" | "channel")));
        match path.as_slice() {
            [.., "item" | "entry"] => self.end_entry(),
            [.., "item" | "entry", name] => self.entry_part(name, element),
            [_, "title"] | [_, "channel", "title"] if self.feed.title.is_empty() => {
                self.feed.title = plain(element.text);
            }
            _ => {}
        }
    }

    fn entry_part(&mut self, name: &str, element: &Element<'_>) {
        let attribute = |wanted: &str| {
            element
                .attributes
                .iter()
                .find(|(name, _)| name == wanted)
                .map(|(_, value)| value.as_str())
        };
        match name {
            "link" => match attribute("href") {
                Some(href) => {
                    // Atom: `alternate` is the page; a missing `rel` means the same.
                    let alternate = attribute("rel").is_none_or(|rel| rel == "alternate");
                    if alternate && self.entry.url.is_none() {
                        self.entry.url = absolute(self.base, href);
                    }
                }
                None if self.entry.url.is_none() => {
                    self.entry.url = absolute(self.base, element.text);
                }
                None => {}
            },
            // RSS: an address unless it says otherwise. Atom: an address if it looks like one.
            "guid" | "id"
                if attribute("ispermalink") != Some("false")
                    && element.text.starts_with("http") =>
            {
                self.entry.permalink = absolute(self.base, element.text);
            }
            "title" if self.entry.title.is_empty() => self.entry.title = plain(element.text),
            "updated" | "modified" => self.entry.updated_at = parse_date(element.text),
            "published" | "pubdate" | "date" | "issued" | "created" => {
                self.entry.published_at = parse_date(element.text);
            }
            _ => {}
        }
    }

    fn end_entry(&mut self) {
        let draft = std::mem::take(&mut self.entry);
        if let Some(url) = draft.url.or(draft.permalink) {
            self.feed.entries.push(FeedEntry {
                url,
                title: draft.title,
                updated_at: draft.updated_at.or(draft.published_at),
            });
        }
    }
}

fn json_feed(text: &str, base: &Url, limits: &ExtractLimits) -> Result<Feed, ExtractError> {
    let malformed = |message: &str| ExtractError::new(ExtractErrorKind::Malformed, message);
    let value: Value = serde_json::from_str(text)
        .map_err(|error| malformed("broken JSON feed").caused_by(error))?;
    let is_feed = value
        .get("version")
        .and_then(Value::as_str)
        .is_some_and(|version| version.contains("jsonfeed.org"));
    if !is_feed {
        return Err(malformed("JSON, but no JSON Feed"));
    }
    let string = |object: &Value, key: &str| {
        object
            .get(key)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .unwrap_or_default()
    };
    let items = value
        .get("items")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let entries = items
        .iter()
        .take(limits.sitemap_entries_max)
        .filter_map(|item| {
            let address = ["url", "external_url", "id"]
                .iter()
                .map(|key| string(item, key))
                .find(|address| !address.is_empty())?;
            Some(FeedEntry {
                url: absolute(base, &address)?,
                title: string(item, "title"),
                updated_at: ["date_modified", "date_published"]
                    .iter()
                    .find_map(|key| parse_date(&string(item, key))),
            })
        })
        .collect();
    Ok(Feed {
        title: string(&value, "title"),
        entries,
    })
}

/// Titles may be HTML once more inside.
fn plain(text: &str) -> String {
    let mut output = String::with_capacity(text.len());
    let mut in_tag = false;
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '<' if rest
                .peek()
                .is_some_and(|c| c.is_ascii_alphabetic() || *c == '/') =>
            {
                in_tag = true;
            }
            '>' if in_tag => in_tag = false,
            _ if in_tag => {}
            _ => output.push(character),
        }
    }
    unescape(&output)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
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
