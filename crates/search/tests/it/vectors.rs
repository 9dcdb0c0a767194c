use std::collections::HashSet;

use search::{FusionWeights, Mode, Ranking, SearchErrorKind, SearchRequest, VectorIndex};
use types::TenantId;

use crate::support::{MODEL, TestPage, World, page, paths};

const DIMS: usize = 96;

/// Pseudo-random numbers in -1..1, the same on every machine.
fn noise(seed: u64) -> impl Iterator<Item = f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    })
}

/// Vectors as a language model makes them: a large common part, a topic, and noise.
fn vector(topic: u64, member: u64) -> Vec<f32> {
    let parts = noise(7)
        .zip(noise(100 + topic))
        .zip(noise(100_000 + member));
    let mut vector: Vec<f32> = parts
        .map(|((c, t), m)| 2.0 * c + t + 0.7 * m)
        .take(DIMS)
        .collect();
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    vector.iter_mut().for_each(|x| *x /= length);
    vector
}

fn pages(count: usize) -> Vec<TestPage> {
    (0..count)
        .map(|n| {
            page(
                &format!("/{n}"),
                &format!("Page {n}"),
                &format!("member {n} of a topic"),
            )
        })
        .collect()
}

fn member(text: &str) -> u64 {
    text.split(' ').nth(1).and_then(|n| n.parse().ok()).unwrap()
}

fn embedded(count: usize) -> World {
    let world = World::with(&pages(count));
    world.embed(DIMS, |text| Some(vector(member(text) % 20, member(text))));
    world
}

#[test]
fn the_scan_finds_what_exact_products_find() {
    let world = embedded(1500);
    let index = VectorIndex::load(&world.store, MODEL).unwrap();
    assert_eq!(index.len(TenantId::DEFAULT), 1500);
    let (mut kept, mut all) = (0, 0);
    for query in 0..40 {
        let query = vector(query % 20, 1_000_000 + query);
        let ids = |found: Vec<search::Neighbour>| {
            found.into_iter().map(|n| n.chunk).collect::<HashSet<_>>()
        };
        let exact = ids(index
            .search_exact(TenantId::DEFAULT, &query, 10, None)
            .unwrap());
        let scanned = ids(index.search(TenantId::DEFAULT, &query, 10, None).unwrap());
        all += exact.len();
        kept += exact.intersection(&scanned).count();
    }
    assert!(kept * 100 >= all * 98, "{kept} of {all}");
}

#[test]
fn a_filter_limits_the_scan_and_loses_nothing() {
    let world = embedded(600);
    let index = VectorIndex::load(&world.store, MODEL).unwrap();
    let query = vector(3, 999);
    let nearest = index
        .search_exact(TenantId::DEFAULT, &query, 5, None)
        .unwrap();
    let last = nearest[4].page.0;
    let only = HashSet::from([nearest[4].page]);
    let found = index
        .search(TenantId::DEFAULT, &query, 5, Some(&only))
        .unwrap();
    assert_eq!(found.iter().map(|n| n.page.0).collect::<Vec<_>>(), [last]);
    assert!((found[0].similarity - nearest[4].similarity).abs() < 1e-6);
}

#[test]
fn similarities_are_cosines_within_the_error_of_int8() {
    let world = embedded(30);
    let index = VectorIndex::load(&world.store, MODEL).unwrap();
    let query = vector(4, 4);
    let found = index.search(TenantId::DEFAULT, &query, 1, None).unwrap();
    assert!((found[0].similarity - 1.0).abs() < 0.01, "{found:?}");
}

#[test]
fn deleted_pages_leave_the_index_and_new_ones_come() {
    let world = embedded(300);
    let mut index = VectorIndex::load(&world.store, MODEL).unwrap();
    let gone: Vec<String> = (0..300)
        .step_by(3)
        .map(|n| format!("https://site.example/{n}"))
        .collect();
    world.delete(&gone.iter().map(String::as_str).collect::<Vec<_>>());
    world.save(&[page("/new", "New", "member 5000 of a topic")]);
    world.embed(DIMS, |text| Some(vector(member(text) % 20, member(text))));
    index.refresh(&world.store).unwrap();
    assert_eq!(index.chunk_ids(), world.store.live_chunk_ids().unwrap());
    let near = index
        .search(TenantId::DEFAULT, &vector(0, 5000), 1, None)
        .unwrap();
    assert!(near[0].similarity > 0.99);
    for n in [1u64, 2, 298] {
        let near = index
            .search(TenantId::DEFAULT, &vector(n % 20, n), 1, None)
            .unwrap();
        assert!(near[0].similarity > 0.99, "page {n}");
    }
}

#[test]
fn another_model_means_no_vectors() {
    let world = embedded(10);
    let mut index = VectorIndex::load(&world.store, MODEL).unwrap();
    world.store.set_embedding_model("another", 12).unwrap();
    index.refresh(&world.store).unwrap();
    assert!(index.is_empty());
    assert!(VectorIndex::load(&world.store, MODEL).unwrap().is_empty());
}

