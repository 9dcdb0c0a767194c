use search::{Filters, SearchErrorKind, SearchRequest};
use types::{TenantId, Timestamp};

use crate::support::{TestPage, World, page, paths};

const DAY_MS: i64 = 86_400_000;

fn world() -> World {
    let world = World::new();
    let pages = [
        TestPage {
            language: Some("en"),
            published_at: Some(Timestamp(1_714_521_600_000)), // 2024-05-01T00:00:00Z
            structured: Some(
                r#"[{"@type":"Article","author":{"@type":"Person","name":"Ada  Lovelace"},"keywords":["a","b"]}]"#,
            ),
            ..page("/docs/first", "First", "shared word")
        },
        TestPage {
            language: Some("fa"),
            published_at: Some(Timestamp(1_714_521_600_000 + 30 * DAY_MS)), // 2024-05-31
            structured: Some(
                r#"[{"@graph":[{"@type":"https://schema.org/JobPosting","telework":true,"pay":10}]}]"#,
            ),
            open_graph: vec![("og:type".into(), "job".into())],
            ..page("/docs/second", "Second", "shared word")
        },
        TestPage {
            url: "https://other.example/blog".into(),
            ..page("", "Third", "shared word")
        },
    ];
    world.save(&pages);
    world.sync();
    world
}

#[track_caller]
fn check(filters: &[&str], expected: &[&str]) {
    let filters = Filters::parse(filters).unwrap();
    let request = SearchRequest {
        query: "shared".into(),
        filters: filters.clone(),
        ..SearchRequest::default()
    };
    let mut found = paths(&world().ask(request));
    found.sort();
    assert_eq!(found, expected, "{filters:?}");
}

#[test]
fn each_filter_keeps_what_it_says() {
    check(&[], &["/blog", "/docs/first", "/docs/second"]);
    check(&["source=1"], &["/blog", "/docs/first", "/docs/second"]);
    check(&["source=99"], &[]);
    check(&["host=other.example"], &["/blog"]);
    check(&["host=OTHER.example"], &["/blog"]);
    check(&["host=example"], &[]);
    check(&["path=/docs/"], &["/docs/first", "/docs/second"]);
    check(&["path=docs/f"], &["/docs/first"]);
    check(&["path=/nothing"], &[]);
    check(&["lang=fa"], &["/docs/second"]);
    check(&["lang=en-GB"], &["/docs/first"]);
    check(&["host=site.example", "lang=fa"], &["/docs/second"]);
}

#[test]
fn dates_bound_the_publication_both_ends_included() {
    check(&["from=2024-05-01"], &["/docs/first", "/docs/second"]);
    check(&["from=2024-05-02"], &["/docs/second"]);
    check(&["to=2024-05-01"], &["/docs/first"]);
    check(&["to=2024-05"], &["/docs/first", "/docs/second"]);
    check(&["from=2024", "to=2024"], &["/docs/first", "/docs/second"]);
    check(&["to=2023"], &[]);
    check(&["from=2024-05-01T00:00:01Z"], &["/docs/second"]);
    check(&["to=2024-05-01T03:30:00+03:30"], &["/docs/first"]);
}

#[test]
fn structured_fields_are_compared_whole_and_without_case() {
    check(&["type=article"], &["/docs/first"]);
    check(&["author.name=ada lovelace"], &["/docs/first"]);
    check(&["author.name=ada"], &[]);
    check(&["keywords=b"], &["/docs/first"]);
    check(&["type=JobPosting"], &["/docs/second"]);
    check(&["telework=true"], &["/docs/second"]);
    check(&["pay=10"], &["/docs/second"]);
    check(&["og:type=job"], &["/docs/second"]);
    check(&["type=job"], &["/docs/second"]);
}

#[test]
fn a_tenant_sees_nothing_of_another() {
    let world = world();
    let found = |tenant| {
        let request = SearchRequest {
            tenant,
            query: "shared".into(),
            ..SearchRequest::default()
        };
        let response = world.ask(request);
        (response.total, response.hits.len())
    };
    assert_eq!(found(TenantId::DEFAULT), (3, 3));
    assert_eq!(found(TenantId(2)), (0, 0));
}

#[test]
fn wrong_filters_are_named() {
    let cases = [
        ("lang", "name=value"),
        ("=x", "lacks"),
        ("lang=", "lacks"),
        ("source=docs", "number of a source"),
        ("from=yesterday", "is no date"),
        ("from=2024-02-30", "is no date"),
        ("from=2024-13", "is no date"),
        ("to=2024-05-01T25:00:00Z", "is no date"),
        ("to=24", "is no date"),
    ];
    for (filter, expected) in cases {
        let error = Filters::parse(&[filter]).unwrap_err();
        assert_eq!(error.kind(), SearchErrorKind::Request, "{filter}");
        assert!(error.to_string().contains(expected), "{filter}: {error}");
    }
    assert!(
        Filters::parse(&["lang=en", "lang=fa"])
            .unwrap_err()
            .to_string()
            .contains("twice")
    );
    assert!(
        Filters::parse(&["from=2025", "to=2024"])
            .unwrap_err()
            .to_string()
            .contains("later")
    );
}

#[test]
fn dates_are_read_as_the_calendar_has_them() {
    let from = |text: &str| {
        Filters::parse(&[format!("from={text}")])
            .unwrap()
            .published_from
            .unwrap()
            .0
    };
    assert_eq!(from("1970"), 0);
    assert_eq!(from("1969-12-31"), -DAY_MS);
    assert_eq!(from("2000-03-01"), 951_868_800_000);
    assert_eq!(from("2024-02-29T12:30:15.250Z"), 1_709_209_815_000);
}
