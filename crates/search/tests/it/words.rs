//! Queries in words: what is found, and in which order.

use std::sync::LazyLock;

use proptest::prelude::*;
use search::{SearchErrorKind, SearchRequest};

use crate::support::{TestPage, World, page, paths};

/// Read by all tests here, so made once.
fn world() -> &'static World {
    static WORLD: LazyLock<World> = LazyLock::new(new_world);
    &WORLD
}

fn new_world() -> World {
    World::with(&[
        page(
            "/install",
            "Installing the server",
            "Download the archive and unpack it.\n\n# Compile from source\n\nRun configure, then make.",
        ),
        page(
            "/vacuum",
            "Routine vacuuming",
            "The vacuum command reclaims storage of dead rows.\n\nThe autovacuum daemon runs vacuum by itself.",
        ),
        page(
            "/stats",
            "Monitoring",
            "The view pg_stat_activity shows one row per server process.\n\nSee also dead rows in pg_stat_all_tables.",
        ),
        page(
            "/backup",
            "Backup and restore",
            "Dump the archive before an upgrade. Storage of the dump needs space.",
        ),
        page(
            "/go/index",
            "بازگشت",
            "او می\u{200c}رود و کتاب\u{200c}ها را به کتابخانهٔ ملی می\u{200c}برد.",
        ),
        page("/fa/joined", "رفتن", "علی هر روز به مدرسه میرود."),
    ])
}

#[track_caller]
fn check_first(query: &str, path: &str) {
    assert_eq!(
        world().paths(query).first().map(String::as_str),
        Some(path),
        "{query:?}"
    );
}

#[track_caller]
fn check_set(query: &str, expected: &[&str]) {
    let mut found = world().paths(query);
    found.sort();
    assert_eq!(found, expected, "{query:?}");
}

#[test]
fn words_are_found_in_body_title_heading_and_address() {
    check_first("reclaim storage", "/vacuum");
    check_first("installation", "/install");
    check_first("compiling", "/install");
    check_first("backup", "/backup");
    check_set("index", &["/go/index"]);
}

#[test]
fn names_are_found_whole_and_by_their_parts() {
    check_first("pg_stat_activity", "/stats");
    check_set("pg_stat_activity", &["/stats"]);
    check_set("activity", &["/stats"]);
}

#[test]
fn phrases_must_follow_each_other() {
    check_set("dead rows", &["/stats", "/vacuum"]);
    check_set("\"storage of dead rows\"", &["/vacuum"]);
    check_set("\"rows dead\"", &[]);
    check_set("«dead rows» -monitoring", &["/vacuum"]);
}

#[test]
fn excluded_words_and_phrases_are_absent() {
    check_set("archive -dump", &["/install"]);
    check_set("archive -\"an upgrade\"", &["/install"]);
    check_set("archive -title:backup", &["/install"]);
}

#[test]
fn prefixes_find_the_words_that_begin_with_them() {
    check_set("autovac*", &["/vacuum"]);
    check_set("reclaim* configur*", &["/install", "/vacuum"]);
    // Too short to be a prefix, and so a word that no page has.
    check_set("q*", &[]);
}

#[test]
fn words_of_one_field_are_looked_for_there() {
    check_set("title:vacuum", &["/vacuum"]);
    check_set("title:archive", &[]);
    check_set("heading:source", &["/install"]);
    check_set("url:backup", &["/backup"]);
    check_set("title:\"backup and restore\"", &["/backup"]);
}

#[test]
fn broken_syntax_is_read_as_words() {
    check_first("\"storage of dead", "/vacuum");
    check_first("vacuum AND (", "/vacuum");
    check_first("title: vacuum", "/vacuum");
    check_first("- vacuum ** \"\"", "/vacuum");
}

#[test]
fn a_page_with_all_words_stands_above_one_with_some() {
    check_first("server process", "/stats");
    check_first("archive upgrade", "/backup");
}

#[test]
fn questions_of_grammar_words_alone_still_find_them() {
    assert!(!world().paths("and the").is_empty());
}

