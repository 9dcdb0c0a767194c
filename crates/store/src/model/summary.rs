//! Summaries of pages.

use types::{ContentHash, PageId, SourceId, TenantId, Timestamp};

use crate::codec;
use crate::error::{StoreError, StoreErrorKind};

/// What came of summarising a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SummaryState {
    /// A language model's. It stays for as long as the page has this text.
    Done,
    /// There is none, and `error` says why.
    Failed,
    /// Made without a language model.
    Fallback,
}

impl SummaryState {
    pub const ALL: &'static [SummaryState] = &[
        SummaryState::Done,
        SummaryState::Failed,
        SummaryState::Fallback,
    ];

    /// Stable code, as shown and as typed.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            SummaryState::Done => "done",
            SummaryState::Failed => "failed",
            SummaryState::Fallback => "fallback",
        }
    }

    #[must_use]
    pub fn from_code(code: &str) -> Option<SummaryState> {
        let mut all = SummaryState::ALL.iter().copied();
        all.find(|state| state.code() == code)
    }

    /// As stored, and never another.
    pub(crate) fn number(self) -> i64 {
        match self {
            SummaryState::Done => 0,
            SummaryState::Failed => 1,
            SummaryState::Fallback => 2,
        }
    }

    pub(crate) fn from_number(number: i64) -> Option<SummaryState> {
        let mut all = SummaryState::ALL.iter().copied();
        all.find(|state| state.number() == number)
    }
}

/// Somebody or something that a text speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity {
    pub name: String,
    /// `person`, `organisation` and the like, as the prompt asks for.
    pub kind: String,
}

/// What came of summarising one page. All texts together have at most 64 KiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSummary {
    pub page: PageId,
    /// Of the text that was summarised.
    pub content_hash: ContentHash,
    pub state: SummaryState,
    /// What made it; 1 to 200 bytes.
    pub model: String,
    pub prompt_version: u32,
    pub language: Option<String>,
    pub title: String,
    pub summary: String,
    pub key_points: Vec<String>,
    pub entities: Vec<Entity>,
    pub category: Option<String>,
    pub tokens_in: u64,
    pub tokens_out: u64,
    pub took_ms: u64,
    /// Of a model; 0 where another page's summary was taken, since both have
    /// the same text. That one has the tokens, too.
    pub calls: u32,
    /// Cut at 500 bytes.
    pub error: Option<String>,
}

/// The newest summary of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SummaryRow {
    pub tenant: TenantId,
    pub page: PageId,
    pub url: String,
    /// The page still has the text that it is of.
    pub is_current: bool,
    pub created_at: Timestamp,
    pub content_hash: ContentHash,
    pub state: SummaryState,
    pub model: String,
    pub prompt_version: u32,
    pub language: Option<String>,
    pub title: String,
    pub summary: String,
    pub key_points: Vec<String>,
    pub entities: Vec<Entity>,
    pub category: Option<String>,
    pub tokens_in: u64,
    pub tokens_out: u64,
    pub took_ms: u64,
    /// As [`NewSummary::calls`].
    pub calls: u32,
    pub error: Option<String>,
}

/// What became of a summary that was to be saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveOutcome {
    Saved,
    /// The page is gone, has another text by now, or is just being moved to
    /// another database. If it is still there, it is wanted again.
    Stale,
    /// The page has a summary of this text already, which is done.
    Known,
}

/// Which pages are to be summarised: those that never were with the text they
/// have, and those of `again`.
#[derive(Clone, Debug)]
pub struct SummaryWanted {
    pub tenant: TenantId,
    /// Of one source alone.
    pub source: Option<SourceId>,
    /// These alone, at most 10,000.
    pub pages: Option<Vec<PageId>>,
    /// Pages whose summary is so are wanted as well. Those that are done never
    /// are: asking for them is a conflict.
    pub again: Vec<SummaryState>,
    /// … if that was made before: what a long walk has made itself is then not
    /// wanted by its next part.
    pub again_before: Option<Timestamp>,
}

impl SummaryWanted {
    /// All pages of a tenant that were never summarised.
    #[must_use]
    pub fn of_tenant(tenant: TenantId) -> SummaryWanted {
        SummaryWanted {
            tenant,
            source: None,
            pages: None,
            again: Vec::new(),
            again_before: None,
        }
    }
}

/// A page that is to be summarised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SummaryWork {
    pub page: PageId,
    pub url: String,
    pub title: String,
    pub language: Option<String>,
    pub content_hash: ContentHash,
    pub text_bytes: u64,
}

/// How much is to be summarised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SummaryBacklog {
    /// Those of the same text included, which cost one summary together.
    pub pages: u64,
    pub text_bytes: u64,
}

impl SummaryBacklog {
    pub(crate) fn and(self, other: SummaryBacklog) -> SummaryBacklog {
        SummaryBacklog {
            pages: self.pages + other.pages,
            text_bytes: self.text_bytes + other.text_bytes,
        }
    }
}

/// Which summaries to list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SummaryFilter {
    pub source: Option<SourceId>,
    pub state: Option<SummaryState>,
}

/// The place behind a summary in a list, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SummaryCursor {
    pub(crate) at: i64,
    pub(crate) page: i64,
}

/// Time and page, and two bytes of a checksum.
const CURSOR_BYTES: usize = 8 + 8 + 2;

impl SummaryCursor {
    pub(crate) const START: SummaryCursor = SummaryCursor {
        at: i64::MAX,
        page: i64::MAX,
    };

    /// Behind `row`, the last one of a list.
    #[must_use]
    pub fn behind(row: &SummaryRow) -> SummaryCursor {
        SummaryCursor {
            at: row.created_at.0,
            page: row.page.0,
        }
    }

    /// A short string of letters, digits, `-` and `_`.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut bytes = self.at.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.page.to_be_bytes());
        bytes.extend_from_slice(&codec::hash_16(&bytes)[..2]);
        codec::to_base64(&bytes)
    }

    /// Takes back what [`SummaryCursor::encode`] gave. Fails with a conflict on
    /// anything else.
    pub fn decode(text: &str) -> Result<SummaryCursor, StoreError> {
        decode(text).ok_or_else(|| {
            StoreError::new(
                StoreErrorKind::Conflict,
                "this is no cursor of a list of summaries; start at its beginning",
            )
        })
    }
}

fn decode(text: &str) -> Option<SummaryCursor> {
    if text.len() > CURSOR_BYTES.div_ceil(3) * 4 {
        return None;
    }
    let bytes: [u8; CURSOR_BYTES] = codec::from_base64(text)?.try_into().ok()?;
    let (content, check) = bytes.split_at(CURSOR_BYTES - 2);
    if codec::hash_16(content)[..2] != *check {
        return None;
    }
    let (at, page) = content.split_first_chunk()?;
    Some(SummaryCursor {
        at: i64::from_be_bytes(*at),
        page: i64::from_be_bytes(page.try_into().ok()?),
    })
}

/// How far a tenant's live pages are summarised: each is one of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SummaryStats {
    pub done: u64,
    pub failed: u64,
    pub fallback: u64,
    /// Never summarised, or not with the text they have.
    pub waiting: u64,
}

impl SummaryStats {
    pub(crate) fn and(self, other: SummaryStats) -> SummaryStats {
        SummaryStats {
            done: self.done + other.done,
            failed: self.failed + other.failed,
            fallback: self.fallback + other.fallback,
            waiting: self.waiting + other.waiting,
        }
    }
}
