//! The keyword index: its fields, how pages are written, how they are scored.

pub(crate) mod schema;

pub(crate) mod document;
pub(crate) mod index;

pub(crate) mod allowed;
pub(crate) mod corpus;
pub(crate) mod facets;
pub(crate) mod score;

mod chunks;
mod ranking;
mod terms;

pub use facets::{FACETS, FacetCounts};
pub use index::{KeywordIndex, Mode as IndexMode, SyncReport, WRITER_HEAP_BYTES};
pub use ranking::Ranking;
