//! Asking: a request in, ranked pages with their best passages out.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use store::{ChangeSeqs, ChunkRow, PageContent, PageRow, Store};
use tracing::debug;
use types::{ChunkId, PageId, TenantId};

use crate::engine::{
    Allowed, Find, KeywordAsk, KeywordEngine, KeywordFound, KeywordReader, KeywordSearch,
    PageMatch, VectorReader,
};
use crate::error::SearchError;
use crate::filters::Filters;
use crate::found::{Found, Ranks, ScoredChunk};
use crate::fusion::{self, Candidate, Fused, FusionWeights};
use crate::keyword::{LocalKeywords, Ranking};
use crate::query::{self, Query};
use crate::request::{ChunkHit, Hit, Mode, Scores, SearchRequest, SearchResponse, WordSpread};
use crate::snippet::snippet;
use crate::text::Analyzer;
use crate::vector::{LocalVectors, Neighbour};

/// How far results can be paged through: `offset + limit`.
pub const RESULTS_MAX: usize = 1000;
/// Pages that each of the two retrievals offers to the fusion at least.
const CANDIDATES_MIN: usize = 100;
/// Chunks taken from the vector scan for each page wanted: a page has several.
const CHUNKS_PER_PAGE: usize = 2;
/// Chunks asked for at most where pages that may not be found stand between
/// those that may.
const NEAREST_MAX: usize = 8192;
/// Other chunks shown for one page.
const OTHERS_MAX: usize = 10;
/// Values listed of each fact that is counted.
pub const FACET_VALUES_MAX: usize = 20;

/// Answers searches from a keyword engine and a vector engine. Shared between
/// threads; it sees what was committed up to the last [`Searcher::refresh`].
#[derive(Debug)]
pub struct Searcher {
    store: Store,
    keyword: Box<dyn KeywordReader>,
    vectors: Option<Box<dyn VectorReader>>,
    analyzers: Mutex<Vec<Analyzer>>,
    ranking: Ranking,
    fusion: FusionWeights,
}

impl Searcher {
    /// Searches by the words of `keyword` and, where there are any, `vectors`.
    #[must_use]
    pub fn new(
        store: Store,
        keyword: Box<dyn KeywordReader>,
        vectors: Option<Box<dyn VectorReader>>,
    ) -> Searcher {
        Searcher {
            store,
            keyword,
            vectors,
            analyzers: Mutex::new(Vec::new()),
            ranking: Ranking::default(),
            fusion: FusionWeights::default(),
        }
    }

    /// Opens the index in `index_dir` for reading and loads the vectors of
    /// `model` (`None`: keyword search only): both engines on this machine.
    pub fn open(
        store: Store,
        index_dir: &Path,
        model: Option<&str>,
    ) -> Result<Searcher, SearchError> {
        let keyword = LocalKeywords::new(index_dir.to_owned()).open()?;
        let vectors = model.map(|model| LocalVectors::load(store.clone(), model));
        let vectors = vectors.transpose()?;
        let vectors = vectors.map(|vectors| -> Box<dyn VectorReader> { Box::new(vectors) });
        Ok(Searcher::new(store, keyword, vectors))
    }

    /// Another ranking than the default, to measure with.
    #[must_use]
    pub fn with_weights(mut self, ranking: Ranking, fusion: FusionWeights) -> Searcher {
        self.ranking = ranking;
        self.fusion = fusion;
        self
    }

    /// Sees what was committed since. Searches go on meanwhile; only vectors in
    /// memory are locked while they change.
    pub fn refresh(&self) -> Result<(), SearchError> {
        self.keyword.refresh()?;
        self.vectors.as_ref().map_or(Ok(()), |v| v.refresh())
    }

    /// Change numbers of what searches see now: while they stay, so do answers.
    pub fn seen(&self) -> [ChangeSeqs; 3] {
        let keyword = self.keyword.committed();
        let vectors = self.vectors.as_ref().map(|vectors| vectors.seen());
        let [pages, vectors] = vectors.unwrap_or_default();
        [keyword, pages, vectors]
    }

