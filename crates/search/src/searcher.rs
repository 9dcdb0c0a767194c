//! Asking: a request in, ranked pages with their best passages out.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Instant;

use store::{ChangeSeqs, ChunkRow, PageContent, PageRow, Store};
use tracing::debug;
use types::{ChunkId, PageId, TenantId};

use crate::error::{SearchError, SearchErrorKind};
use crate::found::{Found, Ranks, ScoredChunk};
use crate::fusion::{self, Candidate, Fused, FusionWeights};
use crate::keyword::Ranking;
use crate::keyword::allowed::allowed;
use crate::keyword::facets::Matched;
use crate::keyword::index::{KeywordIndex, Mode as IndexMode};
use crate::keyword::score::{self, Asked, KeywordMatches};
use crate::query::{self, Query};
use crate::request::{ChunkHit, Hit, Mode, Scores, SearchRequest, SearchResponse};
use crate::snippet::snippet;
use crate::text::Analyzer;
use crate::vector::{Neighbour, VectorIndex};

/// How far results can be paged through: `offset + limit`.
pub const RESULTS_MAX: usize = 1000;
/// Pages that each of the two retrievals offers to the fusion at least.
const CANDIDATES_MIN: usize = 100;
/// Chunks taken from the vector scan for each page wanted: a page has several.
const CHUNKS_PER_PAGE: usize = 2;
/// Other chunks shown for one page.
const OTHERS_MAX: usize = 10;
/// Values listed of each fact that is counted.
pub const FACET_VALUES_MAX: usize = 20;

/// Answers searches from the index files and the vectors in memory. Shared
/// between threads; it sees what was committed up to the last
/// [`Searcher::refresh`].
#[derive(Debug)]
pub struct Searcher {
    store: Store,
    keyword: RwLock<KeywordIndex>,
    vectors: Option<RwLock<VectorIndex>>,
    analyzers: Mutex<Vec<Analyzer>>,
    ranking: Ranking,
    fusion: FusionWeights,
    index_dir: PathBuf,
}

impl Searcher {
    /// Opens the index in `index_dir` for reading and loads the vectors of
    /// `model` (`None`: keyword search only).
    pub fn open(
        store: Store,
        index_dir: &Path,
        model: Option<&str>,
    ) -> Result<Searcher, SearchError> {
        let keyword = KeywordIndex::open(index_dir, IndexMode::Read)?;
        let vectors = model
            .map(|model| VectorIndex::load(&store, model))
            .transpose()?;
        Ok(Searcher {
            store,
            keyword: RwLock::new(keyword),
            vectors: vectors.map(RwLock::new),
            analyzers: Mutex::new(Vec::new()),
            ranking: Ranking::default(),
            fusion: FusionWeights::default(),
            index_dir: index_dir.to_owned(),
        })
    }

    /// Another ranking than the default, to measure with.
    #[must_use]
    pub fn with_weights(mut self, ranking: Ranking, fusion: FusionWeights) -> Searcher {
        self.ranking = ranking;
        self.fusion = fusion;
        self
    }

