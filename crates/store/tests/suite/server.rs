//! Stores on a server, for the suite: `crate::url` says how a database is reached.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use store::{Access, Store, StoreOptions};
use testkit::services::Postgres;
use types::Clock;

/// How many of a test's databases are kept: it looks at a few at a time, and
/// each has connections that servers have only so many of.
const KEPT: usize = 8;

thread_local! {
    /// The last databases of the test that this thread runs: dropped when it ends.
    static DATABASES: RefCell<VecDeque<Postgres>> = const { RefCell::new(VecDeque::new()) };
}

/// How many of a property's `usual` cases are tried: each makes a database.
pub(crate) const fn cases(usual: u32) -> u32 {
    usual.div_ceil(12)
}

/// How far apart the cases of a test are that goes through all of them.
pub(crate) const fn cases_apart() -> usize {
    9
}

/// An empty store, in a copy of a database that has its tables.
pub(crate) fn store(clock: Arc<dyn Clock>) -> Store {
    static WITH_TABLES: OnceLock<Postgres> = OnceLock::new();
    let with_tables = WITH_TABLES.get_or_init(|| {
        let database = Postgres::fresh();
        let (url, options) = (database.url(), StoreOptions::default());
        let store = Store::open_server(&url, Access::Write, &options, crate::support::clock());
        drop(store.expect("the server opens"));
        database.freeze();
        database
    });
    let database = with_tables.copy();
    let store = open(&database, clock);
    let forgotten = DATABASES.with_borrow_mut(|databases| {
        databases.push_back(database);
        (databases.len() > KEPT).then(|| databases.pop_front())
    });
    drop(forgotten);
    store
}

fn open(database: &Postgres, clock: Arc<dyn Clock>) -> Store {
    let (url, options) = (crate::url(database), StoreOptions::default());
    Store::open_server(&url, Access::Write, &options, clock).expect("the server opens")
}

/// A database that outlives its stores.
pub(crate) struct Database {
    postgres: Postgres,
}

impl Database {
    pub(crate) fn new() -> Database {
        Database {
            postgres: Postgres::fresh(),
        }
    }

    pub(crate) fn open(&self, clock: Arc<dyn Clock>) -> Store {
        open(&self.postgres, clock)
    }

    pub(crate) fn place(&self) -> store::Place {
        store::Place::Server(crate::url(&self.postgres))
    }

    /// The one number that a query gives.
    pub(crate) fn number(&self, sql: &str) -> i64 {
        let printed = self.postgres.sql(sql);
        printed.trim().parse().expect("a number")
    }

    pub(crate) fn execute(&self, sql: &str) {
        self.postgres.sql(sql);
    }
}
