use proptest::prelude::*;
use search::{Candidate, FusionWeights, fuse};

fn candidate(page: i64, keyword: Option<f32>, vector: Option<f32>) -> Candidate {
    Candidate {
        page,
        keyword,
        vector,
    }
}

fn order(candidates: &[Candidate]) -> Vec<i64> {
    fuse(candidates, 0.7, FusionWeights::default())
        .into_iter()
        .map(|fused| fused.page)
        .collect()
}

#[test]
fn a_page_without_vectors_is_judged_by_its_words_alone() {
    let found = order(&[
        candidate(1, Some(10.0), None),
        candidate(2, Some(5.0), None),
        candidate(3, Some(2.0), Some(0.71)),
        candidate(4, None, Some(0.9)),
    ]);
    assert_eq!(found, [1, 2, 4, 3]);
}

#[test]
fn each_judge_can_lift_a_page() {
    // Near but without a word, and with words but far: both above the one with little of either.
    let found = order(&[
        candidate(1, None, Some(0.9)),
        candidate(2, Some(10.0), Some(0.7)),
        candidate(3, Some(1.0), Some(0.71)),
    ]);
    assert_eq!(found, [2, 1, 3]);
}

fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let score =
        |high: f32| prop::option::of((1..1000u32).prop_map(move |n| n as f32 / 1000.0 * high));
    let one = (score(20.0), score(1.0));
    prop::collection::vec(one, 1..40).prop_map(|scores| {
        scores
            .into_iter()
            .zip(0..)
            .map(|((keyword, vector), page)| candidate(page, keyword, vector))
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_first_of_both_lists_is_the_first(mut all in candidates(), share in 0.0f32..1.0) {
        all.push(candidate(1000, Some(20.5), Some(1.1)));
        let fused = fuse(&all, 0.2, FusionWeights { vector: share });
        // Pages without vectors are not in the second list, so they may share the first place.
        let top = fused.iter().find(|f| f.vector.is_some()).map(|f| f.page);
        prop_assert_eq!(top, Some(1000));
        prop_assert!(fused[0].page == 1000 || fused[0].score <= 1.0);
    }

    #[test]
    fn the_order_of_the_input_does_not_matter(all in candidates()) {
        let mut reversed = all.clone();
        reversed.reverse();
        prop_assert_eq!(order(&all), order(&reversed));
    }

    #[test]
    fn more_of_either_score_never_lowers_a_page(mut all in candidates(), raise in 0usize..40) {
        let at = raise % all.len();
        let place = |all: &[Candidate]| order(all).iter().position(|page| *page == at as i64);
        let before = place(&all);
        // The best keep their scores, so that the scale stays.
        let best = |score: &dyn Fn(&Candidate) -> Option<f32>| all.iter().filter_map(score).fold(0.0, f32::max);
        let (keyword, vector) = (best(&|c| c.keyword), best(&|c| c.vector));
        if let Some(score) = all[at].keyword.as_mut() { *score = keyword.min(*score * 1.5); }
        if let Some(score) = all[at].vector.as_mut() { *score = vector.min(*score * 1.5); }
        prop_assert!(place(&all) <= before);
    }
}
