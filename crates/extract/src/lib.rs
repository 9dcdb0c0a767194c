//! Bytes of one response -> a [`types::Page`]: charset, main content as text
//! and Markdown, links, metadata, language, fingerprints. Also sitemaps and
//! feeds, which are pages of links.
//!
//! Plain functions, safe on hostile input: no recursion over input, every
//! buffer bounded by [`ExtractLimits`], no panic whatever the bytes (PDF aside,
//! see [`extract_pdf`]). One parse and one walk per page.
//!
//! It deliberately fetches nothing, runs no scripts, knows no site by name and
//! does not cut text into chunks.
//!
//! Start with [`extract`], then `page.rs` for the order of stages; main content
//! is found in `content/` and written out by `render/`; `record/` says what the
//! page is about.

mod error;
mod limits;

mod kind;
mod page;

mod charset;
mod content;
mod fingerprint;
mod html;
mod links;
mod markdown_page;
mod meta;
mod pdf;
mod record;
mod render;
mod select;
mod text_page;

mod feed;
mod sitemap;
mod xml;

pub use error::{ExtractError, ExtractErrorKind};
pub use feed::{Feed, FeedEntry, parse_feed};
pub use kind::{ContentKind, content_kind};
pub use limits::ExtractLimits;
pub use links::PageLinks;
pub use page::{ExtractInput, Extracted, extract, extract_links, extract_with_rules, fingerprint};
pub use pdf::extract_pdf;
pub use record::{RecordRules, RecordRulesError};
pub use sitemap::{Sitemap, SitemapEntry, parse_sitemap};
