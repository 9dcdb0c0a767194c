//! The queries that run all the time use the index made for them.

use std::sync::Arc;

use rusqlite::Connection;
use types::{ManualClock, PageId, SourceId};

use crate::pages::list_query;
use crate::{PageFilter, PageStatus, Store, embedding, frontier, index};

/// The plan, one step per line, as SQLite explains it.
fn plan(connection: &Connection, sql: &str) -> String {
    let mut statement = connection
        .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
        .unwrap();
    let parameters = vec![1i64; statement.parameter_count()];
    let steps = statement
        .query_map(rusqlite::params_from_iter(parameters), |row| row.get(3))
        .unwrap();
    let steps: Vec<String> = steps.map(Result::unwrap).collect();
    steps.join("\n")
}

fn check(sql: &str, expected: &[&str]) {
    let store = Store::open_memory(Arc::new(ManualClock::default())).unwrap();
    let found = store
        .read("explain", |connection| Ok(plan(connection, sql)))
        .unwrap();
    for step in expected {
        assert!(found.contains(step), "{sql}\nwants {step}\n{found}");
    }
    assert!(!found.contains("TEMP B-TREE"), "{sql}\nsorts\n{found}");
    for table in ["frontier", "pages", "chunks", "vectors", " f", " p", " k"] {
        let scan = format!("SCAN {}", table.trim());
        assert!(!found.lines().any(|line| line == scan), "{sql}\n{found}");
    }
}

#[test]
fn queue_reads_stay_within_the_queued_rows_of_a_host() {
    check(
        frontier::QUEUED_URLS,
        &[
            "SEARCH f USING INDEX frontier_queued (crawl_id=? AND host_id=? AND id>?)",
            "SEARCH p USING INDEX sqlite_autoindex_pages_1 (tenant_id=? AND url=?)",
        ],
    );
    check(
        frontier::QUEUED_HOSTS,
        &[
            "frontier_queued (crawl_id=?)",
            "frontier_queued (crawl_id=? AND host_id>?)",
        ],
    );
}

#[test]
fn replays_start_at_the_last_number() {
    check(index::PAGES_CHANGED, &["INDEX pages_change (change_seq>?)"]);
    check(
        embedding::VECTORS_SINCE,
        &["INDEX vectors_change (change_seq>?)"],
    );
}

#[test]
fn the_backlog_reads_pending_chunks_only() {
    check(embedding::PENDING_CHUNKS, &["INDEX chunks_pending (id>?)"]);
}

#[test]
fn page_lists_never_sort() {
    let list = |filter: PageFilter| list_query(&filter).0;
    let all = PageFilter::default;
    check(
        &list(all()),
        &["INDEX pages_tenant (tenant_id=? AND rowid>?)"],
    );
    let after = Some(PageId(1));
    check(&list(PageFilter { after, ..all() }), &["pages_tenant"]);
    let host = Some("h".to_owned());
    check(&list(PageFilter { host, ..all() }), &["INDEX pages_host"]);
    let source = Some(SourceId(1));
    check(
        &list(PageFilter { source, ..all() }),
        &["INDEX pages_source"],
    );
    let status = Some(PageStatus::Live);
    let language = Some("fa".to_owned());
    check(
        &list(PageFilter {
            status,
            language,
            ..all()
        }),
        &[],
    );
}
