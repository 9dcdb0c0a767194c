//! A page as one line of an export or an import.

use serde::{Deserialize, Serialize};
use store::{PageContent, PageNotes, PageRow, PageStatus};
use types::Record;
use utoipa::ToSchema;

use super::{RecordView, rfc3339};

/// What an export writes for each page and an import reads: one JSON object a line. Only `url` is
/// required, with one of `markdown`, `html` and `text`, or `gone`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PageLine {
    #[schema(example = "https://example.org/post", max_length = 2048)]
    pub url: String,
    /// There is no such page any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
    /// Instead of the one that the content has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// CommonMark with GFM tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub markdown: Option<String>,
    /// A whole HTML page, of which the main content is kept, and the facts it states.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
    /// Plain text: paragraphs separated by blank lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// BCP 47 primary subtag; found out from the text unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub published_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub modified_at: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<RecordView>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<NotesLine>,
}

/// What is noted about a page; what is left out stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NotesLine {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub favorite: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
}

impl PageLine {
    pub fn new(
        page: &PageRow,
        content: PageContent,
        record: Option<&Record>,
        notes: Option<&PageNotes>,
    ) -> PageLine {
        if page.status == PageStatus::Gone {
            return PageLine {
                url: page.url.clone(),
                gone: true,
                ..PageLine::default()
            };
        }
        PageLine {
            url: page.url.clone(),
            gone: false,
            title: Some(page.title.clone()),
            markdown: Some(content.markdown),
            html: None,
            text: None,
            description: page.description.clone(),
            author: page.author.clone(),
            language: page.language.clone(),
            published_at: page.published_at.map(rfc3339),
            modified_at: page.modified_at.map(rfc3339),
            record: record.map(RecordView::from),
            notes: notes.map(|notes| NotesLine {
                favorite: Some(notes.favorite),
                applied: Some(notes.applied),
                status: Some(notes.status.clone()),
                notes: Some(notes.notes.clone()),
                tags: Some(notes.tags.clone()),
            }),
        }
    }
}

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct ImportReport {
    /// Lines that were not blank.
    pub lines: u64,
    pub added: u64,
    pub updated: u64,
    pub unchanged: u64,
    /// Taken away as `gone`; those that were not there count as unchanged.
    pub removed: u64,
    /// Lines of which nothing was stored.
    pub failed: u64,
    /// Why, of the first 100 that failed.
    pub errors: Vec<LineError>,
    pub took_ms: u64,
}

/// What is wrong with one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LineError {
    /// From 1.
    pub line: u64,
    pub url: Option<String>,
    /// As in the table of errors: `invalid_request`, `too_large` or `quota_exceeded`.
    pub code: String,
    pub message: String,
}
