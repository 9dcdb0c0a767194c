//! What stands between searches and the engines that answer them.
//!
//! A [`crate::Searcher`] takes pages from a keyword engine and chunks from a
//! vector engine, whichever they are. An engine answers with candidates and
//! their scores; fusion, texts and snippets are the searcher's.
//!
//! A keyword engine has two sides. Writing: [`Follower`] replays the store's
//! change sequence, makes an [`IndexedPage`] of each page (analysed here, so
//! that a word means the same in every engine) and hands batches to the
//! engine's [`KeywordWriter`], which notes how far it got with what it wrote.
//! Asking: [`KeywordReader::begin`] takes one search, and the [`KeywordSearch`]
//! it gives is asked first which pages may be found and then for those that
//! have the words. Scores follow [`crate::Ranking`] with the statistics of the
//! tenant's own pages (T1).
//!
//! A vector engine is a [`VectorReader`]; it follows the store by itself.

pub(crate) mod facets;

mod follow;
mod page;
pub(crate) mod tokens;

use std::collections::HashSet;
use std::fmt;

use store::{ChangeSeqs, ShardNumber};
use types::{ChunkId, PageId, TenantId};

use crate::error::SearchError;
use crate::filters::Filters;
use crate::keyword::Ranking;
pub use crate::query::{Phrase, Query, Scope, Term};
use crate::vector::Neighbour;

pub use facets::{FACETS, FacetCounts};
pub use follow::{Follower, SyncReport};
pub(crate) use follow::{rebuild, sync};
pub use page::IndexedPage;
pub(crate) use page::{record_term, structured_term};
pub use tokens::Tokens;

/// Where a keyword index is and how it is opened.
pub trait KeywordEngine: fmt::Debug + Send + Sync {
    /// For asking. [`crate::SearchErrorKind::NotFound`] while there is no index yet.
    fn open(&self) -> Result<Box<dyn KeywordReader>, SearchError>;

    /// For writing: made, or repaired by emptying it, where need be.
    /// [`crate::SearchErrorKind::Busy`] while another process writes it.
    fn open_writer(&self) -> Result<Box<dyn KeywordWriter>, SearchError>;
}

/// Takes pages in. One process at a time has one.
pub trait KeywordWriter: fmt::Debug + Send {
    /// Changes of each database that were applied, maybe not yet committed.
    fn applied(&self) -> ChangeSeqs;

    /// Changes that searches see, and that survive a crash.
    fn committed(&self) -> ChangeSeqs;

    /// Whether this writer is the one that writes what comes from the database
    /// `shard`. An engine in which each may have a writer of its own says no
    /// while somebody else has it.
    fn takes(&mut self, shard: ShardNumber) -> Result<bool, SearchError> {
        let _ = shard;
        Ok(true)
    }

    /// True when the pages of each database lie in an index of its own, so that
    /// a page which moved to another is gone here.
    fn is_per_shard(&self) -> bool {
        false
    }

    /// Applies one batch: all of it or, when it fails, nothing that a commit
    /// would keep. Applying it again changes nothing.
    fn apply(&mut self, batch: Batch) -> Result<(), SearchError>;

    /// Makes what was applied findable and durable, with the numbers of the
    /// changes. Does nothing when there is nothing new.
    fn commit(&mut self) -> Result<(), SearchError>;

    /// Begins anew: no pages, and no change applied.
    fn clear(&mut self) -> Result<(), SearchError>;

    /// Commits, and lets others write.
    fn close(self: Box<Self>) -> Result<(), SearchError>;
}

/// Changes of one database, in their order.
#[derive(Debug)]
pub struct Batch {
    pub shard: ShardNumber,
    /// The number of the last of them.
    pub seq: i64,
    /// Pages that changed: what the index has of them is void.
    pub changed: Vec<PageId>,
    /// Those of them that are to be found, as they are now.
    pub pages: Vec<IndexedPage>,
}

/// Answers searches by words. Shared between threads.
pub trait KeywordReader: fmt::Debug + Send + Sync {
    /// Sees what was committed since.
    fn refresh(&self) -> Result<(), SearchError>;

    /// Changes that searches see since the last refresh.
    fn committed(&self) -> ChangeSeqs;

