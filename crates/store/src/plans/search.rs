//! Searches by tables on a server: each part uses the index made for it.

use std::sync::{Arc, OnceLock};

use testkit::services::Postgres;
use types::ManualClock;

use crate::postgres::translate;
use crate::search_tables::{self, SearchFilter, SearchTables};
use crate::sql::Value;
use crate::{Access, Store, StoreOptions};

fn database() -> &'static Postgres {
    static DATABASE: OnceLock<Postgres> = OnceLock::new();
    DATABASE.get_or_init(|| {
        let database = Postgres::fresh();
        let (url, clock) = (database.url(), Arc::new(ManualClock::default()));
        let store = Store::open_server(&url, Access::Write, &StoreOptions::default(), clock);
        let store = store.unwrap();
        for tables in [SearchTables::Pages, SearchTables::Vectors] {
            drop(store.search_writer(tables, "plans", 8).unwrap());
        }
        store.index_search_vectors().unwrap();
        // Without any rows all indexes that a tenant is looked up in are alike.
        database.sql(
            "INSERT INTO search_pages
             SELECT n, n % 4, n % 40, 'host' || n % 200, '/' || n, 'en', n * 1000, NULL, NULL, NULL,
               1, 1, 1, 1, 1, '', 1, ARRAY['1~a' || n % 300], ARRAY[]::TEXT[],
               CAST('''1~w' || n % 500 || ''':1' AS TSVECTOR)
             FROM generate_series(1, 5000) n;
             ANALYZE search_pages",
        );
        database
    })
}

/// What the planner does when reading a whole table looks dear; see [`super::server`].
fn check(sql: &str, expected: &[&str]) {
    let explain = format!(
        "SET enable_seqscan = off; SET enable_sort = off;
         EXPLAIN (GENERIC_PLAN, COSTS OFF) {}",
        translate(sql)
    );
    let found = database().sql(&explain);
    for table in [
        "search_pages",
        "search_words",
        "search_vectors",
        "search_corpora",
    ] {
        assert!(
            !found.contains(&format!("Seq Scan on {table}")),
            "{sql}\n{found}"
        );
    }
    for index in expected {
        assert!(found.contains(index), "{sql}\nwants {index}\n{found}");
    }
}

fn check_filter(filter: SearchFilter, index: &str) {
    let mut values: Vec<Value> = Vec::new();
    let sql = search_tables::allowed(&filter, &mut values, 10);
    check(&sql, &[index]);
}

#[test]
fn words_are_looked_up_in_the_index_of_words() {
    check(search_tables::WORDS, &["search_words_pkey"]);
    check(search_tables::WORDS_WITH, &["search_words_pkey"]);
    check(search_tables::CORPORA, &["search_corpora_pkey"]);
    check(search_tables::PAGES, &["search_pages_pkey"]);
    let filter = SearchFilter {
        tenant: 1,
        ..SearchFilter::default()
    };
    let mut values = vec![Value::Null, Value::Null];
    let sql = search_tables::matches(&filter, &mut values);
    check(&sql, &["search_pages_words"]);
}

#[test]
fn each_filter_has_its_index() {
    let open = SearchFilter {
        tenant: 1,
        ..SearchFilter::default()
    };
    check_filter(
        SearchFilter {
            source: Some(types::SourceId(1)),
            ..open.clone()
        },
        "search_pages_source",
    );
    check_filter(
        SearchFilter {
            host: Some("h".into()),
            path_prefix: Some("/docs".into()),
            ..open.clone()
        },
        "search_pages_host",
    );
    check_filter(
        SearchFilter {
            published: (Some(1), Some(2)),
            ..open.clone()
        },
        "search_pages_published",
    );
    check_filter(
        SearchFilter {
            structured: vec!["a\u{1f}b".into()],
            ..open.clone()
        },
        "search_pages_structured",
    );
    check_filter(
        SearchFilter {
            required: vec!["'1~a' <1> '1~b'".into()],
            ..open
        },
        "search_pages_words",
    );
}

#[test]
fn vectors_are_found_by_the_graph_or_by_tenant_and_page() {
    check(search_tables::NEAREST, &["search_vectors_near"]);
    check(search_tables::EXACT, &["search_vectors_tenant"]);
    check(search_tables::EXACT_OF_PAGES, &["search_vectors_page"]);
}
