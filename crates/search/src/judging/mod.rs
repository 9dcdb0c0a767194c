//! Scores of pages that a server found: the same rules as the index files have
//! (`keyword/score.rs` and `keyword/chunks.rs`), for engines that keep their
//! words elsewhere. Such an engine says how many of the tenant's pages have each
//! word ([`Vocabulary`]), gives candidates with the places of the words in them
//! ([`Candidate`]), and the [`Judge`] scores these.

mod corpora;
mod judge;
mod words;

pub(crate) use corpora::Corpora;
pub(crate) use judge::{Candidate, Judge, Places, Wanted};
pub(crate) use words::{BODY, Corpus, CorpusPart, Vocabulary, Weighed, WordPages, serves, weigh};
