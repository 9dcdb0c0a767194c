//! The pages that a search's statistics are taken from: the tenant's own.
//!
//! How rare a word is, how long pages are, which languages they are written in
//! and which words begin with a prefix all come from here, so that what other
//! tenants have neither shows in a tenant's scores nor in their order (T1).
//! While the index has pages of one tenant only, tantivy's own figures are the
//! tenant's and cost nothing; they count pages that are deleted but not yet
//! merged away. In a shared index only live pages count, since merges there
//! come and go with what other tenants do.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use tantivy::index::InvertedIndexReader;
use tantivy::postings::TermInfo;
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{BitSet, DocId, DocSet, SegmentReader, TERMINATED, Term as IndexTerm};
use types::TenantId;

use super::schema::{CHUNK_COLUMN, Fields, TOKENS_COLUMN};
use crate::error::SearchError;

/// Languages whose stems a query word is looked up under.
const LANGUAGES_MAX: usize = 8;
/// Bytes of bit sets that are kept between searches.
const KEPT_BYTES_MAX: usize = 8 << 20;
/// Tenants kept between searches.
const KEPT_MAX: usize = 1024;
/// A word with this many times as many pages as the tenant has is asked for
/// each of the tenant's pages instead of being read through.
const SEEK_RATIO: u64 = 8;

/// Statistics of one tenant's pages in one generation of the index.
#[derive(Debug)]
pub(crate) struct Corpus {
    pub(super) pages: u64,
    pub(super) chunks: u64,
    /// In the order of [`Fields::searched`].
    tokens: [u64; 4],
    languages: Vec<String>,
    /// The tenant's live pages by segment; `None` when all pages are theirs.
    own: Option<Vec<Own>>,
}

#[derive(Debug)]
struct Own {
    docs: BitSet,
    count: u64,
}

impl Corpus {
    fn read(
        searcher: &tantivy::Searcher,
        fields: &Fields,
        tenant: TenantId,
    ) -> Result<Corpus, SearchError> {
        let readers = searcher.segment_readers();
        let pages: u64 = readers.iter().map(|r| u64::from(r.max_doc())).sum();
        let term = IndexTerm::from_field_i64(fields.tenant, tenant.0);
        let mut corpus = Corpus {
            pages,
            chunks: 0,
            tokens: [0; 4],
            languages: Vec::new(),
            own: None,
        };
        if searcher.doc_freq(&term)? == pages {
            for reader in readers {
                for (field, tokens) in fields.searched().into_iter().zip(&mut corpus.tokens) {
                    *tokens += reader.inverted_index(field)?.total_num_tokens();
                }
                let chunks = reader.fast_fields().i64(CHUNK_COLUMN)?;
                corpus.chunks += u64::from(chunks.values.num_vals());
            }
        } else {
            corpus.pages = 0;
            let own = readers.iter().map(|reader| corpus.add(reader, &term));
            corpus.own = Some(own.collect::<Result<_, _>>()?);
        }
        corpus.languages = languages(&corpus, searcher, fields)?;
        Ok(corpus)
    }

    /// Takes the pages with `tenant` in one segment into the sums.
    fn add(&mut self, reader: &SegmentReader, tenant: &IndexTerm) -> Result<Own, SearchError> {
        let mut docs = BitSet::with_max_value(reader.max_doc());
        let mut count = 0;
        let inverted = reader.inverted_index(tenant.field())?;
        let columns = reader.fast_fields();
        let (tokens, chunks) = (columns.u64(TOKENS_COLUMN)?, columns.i64(CHUNK_COLUMN)?);
        if let Some(mut postings) = inverted.read_postings(tenant, IndexRecordOption::Basic)? {
            let mut doc = postings.doc();
            while doc != TERMINATED {
                if !reader.is_deleted(doc) {
                    docs.insert(doc);
                    count += 1;
                    self.chunks += chunks.values_for_doc(doc).count() as u64;
                    for (sum, tokens) in self.tokens.iter_mut().zip(tokens.values_for_doc(doc)) {
                        *sum += tokens;
                    }
                }
                doc = postings.advance();
            }
        }
        self.pages += count;
        Ok(Own { docs, count })
    }

    /// Whether other tenants have pages in the index too.
    pub(crate) fn is_shared(&self) -> bool {
        self.own.is_some()
    }

    /// Languages of the pages whose stems differ from the default ones, those
    /// with the most pages first.
    pub(crate) fn languages(&self) -> &[String] {
        &self.languages
    }

    /// Tokens of a page's field on average, at least 1.
    pub(super) fn average_tokens(&self, fields: &Fields, field: Field) -> f32 {
        let at = fields.searched().iter().position(|known| *known == field);
        let tokens = at.map_or(0, |at| self.tokens[at]);
        (tokens as f32 / self.pages.max(1) as f32).max(1.0)
    }

