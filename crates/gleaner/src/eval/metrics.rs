//! How good a ranking is, as the usual tools count it.
//!
//! nDCG@10 takes the judged grade as gain over log2(rank + 1), as trec_eval's
//! `ndcg_cut` does; a document counts as relevant for the others when its grade
//! is above 0. A query without relevant documents scores 0 throughout.

use std::collections::{HashMap, HashSet};

/// Judged documents of one query and their grades.
pub type Grades = HashMap<String, i64>;

const NDCG_DEPTH: usize = 10;
const MRR_DEPTH: usize = 10;
const RECALL_DEPTH: usize = 100;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RankScores {
    pub ndcg10: f64,
    pub recall100: f64,
    pub mrr10: f64,
    pub hit1: f64,
}

impl RankScores {
    /// Scores one ranking, best first. A document named twice counts once.
    pub fn of_query(ranking: &[String], grades: &Grades) -> RankScores {
        let mut seen = HashSet::new();
        let ranking: Vec<&str> = ranking
            .iter()
            .map(String::as_str)
            .filter(|doc| seen.insert(*doc))
            .collect();
        let grade = |doc: &str| grades.get(doc).copied().unwrap_or(0);
        let relevant = grades.values().filter(|grade| **grade > 0).count();
        if relevant == 0 {
            return RankScores::default();
        }
        let mut ideal: Vec<i64> = grades
            .values()
            .copied()
            .filter(|grade| *grade > 0)
            .collect();
        ideal.sort_unstable_by(|a, b| b.cmp(a));
        let found = ranking.iter().take(NDCG_DEPTH).map(|doc| grade(doc));
        let in_reach = ranking
            .iter()
            .take(RECALL_DEPTH)
            .filter(|doc| grade(doc) > 0)
            .count();
        let first = ranking
            .iter()
            .take(MRR_DEPTH)
            .position(|doc| grade(doc) > 0);
        RankScores {
            ndcg10: gain(found) / gain(ideal.into_iter().take(NDCG_DEPTH)),
            recall100: in_reach as f64 / relevant as f64,
            mrr10: first.map_or(0.0, |place| 1.0 / (place as f64 + 1.0)),
            hit1: if first == Some(0) { 1.0 } else { 0.0 },
        }
    }

    pub fn mean(scores: &[RankScores]) -> RankScores {
        let mean = |value: fn(&RankScores) -> f64| {
            scores.iter().map(value).sum::<f64>() / scores.len().max(1) as f64
        };
        RankScores {
            ndcg10: mean(|s| s.ndcg10),
            recall100: mean(|s| s.recall100),
            mrr10: mean(|s| s.mrr10),
            hit1: mean(|s| s.hit1),
        }
    }
}

fn gain(grades: impl Iterator<Item = i64>) -> f64 {
    grades
        .enumerate()
        .map(|(place, grade)| grade.max(0) as f64 / (place as f64 + 2.0).log2())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ranking: &[&str], grades: &[(&str, i64)], expected: [f64; 4]) {
        let ranking: Vec<String> = ranking.iter().map(|doc| (*doc).to_owned()).collect();
        let grades = grades
            .iter()
            .map(|(doc, grade)| ((*doc).to_owned(), *grade))
            .collect();
        let got = RankScores::of_query(&ranking, &grades);
        let got = [got.ndcg10, got.recall100, got.mrr10, got.hit1];
        for (got, expected) in got.iter().zip(expected) {
            assert!(
                (got - expected).abs() < 1e-4,
                "{ranking:?}: {got:?}, expected {expected:?}"
            );
        }
    }

    #[test]
    fn hand_computed_rankings() {
        check(&["a", "b"], &[("a", 1)], [1.0, 1.0, 1.0, 1.0]);
        // Second place: 1 / log2(3).
        check(&["b", "a"], &[("a", 1)], [0.6309, 1.0, 0.5, 0.0]);
        // (1/log2(2) + 2/log2(4)) / (2/log2(2) + 1/log2(3)) = 2 / 2.6309
        check(
            &["a", "x", "b"],
            &[("a", 1), ("b", 2)],
            [0.7602, 1.0, 1.0, 1.0],
        );
        check(&["x"], &[("a", 1), ("b", 1)], [0.0, 0.0, 0.0, 0.0]);
        check(
            &["x", "y", "a"],
            &[("a", 1), ("b", 1)],
            [0.3066, 0.5, 0.3333, 0.0],
        );
    }

    #[test]
    fn odd_cases() {
        check(&[], &[("a", 1)], [0.0; 4]);
        check(&["a"], &[], [0.0; 4]);
        // Judged irrelevant, also below zero.
        check(&["a", "b"], &[("a", 0), ("b", -1), ("c", 1)], [0.0; 4]);
        // A repeated document neither counts twice nor pushes others down.
        check(&["b", "b", "a"], &[("a", 1)], [0.6309, 1.0, 0.5, 0.0]);
    }

    #[test]
    fn depths_are_cut() {
        let mut ranking: Vec<String> = (0..10).map(|n| format!("x{n}")).collect();
        ranking.push("a".to_owned());
        let grades = Grades::from([("a".to_owned(), 1)]);
        let scores = RankScores::of_query(&ranking, &grades);
        assert_eq!(
            scores,
            RankScores {
                recall100: 1.0,
                ..RankScores::default()
            }
        );
        let mut far: Vec<String> = (0..100).map(|n| format!("x{n}")).collect();
        far.push("a".to_owned());
        assert_eq!(RankScores::of_query(&far, &grades), RankScores::default());
    }

    #[test]
    fn the_mean_is_over_all_queries() {
        let one = RankScores {
            ndcg10: 1.0,
            recall100: 1.0,
            mrr10: 1.0,
            hit1: 1.0,
        };
        let mean = RankScores::mean(&[one, RankScores::default()]);
        assert_eq!(
            mean,
            RankScores {
                ndcg10: 0.5,
                recall100: 0.5,
                mrr10: 0.5,
                hit1: 0.5
            }
        );
        assert_eq!(RankScores::mean(&[]), RankScores::default());
    }
}
