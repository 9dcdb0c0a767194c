//! Two databases on two servers, each behind PgBouncer in transaction mode,
//! seen from outside as one store.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests; clippy exempts only the test functions themselves"
)]

mod absent;
mod joining;
mod spreading;

#[expect(dead_code, reason = "other targets take more of it")]
#[path = "../suite/support.rs"]
mod support;

/// Stores over two databases.
mod engine {
    use std::cell::RefCell;
    use std::sync::Arc;

    use store::{Access, Store, StoreError, StoreOptions};
    use testkit::services::Postgres;
    use types::Clock;

    thread_local! {
        /// Databases of the test that this thread runs: dropped when it ends.
        static DATABASES: RefCell<Vec<Database>> = const { RefCell::new(Vec::new()) };
    }

    /// An empty store.
    pub(crate) fn store(clock: Arc<dyn Clock>) -> Store {
        let database = Database::new();
        let store = database.open(clock);
        DATABASES.with_borrow_mut(|databases| databases.push(database));
        store
    }

    /// Databases that outlive their stores.
    pub(crate) struct Database {
        pub(crate) shards: Vec<Postgres>,
    }

    impl Database {
        pub(crate) fn new() -> Database {
            Database {
                shards: Postgres::fresh_shards(2),
            }
        }

        pub(crate) fn open(&self, clock: Arc<dyn Clock>) -> Store {
            self.try_open(&[0, 1], clock).expect("the servers open")
        }

        /// Those of the databases with these places, the home first.
        pub(crate) fn try_open(
            &self,
            places: &[usize],
            clock: Arc<dyn Clock>,
        ) -> Result<Store, StoreError> {
            let urls: Vec<String> = places
                .iter()
                .map(|place| self.shards[*place].pgbouncer_url())
                .collect();
            let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
            Store::open_servers(&urls, Access::Write, &StoreOptions::default(), clock)
        }

        /// The one number that a query gives, added over the databases.
        pub(crate) fn number(&self, sql: &str) -> i64 {
            let printed = self.shards.iter().map(|shard| shard.sql(sql));
            printed
                .map(|number| number.trim().parse::<i64>().expect("a number"))
                .sum()
        }
    }
}
