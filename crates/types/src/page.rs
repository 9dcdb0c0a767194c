//! What extraction makes of one response body.

use std::fmt;
use std::ops::Range;

use crate::{Record, Timestamp};

/// The content of one web page, as a person would read it.
///
/// `text` is the normal form that everything later refers to: chunk offsets,
/// headings and blocks are byte ranges into it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    pub title: String,
    pub description: Option<String>,
    pub author: Option<String>,
    pub published_at: Option<Timestamp>,
    pub modified_at: Option<Timestamp>,
    /// BCP 47 primary subtag, e.g. `en`, `fa`.
    pub language: Option<String>,
    /// Absolute URL of `rel=canonical`, as written by the page.
    pub canonical: Option<String>,
    /// Absolute target of an immediate `<meta http-equiv=refresh>`.
    pub refresh: Option<String>,
    pub directives: Directives,
    /// Main content as Markdown (CommonMark with GFM tables).
    pub markdown: String,
    /// Main content as plain text: blocks separated by blank lines, ZWNJ kept.
    pub text: String,
    /// Structure of `text`, in order, not overlapping.
    pub blocks: Vec<Block>,
    /// Every link of the page, navigation included, absolute, in order.
    pub links: Vec<Link>,
    /// Absolute addresses of the feeds that the page names (`rel=alternate`).
    pub feeds: Vec<String>,
    pub images: Vec<Image>,
    /// OpenGraph and Twitter properties, in document order.
    pub open_graph: Vec<(String, String)>,
    /// JSON-LD and microdata as one JSON array, serialised; `None` when the page has none.
    pub structured: Option<String>,
    /// The page's subject as typed facts, when it states one.
    pub record: Option<Box<Record>>,
    /// Fingerprint of the normalised `title` and `text`.
    pub content_hash: ContentHash,
    /// 64-bit SimHash of `text`; near duplicates differ in few bits.
    pub simhash: u64,
}

impl Page {
    /// Headings of `text`, in order.
    pub fn headings(&self) -> impl Iterator<Item = Heading<'_>> {
        self.blocks.iter().filter_map(|b| match b.kind {
            BlockKind::Heading(level) => Some(Heading {
                level,
                text: &self.text[b.range.clone()],
                start: b.range.start,
            }),
            _ => None,
        })
    }
}

/// A heading within a page's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heading<'a> {
    /// 1 to 6.
    pub level: u8,
    pub text: &'a str,
    /// Byte offset into the page's text.
    pub start: usize,
}

/// One block of a page's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    pub kind: BlockKind,
    /// Byte range into `Page::text`, on character boundaries, not empty.
    pub range: Range<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockKind {
    /// Level 1 to 6.
    Heading(u8),
    Paragraph,
    ListItem,
    /// A whole table; rows are lines, cells are separated by ` | `.
    Table,
    /// Preformatted text, byte for byte.
    Code,
    Quote,
}

/// An outgoing link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Absolute, as resolved against the document base; not yet canonical.
    pub url: String,
    /// Anchor text, white space folded.
    pub text: String,
    /// `rel` holds `nofollow`, `ugc` or `sponsored`.
    pub nofollow: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    pub url: String,
    pub alt: String,
}

/// Robots directives of a page: meta tags and `X-Robots-Tag` together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    pub noindex: bool,
    pub nofollow: bool,
}

/// BLAKE3 of a page's normalised content.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash(pub [u8; 32]);

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Number of differing bits of two SimHashes, 0 to 64.
#[must_use]
pub fn simhash_distance(a: u64, b: u64) -> u32 {
    (a ^ b).count_ones()
}
