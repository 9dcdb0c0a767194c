//! The index on this machine as a keyword engine.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use store::ChangeSeqs;
use types::{PageId, TenantId};

use super::allowed::{Allowed as AllowedDocs, allowed};
use super::corpus::Corpus;
use super::facets::Matched;
use super::index::{KeywordIndex, Mode, WRITER_HEAP_BYTES};
use super::score::{self, Asked, KeywordMatches};
use crate::engine::{
    Allowed, Find, KeywordAsk, KeywordEngine, KeywordFound, KeywordReader, KeywordSearch,
    KeywordWriter,
};
use crate::error::{SearchError, SearchErrorKind};

/// Index files in a directory.
#[derive(Clone, Debug)]
pub struct LocalKeywords {
    dir: PathBuf,
    heap_bytes: usize,
}

impl LocalKeywords {
    #[must_use]
    pub fn new(dir: PathBuf) -> LocalKeywords {
        LocalKeywords {
            dir,
            heap_bytes: WRITER_HEAP_BYTES,
        }
    }

    /// What the writer holds before it writes a segment; at least 16 MB.
    #[must_use]
    pub fn with_heap(self, heap_bytes: usize) -> LocalKeywords {
        LocalKeywords { heap_bytes, ..self }
    }
}

impl KeywordEngine for LocalKeywords {
    fn open(&self) -> Result<Box<dyn KeywordReader>, SearchError> {
        let index = KeywordIndex::open(&self.dir, Mode::Read)?;
        Ok(Box::new(Reader {
            dir: self.dir.clone(),
            index: RwLock::new(index),
        }))
    }

    fn open_writer(&self) -> Result<Box<dyn KeywordWriter>, SearchError> {
        let index = KeywordIndex::open_with(&self.dir, Mode::Write, self.heap_bytes)?;
        Ok(Box::new(index))
    }
}

#[derive(Debug)]
struct Reader {
    dir: PathBuf,
    index: RwLock<KeywordIndex>,
}

impl Reader {
    // A panic while the lock was held leaves an index behind that is still
    // whole, so poisoning is ignored.
    fn read(&self) -> RwLockReadGuard<'_, KeywordIndex> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeywordReader for Reader {
    fn refresh(&self) -> Result<(), SearchError> {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        match index.reload() {
            // The writer rebuilt the directory: what was open is gone.
            Err(error) if error.kind() == SearchErrorKind::Index => {
                *index = KeywordIndex::open(&self.dir, Mode::Read)?;
                Ok(())
            }
            reloaded => reloaded,
        }
    }

    fn committed(&self) -> ChangeSeqs {
        self.read().committed()
    }

    fn page_count(&self) -> Result<u64, SearchError> {
        Ok(self.read().num_docs())
    }

    fn languages(&self, tenant: TenantId) -> Result<Vec<String>, SearchError> {
        let index = self.read();
        let corpus = index.corpus(&index.searcher(), tenant)?;
        Ok(corpus.languages().to_vec())
    }

    fn begin<'a>(
        &'a self,
        ask: KeywordAsk<'a>,
    ) -> Result<Box<dyn KeywordSearch + 'a>, SearchError> {
        let index = self.read();
        let searcher = index.searcher();
        // Read again: the index may have changed since the query was parsed.
        let corpus = index.corpus(&searcher, ask.tenant)?;
        let filters = ask.filters.queries(ask.tenant, &corpus, index.fields());
        let allowed = allowed(&searcher, index.fields(), filters, ask.query)?;
        Ok(Box::new(Search {
            ask,
            index,
            searcher,
            corpus,
            allowed,
        }))
    }
}

/// One search in one state of the index.
struct Search<'a> {
    ask: KeywordAsk<'a>,
    index: RwLockReadGuard<'a, KeywordIndex>,
    searcher: tantivy::Searcher,
    corpus: Arc<Corpus>,
    allowed: AllowedDocs,
}

impl KeywordSearch for Search<'_> {
    fn allowed(&self) -> Result<Allowed, SearchError> {
        let pages = self.allowed.pages(&self.searcher)?;
        Ok(pages.map_or(Allowed::Every, Allowed::Only))
    }

    fn among(&self, pages: &[PageId]) -> Result<HashSet<PageId>, SearchError> {
        let mut among: HashSet<PageId> = pages.iter().copied().collect();
        if let Some(allowed) = self.allowed.pages(&self.searcher)? {
            among.retain(|page| allowed.contains(page));
        }
        Ok(among)
    }

    fn find(&self, find: &Find<'_>) -> Result<KeywordFound, SearchError> {
        let fields = self.index.fields();
        let mut matched = (!find.facets.is_empty()).then(|| Matched::none(&self.searcher));
        let mut matches = KeywordMatches::default();
        if find.by_words {
            let asked = Asked {
                searcher: &self.searcher,
                fields,
                ranking: self.ask.ranking,
                query: self.ask.query,
                corpus: &self.corpus,
                allowed: &self.allowed,
            };
            matches = score::search(&asked, find.limit, find.near, matched.as_mut())?;
        }
        let facets = match &mut matched {
            Some(matched) => {
                score::add_pages(matched, &self.searcher, fields, find.near)?;
                matched.count(&self.searcher, find.facets, find.facet_values_max)?
            }
            None => Vec::new(),
        };
        Ok(KeywordFound {
            pages: matches.pages,
            total: matches.total,
            facets,
        })
    }
}
