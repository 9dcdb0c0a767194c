//! Asking the servers for pages by words.
//!
//! A search looks the words up first: in how many of the tenant's pages each
//! is, in all databases together. Then each database gives the pages that have
//! the words which weigh most, and what their scores are computed from. Words
//! that are in very many pages are not followed (see [`PAGES_FOLLOWED_MAX`])
//! but where they stand in titles and headings; they count in the scores of
//! pages that were found by others.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use store::{ChangeSeqs, SearchFilter, SearchTables, SearchTerm, SearchWord, SearchedPage, Store};
use types::{ChunkId, PageId, TenantId};

use super::lexemes::{self, Sign};
use super::writer::{MADE_BY, Writer};
use crate::engine::facets::SEPARATOR;
use crate::engine::{
    Allowed, FacetCounts, Find, KeywordAsk, KeywordEngine, KeywordFound, KeywordReader,
    KeywordSearch, KeywordWriter, Scope, record_term, structured_term,
};
use crate::error::SearchError;
use crate::filters::Filters;
use crate::judging::{
    Candidate, Corpora, Corpus, CorpusPart, Judge, Vocabulary, Wanted, Weighed, WordPages, weigh,
};

/// Pages of each database whose scores are computed.
const CANDIDATES_MIN: usize = 300;
/// The same for each page wanted.
const CANDIDATES_PER_PAGE: usize = 3;
/// Pages that the words which are followed may be in, in all: reading them
/// takes some tens of milliseconds. The rarest is always followed.
const PAGES_FOLLOWED_MAX: u64 = 60_000;
/// Pages that a filter may let through to be listed for the vectors.
const LISTED_MAX: usize = 20_000;
/// What a word in the title or a heading adds to one in the body, for the
/// choice of candidates: the share of [`crate::Ranking`]'s scores in a page of
/// average length.
const IN_TITLE: f32 = 0.67;
const IN_HEADING: f32 = 0.33;
/// Words looked at, of each database, for those that begin with a prefix.
const PREFIX_SCAN_MAX: usize = 4096;
/// Bytes of a chunk in [`store::SearchPage::chunks`].
pub(super) const CHUNK_BYTES: usize = 16;

/// Tables in the store's databases.
#[derive(Clone, Debug)]
pub struct PostgresKeywords {
    store: Store,
}

impl PostgresKeywords {
    /// `store` lies on servers.
    #[must_use]
    pub fn new(store: Store) -> PostgresKeywords {
        PostgresKeywords { store }
    }
}

impl KeywordEngine for PostgresKeywords {
    fn open(&self) -> Result<Box<dyn KeywordReader>, SearchError> {
        let reader = Reader {
            store: self.store.clone(),
            committed: RwLock::default(),
            corpora: Corpora::default(),
        };
        let places = self.store.search_progress(SearchTables::Pages)?;
        let is_made = |progress: &Option<store::SearchProgress>| {
            progress.as_ref().is_some_and(|p| p.made_by == MADE_BY)
        };
        if !places.iter().any(|(_, progress)| is_made(progress)) {
            return Err(SearchError::no_tables());
        }
        reader.refresh()?;
        Ok(Box::new(reader))
    }

    fn open_writer(&self) -> Result<Box<dyn KeywordWriter>, SearchError> {
        Ok(Box::new(Writer::new(self.store.clone())))
    }
}

#[derive(Debug)]
struct Reader {
    store: Store,
    committed: RwLock<ChangeSeqs>,
    corpora: Corpora,
}

impl Reader {
    fn corpus(&self, tenant: TenantId) -> Result<Arc<Corpus>, SearchError> {
        self.corpora.of(tenant, self.committed(), || {
            let parts = self.store.search_corpora(tenant)?.into_iter();
            let parts = parts.map(|part| CorpusPart {
                language: part.language,
                pages: part.pages,
                chunks: part.chunks,
                tokens: part.tokens,
            });
            Ok(parts.collect())
        })
    }
}

impl KeywordReader for Reader {
    fn refresh(&self) -> Result<(), SearchError> {
        let mut seqs = ChangeSeqs::default();
        for (shard, progress) in self.store.search_progress(SearchTables::Pages)? {
            let progress = progress.filter(|progress| progress.made_by == MADE_BY);
            seqs.advance(shard, progress.map_or(0, |progress| progress.page_seq));
        }
        *self
            .committed
            .write()
            .unwrap_or_else(PoisonError::into_inner) = seqs;
        Ok(())
    }

    fn committed(&self) -> ChangeSeqs {
        let committed = self
            .committed
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        committed.clone()
    }

