//! BM25 over the fields of a page, then chunk scores for the best pages.
//!
//! First pass, per term: the term's frequencies in all fields are weighted
//! and length-normalised field by field, added up, and saturated once (BM25F,
//! Robertson, Zaragoza and Taylor 2004). tantivy's own BM25 saturates each
//! field alone and fixes k1 and b. Second pass: for the best pages, token
//! positions in the body are counted chunk by chunk.

use std::collections::{BTreeMap, HashMap, HashSet};

use tantivy::postings::Postings;
use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, DocSet, SegmentReader, TERMINATED, Term as IndexTerm};
use types::PageId;

use super::Ranking;
use super::allowed::Allowed;
use super::chunks::ChunkScorer;
use super::corpus::Corpus;
use super::facets::Matched;
use super::schema::Fields;
use super::terms::{FieldShare, Weighed, Weigher, field_shares};
use crate::engine::PageMatch;
use crate::error::SearchError;
use crate::query::{Query, Term};

/// The answer of the keyword index: the best pages, and how many match at all.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeywordMatches {
    pub(crate) pages: Vec<PageMatch>,
    pub(crate) total: usize,
}

/// What is searched for, where, and by whose statistics.
pub(crate) struct Asked<'a> {
    pub(crate) searcher: &'a tantivy::Searcher,
    pub(crate) fields: &'a Fields,
    pub(crate) ranking: &'a Ranking,
    pub(crate) query: &'a Query,
    pub(crate) corpus: &'a Corpus,
    pub(crate) allowed: &'a Allowed,
}

/// Scores the pages of `searcher` for `query` by the statistics of `corpus`:
/// the best `limit` of them, and those of `probes` that match at all. Every
/// page that matches is put down in `matched`.
pub(crate) fn search(
    asked: &Asked<'_>,
    limit: usize,
    probes: &[PageId],
    mut matched: Option<&mut Matched>,
) -> Result<KeywordMatches, SearchError> {
    let Asked {
        searcher,
        fields,
        ranking,
        query,
        corpus,
        allowed,
    } = *asked;
    let shares = field_shares(corpus, fields, ranking);
    let mut weigher = Weigher::new(searcher, fields, ranking, corpus);
    let mut weighed = Vec::new();
    let only_stop_words = query.terms.iter().all(|term| term.stop);
    let scored = |term: &&Term| only_stop_words || !term.stop || ranking.weight_stop > 0.0;
    for term in query.terms.iter().filter(scored) {
        let mut term = weigher.weigh(term)?;
        if let Some(term) = term
            .as_mut()
            .filter(|term| term.term.stop && !only_stop_words)
        {
            term.weight *= ranking.weight_stop;
        }
        // A weight of 0 would leave no mark on a page it is found in.
        weighed.extend(term.filter(|term| term.weight > 0.0));
    }
    let required = query
        .terms
        .iter()
        .filter(scored)
        .filter(|term| !term.optional)
        .count();
    let keep = limit.max(ranking.rescored);
    let all_words_bonus = |score: f32, words: u8| {
        let share = (f32::from(words) / required.max(1) as f32).min(1.0);
        score * (1.0 + ranking.all_words * share)
    };
    let mut best: Vec<Candidate> = Vec::new();
    let mut probed: Vec<Candidate> = Vec::new();
    let mut total = 0;
    for (segment, reader) in searcher.segment_readers().iter().enumerate() {
        let mut scores = SegmentScores::new(reader.max_doc());
        for term in &weighed {
            scores.add(reader, &shares, ranking, term)?;
        }
        for doc in std::mem::take(&mut scores.touched) {
            if !allowed.contains(segment, reader, doc) {
                continue;
            }
            total += 1;
            if let Some(matched) = &mut matched {
                matched.insert(segment, doc);
            }
            let (score, words) = scores.of(doc);
            let score = all_words_bonus(score, words);
            best.push(Candidate {
                score,
                segment,
                doc,
            });
        }
        for doc in docs_of_pages(reader, fields, probes)? {
            let (score, words) = scores.of(doc);
            if score > 0.0 && allowed.contains(segment, reader, doc) {
                let score = all_words_bonus(score, words);
                probed.push(Candidate {
                    score,
                    segment,
                    doc,
                });
            }
        }
        // Bounds memory at twice what is kept plus one segment's matches.
        keep_best(&mut best, keep);
    }
    let kept: HashSet<(usize, DocId)> = best.iter().map(|c| (c.segment, c.doc)).collect();
    best.extend(
        probed
            .into_iter()
            .filter(|c| !kept.contains(&(c.segment, c.doc))),
    );
    let average_tokens = corpus.average_chunk_tokens(fields);
    let mut pages = rescore(
        searcher,
        fields,
        ranking,
        &shares,
        &weighed,
        average_tokens,
        &best,
    )?;
    let wanted: HashSet<PageId> = probes.iter().copied().collect();
    let mut rank = 0;
    pages.retain(|page| {
        rank += 1;
        rank <= limit || wanted.contains(&page.page)
    });
    Ok(KeywordMatches { pages, total })
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    score: f32,
    segment: usize,
    doc: DocId,
}