    /// Answers `request`. `query_vector` is the embedded query; a vector search
    /// needs it, a hybrid search without it ranks by keyword alone.
    pub fn search(
        &self,
        request: &SearchRequest,
        query_vector: Option<&[f32]>,
    ) -> Result<SearchResponse, SearchError> {
        let started = Instant::now();
        check(request)?;
        let mut analyzer = self.analyzer();
        let languages = self.keyword.languages(request.tenant)?;
        let query = query::parse(&request.query, &languages, &mut analyzer);
        let (coverage, has_vectors) = self.coverage(request.tenant)?;
        let vector = match (request.mode, query_vector) {
            (Mode::Keyword, _) => None,
            (Mode::Hybrid, vector) => vector.filter(|_| has_vectors),
            (Mode::Vector, Some(vector)) => Some(vector),
            (Mode::Vector, None) => {
                return Err(SearchError::request(
                    "vector search needs an embedder for the query",
                ));
            }
        };
        let mode = match (request.mode, vector) {
            (Mode::Hybrid, None) => Mode::Keyword,
            (mode, _) => mode,
        };
        let found = self.retrieve(request, mode, &query, vector)?;
        let shown = found
            .ranked
            .iter()
            .enumerate()
            .skip(request.offset)
            .take(request.limit);
        let hits = self.describe(shown, &found, request, &query, &mut analyzer)?;
        let mut pool = lock(&self.analyzers);
        pool.push(analyzer);
        Ok(SearchResponse {
            mode,
            total: found.total,
            took: started.elapsed(),
            vector_coverage: coverage,
            similarity_average: found.average,
            hits,
            facets: found.facets,
        })
    }

    fn retrieve(
        &self,
        request: &SearchRequest,
        mode: Mode,
        query: &Query,
        vector: Option<&[f32]>,
    ) -> Result<Found, SearchError> {
        let wanted = CANDIDATES_MIN.max(request.offset + request.limit);
        let keyword = self.keyword.begin(KeywordAsk {
            tenant: request.tenant,
            query,
            filters: &request.filters,
            ranking: &self.ranking,
        })?;
        let mut neighbours: BTreeMap<i64, Vec<Neighbour>> = BTreeMap::new();
        let mut floor = f32::NEG_INFINITY;
        let mut average = None;
        let vectors = vector.zip(self.vectors.as_deref());
        if let Some((vector, vectors)) = vectors {
            let tenant = request.tenant;
            let nearest = nearest(vectors, tenant, vector, wanted, keyword.as_ref())?;
            for neighbour in nearest {
                if neighbours.len() >= wanted && !neighbours.contains_key(&neighbour.page.0) {
                    break;
                }
                floor = neighbour.similarity;
                neighbours
                    .entry(neighbour.page.0)
                    .or_default()
                    .push(neighbour);
            }
            // With few pages the last of the nearest may be a good one or the only one.
            average = vectors.average(tenant, vector)?;
            floor = floor.max(average.unwrap_or(floor));
        }
        let near: Vec<PageId> = neighbours.keys().map(|page| PageId(*page)).collect();
        let mut matches = KeywordFound::default();
        if mode != Mode::Vector || !request.facets.is_empty() {
            matches = keyword.find(&Find {
                by_words: mode != Mode::Vector,
                limit: wanted,
                near: &near,
                facets: &request.facets,
                facet_values_max: FACET_VALUES_MAX,
            })?;
        }
        let by_keyword: HashMap<i64, &PageMatch> =
            matches.pages.iter().map(|p| (p.page.0, p)).collect();
        let vector_only = near
            .iter()
            .filter(|page| !by_keyword.contains_key(&page.0))
            .count();
        let total = matches.total + vector_only;
        // Pages found by words alone get their similarity too, so that both
        // judges speak about every candidate.
        if let Some((vector, vectors)) = vectors {
            let by_words_alone = by_keyword
                .keys()
                .filter(|page| !neighbours.contains_key(page));
            let by_words_alone: Vec<PageId> = by_words_alone.map(|page| PageId(*page)).collect();
            for similar in vectors.of_pages(request.tenant, vector, &by_words_alone)? {
                neighbours.entry(similar.page.0).or_default().push(similar);
            }
        }
        let pages: HashSet<i64> = by_keyword
            .keys()
            .chain(neighbours.keys())
            .copied()
            .collect();
        let candidates: Vec<Candidate> = pages
            .into_iter()
            .map(|page| Candidate {
                page,
                keyword: by_keyword.get(&page).map(|p| p.score),
                vector: neighbours
                    .get(&page)
                    .and_then(|n| n.first())
                    .map(|n| n.similarity),
            })
            .collect();
        let weights = match mode {
            Mode::Hybrid => self.fusion,
            Mode::Keyword => FusionWeights { vector: 0.0 },
            Mode::Vector => FusionWeights { vector: 1.0 },
        };
        let ranked = fusion::fuse(&candidates, floor, weights);
        let chunks = matches
            .pages
            .into_iter()
            .map(|p| (p.page.0, p.chunks))
            .collect();
        Ok(Found {
            mode,
            ranked,
            total,
            facets: matches.facets,
            chunks,
            neighbours,
            floor,
            average,
            weights,
        })
    }

