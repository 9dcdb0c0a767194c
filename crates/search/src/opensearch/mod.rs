//! Words by an OpenSearch cluster (or one that speaks its REST API) that all
//! machines share, for more pages than an index on each machine, or PostgreSQL,
//! is to hold.
//!
//! The cluster gets our own tokens, one document for each page, and splits them
//! at blanks again, so that a word is the same word as in the other engines, in
//! all languages, without plugins. It filters, counts facets and gives
//! candidates; scores are computed here ([`crate::judging`]) from the places of
//! the words, which come with each candidate, by the tenant's own statistics:
//! the cluster's are of all tenants together (T1).
//!
//! Only what both OpenSearch from 2 on and Elasticsearch from 8 on document is
//! asked for; see `schema.rs` for the documents, `query.rs` for what is asked.

mod access;
mod client;
mod document;
mod keywords;
mod progress;
mod query;
mod schema;
mod words;
mod writer;

pub use client::OpensearchConfig;
pub use keywords::{ClusterState, OpensearchKeywords};
