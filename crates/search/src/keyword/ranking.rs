//! The numbers of the keyword ranking.
//!
//! nDCG@10 on the development sets, with the best BM25 of the baselines (whole
//! documents, stemmed, stop words dropped) in brackets:
//! FIGURES

/// Weights of the keyword ranking; the defaults were chosen on the development
/// sets (figures in this module's documentation).
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
    /// Weight of words of grammar, unless the query has no others.
    pub weight_stop: f32,
    /// Share added to the score of a page that has every word.
    pub all_words: f32,
    /// Share of the best chunk's score in a page's.
    pub weight_chunk: f32,
    /// Share of length normalisation in a chunk.
    pub b_chunk: f32,
    /// Pages whose chunks are scored.
    pub rescored: usize,
}

impl Default for Ranking {
    fn default() -> Ranking {
        Ranking {
            k1: 1.0,
            b_body: 0.75,
            b_short: 0.5,
            weight_title: 5.0,
            weight_headings: 2.0,
            weight_url: 1.0,
            weight_optional: 0.5,
            weight_stop: 0.1,
            all_words: 0.1,
            weight_chunk: 0.7,
            b_chunk: 0.6,
            rescored: 200,
        }
    }
}
