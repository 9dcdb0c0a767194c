//! What can be asked and what is answered.

use std::time::Duration;

use types::{ChunkId, PageId, SourceId, TenantId, Timestamp};

use crate::engine::FacetCounts;
use crate::filters::Filters;
use crate::snippet::Snippet;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Hybrid,
    Keyword,
    Vector,
}

impl Mode {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Mode::Hybrid => "hybrid",
            Mode::Keyword => "keyword",
            Mode::Vector => "vector",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Mode> {
        [Mode::Hybrid, Mode::Keyword, Mode::Vector]
            .into_iter()
            .find(|mode| mode.name() == name)
    }
}

#[derive(Clone, Debug)]
pub struct SearchRequest {
    pub tenant: TenantId,
    pub query: String,
    pub mode: Mode,
    pub limit: usize,
    pub offset: usize,
    pub filters: Filters,
    /// Also list the other matching chunks of each page.
    pub expand: bool,
    /// What to count among all that is found: names of [`crate::FACETS`].
    pub facets: Vec<&'static str>,
}

impl Default for SearchRequest {
    fn default() -> SearchRequest {
        SearchRequest {
            tenant: TenantId::DEFAULT,
            query: String::new(),
            mode: Mode::default(),
            limit: 10,
            offset: 0,
            filters: Filters::default(),
            expand: false,
            facets: Vec::new(),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct SearchResponse {
    /// What was done: a hybrid search without a query vector or without any
    /// vectors in the index is a keyword search.
    pub mode: Mode,
    /// Pages that match a word of the query or are among the nearest by vector.
    pub total: usize,
    pub took: Duration,
    /// Share of the tenant's chunks that have vectors, 0 to 1.
    pub vector_coverage: f32,
    /// Average similarity of the tenant's passages to the query: what one that has
    /// nothing to do with it reaches. `None` when vectors were not asked.
    pub similarity_average: Option<f32>,
    pub hits: Vec<Hit>,
    /// As asked, the most frequent values of each; of the pages that
    /// [`SearchResponse::total`] counts.
    pub facets: Vec<FacetCounts>,
}

/// One page, shown by its best chunk.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    pub page: PageId,
    pub chunk: ChunkId,
    pub url: String,
    pub title: String,
    /// Headings from the page's top down to the chunk, joined by ` › `.
    pub heading: String,
    pub snippet: Snippet,
    /// What the results are ordered by.
    pub score: f32,
    pub scores: Scores,
    /// Why it stands where it stands, for a person to read.
    pub explain: String,
    pub published_at: Option<Timestamp>,
    pub language: Option<String>,
    pub source: SourceId,
    pub others: Vec<ChunkHit>,
}

/// The two scores of a page, each on its own scale.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scores {
    pub keyword: Option<f32>,
    /// Cosine similarity.
    pub vector: Option<f32>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ChunkHit {
    pub chunk: ChunkId,
    pub heading: String,
    pub snippet: Snippet,
    pub scores: Scores,
}

/// A word, and how many pages have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordSpread {
    /// As [`crate::Analyzer`] writes it, in each of the tenant's languages.
    pub spellings: Vec<String>,
    pub pages: usize,
}
