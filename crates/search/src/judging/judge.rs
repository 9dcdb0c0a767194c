//! The scores of candidates.

use std::collections::{HashMap, HashSet};

use tantivy::fieldnorm::FieldNormReader;
use types::{ChunkId, PageId};

use super::words::{BODY, Corpus, HEADINGS, Weighed, serves};
use crate::engine::PageMatch;
use crate::keyword::Ranking;

/// Where a word stands in one page.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Places {
    /// How often in title, headings, body and words of the URL.
    pub(crate) counts: [u32; 4],
    /// In the body, ascending, from 0.
    pub(crate) body: Vec<u32>,
}

/// What of a page its score is computed from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) page: PageId,
    /// Of title, headings, body and words of the URL.
    pub(crate) tokens: [u64; 4],
    /// In page order, each with the positions of its tokens in the body.
    pub(crate) chunks: Vec<(ChunkId, u32, u32)>,
    /// By the numbers of [`Wanted::words`].
    pub(crate) places: HashMap<usize, Places>,
}

/// The words that places are wanted of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) words: HashMap<String, usize>,
    /// The numbers of each term's words.
    of_term: Vec<Vec<usize>>,
}

impl Wanted {
    pub(crate) fn of(terms: &[Weighed]) -> Wanted {
        let mut wanted = Wanted::default();
        for term in terms {
            let numbers = term.words.iter().map(|word| {
                let next = wanted.words.len();
                *wanted.words.entry(word.clone()).or_insert(next)
            });
            let numbers = numbers.collect();
            wanted.of_term.push(numbers);
        }
        wanted
    }
}

/// What pages are scored by.
pub(crate) struct Judge<'a> {
    pub(crate) ranking: &'a Ranking,
    pub(crate) corpus: &'a Corpus,
    pub(crate) terms: &'a [Weighed],
    pub(crate) wanted: &'a Wanted,
    /// Terms that a page should have all of.
    pub(crate) required: usize,
}

struct Scored {
    candidate: Candidate,
    score: f32,
}

impl Judge<'_> {
    /// The best `limit` of `pages` and those of `near`, best first. Pages
    /// without any of the words are left out.
    pub(crate) fn rank(
        &self,
        pages: Vec<Candidate>,
        limit: usize,
        near: &[PageId],
    ) -> Vec<PageMatch> {
        let near: HashSet<PageId> = near.iter().copied().collect();
        let mut scored: Vec<Scored> = Vec::new();
        for candidate in pages {
            let score = self.page_score(&candidate);
            if score > 0.0 {
                scored.push(Scored { candidate, score });
            }
        }
        scored.sort_by(|a, b| {
            let by_page = a.candidate.page.cmp(&b.candidate.page);
            b.score.total_cmp(&a.score).then(by_page)
        });
        let keep = limit.max(self.ranking.rescored);
        let mut place = 0;
        scored.retain(|scored| {
            place += 1;
            place <= keep || near.contains(&scored.candidate.page)
        });
        let ranked = scored.iter().map(|scored| {
            let chunks = self.chunk_scores(&scored.candidate);
            let best = chunks.first().map_or(0.0, |(_, score)| *score);
            PageMatch {
                page: scored.candidate.page,
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

    fn page_score(&self, page: &Candidate) -> f32 {
        let shares: [f32; 4] = std::array::from_fn(|field| self.share(field, page.tokens[field]));
        let (mut score, mut words) = (0.0, 0u16);
        for (term, words_of) in self.terms.iter().zip(&self.wanted.of_term) {
            let mut frequency = 0.0;
            for places in words_of.iter().filter_map(|word| page.places.get(word)) {
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
    fn chunk_scores(&self, page: &Candidate) -> Vec<(ChunkId, f32)> {
        let (chunks, b) = (&page.chunks, self.ranking.b_chunk);
        let average = self.corpus.average_chunk_tokens();
        let norms: Vec<f32> = chunks
            .iter()
            .map(|(_, start, end)| 1.0 / (1.0 - b + b * (end - start) as f32 / average))
            .collect();
        let shares: [f32; 4] = std::array::from_fn(|field| self.share(field, page.tokens[field]));
        let mut scores = vec![0.0f32; chunks.len()];
        let mut in_body = vec![false; chunks.len()];
        for (term, words_of) in self.terms.iter().zip(&self.wanted.of_term) {
            let mut frequencies = vec![0u32; chunks.len()];
            let mut around = 0.0;
            for places in words_of.iter().filter_map(|word| page.places.get(word)) {
                // Headings stand in the chunks themselves.
                let fields = (0..4).filter(|field| *field != HEADINGS);
                for field in fields.filter(|field| serves(term.scope, *field)) {
                    if field != BODY {
                        around += places.counts[field] as f32 * shares[field];
                        continue;
                    }
                    for (frequency, (_, start, end)) in frequencies.iter_mut().zip(chunks) {
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
