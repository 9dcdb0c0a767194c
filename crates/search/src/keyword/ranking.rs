//! The numbers of the keyword ranking.
//!
//! nDCG@10 of keyword search over whole pages in paragraph chunks of about 150
//! words (`examples/eval.rs`), beside the best plain BM25 known for each set
//! (whole documents, stemmed, stop words dropped, k1 and b chosen per set):
//!
//! | set | language | here | plain BM25 |
//! |---|---|---|---|
//! | cranfield | en | 0.394 | 0.375 |
//! | vaswani | en | 0.448 | 0.441 |
//! | hamshahri | fa | 0.889 | 0.886 |
//! | pquad-val | fa | 0.977 | 0.975 |
//! | PostgreSQL manual, index entries | en | 0.731 | 0.689 |
//!
//! One set of numbers serves all; Persian queries in the other spelling score
//! the same to the last digit. Found on the way: chunk scores are what lifts
//! the manual (0.659 without them), but only when a chunk is scored like a page
//! with the page's title, else short texts lose (cranfield 0.354). k1 1.0
//! suits short and long texts together; 0.9 with b 0.4 costs hamshahri 0.01.
//! A bonus for having every word above 0.1 costs hamshahri and vaswani.

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
            rescored: 100,
        }
    }
}
