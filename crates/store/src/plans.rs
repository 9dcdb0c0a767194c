//! The queries that run all the time use the index made for them.

use std::sync::Arc;

use types::ManualClock;

use crate::sql::Connection;
use crate::{
    Store, batch, breakers, crawls, embedding, frontier, hosts, index, keys, outbox, publishing,
    removal, schedule, sources, tasks, tenants, usage, webhooks,
};

mod lists;
mod search;
mod server;
mod summaries;

/// The plan, one step per line, as SQLite explains it.
fn plan(connection: &Connection, sql: &str) -> String {
    let Connection::Sqlite(connection) = connection else {
        panic!("plans are SQLite's")
    };
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
        .home()
        .read("explain", |connection| Ok(plan(connection, sql)))
        .unwrap();
    for step in expected {
        assert!(found.contains(step), "{sql}\nwants {step}\n{found}");
    }
    assert!(!found.contains("TEMP B-TREE"), "{sql}\nsorts\n{found}");
    for table in [
        "frontier",
        "pages",
        "chunks",
        "vectors",
        "sources",
        "hosts",
        "tasks",
        "crawls",
        "usage",
        "summaries",
        "llm_use",
        "llm_reservations",
        "host_breakers",
        " f",
        " p",
        " k",
        " n",
        " t",
    ] {
        let scan = format!("SCAN {}", table.trim());
        assert!(!found.lines().any(|line| line == scan), "{sql}\n{found}");
    }
    server::check(sql, expected);
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
fn a_claim_costs_the_same_however_long_the_queue_is() {
    check(
        tasks::HEADS,
        &["COVERING INDEX tasks_queued (tenant_id=? AND kind=?)"],
    );
    check(
        tasks::TURNS,
        &["INDEX tenant_shares_turn ((pass,tenant_id)>"],
    );
    check(
        tasks::PROMOTE,
        &[
            "tasks USING INTEGER PRIMARY KEY (rowid=?)",
            "COVERING INDEX tasks_scheduled (run_at<?)",
        ],
    );
    check(tasks::RUN, &["INTEGER PRIMARY KEY (rowid=?)"]);
}

#[test]
fn ends_signals_and_rescues_read_only_their_tasks() {
    check(tasks::END, &["INTEGER PRIMARY KEY (rowid=?)"]);
    check(tasks::SIGNALS, &["INDEX tasks_running (owner=?)"]);
    check(tasks::OWNERS, &["INDEX tasks_running (owner>?)"]);
    check(
        tasks::CLEAR,
        &[
            "tasks USING INTEGER PRIMARY KEY (rowid=?)",
            "COVERING INDEX tasks_finished (state=? AND finished_at<?)",
        ],
    );
}

#[test]
fn dedupe_keys_are_looked_up() {
    check(
        tasks::PENDING_KEY,
        &["INDEX tasks_dedupe (tenant_id=? AND dedupe=?)"],
    );
    check(
        tasks::RUNNING_KEY,
        &["INDEX tasks_dedupe_running (tenant_id=? AND dedupe=?)"],
    );
}

#[test]
fn task_lists_and_numbers_never_sort_or_count() {
    check(
        tasks::LISTED,
        &["COVERING INDEX tasks_newest (tenant_id=? AND kind=? AND state=? AND enqueued_at<?)"],
    );
    check(
        tasks::CHILDREN,
        &["INDEX tasks_parent (parent_id=? AND rowid<?)"],
    );
    check(
        tasks::OLDEST,
        &["INDEX tasks_queued (tenant_id=? AND kind=? AND rank>?)"],
    );
    check(tasks::NEXT_RUN, &["COVERING INDEX tasks_scheduled"]);
    check(tasks::OVERDUE, &["INDEX tasks_scheduled (run_at<?)"]);
}

#[test]
fn the_scheduler_reads_due_sources_only() {
    check(
        schedule::DUE_SOURCES,
        &["SEARCH sources USING INDEX sources_due (next_due_at>? AND next_due_at<?)"],
    );
    check(schedule::NEXT_DUE, &["INDEX sources_due (next_due_at>?)"]);
    check(hosts::LEASE_OWNERS, &["COVERING INDEX hosts_lease"]);
}

#[test]
fn breakers_are_found_by_when_they_close() {
    let index = "INDEX host_breakers_open (tenant_id=? AND open_until";
    check(breakers::OPEN_BREAKERS, &[&format!("{index}>?)")]);
    check(breakers::DROP_PAST, &[&format!("{index}<?)")]);
}

#[test]
fn removals_read_the_pages_that_are_left() {
    check(
        batch::PAGES_BELOW,
        &["INDEX pages_source (source_id=? AND rowid<?)"],
    );
    check(removal::PURGING, &["INDEX sources_purging"]);
    check(
        batch::DELETE_CONTENT,
        &[
            "SEARCH contents USING INTEGER PRIMARY KEY (rowid=?)",
            "INDEX pages_content (content_id=?)",
            "INDEX page_versions_content (content_id=?)",
        ],
    );
}

#[test]
fn keys_are_looked_up_by_their_hash() {
    check(
        keys::BY_HASH,
        &[
            "SEARCH k USING INDEX sqlite_autoindex_api_keys_1 (hash=?)",
            "SEARCH t USING INTEGER PRIMARY KEY (rowid=?)",
        ],
    );
    let index = "SEARCH k USING INDEX api_keys_tenant (tenant_id=? AND revoked_at";
    check(keys::VALID, &[&format!("{index}=?)")]);
    check(keys::REVOKED, &[&format!("{index}>?)")]);
}

#[test]
fn what_a_tenant_has_is_found_by_the_tenant() {
    check(
        tenants::STATS,
        &["t USING INTEGER PRIMARY KEY", "s USING PRIMARY KEY"],
    );
    check(
        usage::BETWEEN,
        &["PRIMARY KEY (tenant_id=? AND day>? AND day<?)"],
    );
    check(
        sources::SOURCES_BEHIND,
        &["INDEX sources_tenant (tenant_id=? AND rowid>?)"],
    );
    check(
        crawls::CRAWLS_OF_TENANT,
        &["INDEX crawls_tenant_newest (tenant_id=? AND started_at<?)"],
    );
    check(
        crawls::CRAWLS_OF_SOURCE,
        &["INDEX crawls_source_newest (source_id=? AND started_at<?)"],
    );
}

#[test]
fn events_and_deliveries_are_read_from_where_somebody_is() {
    check(
        outbox::WANTED,
        &["COVERING INDEX webhooks_active (tenant_id=?)"],
    );
    check(
        webhooks::BEHIND,
        &["COVERING INDEX events_tenant (tenant_id=? AND id>?)"],
    );
    check(
        webhooks::EVENTS,
        &["INDEX events_tenant (tenant_id=? AND id>? AND id<?)"],
    );
    check(
        webhooks::NEXT,
        &["INDEX webhook_deliveries_due (webhook_id=? AND next_at>? AND next_at<?)"],
    );
    check(
        webhooks::LISTED_STATE,
        &["INDEX webhook_deliveries_state (webhook_id=? AND state=? AND rowid<?)"],
    );
    check(
        publishing::NEXT,
        &["INDEX events_tenant (tenant_id=? AND id>?)"],
    );
    check(
        publishing::MISSED,
        &["COVERING INDEX events_tenant (tenant_id=? AND id>? AND id<?)"],
    );
    check(outbox::OLDEST, &["INDEX events_tenant (tenant_id=?)"]);
    check(outbox::NTH, &["COVERING INDEX events_tenant (tenant_id=?)"]);
}
