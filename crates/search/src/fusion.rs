//! One ranking out of two.
//!
//! A convex combination of scores: keyword scores are divided by the best
//! one, similarities are stretched between the last and the first of the
//! nearest pages. Scores keep how far apart two pages are, which rank fusion
//! throws away (Bruch, Gai and Ingber 2023 find the same on BEIR). A page
//! without vectors is judged by its keyword score alone, so a corpus that is
//! only partly embedded loses nothing.
//!
//! nDCG@10 with multilingual-e5-small (`examples/eval.rs`, 100 candidates each):
//!
//! | set | keyword | vector | hybrid 0.25 | 0.3 | 0.35 | 0.4 |
//! |---|---|---|---|---|---|---|
//! | cranfield (en) | 0.394 | 0.375 | 0.414 | 0.417 | 0.416 | 0.414 |
//! | vaswani (en) | 0.448 | 0.425 | 0.482 | 0.486 | 0.483 | 0.479 |
//! | pquad-val (fa) | 0.977 | 0.919 | 0.985 | 0.984 | 0.983 | 0.981 |

/// What is known about one page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    pub page: i64,
    /// Keyword score; `None` when no word of the query is in the page.
    pub keyword: Option<f32>,
    /// Best similarity; `None` when the page has no vectors.
    pub vector: Option<f32>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fused {
    pub page: i64,
    /// 0 to 1 for all practical purposes.
    pub score: f32,
    pub keyword: Option<f32>,
    pub vector: Option<f32>,
}

/// How much of the fused score comes from the vectors; the rest comes from the words.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FusionWeights {
    pub vector: f32,
}

impl Default for FusionWeights {
    fn default() -> FusionWeights {
        FusionWeights { vector: 0.3 }
    }
}

/// Orders the candidates best first; ties by page. The order of the input does
/// not matter. `floor` is the similarity worth nothing: that of the last of
/// the nearest pages, or the average over all pages where these are few.
#[must_use]
pub fn fuse(candidates: &[Candidate], floor: f32, weights: FusionWeights) -> Vec<Fused> {
    let best = |scores: &dyn Fn(&Candidate) -> Option<f32>| {
        candidates
            .iter()
            .filter_map(scores)
            .fold(f32::NEG_INFINITY, f32::max)
    };
    let best_keyword = best(&|c| c.keyword);
    let best_vector = best(&|c| c.vector);
    let keyword_share = |score: f32| {
        if best_keyword > 0.0 {
            score / best_keyword
        } else {
            0.0
        }
    };
    let spread = best_vector - floor;
    // Where no page is nearer than the floor, nearness says nothing. Pages
    // below it are as far from the query as can be told.
    let vector_share = |score: f32| {
        if spread > f32::EPSILON {
            ((score - floor) / spread).clamp(0.0, 1.0)
        } else {
            0.0
        }
    };
    let mut fused: Vec<Fused> = candidates
        .iter()
        .map(|c| {
            let keyword = keyword_share(c.keyword.unwrap_or(0.0));
            let score = match c.vector {
                Some(vector) => {
                    weights.vector * vector_share(vector) + (1.0 - weights.vector) * keyword
                }
                None => keyword,
            };
            Fused {
                page: c.page,
                score,
                keyword: c.keyword,
                vector: c.vector,
            }
        })
        .collect();
    fused.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.page.cmp(&b.page)));
    fused
}
