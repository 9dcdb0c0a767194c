//! T1 in the ranking: what other tenants have does not move a tenant's results.

use proptest::prelude::*;
use search::{FacetCounts, SearchRequest};
use types::TenantId;

use crate::support::{TestPage, World, page, paths};

/// What a tenant is told of one search, scores to the bit.
#[derive(Debug, PartialEq)]
struct Told {
    hits: Vec<(String, u32, Option<u32>, Vec<u32>)>,
    total: usize,
    facets: Vec<FacetCounts>,
}

fn ask(world: &World, tenant: TenantId, query: &str) -> Told {
    let response = world.ask(SearchRequest {
        tenant,
        query: query.to_owned(),
        facets: vec!["lang", "host", "author"],
        limit: 100,
        expand: true,
        ..SearchRequest::default()
    });
    let hits = response.hits.iter().map(|hit| {
        let others = hit.others.iter().filter_map(|other| other.scores.keyword);
        (
            format!("{} {}", hit.url, hit.snippet.text),
            hit.score.to_bits(),
            hit.scores.keyword.map(f32::to_bits),
            others.map(f32::to_bits).collect(),
        )
    });
    Told {
        hits: hits.collect(),
        total: response.total,
        facets: response.facets,
    }
}

/// The pages alone in an index, and as a second tenant's beside `others`.
fn worlds(pages: &[TestPage], others: &[TestPage]) -> (World, World, TenantId) {
    let alone = World::with(pages);
    let shared = World::new();
    let tenant = shared.store.create_tenant("second").unwrap().id;
    shared.save(others);
    shared.save_as(tenant, pages);
    shared.sync();
    (alone, shared, tenant)
}

fn many(n: usize, title: &str, text: &str) -> Vec<TestPage> {
    let numbered = |n| TestPage {
        language: Some("de"),
        ..page(&format!("/other/{n}"), title, &format!("{text} Nr{n}"))
    };
    (0..n).map(numbered).collect()
}

/// In the tenant's pages `common` is in every one and `rare` in one; among the
/// other tenant's it is the other way round, its pages are long, and it has
/// more of every word that begins with `con`.
#[test]
fn ranking_takes_its_statistics_from_the_tenants_own_pages() {
    let pages = [
        TestPage {
            language: Some("en"),
            author: Some("Ada"),
            ..page("/a", "Rare things", "common rare words of a page\n\ncommon")
        },
        page("/b", "Common", "common common common container"),
        page("/c", "Common conifers", "common conifers and a container"),
        page("/d/common", "Long", &"common filler text ".repeat(40)),
    ];
    let prose = "rare conifers conclude concerts of concrete conventions ".repeat(30);
    let others = many(300, "Rare conventions", &prose);
    let (alone, shared, tenant) = worlds(&pages, &others);
    let queries = [
        "rare common",
        "common",
        "title:rare container",
        "con*",
        "con* common rare -filler",
        "\"common rare\" url:common",
        "a of common",
    ];
    for query in queries {
        let expected = ask(&alone, TenantId::DEFAULT, query);
        assert!(!expected.hits.is_empty(), "{query:?} finds nothing");
        assert_eq!(ask(&shared, tenant, query), expected, "{query:?}");
    }
    // The rare word decides: by the others' figures it would be worth nothing.
    let found = shared.ask(SearchRequest {
        tenant,
        query: "rare common".into(),
        ..SearchRequest::default()
    });
    assert_eq!(paths(&found).first().map(String::as_str), Some("/a"));
}

/// More words of another tenant begin with the prefix than are looked at in an
/// index of one's own, all before the tenant's in the alphabet.
#[test]
fn a_prefix_stands_for_the_tenants_own_words() {
    let words: Vec<String> = (0..6000).map(|n| format!("prea{n}")).collect();
    let others = [page("/other", "Words", &words.join(" "))];
    let (alone, shared, tenant) = worlds(&[page("/z", "Last", "prezzo")], &others);
    let expected = ask(&alone, TenantId::DEFAULT, "pre*");
    assert_eq!(expected.total, 1);
    assert_eq!(ask(&shared, tenant, "pre*"), expected);
}