    /// Pages in the index, of all tenants.
    fn page_count(&self) -> Result<u64, SearchError>;

    /// Languages of the tenant's pages whose stems differ from the default
    /// ones, those with the most pages first.
    fn languages(&self, tenant: TenantId) -> Result<Vec<String>, SearchError>;

    /// Begins one search.
    fn begin<'a>(&'a self, ask: KeywordAsk<'a>)
    -> Result<Box<dyn KeywordSearch + 'a>, SearchError>;
}

/// What is searched for, by whom and where.
#[derive(Clone, Copy, Debug)]
pub struct KeywordAsk<'a> {
    pub tenant: TenantId,
    pub query: &'a Query,
    pub filters: &'a Filters,
    pub ranking: &'a Ranking,
}

/// One search. The tenant, the filters, required phrases and excluded words
/// limit everything that it answers.
pub trait KeywordSearch {
    /// Pages that may be found, whether or not they have the words.
    fn allowed(&self) -> Result<Allowed, SearchError>;

    /// Those of `pages` that may be found.
    fn among(&self, pages: &[PageId]) -> Result<HashSet<PageId>, SearchError>;

    /// The best pages by words, and what is counted.
    fn find(&self, find: &Find<'_>) -> Result<KeywordFound, SearchError>;
}

/// Pages that a search may find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// All of the tenant's.
    Every,
    Only(HashSet<PageId>),
    /// Too many to be listed and not all: [`KeywordSearch::among`] knows.
    Many,
}

/// What one search wants to know.
#[derive(Clone, Copy, Debug)]
pub struct Find<'a> {
    /// Whether words count at all; else only facets of `near` are counted.
    pub by_words: bool,
    pub limit: usize,
    /// Pages found by other means, all allowed: scored, too, where they have a
    /// word, and counted with the matches.
    pub near: &'a [PageId],
    /// Names of [`FACETS`].
    pub facets: &'a [&'static str],
    pub facet_values_max: usize,
}

/// The answer of a keyword engine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KeywordFound {
    /// The best `limit` pages and those of `near` that match, best first.
    pub pages: Vec<PageMatch>,
    /// Pages that match a word.
    pub total: usize,
    /// As asked, of matches and `near`.
    pub facets: Vec<FacetCounts>,
}

/// A page that matches, with its chunks that do, best first; all its chunks, in
/// page order, when the match was in the title or the address.
#[derive(Clone, Debug, PartialEq)]
pub struct PageMatch {
    pub page: PageId,
    pub score: f32,
    pub chunks: Vec<(ChunkId, f32)>,
}

/// Finds chunks by what they mean. Shared between threads.
pub trait VectorReader: fmt::Debug + Send + Sync {
    /// Sees what changed in the store since.
    fn refresh(&self) -> Result<(), SearchError>;

    /// Changes of pages and of vectors that searches see.
    fn seen(&self) -> [ChangeSeqs; 2];

    /// Chunks of the tenant that have a vector.
    fn passages(&self, tenant: TenantId) -> Result<usize, SearchError>;

    /// The `k` nearest chunks, nearest first, of the pages `only` (`None`: all
    /// of the tenant's). A vector of other dimensions, or with a component that
    /// is no number, is the caller's error.
    fn nearest(
        &self,
        tenant: TenantId,
        query: &[f32],
        k: usize,
        only: Option<&HashSet<PageId>>,
    ) -> Result<Vec<Neighbour>, SearchError>;

    /// Similarities of the chunks of `pages`; those of one page stand together,
    /// nearest first. Pages without vectors are left out.
    fn of_pages(
        &self,
        tenant: TenantId,
        query: &[f32],
        pages: &[PageId],
    ) -> Result<Vec<Neighbour>, SearchError>;

    /// Average similarity of the tenant's vectors to the query: what a page that
    /// has nothing to do with it reaches. `None` without vectors.
    fn average(&self, tenant: TenantId, query: &[f32]) -> Result<Option<f32>, SearchError>;

    /// Pages of the tenant most like `page`, nearest first, each with the cosine
    /// of its best chunk to the mean of the page's. `None` while the page has no vectors.
    fn similar(
        &self,
        tenant: TenantId,
        page: PageId,
        limit: usize,
    ) -> Result<Option<Vec<Neighbour>>, SearchError>;
}