    fn describe<'a>(
        &self,
        shown: impl Iterator<Item = (usize, &'a Fused)>,
        found: &Found,
        request: &SearchRequest,
        query: &Query,
        analyzer: &mut Analyzer,
    ) -> Result<Vec<Hit>, SearchError> {
        let ranks = Ranks::of(&found.ranked);
        let shown: Vec<(&Fused, Vec<ScoredChunk>)> = shown
            .map(|(_, fused)| {
                let mut chunks = found.chunks_of(fused.page);
                chunks.truncate(if request.expand { OTHERS_MAX + 1 } else { 1 });
                (fused, chunks)
            })
            .collect();
        let page_ids: Vec<PageId> = shown.iter().map(|(fused, _)| PageId(fused.page)).collect();
        let chunk_ids: Vec<ChunkId> = shown
            .iter()
            .flat_map(|(_, chunks)| chunks.iter().map(|c| c.chunk))
            .collect();
        let rows: HashMap<PageId, PageRow> = self
            .store
            .pages_by_ids(&page_ids)?
            .into_iter()
            .map(|row| (row.id, row))
            .collect();
        let chunk_rows: HashMap<ChunkId, ChunkRow> = self
            .store
            .chunks_by_ids(&chunk_ids)?
            .into_iter()
            .map(|row| (row.id, row))
            .collect();
        let mut hits = Vec::new();
        for (fused, chunks) in shown {
            let page = PageId(fused.page);
            let Some(row) = rows.get(&page) else {
                // Deleted in the store since the last refresh.
                debug!(%page, "search found a page that is gone");
                continue;
            };
            let content = self.store.page_content(page)?.unwrap_or_default();
            let mut described = chunks.iter().filter_map(|scored| {
                let chunk = chunk_rows.get(&scored.chunk)?;
                chunk_hit(chunk, scored, row, &content, query, analyzer)
            });
            let Some(best) = described.next() else {
                debug!(%page, "search found a chunk that is gone");
                continue;
            };
            let others = described.collect();
            hits.push(Hit {
                page,
                chunk: best.chunk,
                url: row.url.clone(),
                title: row.title.clone(),
                heading: best.heading,
                snippet: best.snippet,
                score: fused.score,
                scores: Scores {
                    keyword: fused.keyword,
                    vector: fused.vector,
                },
                explain: found.explain(fused, &ranks),
                published_at: row.published_at,
                language: row.language.clone(),
                source: row.source,
                others,
            });
        }
        Ok(hits)
    }

    /// The words of `text` that say what it is about, at most `words_max`, with how
    /// many pages of the tenant have each. Words of grammar are left out.
    pub fn spread(
        &self,
        tenant: TenantId,
        text: &str,
        words_max: usize,
    ) -> Result<Vec<WordSpread>, SearchError> {
        let mut analyzer = self.analyzer();
        let languages = self.keyword.languages(tenant)?;
        let query = query::parse(text, &languages, &mut analyzer);
        lock(&self.analyzers).push(analyzer);
        let told = query.terms.into_iter();
        let told = told.filter(|term| !term.stop && !term.optional && !term.prefix);
        let mut spread = Vec::new();
        for term in told.take(words_max) {
            let one = Query {
                terms: vec![term.clone()],
                ..Query::default()
            };
            let filters = Filters::default();
            let asked = self.keyword.begin(KeywordAsk {
                tenant,
                query: &one,
                filters: &filters,
                ranking: &self.ranking,
            })?;
            let found = asked.find(&Find {
                by_words: true,
                limit: 1,
                near: &[],
                facets: &[],
                facet_values_max: 0,
            })?;
            spread.push(WordSpread {
                spellings: term.spellings,
                pages: found.total,
            });
        }
        Ok(spread)
    }

