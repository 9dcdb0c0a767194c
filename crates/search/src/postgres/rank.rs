//! The scores of candidates: the same rules as `keyword/score.rs` and
//! `keyword/chunks.rs` have for postings, for pages with their words at hand.

use std::collections::{HashMap, HashSet};

use store::SearchedPage;
use tantivy::fieldnorm::FieldNormReader;
use types::{ChunkId, PageId, TenantId};

use super::lexemes::{Places, Sign, lexeme, places};
use super::words::{BODY, Corpus, HEADINGS, Weighed, serves};
use crate::engine::PageMatch;
use crate::keyword::Ranking;

/// Bytes of a chunk in [`store::SearchPage::chunks`].
pub(super) const CHUNK_BYTES: usize = 16;

/// What pages are scored by.
pub(super) struct Judge<'a> {
    pub(super) tenant: TenantId,
    pub(super) ranking: &'a Ranking,
    pub(super) corpus: &'a Corpus,
    pub(super) terms: &'a [Weighed],
    /// Terms that a page should have all of.
    pub(super) required: usize,
}

/// A page with the places of the words.
struct Scored<'a> {
    page: &'a SearchedPage,
    places: HashMap<usize, Places>,
    score: f32,
}

impl Judge<'_> {
    /// The best `limit` of `pages` and those of `near`, best first. Pages
    /// without any of the words are left out.
    pub(super) fn rank(
        &self,
        pages: &[SearchedPage],
        limit: usize,
        near: &[PageId],
    ) -> Vec<PageMatch> {
        let (wanted, of_term) = self.lexemes();
        let near: HashSet<PageId> = near.iter().copied().collect();
        let mut scored: Vec<Scored<'_>> = Vec::new();
        for page in pages {
            let places = places(&page.words, &wanted, page.body_at);
            let score = self.page_score(page, &places, &of_term);
            if score > 0.0 {
                scored.push(Scored {
                    page,
                    places,
                    score,
                });
            }
        }
        scored.sort_by(|a, b| (b.score.total_cmp(&a.score)).then(a.page.page.cmp(&b.page.page)));
        let keep = limit.max(self.ranking.rescored);
        let mut place = 0;
        scored.retain(|scored| {
            place += 1;
            place <= keep || near.contains(&scored.page.page)
        });
        let ranked = scored.iter().map(|scored| {
            let chunks = self.chunk_scores(scored, &of_term);
            let best = chunks.first().map_or(0.0, |(_, score)| *score);
            PageMatch {
                page: scored.page.page,
                score: scored.score + self.ranking.weight_chunk * best,
                chunks,
            }
        });
        let mut ranked: Vec<PageMatch> = ranked.collect();
        ranked.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.page.cmp(&b.page)));
        let mut rank = 0;
        ranked.retain(|page| {
            rank += 1;
            rank <= limit || near.contains(&page.page)
        });
        ranked
    }

    /// Numbers of the lexemes, and those of each term.
    fn lexemes(&self) -> (HashMap<String, usize>, Vec<Vec<usize>>) {
        let mut wanted: HashMap<String, usize> = HashMap::new();
        let mut of_term = Vec::with_capacity(self.terms.len());
        for term in self.terms {
            let numbers = term.words.iter().map(|word| {
                let next = wanted.len();
                let lexeme = lexeme(self.tenant, Sign::Page, word);
                *wanted.entry(lexeme).or_insert(next)
            });
            of_term.push(numbers.collect());
        }
        (wanted, of_term)
    }

    /// What one occurrence counts in a field of so many tokens.
    fn share(&self, field: usize, tokens: u64) -> f32 {
        let ranking = self.ranking;
        let (weight, b) = match field {
            0 => (ranking.weight_title, ranking.b_short),
            1 => (ranking.weight_headings, ranking.b_short),
            BODY => (1.0, ranking.b_body),
            _ => (ranking.weight_url, ranking.b_short),
        };
        // Rounded as in the index files, so that both give the same scores.
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        let tokens = FieldNormReader::id_to_fieldnorm(FieldNormReader::fieldnorm_to_id(tokens));
        weight / (1.0 - b + b * tokens as f32 / self.corpus.average_tokens(field))
    }

    fn saturate(&self, weight: f32, frequency: f32) -> f32 {
        weight * frequency * (self.ranking.k1 + 1.0) / (frequency + self.ranking.k1)
    }

    fn page_score(
        &self,
        page: &SearchedPage,
        places: &HashMap<usize, Places>,
        of_term: &[Vec<usize>],
    ) -> f32 {
        let shares: [f32; 4] = std::array::from_fn(|field| self.share(field, page.tokens[field]));
        let (mut score, mut words) = (0.0, 0u16);
        for (term, lexemes) in self.terms.iter().zip(of_term) {
            let mut frequency = 0.0;
            for places in lexemes.iter().filter_map(|lexeme| places.get(lexeme)) {
                for field in (0..4).filter(|field| serves(term.scope, *field)) {
                    frequency += places.counts[field] as f32 * shares[field];
                }
            }
            if frequency > 0.0 {
                score += self.saturate(term.weight, frequency);
                words += u16::from(!term.optional);
            }
        }
        let share = (f32::from(words) / self.required.max(1) as f32).min(1.0);
        score * (1.0 + self.ranking.all_words * share)
    }

    /// A chunk is scored like a page that has the title and address of its page
    /// and the chunk for a body.
    fn chunk_scores(&self, scored: &Scored<'_>, of_term: &[Vec<usize>]) -> Vec<(ChunkId, f32)> {
        let (page, b) = (scored.page, self.ranking.b_chunk);
        let chunks = chunks_of(&page.chunks);
        let average = self.corpus.average_chunk_tokens();
        let norms: Vec<f32> = chunks
            .iter()
            .map(|(_, start, end)| 1.0 / (1.0 - b + b * (end - start) as f32 / average))
            .collect();
        let shares: [f32; 4] = std::array::from_fn(|field| self.share(field, page.tokens[field]));
        let mut scores = vec![0.0f32; chunks.len()];
        let mut in_body = vec![false; chunks.len()];
        for (term, lexemes) in self.terms.iter().zip(of_term) {
            let mut frequencies = vec![0u32; chunks.len()];
            let mut around = 0.0;
            for places in lexemes
                .iter()
                .filter_map(|lexeme| scored.places.get(lexeme))
            {
                // Headings stand in the chunks themselves.
                let fields = (0..4).filter(|field| *field != HEADINGS);
                for field in fields.filter(|field| serves(term.scope, *field)) {
                    if field != BODY {
                        around += places.counts[field] as f32 * shares[field];
                        continue;
                    }
                    for (frequency, (_, start, end)) in frequencies.iter_mut().zip(&chunks) {
                        let from = places.body.partition_point(|p| p < start);
                        let to = places.body.partition_point(|p| p < end);
                        *frequency += (to - from) as u32;
                    }
                }
            }
            for (n, frequency) in frequencies.iter().enumerate() {
                in_body[n] |= *frequency > 0;
                scores[n] += self.saturate(term.weight, *frequency as f32 * norms[n] + around);
            }
        }
        let any_in_body = in_body.contains(&true);
        let ranked = chunks.iter().zip(scores).zip(in_body);
        let ranked = ranked.filter(|(_, found)| *found || !any_in_body);
        let mut ranked: Vec<(ChunkId, f32)> = ranked
            .map(|(((chunk, _, _), score), _)| (*chunk, score))
            .collect();
        // Stable: equal chunks stay in page order.
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        ranked
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
