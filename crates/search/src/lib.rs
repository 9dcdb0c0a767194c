//! Query to results: keyword and vector retrieval, fusion, filters, snippets.
//!
//! Keyword and vector indexes are derived from `store` and can be rebuilt from
//! it at any time. Each remembers the store's change sequence it has seen and
//! replays what came later. What they are is behind [`engine`]: index files of
//! tantivy and a table of vectors in memory here.
//!
//! It deliberately embeds nothing (the caller passes the query's vector),
//! holds no page text of its own and knows no transport.
//!
//! Start with [`Searcher`] (asking), [`engine::Follower`] (writing the index
//! while a crawl runs) and [`Analyzer`] (what a word is).

mod request;
mod searcher;

mod query;
mod text;

pub mod engine;

mod filters;
mod judging;
mod keyword;
mod opensearch;
mod postgres;
mod vector;

mod found;
mod fusion;
mod snippet;

mod error;

pub use engine::{FACETS, FacetCounts, SyncReport};
pub use error::{SearchError, SearchErrorKind};
pub use filters::{Bounds, Filters};
pub use fusion::{Candidate, Fused, FusionWeights, fuse};
pub use keyword::{IndexMode, KeywordIndex, LocalKeywords, Ranking, WRITER_HEAP_BYTES};
pub use opensearch::{ClusterState, OpensearchConfig, OpensearchKeywords};
pub use postgres::{PostgresKeywords, PostgresVectors, VectorFollower};
pub use request::{ChunkHit, Hit, Mode, Scores, SearchRequest, SearchResponse, WordSpread};
pub use searcher::{FACET_VALUES_MAX, RESULTS_MAX, Searcher};
pub use snippet::Snippet;
pub use text::{Analyzer, Token, TokenRef};
pub use vector::{LocalVectors, Neighbour, VectorIndex};
