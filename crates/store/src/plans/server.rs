//! The same queries on PostgreSQL: each uses the index of the same name.

use std::sync::{Arc, OnceLock};

use testkit::services::Postgres;
use types::ManualClock;

use crate::postgres::translate;
use crate::{Access, Store, StoreOptions};

/// Empty but for its schema. What a planner would choose for a handful of rows
/// says nothing, so scans of whole tables are made to look dear: one that is
/// left has no index to use instead.
fn database() -> &'static Postgres {
    static DATABASE: OnceLock<Postgres> = OnceLock::new();
    DATABASE.get_or_init(|| {
        let database = Postgres::fresh();
        let (url, clock) = (database.url(), Arc::new(ManualClock::default()));
        let store = Store::open_server(&url, Access::Write, &StoreOptions::default(), clock);
        drop(store.unwrap());
        database
    })
}

/// `expected` as SQLite tells it.
pub(super) fn check(sql: &str, expected: &[&str]) {
    let explain = format!(
        "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_material = off;
         EXPLAIN (GENERIC_PLAN, COSTS OFF) {}",
        translate(sql)
    );
    let found = database().sql(&explain);
    assert!(!found.contains("Seq Scan"), "{sql}\n{found}");
    for step in expected {
        let index = index_of(step);
        assert!(found.contains(&index), "{sql}\nwants {index}\n{found}");
    }
}

/// The name that PostgreSQL gives to the index of a step.
fn index_of(step: &str) -> String {
    let words: Vec<&str> = step.split(' ').collect();
    let named = words.iter().position(|word| *word == "INDEX");
    let name = named.and_then(|at| words.get(at + 1)).copied();
    match name {
        Some("sqlite_autoindex_pages_1") => "pages_tenant_id_url_key".to_owned(),
        Some("sqlite_autoindex_api_keys_1") => "api_keys_hash_key".to_owned(),
        Some(name) => name.to_owned(),
        None => match words.first() {
            Some(name) if name.contains('_') && !name.starts_with('(') => (*name).to_owned(),
            _ => "_pkey".to_owned(),
        },
    }
}
