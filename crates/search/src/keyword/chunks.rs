//! Scores of a page's chunks, from the positions of the words in its body.

use tantivy::columnar::Column;
use tantivy::fieldnorm::FieldNormReader;
use tantivy::postings::{Postings, SegmentPostings};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, DocSet, SegmentReader, Term as IndexTerm};
use types::{ChunkId, PageId};

use super::Ranking;
use super::schema::{CHUNK_COLUMN, CHUNK_SPAN_COLUMN, Fields, PAGE_COLUMN};
use super::score::saturate;
use super::terms::{FieldShare, Weighed};
use crate::error::SearchError;

/// Scores the chunks of pages of one segment. A chunk is scored like a page
/// that has the title and address of its page and the chunk for a body, so
/// that a page of one chunk ranks as it did in the first pass.
pub(super) struct ChunkScorer<'a> {
    ranking: &'a Ranking,
    average_tokens: f32,
    pages: Column<i64>,
    chunks: Column<i64>,
    spans: Column<u64>,
    terms: Vec<ChunkTerm>,
}

/// A term's postings: in the body with positions, in the short fields with
/// the share of each frequency by field length.
struct ChunkTerm {
    weight: f32,
    body: Vec<SegmentPostings>,
    short: Vec<(SegmentPostings, FieldNormReader, Vec<f32>)>,
}

pub(super) struct ScoredChunks {
    pub(super) page: PageId,
    pub(super) ranked: Vec<(ChunkId, f32)>,
}

impl<'a> ChunkScorer<'a> {
    pub(super) fn open(
        reader: &SegmentReader,
        fields: &Fields,
        ranking: &'a Ranking,
        shares: &[FieldShare],
        weighed: &[Weighed<'_>],
        average_tokens: f32,
    ) -> Result<ChunkScorer<'a>, SearchError> {
        let mut terms = Vec::new();
        for term in weighed {
            let mut postings = ChunkTerm {
                weight: term.weight,
                body: Vec::new(),
                short: Vec::new(),
            };
            for share in shares.iter().filter(|share| share.serves(term.term.scope)) {
                let inverted = reader.inverted_index(share.field)?;
                for word in &term.words {
                    let index_term = IndexTerm::from_field_text(share.field, word);
                    if share.field == fields.body {
                        let found = inverted
                            .read_postings(&index_term, IndexRecordOption::WithFreqsAndPositions)?;
                        postings.body.extend(found);
                    } else if share.field != fields.headings
                        && let Some(found) =
                            inverted.read_postings(&index_term, IndexRecordOption::WithFreqs)?
                    {
                        // Headings stand in the chunk's own text already.
                        let norms = reader.get_fieldnorms_reader(share.field)?;
                        postings.short.push((found, norms, share.by_length()));
                    }
                }
            }
            terms.push(postings);
        }
        let columns = reader.fast_fields();
        Ok(ChunkScorer {
            ranking,
            average_tokens,
            pages: columns.i64(PAGE_COLUMN)?,
            chunks: columns.i64(CHUNK_COLUMN)?,
            spans: columns.u64(CHUNK_SPAN_COLUMN)?,
            terms,
        })
    }

    /// Chunks of `doc` that hold a term, best first. All of them, in page
    /// order, when none does: the match was in the title or the address.
    pub(super) fn score(&mut self, doc: DocId) -> Result<ScoredChunks, SearchError> {
        let page = self
            .pages
            .first(doc)
            .ok_or_else(|| SearchError::bug("an indexed page has no id"))?;
        let ids: Vec<i64> = self.chunks.values_for_doc(doc).collect();
        let spans: Vec<(u32, u32)> = self
            .spans
            .values_for_doc(doc)
            .map(|span| ((span >> 32) as u32, span as u32))
            .collect();
        let b = self.ranking.b_chunk;
        let norms: Vec<f32> = spans
            .iter()
            .map(|(start, end)| 1.0 / (1.0 - b + b * (end - start) as f32 / self.average_tokens))
            .collect();
        let mut scores = vec![0.0f32; ids.len()];
        let mut in_body = vec![false; ids.len()];
        let mut frequencies = vec![0u32; ids.len()];
        let mut positions = Vec::new();
        for term in &mut self.terms {
            frequencies.fill(0);
            for postings in &mut term.body {
                if advance_to(postings, doc) {
                    postings.positions(&mut positions);
                    for (frequency, (start, end)) in frequencies.iter_mut().zip(&spans) {
                        let from = positions.partition_point(|p| p < start);
                        let to = positions.partition_point(|p| p < end);
                        *frequency += (to - from) as u32;
                    }
                }
            }
            let mut around = 0.0;
            for (postings, norms, by_length) in &mut term.short {
                if advance_to(postings, doc) {
                    around +=
                        postings.term_freq() as f32 * by_length[norms.fieldnorm_id(doc) as usize];
                }
            }
            for (n, frequency) in frequencies.iter().enumerate() {
                in_body[n] |= *frequency > 0;
                let frequency = *frequency as f32 * norms[n] + around;
                scores[n] += saturate(term.weight, frequency, self.ranking.k1);
            }
        }
        let any_in_body = in_body.contains(&true);
        let mut ranked: Vec<(ChunkId, f32)> = ids
            .into_iter()
            .map(ChunkId)
            .zip(scores)
            .zip(in_body)
            .filter(|(_, found)| *found || !any_in_body)
            .map(|(chunk, _)| chunk)
            .collect();
        // Stable: equal chunks stay in page order.
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        Ok(ScoredChunks {
            page: PageId(page),
            ranked,
        })
    }
}

/// Whether `postings` have `doc`; they stand at it or after it then.
fn advance_to(postings: &mut SegmentPostings, doc: DocId) -> bool {
    postings.doc() == doc || (postings.doc() < doc && postings.seek(doc) == doc)
}