    /// Pages of the tenant that are most like `page`, nearest first, with their
    /// cosine to it; at most `limit`. `None` while the page has no vectors.
    pub fn similar(
        &self,
        tenant: TenantId,
        page: PageId,
        limit: usize,
    ) -> Result<Option<Vec<(PageId, f32)>>, SearchError> {
        let Some(vectors) = &self.vectors else {
            return Ok(None);
        };
        let similar = vectors.similar(tenant, page, limit)?;
        let pages =
            |similar: Vec<Neighbour>| similar.iter().map(|n| (n.page, n.similarity)).collect();
        Ok(similar.map(pages))
    }

    /// Share of the tenant's chunks with vectors, and whether there are any to search.
    fn coverage(&self, tenant: TenantId) -> Result<(f32, bool), SearchError> {
        let Some(vectors) = &self.vectors else {
            return Ok((0.0, false));
        };
        let passages = vectors.passages(tenant)?;
        if passages == 0 {
            return Ok((0.0, false));
        }
        let chunks = self.store.tenant_stats(tenant)?.chunks.max(1);
        Ok(((passages as f32 / chunks as f32).min(1.0), true))
    }

    fn analyzer(&self) -> Analyzer {
        lock(&self.analyzers).pop().unwrap_or_default()
    }
}

/// The nearest chunks of pages that `keyword` allows, enough for `wanted` pages.
fn nearest(
    vectors: &dyn VectorReader,
    tenant: TenantId,
    vector: &[f32],
    wanted: usize,
    keyword: &dyn KeywordSearch,
) -> Result<Vec<Neighbour>, SearchError> {
    let mut k = wanted * CHUNKS_PER_PAGE;
    match keyword.allowed()? {
        Allowed::Every => return vectors.nearest(tenant, vector, k, None),
        Allowed::Only(pages) => return vectors.nearest(tenant, vector, k, Some(&pages)),
        Allowed::Many => {}
    }
    loop {
        let mut nearest = vectors.nearest(tenant, vector, k, None)?;
        let is_all = nearest.len() < k || k >= NEAREST_MAX;
        let pages: HashSet<PageId> = nearest.iter().map(|n| n.page).collect();
        let pages: Vec<PageId> = pages.into_iter().collect();
        let among = keyword.among(&pages)?;
        if among.len() >= wanted || is_all {
            nearest.retain(|neighbour| among.contains(&neighbour.page));
            return Ok(nearest);
        }
        k = (k * 4).min(NEAREST_MAX);
    }
}

fn chunk_hit(
    row: &ChunkRow,
    scored: &ScoredChunk,
    page: &PageRow,
    content: &PageContent,
    query: &Query,
    analyzer: &mut Analyzer,
) -> Option<ChunkHit> {
    // `None` only when the page changed between the two reads.
    let text = content.text.get(row.chunk.range.clone())?;
    let language = page.language.as_deref();
    Some(ChunkHit {
        chunk: row.id,
        heading: heading(row),
        snippet: snippet(text, row.chunk.tldr.as_deref(), language, query, analyzer),
        scores: scored.scores,
    })
}

fn heading(row: &ChunkRow) -> String {
    if row.chunk.heading_path.is_empty() {
        row.chunk.section.clone()
    } else {
        row.chunk.heading_path.join(" › ")
    }
}

fn check(request: &SearchRequest) -> Result<(), SearchError> {
    if request.limit == 0 || request.offset.saturating_add(request.limit) > RESULTS_MAX {
        return Err(SearchError::request(format!(
            "limit must be at least 1 and offset + limit at most {RESULTS_MAX}"
        )));
    }
    if request.query.trim().is_empty() {
        return Err(SearchError::request("query is empty"));
    }
    Ok(())
}

// A panic while the lock was held leaves plain data behind that is still whole,
// so poisoning is ignored.
fn lock<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