    /// Body tokens of a chunk on average, at least 1.
    pub(super) fn average_chunk_tokens(&self, fields: &Fields) -> f32 {
        let at = fields.searched().iter().position(|f| *f == fields.body);
        let tokens = at.map_or(0, |at| self.tokens[at]);
        (tokens as f32 / self.chunks.max(1) as f32).max(1.0)
    }

    /// Pages of the tenant that have `term`.
    pub(super) fn frequency(
        &self,
        searcher: &tantivy::Searcher,
        term: &IndexTerm,
    ) -> Result<u64, SearchError> {
        if self.own.is_none() {
            return Ok(searcher.doc_freq(term)?);
        }
        let mut frequency = 0;
        for (segment, reader) in searcher.segment_readers().iter().enumerate() {
            let inverted = reader.inverted_index(term.field())?;
            if let Some(info) = inverted.get_term_info(term)? {
                frequency += self.frequency_in(segment, &inverted, &info)?;
            }
        }
        Ok(frequency)
    }

    /// Pages of the tenant that have the word of `info`, in one segment.
    pub(super) fn frequency_in(
        &self,
        segment: usize,
        inverted: &InvertedIndexReader,
        info: &TermInfo,
    ) -> Result<u64, SearchError> {
        let Some(own) = self.own.as_ref().map(|own| &own[segment]) else {
            return Ok(u64::from(info.doc_freq));
        };
        if own.count == 0 {
            return Ok(0);
        }
        let mut postings = inverted.read_postings_from_terminfo(info, IndexRecordOption::Basic)?;
        let mut frequency = 0;
        if u64::from(info.doc_freq) / SEEK_RATIO > own.count {
            for doc in docs(&own.docs) {
                let at = match postings.doc() {
                    at if at < doc => postings.seek(doc),
                    at => at,
                };
                frequency += u64::from(at == doc);
                if at == TERMINATED {
                    break;
                }
            }
        } else {
            let mut doc = postings.doc();
            while doc != TERMINATED {
                frequency += u64::from(own.docs.contains(doc));
                doc = postings.advance();
            }
        }
        Ok(frequency)
    }

    fn bytes(&self) -> usize {
        let own = self.own.iter().flatten();
        own.map(|own| own.docs.max_value() as usize / 8).sum()
    }
}

fn docs(set: &BitSet) -> impl Iterator<Item = DocId> + '_ {
    (0..set.max_value().div_ceil(64)).flat_map(|bucket| {
        let mut rest = set.tinyset(bucket);
        std::iter::from_fn(move || rest.pop_lowest().map(|bit| bucket * 64 + bit))
    })
}

fn languages(
    corpus: &Corpus,
    searcher: &tantivy::Searcher,
    fields: &Fields,
) -> Result<Vec<String>, SearchError> {
    let mut pages: BTreeMap<String, u64> = BTreeMap::new();
    for (segment, reader) in searcher.segment_readers().iter().enumerate() {
        let inverted = reader.inverted_index(fields.language)?;
        let mut stream = inverted.terms().stream()?;
        while stream.advance() {
            if let Ok(language) = std::str::from_utf8(stream.key())
                && crate::text::changes_stems(language)
            {
                let frequency = corpus.frequency_in(segment, &inverted, stream.value())?;
                *pages.entry(language.to_owned()).or_default() += frequency;
            }
        }
    }
    let mut languages: Vec<(String, u64)> = pages.into_iter().filter(|(_, n)| *n > 0).collect();
    languages.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    languages.truncate(LANGUAGES_MAX);
    Ok(languages
        .into_iter()
        .map(|(language, _)| language)
        .collect())
}

/// The statistics of the tenants that asked last, of one generation of the index.
#[derive(Debug, Default)]
pub(crate) struct Corpora {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    generation: u64,
    bytes: usize,
    corpora: HashMap<TenantId, Arc<Corpus>>,
}

impl Corpora {
    pub(crate) fn of(
        &self,
        searcher: &tantivy::Searcher,
        fields: &Fields,
        tenant: TenantId,
    ) -> Result<Arc<Corpus>, SearchError> {
        let generation = searcher.generation().generation_id();
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let kept = lock();
            let known = kept.corpora.get(&tenant);
            if let Some(known) = known.filter(|_| kept.generation == generation) {
                return Ok(Arc::clone(known));
            }
        }
        let corpus = Arc::new(Corpus::read(searcher, fields, tenant)?);
        let mut kept = lock();
        if kept.generation > generation {
            return Ok(corpus);
        }
        let is_full =
            kept.bytes + corpus.bytes() > KEPT_BYTES_MAX || kept.corpora.len() >= KEPT_MAX;
        if kept.generation < generation || is_full {
            *kept = Kept {
                generation,
                ..Kept::default()
            };
        }
        if corpus.bytes() <= KEPT_BYTES_MAX {
            let replaced = kept.corpora.insert(tenant, Arc::clone(&corpus));
            kept.bytes += corpus.bytes() - replaced.map_or(0, |replaced| replaced.bytes());
        }
        Ok(corpus)
    }
}