    /// Sees what was committed since. Searches go on meanwhile; only the
    /// vectors are locked while they change.
    pub fn refresh(&self) -> Result<(), SearchError> {
        {
            let mut keyword = write(&self.keyword);
            match keyword.reload() {
                Ok(()) => {}
                // The writer rebuilt the directory: what was open is gone.
                Err(error) if error.kind() == SearchErrorKind::Index => {
                    *keyword = KeywordIndex::open(&self.index_dir, IndexMode::Read)?;
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(vectors) = &self.vectors {
            write(vectors).refresh(&self.store)?;
        }
        Ok(())
    }

    /// Change numbers of what searches see now: while they stay, so do answers.
    pub fn seen(&self) -> [ChangeSeqs; 3] {
        let keyword = read(&self.keyword).committed();
        let vectors = self.vectors.as_ref().map(read);
        let [pages, vectors] = vectors.map_or_else(Default::default, |vectors| {
            vectors.seen().map(ChangeSeqs::clone)
        });
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
        let corpus = {
            let keyword = read(&self.keyword);
            keyword.corpus(&keyword.searcher(), request.tenant)?
        };
        let query = query::parse(&request.query, corpus.languages(), &mut analyzer);
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
        let keyword = read(&self.keyword);
        let searcher = keyword.searcher();
        // Read again: the index may have changed since the query was parsed.
        let corpus = keyword.corpus(&searcher, request.tenant)?;
        let filters = request
            .filters
            .queries(request.tenant, &corpus, keyword.fields());
        let allowed = allowed(&searcher, keyword.fields(), filters, query)?;
        let mut neighbours: BTreeMap<i64, Vec<Neighbour>> = BTreeMap::new();
        let mut floor = f32::NEG_INFINITY;
        let vectors = self.vectors.as_ref().map(read);
        if let (Some(vector), Some(vectors)) = (vector, &vectors) {
            let pages = allowed.pages(&searcher)?;
            let nearest = vectors.search(
                request.tenant,
                vector,
                wanted * CHUNKS_PER_PAGE,
                pages.as_ref(),
            )?;
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
            floor = floor.max(vectors.average(request.tenant, vector).unwrap_or(floor));
        }
        let mut matches = KeywordMatches::default();
        let mut matched = (!request.facets.is_empty()).then(|| Matched::none(&searcher));
        if mode != Mode::Vector {
            let probes: Vec<i64> = neighbours.keys().copied().collect();
            let asked = Asked {
                searcher: &searcher,
                fields: keyword.fields(),
                ranking: &self.ranking,
                query,
                corpus: &corpus,
                allowed: &allowed,
            };
            matches = score::search(&asked, wanted, &probes, matched.as_mut())?;
        }
        let by_keyword: HashMap<i64, &score::PageMatch> =
            matches.pages.iter().map(|p| (p.page, p)).collect();
        let vector_only = neighbours
            .keys()
            .filter(|page| !by_keyword.contains_key(*page))
            .count();
        let total = matches.total + vector_only;
        let facets = match &mut matched {
            Some(matched) => {
                let near: Vec<i64> = neighbours.keys().copied().collect();
                score::add_pages(matched, &searcher, keyword.fields(), &near)?;
                matched.count(&searcher, &request.facets, FACET_VALUES_MAX)?
            }
            None => Vec::new(),
        };
        // Pages found by words alone get their similarity too, so that both
        // judges speak about every candidate.
        if let (Some(vector), Some(vectors)) = (vector, &vectors) {
            for page in by_keyword.keys() {
                if !neighbours.contains_key(page) {
                    let similar = vectors.page(request.tenant, vector, *page);
                    if !similar.is_empty() {
                        neighbours.insert(*page, similar);
                    }
                }
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
            .map(|p| (p.page, p.chunks))
            .collect();
        Ok(Found {
            mode,
            ranked,
            total,
            facets,
            chunks,
            neighbours,
            floor,
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

    /// Pages of the tenant that are most like `page`, nearest first, with their
    /// cosine to it; at most `limit`. `None` while the page has no vectors.
    #[must_use]
    pub fn similar(
        &self,
        tenant: TenantId,
        page: PageId,
        limit: usize,
    ) -> Option<Vec<(PageId, f32)>> {
        let vectors = read(self.vectors.as_ref()?);
        let similar = vectors.similar(tenant, page.0, limit)?;
        let pages = similar.into_iter().map(|n| (n.page, n.similarity));
        Some(pages.collect())
    }

    /// Share of the tenant's chunks with vectors, and whether there are any to search.
    fn coverage(&self, tenant: TenantId) -> Result<(f32, bool), SearchError> {
        let Some(vectors) = &self.vectors else {
            return Ok((0.0, false));
        };
        let passages = read(vectors).passages(tenant);
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

// A panic while a lock was held leaves plain data behind that is still whole,
// so poisoning is ignored.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

fn lock<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