    fn page_count(&self) -> Result<u64, SearchError> {
        Ok(self.store.search_page_count()?)
    }

    fn languages(&self, tenant: TenantId) -> Result<Vec<String>, SearchError> {
        Ok(self.corpus(tenant)?.languages.clone())
    }

    fn begin<'a>(
        &'a self,
        ask: KeywordAsk<'a>,
    ) -> Result<Box<dyn KeywordSearch + 'a>, SearchError> {
        let mut filter = filter_of(ask.tenant, ask.filters);
        let phrases = |phrases: &[crate::engine::Phrase]| {
            let phrases = phrases
                .iter()
                .map(|phrase| lexemes::phrase(ask.tenant, phrase));
            phrases.collect()
        };
        filter.required = phrases(&ask.query.required);
        filter.excluded = phrases(&ask.query.excluded);
        Ok(Box::new(Search {
            reader: self,
            corpus: self.corpus(ask.tenant)?,
            ask,
            filter,
        }))
    }
}

struct Search<'a> {
    reader: &'a Reader,
    ask: KeywordAsk<'a>,
    corpus: Arc<Corpus>,
    filter: SearchFilter,
}

impl KeywordSearch for Search<'_> {
    fn allowed(&self) -> Result<Allowed, SearchError> {
        if self.filter.is_open() {
            return Ok(Allowed::Every);
        }
        let store = &self.reader.store;
        let pages = store.search_allowed(&self.filter, LISTED_MAX + 1)?;
        if pages.len() > LISTED_MAX {
            return Ok(Allowed::Many);
        }
        Ok(Allowed::Only(pages.into_iter().collect()))
    }

    fn among(&self, pages: &[PageId]) -> Result<HashSet<PageId>, SearchError> {
        let among = self.reader.store.search_among(&self.filter, pages)?;
        Ok(among.into_iter().collect())
    }

    fn find(&self, find: &Find<'_>) -> Result<KeywordFound, SearchError> {
        let KeywordAsk {
            tenant,
            query,
            ranking,
            ..
        } = self.ask;
        let store = &self.reader.store;
        let (terms, required) = match find.by_words {
            true => weigh(&Words { store, tenant }, &self.corpus, ranking, query)?,
            false => (Vec::new(), 0),
        };
        let count = find.limit.max(ranking.rescored) * CANDIDATES_PER_PAGE;
        let candidates = store.search_candidates(
            &self.filter,
            &followed(tenant, &terms),
            count.max(CANDIDATES_MIN),
            find.near,
            find.facets,
        )?;
        let wanted = Wanted::of(&terms);
        let judge = Judge {
            ranking,
            corpus: &self.corpus,
            terms: &terms,
            wanted: &wanted,
            required,
        };
        let in_page = |(word, number): (&String, &usize)| {
            (lexemes::lexeme(tenant, Sign::Page, word), *number)
        };
        let wanted: HashMap<String, usize> = wanted.words.iter().map(in_page).collect();
        let pages = candidates.pages.iter();
        let pages = pages.map(|page| candidate(page, &wanted)).collect();
        let mut total = candidates.total;
        if self.filter.is_open() {
            // Of words that were not followed to their ends.
            let most = terms.iter().map(|term| term.frequency).max();
            total = total.max(most.unwrap_or(0).min(self.corpus.pages));
        }
        Ok(KeywordFound {
            pages: judge.rank(pages, find.limit, find.near),
            total: usize::try_from(total).unwrap_or(usize::MAX),
            facets: facets_of(candidates.facets, find),
        })
    }
}

/// The words of a tenant's pages.
struct Words<'a> {
    store: &'a Store,
    tenant: TenantId,
}

impl Words<'_> {
    /// Without what makes lexemes of them; those of all databases together.
    fn sums(&self, found: Vec<SearchWord>) -> HashMap<String, WordPages> {
        let start = lexemes::lexeme(self.tenant, Sign::Page, "").len();
        let mut words: HashMap<String, WordPages> = HashMap::new();
        for found in found {
            let word = found.word.get(start..).unwrap_or_default().to_owned();
            let sums = words.entry(word).or_default();
            for (sum, pages) in sums.iter_mut().zip(found.pages) {
                *sum += pages;
            }
        }
        words
    }
}

