//! What the two retrievals found, before the store is asked for texts.

use std::collections::{BTreeMap, HashMap};

use types::ChunkId;

use crate::engine::FacetCounts;
use crate::fusion::{self, Candidate, Fused, FusionWeights};
use crate::request::{Mode, Scores};
use crate::vector::Neighbour;

pub(crate) struct Found {
    pub(crate) mode: Mode,
    pub(crate) ranked: Vec<Fused>,
    pub(crate) total: usize,
    pub(crate) facets: Vec<FacetCounts>,
    pub(crate) chunks: HashMap<i64, Vec<(ChunkId, f32)>>,
    pub(crate) neighbours: BTreeMap<i64, Vec<Neighbour>>,
    pub(crate) floor: f32,
    pub(crate) average: Option<f32>,
    pub(crate) weights: FusionWeights,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct ScoredChunk {
    pub(crate) chunk: ChunkId,
    pub(crate) scores: Scores,
}

impl Found {
    /// Chunks of one page, the best of both judges first.
    pub(crate) fn chunks_of(&self, page: i64) -> Vec<ScoredChunk> {
        let mut scores: BTreeMap<i64, Scores> = BTreeMap::new();
        let by_words = self.chunks.get(&page).map_or(&[][..], Vec::as_slice);
        for (chunk, score) in by_words {
            scores.entry(chunk.0).or_default().keyword = Some(*score);
        }
        let by_vector = self.neighbours.get(&page).map_or(&[][..], Vec::as_slice);
        for neighbour in by_vector {
            scores.entry(neighbour.chunk.0).or_default().vector = Some(neighbour.similarity);
        }
        let candidates: Vec<Candidate> = scores
            .iter()
            .map(|(chunk, scores)| Candidate {
                page: *chunk,
                keyword: scores.keyword,
                vector: scores.vector,
            })
            .collect();
        // The same fusion, among the chunks of the page.
        let floor = candidates
            .iter()
            .filter_map(|c| c.vector)
            .fold(self.floor, f32::min);
        fusion::fuse(&candidates, floor, self.weights)
            .into_iter()
            .map(|fused| ScoredChunk {
                chunk: ChunkId(fused.page),
                scores: Scores {
                    keyword: fused.keyword,
                    vector: fused.vector,
                },
            })
            .collect()
    }

    pub(crate) fn explain(&self, fused: &Fused, ranks: &Ranks) -> String {
        let keyword = match (fused.keyword, ranks.keyword.get(&fused.page)) {
            (Some(score), Some(rank)) => format!("keyword rank {rank} (score {score:.2})"),
            _ => "no keyword match".to_owned(),
        };
        let vector = match (fused.vector, ranks.vector.get(&fused.page)) {
            (Some(similarity), Some(rank)) => {
                format!("vector rank {rank} (similarity {similarity:.3})")
            }
            _ => "no vectors yet".to_owned(),
        };
        match self.mode {
            Mode::Keyword => keyword,
            Mode::Vector => vector,
            Mode::Hybrid => format!(
                "{keyword}, weight {:.2}; {vector}, weight {:.2}",
                if fused.vector.is_some() {
                    1.0 - self.weights.vector
                } else {
                    1.0
                },
                if fused.vector.is_some() {
                    self.weights.vector
                } else {
                    0.0
                },
            ),
        }
    }
}

/// 1-based ranks in each of the two lists.
pub(crate) struct Ranks {
    keyword: HashMap<i64, usize>,
    vector: HashMap<i64, usize>,
}

impl Ranks {
    pub(crate) fn of(ranked: &[Fused]) -> Ranks {
        let by = |score: &dyn Fn(&Fused) -> Option<f32>| {
            let mut list: Vec<(f32, i64)> = ranked
                .iter()
                .filter_map(|f| Some((score(f)?, f.page)))
                .collect();
            list.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            list.into_iter()
                .enumerate()
                .map(|(n, (_, page))| (page, n + 1))
                .collect()
        };
        Ranks {
            keyword: by(&|f| f.keyword),
            vector: by(&|f| f.vector),
        }
    }
}
