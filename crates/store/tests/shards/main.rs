//! Two databases on two servers, each behind PgBouncer in transaction mode,
//! seen from outside as one store.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests; clippy exempts only the test functions themselves"
)]

mod absent;
mod draining;
mod joining;
mod moving;
mod picture;
mod raw_copies;
mod spreading;
mod summaries;

#[path = "../suite/mod.rs"]
mod suite;

use suite::support;

/// Stores of this engine, for the suite.
mod engine {
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use std::sync::{Arc, OnceLock};

    use store::{Access, Store, StoreError, StoreOptions};
    use testkit::services::Postgres;
    use types::Clock;

    /// How many of a test's databases are kept: it looks at a few at a time, and
    /// each has connections that servers have only so many of.
    const KEPT: usize = 8;

    thread_local! {
        /// The last databases of the test that this thread runs: dropped when it ends.
        static DATABASES: RefCell<VecDeque<Database>> = const { RefCell::new(VecDeque::new()) };
    }

    /// How many of a property's `usual` cases are tried: each makes two databases.
    pub(crate) const fn cases(usual: u32) -> u32 {
        usual.div_ceil(48)
    }

    /// How far apart the cases of a test are that goes through all of them.
    pub(crate) const fn cases_apart() -> usize {
        37
    }

    /// An empty store, in copies of databases that have its tables.
    pub(crate) fn store(clock: Arc<dyn Clock>) -> Store {
        static WITH_TABLES: OnceLock<Vec<Postgres>> = OnceLock::new();
        let with_tables = WITH_TABLES.get_or_init(|| {
            let shards = Postgres::fresh_shards(2);
            let urls: Vec<String> = shards.iter().map(Postgres::url).collect();
            drop(open(&urls, crate::support::clock()).expect("the servers open"));
            shards.iter().for_each(Postgres::freeze);
            shards
        });
        let database = Database {
            shards: with_tables.iter().map(Postgres::copy).collect(),
        };
        let store = database.open(clock);
        let forgotten = DATABASES.with_borrow_mut(|databases| {
            databases.push_back(database);
            (databases.len() > KEPT).then(|| databases.pop_front())
        });
        drop(forgotten);
        store
    }

    /// Databases that outlive their stores.
    pub(crate) struct Database {
        pub(crate) shards: Vec<Postgres>,
    }

    pub(crate) fn open(urls: &[String], clock: Arc<dyn Clock>) -> Result<Store, StoreError> {
        let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
        Store::open_servers(&urls, Access::Write, &StoreOptions::default(), clock)
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
            open(&urls, clock)
        }

        /// The one number that a query gives, added over the databases.
        pub(crate) fn number(&self, sql: &str) -> i64 {
            let printed = self.shards.iter().map(|shard| shard.sql(sql));
            printed
                .map(|number| number.trim().parse::<i64>().expect("a number"))
                .sum()
        }

        pub(crate) fn execute(&self, sql: &str) {
            for shard in &self.shards {
                shard.sql(sql);
            }
        }
    }
}
