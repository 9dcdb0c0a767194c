//! Cuts a [`types::Page`] into [`types::Chunk`]s: the passages that are
//! embedded, indexed and shown as search hits.
//!
//! Everything here is a pure function of its arguments. The crate knows no
//! tokenizer (token counts are calibrated estimates), no model, no clock and no
//! storage, and it never rewrites a page: a chunk is a byte range into
//! `page.text`. English and Persian are equals; other languages get the Unicode
//! rules and lose only stop words and abbreviations.
//!
//! Start at [`chunk`]; [`sentences`], [`words`], [`estimate_tokens`] and
//! [`summarize`] are the parts it is made of. [`extract_summary`] and
//! [`extract_for_query`] stand in for a language model where there is none.

mod abbreviations;
mod assemble;
mod centrality;
mod config;
mod extractive;
mod keywords;
mod language;
mod pack;
mod query;
mod scan;
mod sections;
mod sentences;
mod stopwords;
mod summary;
mod terms;
mod tokens;

pub use assemble::chunk;
pub use config::ChunkConfig;
pub use extractive::{ExtractiveSummary, Ranked, SummaryOptions, extract_summary, rank_sentences};
pub use language::language_of;
pub use query::extract_for_query;
pub use scan::words;
pub use sentences::sentences;
pub use summary::summarize;
pub use tokens::estimate_tokens;
