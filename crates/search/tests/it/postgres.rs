//! Tables on the servers of the store.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use search::engine::{Follower, KeywordEngine as _, VectorReader};
use search::{
    Filters, Mode, PostgresKeywords, PostgresVectors, SearchErrorKind, SearchRequest,
    VectorFollower, VectorIndex,
};
use store::{Access, SearchTables, Store, StoreOptions};
use testkit::services::Postgres;
use types::{ManualClock, TenantId, Timestamp};

use crate::servers::{Beside, animals, asked, vector};
use crate::support::{MODEL, TestPage, World, page};

struct Server {
    database: Postgres,
    beside: Beside,
}

fn open(url: &str) -> Store {
    let clock = Arc::new(ManualClock::at(Timestamp(1_700_000_000_000)));
    Store::open_server(url, Access::Write, &StoreOptions::default(), clock).unwrap()
}

fn follow_vectors(store: &Store) {
    let mut follower = VectorFollower::new(store.clone());
    while follower.sync().unwrap() {}
    follower.close().unwrap();
    store.index_search_vectors().unwrap();
}

/// Those on the server, which are followed first.
fn vectors(store: &Store) -> Box<dyn VectorReader> {
    follow_vectors(store);
    Box::new(PostgresVectors::open(store.clone(), MODEL).unwrap())
}

impl std::ops::Deref for Server {
    type Target = Beside;

    fn deref(&self) -> &Beside {
        &self.beside
    }
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
        world.store = store.clone();
        let beside = Beside {
            world,
            engine: Arc::new(PostgresKeywords::new(store)),
            vectors,
            // A compound and its part that are one word count once on the
            // server, where they share a place.
            tolerance: 0.02,
        };
        Server { database, beside }
    }

    fn with(pages: &[TestPage]) -> Server {
        let server = Server::new();
        server.world.save(pages);
        server.sync();
        server
    }

    /// With the vectors.
    fn sync(&self) {
        self.beside.sync();
        follow_vectors(self.store());
    }
}

crate::servers::suite!(Server::new());

#[test]
fn tables_of_pages_that_are_gone_are_empty() {
    let server = Server::with(&animals());
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
    let mut first = Follower::new(server.engine.open_writer().unwrap());
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
    let error = server.engine.open().unwrap_err();
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

/// Two builds of one index would wait for each other.
#[test]
fn several_who_build_the_graph_at_once_end_with_one() {
    let server = embedded(120);
    for _ in 0..3 {
        server.database.sql("DROP INDEX search_vectors_near");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| open(&server.database.url()).index_search_vectors().unwrap());
            }
        });
        assert!(server.store().search_vectors_are_indexed().unwrap());
    }
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