#[test]
fn the_three_persian_spellings_meet() {
    for query in ["می\u{200c}رود", "می رود", "میرود"] {
        let mut found = world().paths(query);
        found.sort();
        assert_eq!(found, ["/fa/joined", "/go/index"], "{query:?}");
    }
    for query in ["کتاب\u{200c}ها", "کتاب ها", "کتابها", "كتاب"] {
        assert_eq!(
            world().paths(query).first().map(String::as_str),
            Some("/go/index"),
            "{query:?}"
        );
    }
}

#[test]
fn swapped_persian_letters_score_exactly_the_same() {
    let world = world();
    let native = world.search("کتابخانهٔ ملی می\u{200c}رود");
    let swapped = world.search("كتابخانه ملي مي رود");
    assert!(!native.hits.is_empty());
    let scores = |response: &search::SearchResponse| {
        response
            .hits
            .iter()
            .map(|hit| (hit.page, hit.scores.keyword))
            .collect::<Vec<_>>()
    };
    assert_eq!(scores(&native), scores(&swapped));
}

#[test]
fn words_are_stemmed_by_the_language_of_their_page() {
    let german = TestPage {
        language: Some("de"),
        ..page("/de", "Häuser", "Viele Häuser haben Gärten.")
    };
    let world = World::with(&[german, page("/en", "Houses", "Many houses have gardens.")]);
    assert_eq!(world.paths("Garten"), ["/de"]);
    assert_eq!(world.paths("garden"), ["/en"]);
}

#[test]
fn pages_are_paged_through_without_gap_or_repeat() {
    let pages: Vec<TestPage> = (0..25)
        .map(|n| page(&format!("/{n}"), "Same", &format!("common word number{n}")))
        .collect();
    let world = World::with(&pages);
    let mut seen = Vec::new();
    for offset in [0, 10, 20] {
        let request = SearchRequest {
            query: "common".into(),
            offset,
            ..SearchRequest::default()
        };
        let response = world.ask(request);
        assert_eq!(response.total, 25);
        seen.extend(paths(&response));
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 25);
}

#[test]
fn other_chunks_of_a_page_are_listed_when_asked_for() {
    let world = world();
    let plain = world.search("vacuum");
    assert!(plain.hits[0].others.is_empty());
    let request = SearchRequest {
        query: "vacuum".into(),
        expand: true,
        ..SearchRequest::default()
    };
    let expanded = world.ask(request);
    assert_eq!(expanded.hits[0].others.len(), 1);
    assert_ne!(expanded.hits[0].others[0].chunk, expanded.hits[0].chunk);
}

#[test]
fn a_hit_says_where_and_why() {
    let response = world().search("configure");
    let hit = &response.hits[0];
    assert_eq!(
        (hit.title.as_str(), hit.heading.as_str()),
        ("Installing the server", "Compile from source")
    );
    assert!(hit.explain.starts_with("keyword rank 1"), "{}", hit.explain);
    assert!(hit.scores.keyword.is_some_and(|score| score > 0.0));
    assert_eq!(
        &hit.snippet.text[hit.snippet.highlights[0].clone()],
        "configure"
    );
}

#[test]
fn impossible_requests_are_named() {
    let world = world();
    let cases = [
        SearchRequest {
            query: "  ".into(),
            ..SearchRequest::default()
        },
        SearchRequest {
            query: "x".into(),
            limit: 0,
            ..SearchRequest::default()
        },
        SearchRequest {
            query: "x".into(),
            offset: 999,
            limit: 10,
            ..SearchRequest::default()
        },
        SearchRequest {
            query: "x".into(),
            mode: search::Mode::Vector,
            ..SearchRequest::default()
        },
    ];
    for request in cases {
        let error = world.searcher().search(&request, None).unwrap_err();
        assert_eq!(error.kind(), SearchErrorKind::Request, "{request:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1, ..ProptestConfig::default() })]

    #[test]
    fn no_query_is_an_error(
        queries in prop::collection::vec("([a-z*\"«»:()-]|title:|url:|می|\u{200c}| |\\PC){1,40}", 60)
    ) {
        let searcher = world().searcher();
        for query in queries.into_iter().filter(|query| !query.trim().is_empty()) {
            let request = SearchRequest { query: query.clone(), expand: true, ..SearchRequest::default() };
            let response = searcher.search(&request, None);
            prop_assert!(response.is_ok(), "{query:?}: {response:?}");
        }
    }
}
