//! BM25 over the fields of a page, then chunk scores for the best pages.
//!
//! First pass, per term: the term's frequencies in all fields are weighted
//! and length-normalised field by field, added up, and saturated once (BM25F,
//! Robertson, Zaragoza and Taylor 2004). tantivy's own BM25 saturates each
//! field alone and fixes k1 and b. Second pass: for the best pages, token
//! positions in the body are counted chunk by chunk.

use std::collections::{BTreeMap, HashMap, HashSet};

use tantivy::postings::{Postings, SegmentPostings};
use tantivy::query::{BooleanQuery, EnableScoring, Occur, PhraseQuery, Query as _, TermQuery};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{BitSet, DocId, DocSet, SegmentReader, TERMINATED, Term as IndexTerm};

use super::schema::{CHUNK_COLUMN, CHUNK_SPAN_COLUMN, Fields, PAGE_COLUMN};
use crate::error::SearchError;
use crate::query::{Phrase, Query, Scope, Term};

/// Words that a prefix stands for, the most frequent first.
const PREFIX_WORDS_MAX: usize = 64;
/// Words looked at to find them, per segment and field.
const PREFIX_SCAN_MAX: usize = 4096;

/// Weights of the keyword ranking; the defaults were chosen on the development
/// sets (figures in the documentation of [`crate::keyword`]).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranking {
    /// Saturation of a term's weighted frequency.
    pub k1: f32,
    /// Share of length normalisation in the body, and in the short fields.
    pub b_body: f32,
    pub b_short: f32,
    pub weight_title: f32,
    pub weight_headings: f32,
    pub weight_url: f32,
    /// Weight of the whole of a compound and of guessed spellings.
    pub weight_optional: f32,
    /// Share added to the score of a page that has every word.
    pub all_words: f32,
    /// Share of the best chunk's score in a page's.
    pub weight_chunk: f32,
    pub k1_chunk: f32,
    pub b_chunk: f32,
    /// Pages whose chunks are scored.
    pub rescored: usize,
}

impl Default for Ranking {
    fn default() -> Ranking {
        Ranking {
            k1: 1.2,
            b_body: 0.75,
            b_short: 0.5,
            weight_title: 2.0,
            weight_headings: 1.0,
            weight_url: 0.5,
            weight_optional: 0.5,
            all_words: 0.1,
            weight_chunk: 0.5,
            k1_chunk: 1.2,
            b_chunk: 0.5,
            rescored: 200,
        }
    }
}

/// A page that matches, with its chunks that do, best first.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PageMatch {
    pub(crate) page: i64,
    pub(crate) score: f32,
    pub(crate) chunks: Vec<(i64, f32)>,
}

/// The answer of the keyword index: the best pages, and how many match at all.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeywordMatches {
    pub(crate) pages: Vec<PageMatch>,
    pub(crate) total: usize,
}

/// Pages that may be found: one bit set per segment, or all live ones.
#[derive(Debug)]
pub(crate) struct Allowed {
    segments: Vec<Option<BitSet>>,
}

impl Allowed {
    fn contains(&self, segment: usize, reader: &SegmentReader, doc: DocId) -> bool {
        !reader.is_deleted(doc)
            && self.segments[segment]
                .as_ref()
                .is_none_or(|set| set.contains(doc))
    }

    /// The ids of the pages; `None` when no filter limits them.
    pub(crate) fn pages(
        &self,
        searcher: &tantivy::Searcher,
    ) -> Result<Option<HashSet<i64>>, SearchError> {
        if self.segments.iter().all(Option::is_none) {
            return Ok(None);
        }
        let mut pages: HashSet<i64> = HashSet::new();
        for (segment, reader) in searcher.segment_readers().iter().enumerate() {
            let column = reader.fast_fields().i64(PAGE_COLUMN)?;
            for doc in reader.doc_ids_alive() {
                if self.contains(segment, reader, doc) {
                    pages.extend(column.first(doc));
                }
            }
        }
        Ok(Some(pages))
    }
}

