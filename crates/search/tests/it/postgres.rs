//! The tables on servers answer as the index files do: the same pages by the
//! same rules, from the same store.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use search::engine::{Follower, KeywordEngine, VectorReader};
use search::{
    Filters, Mode, PostgresKeywords, PostgresVectors, SearchErrorKind, SearchRequest, Searcher,
    VectorFollower, VectorIndex,
};
use store::{Access, SearchTables, Store, StoreOptions};
use testkit::services::Postgres;
use types::{ManualClock, TenantId, Timestamp};

use crate::support::{MODEL, TestPage, World, page, paths};

struct Server {
    database: Postgres,
    world: World,
}

fn open(url: &str) -> Store {
    let clock = Arc::new(ManualClock::at(Timestamp(1_700_000_000_000)));
    Store::open_server(url, Access::Write, &StoreOptions::default(), clock).unwrap()
}

impl Server {
    fn new() -> Server {
        let database = Postgres::fresh();
        let store = open(&database.url());
        Server::of(database, store)
    }

    /// Through a pooler that gives each transaction another connection.
    fn pooled() -> Server {
        let database = Postgres::fresh();
        let store = open(&database.pgbouncer_url());
        Server::of(database, store)
    }

    fn of(database: Postgres, store: Store) -> Server {
        let mut world = World::new();
        world.store = store;
        Server { database, world }
    }

    fn with(pages: &[TestPage]) -> Server {
        let server = Server::new();
        server.world.save(pages);
        server.sync();
        server
    }

    fn store(&self) -> &Store {
        &self.world.store
    }

    fn engine(&self) -> PostgresKeywords {
        PostgresKeywords::new(self.store().clone())
    }

    /// Both the index files and the tables.
    fn sync(&self) {
        self.world.sync();
        let mut follower = Follower::new(self.engine().open_writer().unwrap());
        while follower.sync(self.store(), 1000).unwrap().more {}
        follower.close().unwrap();
        let mut vectors = VectorFollower::new(self.store().clone());
        while vectors.sync().unwrap() {}
        vectors.close().unwrap();
        self.store().index_search_vectors().unwrap();
    }

    fn searcher(&self) -> Searcher {
        let vectors = PostgresVectors::open(self.store().clone(), MODEL).unwrap();
        let keyword = self.engine().open().unwrap();
        Searcher::new(self.store().clone(), keyword, Some(Box::new(vectors)))
    }

    /// Asks both, which have to say the same.
    fn check(&self, request: &SearchRequest, vector: Option<&[f32]>) -> Vec<String> {
        let local = self.world.searcher().search(request, vector).unwrap();
        let server = self.searcher().search(request, vector).unwrap();
        let what = &request.query;
        assert_eq!(paths(&server), paths(&local), "{what}");
        assert_eq!(server.total, local.total, "{what}");
        assert_eq!(server.facets, local.facets, "{what}");
        for (server, local) in server.hits.iter().zip(&local.hits) {
            let [a, b] = [server, local].map(|hit| hit.scores.keyword.unwrap_or(0.0));
            // A compound and its part that are one word count once on the
            // server, where they share a place.
            assert!(
                (a - b).abs() < 1e-3 + b * 0.02,
                "{what}: {} has {a}, not {b}",
                server.url
            );
            assert_eq!(server.chunk, local.chunk, "{what}: {}", server.url);
            assert_eq!(server.snippet, local.snippet, "{what}: {}", server.url);
        }
        paths(&server)
    }

    fn paths(&self, query: &str) -> Vec<String> {
        self.check(&asked(query), None)
    }
}

fn asked(query: &str) -> SearchRequest {
    SearchRequest {
        query: query.to_owned(),
        limit: 50,
        ..SearchRequest::default()
    }
}