#[test]
fn wrong_query_vectors_are_refused() {
    let world = embedded(10);
    let searcher = world.searcher();
    let request = SearchRequest {
        query: "topic".into(),
        ..SearchRequest::default()
    };
    for wrong in [vec![1.0; DIMS - 1], vec![f32::NAN; DIMS]] {
        let error = searcher.search(&request, Some(&wrong)).unwrap_err();
        assert_eq!(error.kind(), SearchErrorKind::Request);
    }
}

#[test]
fn hybrid_ranks_by_both_and_vector_mode_by_vectors_alone() {
    let world = embedded(60);
    let searcher = world
        .searcher()
        .with_weights(Ranking::default(), FusionWeights::default());
    let query_vector = vector(7, 7);
    let ask = |mode| {
        let request = SearchRequest {
            query: "member 33".into(),
            mode,
            ..SearchRequest::default()
        };
        searcher.search(&request, Some(&query_vector)).unwrap()
    };
    let vector_only = ask(Mode::Vector);
    assert_eq!(paths(&vector_only)[0], "/7");
    assert!(vector_only.hits[0].scores.keyword.is_none());
    assert!(vector_only.hits[0].explain.starts_with("vector rank 1"));
    assert_eq!(paths(&ask(Mode::Keyword))[0], "/33");
    let hybrid = ask(Mode::Hybrid);
    assert_eq!(hybrid.mode, Mode::Hybrid);
    assert!((hybrid.vector_coverage - 1.0).abs() < f32::EPSILON);
    assert!(
        paths(&hybrid)[..2].contains(&"/33".to_owned())
            && paths(&hybrid)[..2].contains(&"/7".to_owned())
    );
    assert_eq!(hybrid.total, 60);
    assert!(
        hybrid.hits[0].explain.contains("weight"),
        "{}",
        hybrid.hits[0].explain
    );
}

#[test]
fn without_a_query_vector_hybrid_is_a_keyword_search() {
    let world = embedded(5);
    assert_eq!(world.search("member").mode, Mode::Keyword);
}

#[test]
fn half_embedded_pages_keep_their_keyword_order() {
    let world = World::with(&[
        page("/both", "Alpha beta", "member 1 alpha beta"),
        page(
            "/one",
            "Alpha",
            "member 2 alpha and more words to make it long",
        ),
        page("/far", "Other", "member 3 gamma"),
    ]);
    // Only the page that has nothing to do with the query has a vector.
    world.embed(DIMS, |text| (member(text) == 3).then(|| vector(1, 3)));
    let request = SearchRequest {
        query: "alpha beta".into(),
        ..SearchRequest::default()
    };
    let found = world
        .searcher()
        .search(&request, Some(&vector(9, 9)))
        .unwrap();
    assert_eq!(found.mode, Mode::Hybrid);
    assert_eq!(&paths(&found)[..2], ["/both", "/one"]);
    assert!(found.vector_coverage > 0.3 && found.vector_coverage < 0.4);
    assert!(found.hits[0].explain.contains("no vectors yet"));
}

#[test]
fn filters_and_excluded_words_hold_for_vectors_too() {
    let world = embedded(40);
    let request = SearchRequest {
        query: "-33 topic".into(),
        mode: Mode::Vector,
        limit: 100,
        ..SearchRequest::default()
    };
    let found = world
        .searcher()
        .search(&request, Some(&vector(13, 33)))
        .unwrap();
    assert_eq!(found.hits.len(), 39);
    assert!(!paths(&found).contains(&"/33".to_owned()));
}

#[test]
fn similar_pages_are_those_of_the_same_topic() {
    let world = embedded(400);
    let searcher = world.searcher();
    let id = |n: usize| {
        let url = format!("https://site.example/{n}");
        world
            .store
            .page_by_url(TenantId::DEFAULT, &url)
            .unwrap()
            .unwrap()
            .id
    };
    let page = id(7);
    let similar = searcher.similar(TenantId::DEFAULT, page, 10);
    let similar = similar.unwrap().unwrap();
    assert_eq!(similar.len(), 10);
    assert!(similar.windows(2).all(|pair| pair[0].1 >= pair[1].1));
    let topic: Vec<_> = (0..400).filter(|n| n % 20 == 7).map(id).collect();
    for (other, _) in &similar {
        assert!(*other != page && topic.contains(other), "{other}");
    }
    // As many as there are, and nobody else's.
    let all = searcher.similar(TenantId::DEFAULT, page, 1000);
    let all = all.unwrap().unwrap();
    assert_eq!(all.len(), 399);
    assert_eq!(searcher.similar(TenantId(2), page, 10).unwrap(), None);
    world.save(&[crate::support::page("/new", "New", "no vector yet")]);
    let new = world
        .store
        .page_by_url(TenantId::DEFAULT, "https://site.example/new");
    let new = new.unwrap().unwrap().id;
    let similar = world.searcher().similar(TenantId::DEFAULT, new, 10);
    assert_eq!(similar.unwrap(), None);
}
