//! A server that goes away and comes back.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use store::{Access, Store, StoreErrorKind, StoreOptions};
use testkit::services::{Postgres, ServiceSet};

use crate::support::clock;

fn open(database: &Postgres, options: &StoreOptions) -> Result<Store, store::StoreError> {
    Store::open_server(&database.url(), Access::Write, options, clock())
}

/// Each with connections that were used and with none.
#[test]
fn a_read_waits_for_a_server_that_restarts() {
    let set = ServiceSet::start(&["pg"]);
    let database = set.postgres();
    let options = StoreOptions {
        // A machine that is busy with other tests.
        read_wait: Duration::from_secs(120),
        ..StoreOptions::default()
    };
    let used = open(&database, &options).unwrap();
    used.create_tenant("acme").unwrap();
    assert_eq!(used.tenants().unwrap().len(), 2);
    let fresh = open(&database, &options).unwrap();
    set.signal("pg-0", "QUIT");
    let (asks, asked) = mpsc::channel();
    thread::scope(|scope| {
        for store in [&used, &fresh] {
            let asks = asks.clone();
            scope.spawn(move || {
                asks.send(()).unwrap();
                assert_eq!(store.tenants().unwrap().len(), 2);
                store.data_version().unwrap();
            });
        }
        asked.iter().take(2).for_each(drop);
        set.start_again("pg-0");
    });
}

#[test]
fn only_the_first_reads_wait_for_a_server_that_stays_away() {
    const WAIT: Duration = Duration::from_secs(2);
    let set = ServiceSet::start(&["pg"]);
    let database = set.postgres();
    let options = StoreOptions {
        read_wait: WAIT,
        ..StoreOptions::default()
    };
    let store = open(&database, &options).unwrap();
    store.tenants().unwrap();
    set.signal("pg-0", "QUIT");
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| store.tenants().unwrap_err());
        }
    });
    assert!(begun.elapsed() >= WAIT);
    let begun = Instant::now();
    for _ in 0..20 {
        let error = store.tenants().unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    }
    assert!(begun.elapsed() < 20 * WAIT / 2, "{:?}", begun.elapsed());
    set.start_again("pg-0");
    let deadline = Instant::now() + Duration::from_secs(120);
    while store.tenants().is_err() {
        assert!(Instant::now() < deadline, "it is back and never asked");
        thread::park_timeout(Duration::from_millis(20));
    }
}

#[test]
fn a_store_waits_for_its_server_to_start() {
    let set = ServiceSet::start(&["pg"]);
    let database = Arc::new(set.postgres());
    drop(open(&database, &StoreOptions::default()).unwrap());
    set.signal("pg-0", "QUIT");
    let short = StoreOptions {
        server_wait: Duration::from_millis(300),
        ..StoreOptions::default()
    };
    let begun = Instant::now();
    let error = open(&database, &short).unwrap_err();
    assert!(begun.elapsed() >= short.server_wait);
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(error.to_string().contains("does not answer"), "{error}");
    let long = StoreOptions {
        server_wait: Duration::from_secs(120),
        ..StoreOptions::default()
    };
    let (opens, opening) = mpsc::channel();
    thread::scope(|scope| {
        let database = database.clone();
        let opened = scope.spawn(move || {
            opens.send(()).unwrap();
            open(&database, &long)
        });
        opening.recv().unwrap();
        set.start_again("pg-0");
        assert_eq!(opened.join().unwrap().unwrap().tenants().unwrap().len(), 1);
    });
}
