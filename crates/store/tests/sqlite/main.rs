//! The embedded engine seen from outside.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests; clippy exempts only the test functions themselves"
)]

mod durability;
mod processes;

#[path = "../suite/moving.rs"]
mod moving;

#[path = "../suite/mod.rs"]
mod suite;

use suite::support;

/// Stores of this engine, for the suite.
mod engine {
    use std::sync::Arc;

    use store::{Access, Store, StoreOptions};
    use types::Clock;

    /// How many of a property's `usual` cases are tried.
    pub(crate) const fn cases(usual: u32) -> u32 {
        usual
    }

    /// How far apart the cases of a test are that goes through all of them.
    pub(crate) const fn cases_apart() -> usize {
        1
    }

    /// An empty store.
    pub(crate) fn store(clock: Arc<dyn Clock>) -> Store {
        Store::open_memory(clock).expect("memory opens")
    }

    /// A database that outlives its stores.
    pub(crate) struct Database {
        dir: tempfile::TempDir,
    }

    impl Database {
        pub(crate) fn new() -> Database {
            let dir = tempfile::tempdir().expect("temp dir");
            Database { dir }
        }

        pub(crate) fn open(&self, clock: Arc<dyn Clock>) -> Store {
            Store::open(
                self.dir.path(),
                Access::Write,
                &StoreOptions::default(),
                clock,
            )
            .expect("the directory opens")
        }

        pub(crate) fn place(&self) -> store::Place {
            store::Place::Directory(self.dir.path().to_owned())
        }

        /// The one number that a query gives.
        pub(crate) fn number(&self, sql: &str) -> i64 {
            let file = self.dir.path().join("gleaner.db");
            let database = rusqlite::Connection::open(file).expect("it opens");
            database
                .query_row(sql, [], |row| row.get(0))
                .expect("a number")
        }

        pub(crate) fn execute(&self, sql: &str) {
            let file = self.dir.path().join("gleaner.db");
            let database = rusqlite::Connection::open(file).expect("it opens");
            database.execute_batch(sql).expect("it runs");
        }
    }
}

#[test]
fn the_rules_of_tasks_hold_on_disk() {
    let folders = std::cell::RefCell::new(Vec::new());
    suite::tasks::conformance::exercise(&|| {
        let database = engine::Database::new();
        let clock = support::clock();
        let store = database.open(clock.clone());
        folders.borrow_mut().push(database);
        suite::tasks::Engine { store, clock }
    });
}
