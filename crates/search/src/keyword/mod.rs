//! The keyword index on this machine: its fields, how pages are written, how
//! they are scored.

pub(crate) mod schema;

pub(crate) mod document;
pub(crate) mod index;

pub(crate) mod allowed;
pub(crate) mod corpus;
pub(crate) mod facets;
pub(crate) mod score;

mod chunks;
mod local;
mod ranking;
mod terms;

pub use index::{KeywordIndex, Mode as IndexMode, WRITER_HEAP_BYTES};
pub use local::LocalKeywords;
pub use ranking::Ranking;
