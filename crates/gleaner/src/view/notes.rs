//! What people note about pages.

use serde::Serialize;
use store::PageNotes;
use utoipa::ToSchema;

use super::rfc3339;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct NotesView {
    pub favorite: bool,
    pub applied: bool,
    /// Empty: none.
    pub status: String,
    pub notes: String,
    pub tags: Vec<String>,
    #[schema(format = DateTime)]
    pub updated_at: String,
}

impl NotesView {
    pub fn new(notes: &PageNotes) -> NotesView {
        NotesView {
            favorite: notes.favorite,
            applied: notes.applied,
            status: notes.status.clone(),
            notes: notes.notes.clone(),
            tags: notes.tags.clone(),
            updated_at: rfc3339(notes.updated_at),
        }
    }
}
