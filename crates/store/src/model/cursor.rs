//! Orders that pages are listed in, and places within them.

use types::PageId;

use super::page::PageRow;
use crate::codec;
use crate::error::{StoreError, StoreErrorKind};

/// What pages are listed by. Pages of equal value follow by source, then id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PageSort {
    #[default]
    Id,
    FetchedAt,
    ChangedAt,
    /// Pages without a date come last in either direction.
    PublishedAt,
    /// By the code points of the first 48 characters.
    Title,
}

impl PageSort {
    pub const ALL: &'static [PageSort] = &[
        PageSort::Id,
        PageSort::FetchedAt,
        PageSort::ChangedAt,
        PageSort::PublishedAt,
        PageSort::Title,
    ];

    /// Stable code, as typed and as part of a cursor.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            PageSort::Id => "id",
            PageSort::FetchedAt => "fetched_at",
            PageSort::ChangedAt => "changed_at",
            PageSort::PublishedAt => "published_at",
            PageSort::Title => "title",
        }
    }

    #[must_use]
    pub fn from_code(code: &str) -> Option<PageSort> {
        PageSort::ALL.iter().copied().find(|s| s.code() == code)
    }
}

/// The place behind a page in a list of a certain order. It goes with the
/// filter of its list: under another one it may pass over pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageCursor {
    pub(crate) sort: PageSort,
    pub(crate) descending: bool,
    pub(crate) key: SortKey,
}

/// A page's place in an order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SortKey {
    pub(crate) value: SortValue,
    pub(crate) source: i64,
    pub(crate) id: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SortValue {
    /// The order is by id alone, or the page has no date.
    None,
    Time(i64),
    Text(String),
}

/// As in the index `pages_title`.
pub(crate) const TITLE_CHARS: usize = 48;
/// A title of 48 characters of four bytes, two numbers, and what is small.
const CURSOR_BYTES_MAX: usize = 4 * TITLE_CHARS + 20;
const CHECKSUM_BYTES: usize = 2;

impl PageCursor {
    /// Behind `page`, the last one of a list in this order.
    #[must_use]
    pub fn behind(page: &PageRow, sort: PageSort, descending: bool) -> PageCursor {
        PageCursor {
            sort,
            descending,
            key: SortKey::of(page, sort),
        }
    }

    /// Behind the page with this id, in the order of ids.
    #[must_use]
    pub fn behind_id(page: PageId) -> PageCursor {
        PageCursor {
            sort: PageSort::Id,
            descending: false,
            key: SortKey {
                value: SortValue::None,
                source: 0,
                id: page.0,
            },
        }
    }

    /// A short string of letters, digits, `-` and `_`.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut bytes = vec![sort_byte(self.sort, self.descending)];
        bytes.extend_from_slice(&self.key.id.to_be_bytes());
        bytes.extend_from_slice(&self.key.source.to_be_bytes());
        match &self.key.value {
            SortValue::None => bytes.push(0),
            SortValue::Time(ms) => {
                bytes.push(1);
                bytes.extend_from_slice(&ms.to_be_bytes());
            }
            SortValue::Text(text) => {
                bytes.push(2);
                bytes.extend_from_slice(text.as_bytes());
            }
        }
        bytes.extend_from_slice(&checksum(&bytes));
        codec::to_base64(&bytes)
    }

    /// Takes back what [`PageCursor::encode`] gave. Fails with a conflict on
    /// anything else.
    pub fn decode(text: &str) -> Result<PageCursor, StoreError> {
        decode(text).ok_or_else(|| {
            StoreError::new(
                StoreErrorKind::Conflict,
                "this is no cursor of a list of pages; start at its beginning",
            )
        })
    }
}

impl SortKey {
    pub(crate) fn of(page: &PageRow, sort: PageSort) -> SortKey {
        let value = match sort {
            PageSort::Id => SortValue::None,
            PageSort::FetchedAt => SortValue::Time(page.fetched_at.0),
            PageSort::ChangedAt => SortValue::Time(page.changed_at.0),
            PageSort::PublishedAt => page
                .published_at
                .map_or(SortValue::None, |at| SortValue::Time(at.0)),
            PageSort::Title => SortValue::Text(cut_title(&page.title)),
        };
        // An order by id has no second part.
        let source = match sort {
            PageSort::Id => 0,
            _ => page.source.0,
        };
        SortKey {
            value,
            source,
            id: page.id.0,
        }
    }
}

/// What SQLite's `substr(title, 1, 48)` gives, which ends at a NUL as well.
fn cut_title(title: &str) -> String {
    title
        .chars()
        .take_while(|c| *c != '\0')
        .take(TITLE_CHARS)
        .collect()
}

fn decode(text: &str) -> Option<PageCursor> {
    if text.len() > CURSOR_BYTES_MAX.div_ceil(3) * 4 {
        return None;
    }
    let bytes = codec::from_base64(text)?;
    let (content, check) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM_BYTES)?)?;
    if check != checksum(content) {
        return None;
    }
    let (order, mut rest) = content.split_first()?;
    let (sort, descending) = order_of(*order)?;
    let id = take_number(&mut rest)?;
    let source = take_number(&mut rest)?;
    let (kind, mut left) = rest.split_first()?;
    let value = match (kind, sort) {
        (0, PageSort::Id | PageSort::PublishedAt) => SortValue::None,
        (1, PageSort::FetchedAt | PageSort::ChangedAt | PageSort::PublishedAt) => {
            SortValue::Time(take_number(&mut left)?)
        }
        (2, PageSort::Title) => {
            let text = std::str::from_utf8(left).ok()?;
            left = &[];
            SortValue::Text(text.to_owned())
        }
        _ => return None,
    };
    left.is_empty().then_some(PageCursor {
        sort,
        descending,
        key: SortKey { value, source, id },
    })
}

fn sort_byte(sort: PageSort, descending: bool) -> u8 {
    (sort as u8) << 1 | u8::from(descending)
}

fn order_of(byte: u8) -> Option<(PageSort, bool)> {
    let sort = PageSort::ALL.get(usize::from(byte >> 1))?;
    Some((*sort, byte & 1 == 1))
}

/// Against typing and cutting, not against forgery: a cursor gives nothing
/// that its list would not give.
fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let [a, b, ..] = codec::hash_16(bytes);
    [a, b]
}

fn take_number(bytes: &mut &[u8]) -> Option<i64> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(i64::from_be_bytes(*number))
}
