//! What people note on pages.

use types::{PageId, Timestamp};

/// Notes on a page. They outlive its changes and its disappearance from the
/// site, and go only when the page is deleted with its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageNotes {
    pub page: PageId,
    pub favorite: bool,
    pub applied: bool,
    /// Empty: none.
    pub status: String,
    pub notes: String,
    /// Each once, in the order given.
    pub tags: Vec<String>,
    pub updated_at: Timestamp,
}

/// What to change of a page's notes; `None` leaves it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotesPatch {
    pub favorite: Option<bool>,
    pub applied: Option<bool>,
    /// At most 64 characters.
    pub status: Option<String>,
    /// At most 16 KiB.
    pub notes: Option<String>,
    /// All of them: at most 32 of 1 to 64 characters.
    pub tags: Option<Vec<String>>,
}