/// German stems apply where there are German pages: another tenant's do not count.
#[test]
fn words_are_stemmed_in_the_languages_of_the_tenants_own_pages() {
    let pages = [page("/one", "One", "hauser"), page("/two", "Two", "haus")];
    let (alone, shared, tenant) = worlds(&pages, &many(20, "Häuser", "Viele Häuser"));
    for query in ["häuser", "hausern", "haus"] {
        let expected = ask(&alone, TenantId::DEFAULT, query);
        assert_eq!(ask(&shared, tenant, query), expected, "{query:?}");
    }
}

#[test]
fn statistics_follow_what_is_added_and_removed() {
    let pages = [
        page("/a", "A", "alpha beta beta"),
        page("/b", "B", "alpha gamma"),
        page("/c", "C", "beta delta"),
    ];
    let (_, shared, tenant) = worlds(&pages, &many(50, "Alpha", "alpha beta"));
    let searcher = shared.searcher();
    let scores = |query: &str| {
        let request = SearchRequest {
            tenant,
            query: query.into(),
            ..SearchRequest::default()
        };
        let response = searcher.search(&request, None).unwrap();
        let keyword = response.hits.iter().map(|hit| hit.scores.keyword.unwrap());
        keyword.map(f32::to_bits).collect::<Vec<u32>>()
    };
    scores("alpha beta");
    shared.save_as(tenant, &[page("/d", "D", "alpha epsilon")]);
    shared.delete_as(tenant, &["https://site.example/c"]);
    shared.sync();
    searcher.refresh().unwrap();
    let now = [
        page("/a", "A", "alpha beta beta"),
        page("/b", "B", "alpha gamma"),
        page("/d", "D", "alpha epsilon"),
    ];
    let alone = World::with(&now).search("alpha beta");
    let expected = alone.hits.iter().map(|hit| hit.scores.keyword.unwrap());
    let expected: Vec<u32> = expected.map(f32::to_bits).collect();
    assert_eq!(scores("alpha beta"), expected);
}

const WORDS: &[&str] = &[
    "alpha",
    "alpine",
    "altar",
    "beta",
    "better",
    "gamma",
    "garden",
    "gardens",
    "the",
    "of",
    "e-mail",
    "کتاب\u{200c}ها",
    "کتاب",
    "می\u{200c}رود",
];
const LANGUAGES: &[Option<&str>] = &[None, Some("en"), Some("de"), Some("fa")];

fn corpus(most: usize) -> impl Strategy<Value = Vec<TestPage>> {
    let words = |most| prop::collection::vec(prop::sample::select(WORDS), 1..most);
    let texts = (words(4), prop::collection::vec(words(40), 1..4));
    let pages = (texts, prop::sample::select(LANGUAGES));
    prop::collection::vec(pages, 1..most).prop_map(|pages| {
        let page_of = |(n, ((title, paragraphs), language))| {
            let (title, paragraphs): (Vec<&str>, Vec<Vec<&str>>) = (title, paragraphs);
            let mut text: Vec<String> = paragraphs.iter().map(|words| words.join(" ")).collect();
            // No two pages are duplicates of each other.
            text.push(format!("# Part unique{n}\n\nnumber{n}"));
            TestPage {
                language,
                ..page(&format!("/p/{n}"), &title.join(" "), &text.join("\n\n"))
            }
        };
        pages.into_iter().enumerate().map(page_of).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn another_tenants_pages_change_nothing(
        pages in corpus(8),
        others in corpus(24),
        query in prop::collection::vec(prop::sample::select(WORDS), 1..4),
    ) {
        let (alone, shared, tenant) = worlds(&pages, &others);
        let words = query.join(" ");
        let first: String = words.chars().take(2).collect();
        for query in [words.clone(), format!("{words} {first}*"), format!("title:{first}* {words}")] {
            prop_assert_eq!(
                ask(&shared, tenant, &query),
                ask(&alone, TenantId::DEFAULT, &query),
                "{}", query
            );
        }
    }
}