fn animals() -> Vec<TestPage> {
    let mut pages = vec![
        page(
            "/cats",
            "Cats at home",
            "A cat sleeps all day.\n\nCats hunt mice by night.",
        ),
        page(
            "/dogs",
            "Dogs",
            "A dog guards the house.\n\nThe dog and the cat are no friends.",
        ),
        page(
            "/mice",
            "Mice",
            "# Of small mice\n\nMice fear the cat, and the cat's shadow.",
        ),
        page(
            "/quote",
            "It's a 'quoted' \\ title",
            "O'Brien\\Smith wrote about pg_stat_activity.",
        ),
        page("/empty", "Nothing", "Lorem ipsum dolor sit amet."),
    ];
    pages[0].language = Some("en");
    pages[2].published_at = Some(Timestamp(1_600_000_000_000));
    pages[1].author = Some("Ada Lovelace");
    pages[1].structured = Some(r#"{"@type":"Article","author":{"name":"Ada"}}"#);
    pages
}

#[test]
fn pages_rank_as_in_the_index_files() {
    let server = Server::with(&animals());
    for query in [
        "cat",
        "cats mice",
        "the cat",
        "\"small mice\"",
        "\"cat sleeps\" -dog",
        "title:dogs",
        "body:dog cat",
        "heading:small",
        "url:mice",
        "mic*",
        "pg_stat_activity",
        "o'brien",
        "quoted",
        "-cat dog",
        "zebra",
    ] {
        server.paths(query);
    }
    assert_eq!(server.paths("\"small mice\""), ["/mice"]);
    assert_eq!(server.paths("pg_stat_activity"), ["/quote"]);
    assert!(server.paths("zebra").is_empty());
}

#[test]
fn filters_and_facets_hold_on_the_server() {
    let server = Server::with(&animals());
    for filter in [
        "host=site.example",
        "host=other.example",
        "path=/ca",
        "lang=en",
        "from=2020",
        "to=2019",
        "author=ada lovelace",
        "type=Article",
        "author.name=Ada",
        "source=1",
        "source=99",
        "price_min=3",
    ] {
        let request = SearchRequest {
            filters: Filters::parse(&[filter]).unwrap(),
            facets: vec!["lang", "author", "host"],
            ..asked("cat dog mice")
        };
        server.check(&request, None);
    }
}

#[test]
fn persian_is_found_in_either_spelling() {
    let mut pages = vec![
        page(
            "/fa",
            "کتاب‌های علی",
            "علی به کتابخانه می‌رود.\n\nکتاب‌ها روی میز است.",
        ),
        page("/other", "خانه", "این خانه بزرگ است و كتاب دارد."),
    ];
    for page in &mut pages {
        page.language = Some("fa");
    }
    let server = Server::with(&pages);
    for query in ["کتاب", "كتاب", "کتاب ها", "می رود", "ميرود", "خانه‌ی بزرگ"]
    {
        assert!(!server.paths(query).is_empty(), "{query}");
    }
}

#[test]
fn t1_what_other_tenants_have_shows_in_nothing() {
    let server = Server::new();
    let other = server.store().create_tenant("other").unwrap().id;
    server.world.save(&animals());
    server.sync();
    let alone: Vec<_> = server
        .searcher()
        .search(&asked("cat mice"), None)
        .unwrap()
        .hits;
    let theirs: Vec<TestPage> = (0..40)
        .map(|n| {
            page(
                &format!("/t{n}"),
                "Mice",
                &format!("mice mice catalogue {n}"),
            )
        })
        .collect();
    server.world.save_as(other, &theirs);
    server.sync();
    let beside = server
        .searcher()
        .search(&asked("cat mice"), None)
        .unwrap()
        .hits;
    assert_eq!(alone, beside);
    // Nor what a prefix stands for.
    assert_eq!(
        server
            .searcher()
            .search(&asked("catalog*"), None)
            .unwrap()
            .total,
        0
    );
    let request = SearchRequest {
        tenant: other,
        ..asked("mice")
    };
    let found = server.searcher().search(&request, None).unwrap();
    assert_eq!(found.total, 40);
}

#[test]
fn deleted_and_changed_pages_leave_nothing_behind() {
    let server = Server::with(&animals());
    server.world.delete(&["https://site.example/cats"]);
    let mut changed = page("/dogs", "Wolves", "A wolf howls.");
    changed.language = Some("en");
    server.world.save(&[changed]);
    server.sync();
    // The statistics of the index files still count what is not merged away yet.
    let found = |query: &str| paths(&server.searcher().search(&asked(query), None).unwrap());
    assert_eq!(found("wolf"), ["/dogs"]);
    assert_eq!(found("cat"), ["/mice"]);
    assert!(found("guards").is_empty());
    let urls: Vec<String> = animals().iter().map(|page| page.url.clone()).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    server.world.delete(&urls);
    server.sync();
    let count = |sql: &str| server.database.sql(sql).trim().to_owned();
    assert_eq!(count("SELECT count(*) FROM search_pages"), "0");
    assert_eq!(
        count("SELECT count(*) FROM search_words WHERE (title, headings, body, url) <> (0,0,0,0)"),
        "0"
    );
    assert_eq!(
        count("SELECT sum(pages + chunks + body_tokens) FROM search_corpora"),
        "0"
    );
}

#[test]
fn one_process_follows_and_another_takes_over_where_it_stopped() {
    let server = Server::new();
    let pages: Vec<TestPage> = (0..300)
        .map(|n| {
            page(
                &format!("/{n}"),
                &format!("Page {n}"),
                &format!("word{n} common"),
            )
        })
        .collect();
    server.world.save(&pages);
    let mut first = Follower::new(server.engine().open_writer().unwrap());
    let report = first.sync(server.store(), 100).unwrap();
    assert_eq!((report.pages, report.more), (100, true));
    // It holds the tables, so a second one has nothing to do.
    let there = open(&server.database.url());
    let engine = PostgresKeywords::new(there.clone());
    let mut second = Follower::new(engine.open_writer().unwrap());
    let report = second.sync(&there, 100).unwrap();
    assert_eq!((report.pages, second.committed()), (0, first.committed()));
    // Killed: it never lets go, and its lease runs out.
    drop(first);
    server
        .database
        .sql("UPDATE search_progress SET held_until = now() - interval '1 second'");
    let mut seen = 0;
    loop {
        let report = second.sync(&there, 100).unwrap();
        seen += report.pages;
        if !report.more {
            break;
        }
    }
    assert_eq!(seen, 200);
    server.world.sync();
    assert_eq!(server.paths("common").len(), 50);
    assert_eq!(server.paths("word123"), ["/123"]);
    assert_eq!(
        server
            .database
            .sql("SELECT count(*) FROM search_pages")
            .trim(),
        "300"
    );
}

#[test]
fn tables_made_by_another_version_are_made_anew() {
    let server = Server::with(&animals());
    server
        .database
        .sql("UPDATE search_progress SET made_by = 'words 0' WHERE tables = 'pages'");
    let error = server.engine().open().unwrap_err();
    assert_eq!(error.kind(), SearchErrorKind::NotFound);
    server.sync();
    assert_eq!(server.paths("dog").len(), 1);
}

#[test]
fn an_index_that_was_dropped_is_made_again() {
    let server = Server::with(&animals());
    server.database.sql("DROP INDEX search_pages_words");
    server.sync();
    let there = server
        .database
        .sql("SELECT indisvalid FROM pg_index WHERE indexrelid = 'search_pages_words'::regclass");
    assert_eq!(there.trim(), "t");
}

/// One of a few directions, with some noise.
fn vector(topic: usize, seed: usize) -> Vec<f32> {
    const DIMS: usize = 32;
    let noise = |n: usize| (((seed * 7919 + n * 104_729 + 13) % 1000) as f32 / 1000.0 - 0.5) * 0.4;
    let raw: Vec<f32> = (0..DIMS)
        .map(|n| f32::from(u8::from(n % 8 == topic % 8)) + noise(n))
        .collect();
    let length = raw.iter().map(|x| x * x).sum::<f32>().sqrt();
    raw.iter().map(|x| x / length).collect()
}

fn embedded(pages: usize) -> Server {
    let server = Server::new();
    let pages: Vec<TestPage> = (0..pages)
        .map(|n| page(&format!("/{n}"), &format!("Page {n}"), &format!("text {n}")))
        .collect();
    server.world.save(&pages);
    server.world.embed(32, embedding);
    server.sync();
    server
}

fn embedding(text: &str) -> Option<Vec<f32>> {
    let number: usize = text.rsplit(' ').next()?.parse().ok()?;
    Some(vector(number, number))
}

/// Vectors are written first; adding each to the graph would take far longer.
#[test]
fn the_graph_over_vectors_is_built_when_all_are_there() {
    let server = embedded(120);
    let is_built = || server.store().search_vectors_are_indexed().unwrap();
    assert!(is_built());
    server.database.sql("DROP INDEX search_vectors_near");
    assert!(!is_built());
    let mut vectors = VectorFollower::new(server.store().clone());
    let begun = Instant::now();
    while !is_built() {
        assert!(begun.elapsed() < Duration::from_secs(60), "not built");
        vectors.sync().unwrap();
    }
    vectors.close().unwrap();
}

#[test]
fn vectors_are_found_as_in_memory() {
    let server = embedded(120);
    let query = vector(3, 999);
    let vectors = PostgresVectors::open(server.store().clone(), MODEL).unwrap();
    let exact = VectorIndex::load(server.store(), MODEL).unwrap();
    let near = vectors
        .nearest(TenantId::DEFAULT, &query, 10, None)
        .unwrap();
    let expected = exact
        .search_exact(TenantId::DEFAULT, &query, 10, None)
        .unwrap();
    let chunks = |found: &[search::Neighbour]| found.iter().map(|n| n.chunk).collect::<Vec<_>>();
    assert_eq!(chunks(&near), chunks(&expected));
    assert!((near[0].similarity - expected[0].similarity).abs() < 1e-4);
    let only = HashSet::from([expected[7].page]);
    let found = vectors
        .nearest(TenantId::DEFAULT, &query, 10, Some(&only))
        .unwrap();
    assert_eq!(chunks(&found), [expected[7].chunk]);
    assert!(
        vectors
            .nearest(TenantId(77), &query, 10, None)
            .unwrap()
            .is_empty()
    );
    assert_eq!(vectors.passages(TenantId::DEFAULT).unwrap(), 120);
    for mode in [Mode::Vector, Mode::Hybrid] {
        let request = SearchRequest {
            mode,
            limit: 10,
            ..asked("text 11")
        };
        server.check(&request, Some(&query));
        let filtered = SearchRequest {
            filters: Filters::parse(&["path=/1"]).unwrap(),
            ..request
        };
        server.check(&filtered, Some(&query));
    }
    let error = vectors.nearest(TenantId::DEFAULT, &[1.0], 10, None);
    assert_eq!(error.unwrap_err().kind(), SearchErrorKind::Request);
}

#[test]
fn the_graph_finds_what_an_exact_scan_finds() {
    let server = embedded(400);
    // As if the tenant had many more: the graph is asked.
    server
        .database
        .sql("UPDATE search_passages SET vectors = 1000000, passages = 1000000");
    let vectors = PostgresVectors::open(server.store().clone(), MODEL).unwrap();
    let exact = VectorIndex::load(server.store(), MODEL).unwrap();
    let (mut found, mut wanted) = (0, 0);
    for n in 0..20 {
        let query = vector(n, 5000 + n);
        let near = vectors
            .nearest(TenantId::DEFAULT, &query, 10, None)
            .unwrap();
        let near: HashSet<_> = near.iter().map(|n| n.chunk).collect();
        let expected = exact
            .search_exact(TenantId::DEFAULT, &query, 10, None)
            .unwrap();
        wanted += expected.len();
        found += expected.iter().filter(|n| near.contains(&n.chunk)).count();
    }
    assert!(found * 100 >= wanted * 95, "{found} of {wanted}");
}

#[test]
fn vectors_of_pages_that_go_are_gone_and_another_model_begins_anew() {
    let server = embedded(40);
    server.world.delete(&["https://site.example/3"]);
    server.sync();
    let count = || {
        server
            .database
            .sql("SELECT count(*) FROM search_vectors")
            .trim()
            .to_owned()
    };
    assert_eq!(count(), "39");
    let kept = |vectors: &PostgresVectors| vectors.passages(TenantId::DEFAULT).unwrap();
    let vectors = PostgresVectors::open(server.store().clone(), MODEL).unwrap();
    assert_eq!(kept(&vectors), 39);
    let similar = vectors
        .similar(TenantId::DEFAULT, types::PageId(1), 5)
        .unwrap();
    assert_eq!(similar.map(|found| found.len()), Some(5));
    server
        .store()
        .set_embedding_model("other-model", 8)
        .unwrap();
    server.sync();
    assert_eq!(count(), "0");
    vectors.refresh().unwrap();
    assert_eq!(kept(&vectors), 0);
    let progress = server
        .store()
        .search_progress(SearchTables::Vectors)
        .unwrap();
    let progress = progress[0].1.clone().unwrap();
    assert!(
        progress.made_by.contains("other-model with 8"),
        "{progress:?}"
    );
}

#[test]
fn behind_a_pooler_it_is_all_the_same() {
    let server = Server::pooled();
    server.world.save(&animals());
    server
        .world
        .embed(32, |text| Some(vector(text.len(), text.len())));
    server.sync();
    server.paths("cats mice");
    let request = SearchRequest {
        mode: Mode::Hybrid,
        ..asked("cat")
    };
    server.check(&request, Some(&vector(2, 2)));
}