/// Applies filters, required phrases and excluded words.
pub(crate) fn allowed(
    searcher: &tantivy::Searcher,
    fields: &Fields,
    filters: Vec<Box<dyn tantivy::query::Query>>,
    query: &Query,
) -> Result<Allowed, SearchError> {
    let mut clauses: Vec<(Occur, Box<dyn tantivy::query::Query>)> = filters
        .into_iter()
        .map(|filter| (Occur::Must, filter))
        .collect();
    for phrase in &query.required {
        clauses.push((Occur::Must, phrase_query(phrase, fields)));
    }
    if query.excluded.is_empty() && clauses.is_empty() {
        return Ok(Allowed {
            segments: vec![None; searcher.segment_readers().len()],
        });
    }
    if clauses.is_empty() {
        clauses.push((Occur::Must, Box::new(tantivy::query::AllQuery)));
    }
    for phrase in &query.excluded {
        clauses.push((Occur::MustNot, phrase_query(phrase, fields)));
    }
    let weight =
        BooleanQuery::new(clauses).weight(EnableScoring::disabled_from_searcher(searcher))?;
    let mut segments = Vec::new();
    for reader in searcher.segment_readers() {
        let mut set = BitSet::with_max_value(reader.max_doc());
        weight.for_each_no_score(reader, &mut |docs| {
            for doc in docs {
                set.insert(*doc);
            }
        })?;
        segments.push(Some(set));
    }
    Ok(Allowed { segments })
}

fn phrase_query(phrase: &Phrase, fields: &Fields) -> Box<dyn tantivy::query::Query> {
    let mut any: Vec<(Occur, Box<dyn tantivy::query::Query>)> = Vec::new();
    for (field, _) in scope_fields(phrase.scope, fields) {
        any.push((
            Occur::Should,
            phrase_in_field(phrase, field, field == fields.url_words),
        ));
    }
    Box::new(BooleanQuery::new(any))
}

/// Spelling variants of one phrase are tried one language at a time: the nth
/// spelling of every word, words with fewer spellings keeping their first.
fn phrase_in_field(
    phrase: &Phrase,
    field: Field,
    no_positions: bool,
) -> Box<dyn tantivy::query::Query> {
    let exact = |text: &str| -> Box<dyn tantivy::query::Query> {
        Box::new(TermQuery::new(
            IndexTerm::from_field_text(field, text),
            IndexRecordOption::Basic,
        ))
    };
    let variants = phrase
        .words
        .iter()
        .map(|(_, spellings)| spellings.len())
        .max()
        .unwrap_or(0);
    let mut any: Vec<(Occur, Box<dyn tantivy::query::Query>)> = Vec::new();
    for n in 0..variants {
        let words: Vec<(usize, &str)> = phrase
            .words
            .iter()
            .map(|(at, spellings)| {
                (
                    *at as usize,
                    spellings.get(n).unwrap_or(&spellings[0]).as_str(),
                )
            })
            .collect();
        let query: Box<dyn tantivy::query::Query> = if words.len() == 1 {
            exact(words[0].1)
        } else if no_positions {
            let all = words
                .iter()
                .map(|(_, word)| (Occur::Must, exact(word)))
                .collect();
            Box::new(BooleanQuery::new(all))
        } else {
            let terms = words
                .iter()
                .map(|(at, word)| (*at, IndexTerm::from_field_text(field, word)))
                .collect();
            Box::new(PhraseQuery::new_with_offset(terms))
        };
        any.push((Occur::Should, query));
    }
    Box::new(BooleanQuery::new(any))
}

fn scope_fields(scope: Scope, fields: &Fields) -> Vec<(Field, Scope)> {
    let all = [
        (fields.title, Scope::Title),
        (fields.headings, Scope::Headings),
        (fields.body, Scope::Body),
        (fields.url_words, Scope::Url),
    ];
    all.into_iter()
        .filter(|(_, field_scope)| scope == Scope::Anywhere || scope == *field_scope)
        .collect()
}

/// A field's part in a term's frequency.
struct FieldShare {
    field: Field,
    weight: f32,
    b: f32,
    average_tokens: f32,
}

/// A term with its index words and weight, ready to be scored in any segment.
struct Weighed<'q> {
    term: &'q Term,
    words: Vec<String>,
    /// Inverse document frequency, times the term's count in the query.
    weight: f32,
}

