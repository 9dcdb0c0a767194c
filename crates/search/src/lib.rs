//! Query to results: keyword and vector retrieval, fusion, filters, snippets.
//!
//! The keyword index (tantivy files) and the vector index (in memory) are
//! derived from `store` and can be rebuilt from it at any time. Each remembers
//! the store's change sequence it has seen and replays what came later.
//!
//! It deliberately embeds nothing (the caller passes the query's vector),
//! holds no page text of its own and knows no transport.
//!
//! Start with [`Searcher`] (asking), [`KeywordIndex`] (writing the index while
//! a crawl runs) and [`Analyzer`] (what a word is).

mod request;
mod searcher;

mod query;
mod text;

mod filters;
mod keyword;
mod vector;

mod found;
mod fusion;
mod snippet;

mod error;

pub use error::{SearchError, SearchErrorKind};
pub use filters::{Bounds, Filters};
pub use fusion::{Candidate, Fused, FusionWeights, fuse};
pub use keyword::{
    FACETS, FacetCounts, IndexMode, KeywordIndex, Ranking, SyncReport, WRITER_HEAP_BYTES,
};
pub use request::{ChunkHit, Hit, Mode, Scores, SearchRequest, SearchResponse};
pub use searcher::{FACET_VALUES_MAX, RESULTS_MAX, Searcher};
pub use snippet::Snippet;
pub use text::{Analyzer, Token, TokenRef};
pub use vector::{Neighbour, VectorIndex};