impl Vocabulary for Words<'_> {
    fn pages_with(&self, words: &[String]) -> Result<HashMap<String, WordPages>, SearchError> {
        let lexemes = words.iter();
        let lexemes = lexemes.map(|word| lexemes::lexeme(self.tenant, Sign::Page, word));
        let lexemes: Vec<String> = lexemes.collect();
        Ok(self.sums(self.store.search_words(&lexemes)?))
    }

    fn beginning_with(
        &self,
        prefix: &str,
        _: Scope,
    ) -> Result<HashMap<String, WordPages>, SearchError> {
        let prefix = lexemes::lexeme(self.tenant, Sign::Page, prefix);
        let found = self.store.search_words_with(&prefix, PREFIX_SCAN_MAX)?;
        Ok(self.sums(found))
    }
}

fn candidate(page: &SearchedPage, wanted: &HashMap<String, usize>) -> Candidate {
    Candidate {
        page: page.page,
        tokens: page.tokens,
        chunks: chunks_of(&page.chunks),
        places: lexemes::places(&page.words, wanted, page.body_at),
    }
}

/// Each chunk with the positions of its tokens.
fn chunks_of(bytes: &[u8]) -> Vec<(ChunkId, u32, u32)> {
    let chunks = bytes.chunks_exact(CHUNK_BYTES).map(|chunk| {
        let (id, span) = chunk.split_at(8);
        let id = i64::from_be_bytes(id.try_into().expect("bug: 8 of 16 bytes"));
        let half =
            |at: usize| u32::from_be_bytes(span[at..at + 4].try_into().expect("bug: 4 of 8 bytes"));
        (ChunkId(id), half(0), half(4))
    });
    chunks.collect()
}

/// What candidates are chosen by, the rarest words first.
fn followed(tenant: TenantId, terms: &[Weighed]) -> Vec<SearchTerm> {
    let mut all: Vec<(u64, SearchTerm)> = Vec::new();
    for term in terms {
        let mut add = |pages: u64, query: String, share: f32| {
            let weight = f64::from(term.weight * share);
            all.push((pages, SearchTerm { query, weight }));
        };
        // A page can have a word in several fields.
        let pages = term.pages.iter().sum::<u64>().min(term.frequency * 2);
        add(pages, lexemes::any_of(tenant, term.scope, &term.words), 1.0);
        if term.scope == Scope::Anywhere {
            let marks = [
                (term.pages[0], Sign::Title, IN_TITLE),
                (term.pages[1], Sign::Heading, IN_HEADING),
            ];
            for (pages, sign, share) in marks.into_iter().filter(|(pages, ..)| *pages > 0) {
                add(pages, lexemes::marked(tenant, sign, &term.words), share);
            }
        }
    }
    all.sort_by_key(|(pages, _)| *pages);
    let mut read = 0;
    let within = all
        .into_iter()
        .enumerate()
        .take_while(|(place, (pages, _))| {
            read += pages;
            *place == 0 || read <= PAGES_FOLLOWED_MAX
        });
    within.map(|(_, (_, term))| term).collect()
}

fn facets_of(values: Vec<(String, u64)>, find: &Find<'_>) -> Vec<FacetCounts> {
    let mut counts: BTreeMap<&str, HashMap<&str, u64>> = BTreeMap::new();
    for (entry, pages) in &values {
        if let Some((name, value)) = entry.split_once(SEPARATOR) {
            *counts.entry(name).or_default().entry(value).or_default() += pages;
        }
    }
    let facets = find.facets.iter().map(|facet| {
        let values = counts.get(facet);
        let values = values.into_iter().flatten();
        let mut values: Vec<(String, u64)> = values
            .map(|(value, pages)| ((*value).to_owned(), *pages))
            .collect();
        let distinct = values.len() as u64;
        values.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        values.truncate(find.facet_values_max);
        FacetCounts {
            facet,
            values,
            distinct,
        }
    });
    facets.collect()
}

fn filter_of(tenant: TenantId, filters: &Filters) -> SearchFilter {
    let record = filters.record.iter();
    let record = record.map(|(name, value)| record_term(name, value));
    let fields = filters.fields.iter();
    let fields = fields.map(|(name, value)| structured_term(name, value));
    SearchFilter {
        tenant: tenant.0,
        source: filters.source,
        host: filters.host.clone(),
        path_prefix: filters.path_prefix.clone(),
        language: filters.language.clone(),
        published: (
            filters.published_from.map(|at| at.0),
            filters.published_to.map(|at| at.0),
        ),
        price: (filters.price.min, filters.price.max),
        salary_min: filters.salary.min,
        salary_max: filters.salary.max,
        structured: lexemes::terms_of(tenant, &record.chain(fields).collect::<Vec<_>>()),
        required: Vec::new(),
        excluded: Vec::new(),
    }
}