/// Scores the pages of `searcher` for `query`: the best `limit` of them, and
/// those of `probes` that match at all.
pub(crate) fn search(
    searcher: &tantivy::Searcher,
    fields: &Fields,
    ranking: &Ranking,
    query: &Query,
    allowed: &Allowed,
    limit: usize,
    probes: &[i64],
) -> Result<KeywordMatches, SearchError> {
    let shares = field_shares(searcher, fields, ranking)?;
    let mut weighed = Vec::new();
    for term in &query.terms {
        weighed.extend(weigh(searcher, fields, ranking, term)?);
    }
    let required: usize = query.terms.iter().filter(|term| !term.optional).count();
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
    let mut pages = rescore(searcher, fields, ranking, &weighed, &best)?;
    let wanted: HashSet<i64> = probes.iter().copied().collect();
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
    pages: &[i64],
) -> Result<Vec<DocId>, SearchError> {
    let inverted = reader.inverted_index(fields.page)?;
    let mut docs = Vec::new();
    for page in pages {
        let term = IndexTerm::from_field_i64(fields.page, *page);
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

fn field_shares(
    searcher: &tantivy::Searcher,
    fields: &Fields,
    ranking: &Ranking,
) -> Result<Vec<(Scope, FieldShare)>, SearchError> {
    let pages: u64 = searcher
        .segment_readers()
        .iter()
        .map(|r| u64::from(r.max_doc()))
        .sum();
    let mut shares = Vec::new();
    for (field, scope) in scope_fields(Scope::Anywhere, fields) {
        let mut tokens = 0;
        for reader in searcher.segment_readers() {
            tokens += reader.inverted_index(field)?.total_num_tokens();
        }
        let (weight, b) = match scope {
            Scope::Title => (ranking.weight_title, ranking.b_short),
            Scope::Headings => (ranking.weight_headings, ranking.b_short),
            Scope::Url => (ranking.weight_url, ranking.b_short),
            Scope::Body | Scope::Anywhere => (1.0, ranking.b_body),
        };
        let average_tokens = (tokens as f32 / pages.max(1) as f32).max(1.0);
        shares.push((
            scope,
            FieldShare {
                field,
                weight,
                b,
                average_tokens,
            },
        ));
    }
    Ok(shares)
}

/// Looks the term up; `None` when no page has it.
fn weigh<'q>(
    searcher: &tantivy::Searcher,
    fields: &Fields,
    ranking: &Ranking,
    term: &'q Term,
) -> Result<Option<Weighed<'q>>, SearchError> {
    let words = if term.prefix {
        expand_prefix(searcher, fields, term)?
    } else {
        term.spellings.clone()
    };
    let pages: u64 = searcher
        .segment_readers()
        .iter()
        .map(|r| u64::from(r.max_doc()))
        .sum();
    let mut frequency = 0;
    for word in &words {
        // A page can have the word in several fields: the largest count is
        // the closest that costs no pass over the postings.
        let mut largest = 0;
        for (field, _) in scope_fields(term.scope, fields) {
            largest = largest.max(searcher.doc_freq(&IndexTerm::from_field_text(field, word))?);
        }
        frequency += largest;
    }
    if frequency == 0 {
        return Ok(None);
    }
    let frequency = frequency.min(pages) as f32;
    let idf = (1.0 + (pages as f32 - frequency + 0.5) / (frequency + 0.5)).ln();
    let kind = if term.optional {
        ranking.weight_optional
    } else {
        1.0
    };
    Ok(Some(Weighed {
        term,
        words,
        weight: idf * kind * term.count as f32,
    }))
}

fn expand_prefix(
    searcher: &tantivy::Searcher,
    fields: &Fields,
    term: &Term,
) -> Result<Vec<String>, SearchError> {
    let mut found: HashMap<String, u64> = HashMap::new();
    for spelling in &term.spellings {
        for reader in searcher.segment_readers() {
            for (field, _) in scope_fields(term.scope, fields) {
                let inverted = reader.inverted_index(field)?;
                let mut stream = inverted
                    .terms()
                    .range()
                    .ge(spelling.as_bytes())
                    .into_stream()?;
                for _ in 0..PREFIX_SCAN_MAX {
                    if !stream.advance() || !stream.key().starts_with(spelling.as_bytes()) {
                        break;
                    }
                    if let Ok(word) = std::str::from_utf8(stream.key()) {
                        *found.entry(word.to_owned()).or_default() +=
                            u64::from(stream.value().doc_freq);
                    }
                }
            }
        }
    }
    let mut words: Vec<(String, u64)> = found.into_iter().collect();
    words.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    Ok(words
        .into_iter()
        .take(PREFIX_WORDS_MAX)
        .map(|(word, _)| word)
        .collect())
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
        shares: &[(Scope, FieldShare)],
        ranking: &Ranking,
        term: &Weighed<'_>,
    ) -> Result<(), SearchError> {
        let mut with_term = Vec::new();
        for (_, share) in shares
            .iter()
            .filter(|(s, _)| term.term.scope == Scope::Anywhere || term.term.scope == *s)
        {
            let inverted = reader.inverted_index(share.field)?;
            let norms = reader.get_fieldnorms_reader(share.field)?;
            // One division per field length code instead of one per posting.
            let by_length: Vec<f32> = (0..=255u8)
                .map(|code| {
                    let tokens = tantivy::fieldnorm::FieldNormReader::id_to_fieldnorm(code) as f32;
                    share.weight / (1.0 - share.b + share.b * tokens / share.average_tokens)
                })
                .collect();
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
    weighed: &[Weighed<'_>],
    candidates: &[Candidate],
) -> Result<Vec<PageMatch>, SearchError> {
    let mut by_segment: BTreeMap<usize, Vec<Candidate>> = BTreeMap::new();
    for candidate in candidates {
        by_segment
            .entry(candidate.segment)
            .or_default()
            .push(*candidate);
    }
    let mut pages = Vec::new();
    for (segment, mut docs) in by_segment {
        let reader = searcher.segment_reader(segment as u32);
        docs.sort_unstable_by_key(|candidate| candidate.doc);
        let page_column = reader.fast_fields().i64(PAGE_COLUMN)?;
        let mut postings = body_postings(reader, fields, weighed)?;
        for candidate in docs {
            let Some(page) = page_column.first(candidate.doc) else {
                return Err(SearchError::bug("an indexed page has no id"));
            };
            let chunks = chunk_scores(reader, candidate.doc, ranking, &mut postings)?;
            let best_chunk = chunks.first().map_or(0.0, |(_, score)| *score);
            let score = candidate.score + ranking.weight_chunk * best_chunk;
            pages.push(PageMatch {
                page,
                score,
                chunks,
            });
        }
    }
    pages.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.page.cmp(&b.page)));
    Ok(pages)
}