/// Live documents of the given pages in one segment.
fn docs_of_pages(
    reader: &SegmentReader,
    fields: &Fields,
    pages: &[PageId],
) -> Result<Vec<DocId>, SearchError> {
    let inverted = reader.inverted_index(fields.page)?;
    let mut docs = Vec::new();
    for page in pages {
        let term = IndexTerm::from_field_i64(fields.page, page.0);
        if let Some(mut postings) = inverted.read_postings(&term, IndexRecordOption::Basic)? {
            while postings.doc() != TERMINATED {
                if !reader.is_deleted(postings.doc()) {
                    docs.push(postings.doc());
                }
                postings.advance();
            }
        }
    }
    Ok(docs)
}

/// Puts down pages that were found by other means.
pub(crate) fn add_pages(
    matched: &mut Matched,
    searcher: &tantivy::Searcher,
    fields: &Fields,
    pages: &[PageId],
) -> Result<(), SearchError> {
    for (segment, reader) in searcher.segment_readers().iter().enumerate() {
        for doc in docs_of_pages(reader, fields, pages)? {
            matched.insert(segment, doc);
        }
    }
    Ok(())
}

fn keep_best(candidates: &mut Vec<Candidate>, keep: usize) {
    let order = |a: &Candidate, b: &Candidate| {
        b.score
            .total_cmp(&a.score)
            .then_with(|| (a.segment, a.doc).cmp(&(b.segment, b.doc)))
    };
    if candidates.len() > keep && keep > 0 {
        candidates.select_nth_unstable_by(keep - 1, order);
        candidates.truncate(keep);
    }
}

/// Dense score columns of one segment.
struct SegmentScores {
    score: Vec<f32>,
    words: Vec<u8>,
    /// Weighted frequency of the term being added.
    frequency: Vec<f32>,
    touched: Vec<DocId>,
}

impl SegmentScores {
    fn new(docs: u32) -> SegmentScores {
        let docs = docs as usize;
        SegmentScores {
            score: vec![0.0; docs],
            words: vec![0; docs],
            frequency: vec![0.0; docs],
            touched: Vec::new(),
        }
    }

    fn of(&self, doc: DocId) -> (f32, u8) {
        (self.score[doc as usize], self.words[doc as usize])
    }

    fn add(
        &mut self,
        reader: &SegmentReader,
        shares: &[FieldShare],
        ranking: &Ranking,
        term: &Weighed<'_>,
    ) -> Result<(), SearchError> {
        let mut with_term = Vec::new();
        for share in shares.iter().filter(|share| share.serves(term.term.scope)) {
            let inverted = reader.inverted_index(share.field)?;
            let norms = reader.get_fieldnorms_reader(share.field)?;
            let by_length = share.by_length();
            for word in &term.words {
                let index_term = IndexTerm::from_field_text(share.field, word);
                let Some(mut postings) =
                    inverted.read_postings(&index_term, IndexRecordOption::WithFreqs)?
                else {
                    continue;
                };
                let mut doc = postings.doc();
                while doc != TERMINATED {
                    let frequency = &mut self.frequency[doc as usize];
                    if *frequency == 0.0 {
                        with_term.push(doc);
                    }
                    *frequency +=
                        postings.term_freq() as f32 * by_length[norms.fieldnorm_id(doc) as usize];
                    doc = postings.advance();
                }
            }
        }
        for doc in with_term {
            let at = doc as usize;
            let frequency = std::mem::take(&mut self.frequency[at]);
            if self.score[at] == 0.0 {
                self.touched.push(doc);
            }
            self.score[at] +=
                term.weight * frequency * (ranking.k1 + 1.0) / (frequency + ranking.k1);
            if !term.term.optional {
                self.words[at] = self.words[at].saturating_add(1);
            }
        }
        Ok(())
    }
}

/// Adds chunk scores to the candidates and orders them for good.
fn rescore(
    searcher: &tantivy::Searcher,
    fields: &Fields,
    ranking: &Ranking,
    shares: &[FieldShare],
    weighed: &[Weighed<'_>],
    average_tokens: f32,
    candidates: &[Candidate],
) -> Result<Vec<PageMatch>, SearchError> {
    let mut by_segment: BTreeMap<usize, Vec<DocId>> = BTreeMap::new();
    let mut page_scores = HashMap::new();
    for candidate in candidates {
        by_segment
            .entry(candidate.segment)
            .or_default()
            .push(candidate.doc);
        page_scores.insert((candidate.segment, candidate.doc), candidate.score);
    }
    let mut pages = Vec::new();
    for (segment, mut docs) in by_segment {
        // Postings only go forward.
        docs.sort_unstable();
        let reader = searcher.segment_reader(segment as u32);
        let mut chunks =
            ChunkScorer::open(reader, fields, ranking, shares, weighed, average_tokens)?;
        for doc in docs {
            let chunks = chunks.score(doc)?;
            let best_chunk = chunks.ranked.first().map_or(0.0, |(_, score)| *score);
            let score = page_scores[&(segment, doc)] + ranking.weight_chunk * best_chunk;
            pages.push(PageMatch {
                page: chunks.page,
                score,
                chunks: chunks.ranked,
            });
        }
    }
    pages.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.page.cmp(&b.page)));
    Ok(pages)
}

/// BM25's diminishing worth of repeats.
pub(super) fn saturate(weight: f32, frequency: f32, k1: f32) -> f32 {
    weight * frequency * (k1 + 1.0) / (frequency + k1)
}