/// For each term, its weight and the postings of its words in the body.
type BodyPostings = Vec<(f32, Vec<SegmentPostings>)>;

fn body_postings(
    reader: &SegmentReader,
    fields: &Fields,
    weighed: &[Weighed<'_>],
) -> Result<BodyPostings, SearchError> {
    let inverted = reader.inverted_index(fields.body)?;
    let mut all = Vec::new();
    for term in weighed
        .iter()
        .filter(|t| matches!(t.term.scope, Scope::Anywhere | Scope::Body))
    {
        let mut postings = Vec::new();
        for word in &term.words {
            let index_term = IndexTerm::from_field_text(fields.body, word);
            postings.extend(
                inverted.read_postings(&index_term, IndexRecordOption::WithFreqsAndPositions)?,
            );
        }
        all.push((term.weight, postings));
    }
    Ok(all)
}

/// Scores of the chunks of `doc` that hold a term, best first; all chunks
/// with score 0 when none does (the match was in the title or URL).
fn chunk_scores(
    reader: &SegmentReader,
    doc: DocId,
    ranking: &Ranking,
    postings: &mut BodyPostings,
) -> Result<Vec<(i64, f32)>, SearchError> {
    let ids: Vec<i64> = reader
        .fast_fields()
        .i64(CHUNK_COLUMN)?
        .values_for_doc(doc)
        .collect();
    let spans: Vec<(u32, u32)> = reader
        .fast_fields()
        .u64(CHUNK_SPAN_COLUMN)?
        .values_for_doc(doc)
        .map(|span| ((span >> 32) as u32, span as u32))
        .collect();
    let mut scores = vec![0.0f32; ids.len()];
    let mut frequencies = vec![0u32; ids.len()];
    let mut positions = Vec::new();
    for (weight, words) in postings.iter_mut() {
        frequencies.fill(0);
        for word in words.iter_mut() {
            if word.doc() > doc || word.seek(doc) != doc {
                continue;
            }
            word.positions(&mut positions);
            for (frequency, (start, end)) in frequencies.iter_mut().zip(&spans) {
                let from = positions.partition_point(|p| p < start);
                let to = positions.partition_point(|p| p < end);
                *frequency += (to - from) as u32;
            }
        }
        for ((score, frequency), (start, end)) in scores.iter_mut().zip(&frequencies).zip(&spans) {
            let tokens = (end - start) as f32;
            let norm = ranking.k1_chunk
                * (1.0 - ranking.b_chunk + ranking.b_chunk * tokens / CHUNK_TOKENS_TYPICAL);
            let frequency = *frequency as f32;
            *score += *weight * frequency * (ranking.k1_chunk + 1.0) / (frequency + norm);
        }
    }
    let mut ranked: Vec<(i64, f32)> = ids.into_iter().zip(scores).collect();
    // Stable: equal chunks stay in page order.
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    if ranked.first().is_some_and(|(_, score)| *score > 0.0) {
        ranked.retain(|(_, score)| *score > 0.0);
    }
    Ok(ranked)
}

/// Words of a chunk at the default budget of 256 model tokens.
const CHUNK_TOKENS_TYPICAL: f32 = 160.0;
