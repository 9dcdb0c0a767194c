//! Databases that do not answer when the others are opened.

use std::thread;
use std::time::{Duration, Instant};

use store::{Access, Store, StoreError, StoreErrorKind, StoreOptions, noting_absent};
use testkit::services::{Postgres, ServiceSet};
use types::TenantId;

use crate::joining::source_in;
use crate::support::clock;

const TENANT: TenantId = TenantId::DEFAULT;

fn open(databases: &[Postgres], access: Access) -> Result<Store, StoreError> {
    let urls: Vec<String> = databases.iter().map(Postgres::url).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    let options = StoreOptions {
        server_wait: Duration::from_millis(500),
        read_wait: Duration::from_millis(500),
        ..StoreOptions::default()
    };
    Store::open_servers(&urls, access, &options, clock())
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < deadline, "never {what}");
        thread::park_timeout(Duration::from_millis(20));
    }
}

#[test]
fn a_shard_that_is_away_at_first_is_taken_in_when_it_answers() {
    let set = ServiceSet::start(&["pg"]);
    let databases = set.postgres_shards(2);
    let store = open(&databases, Access::Write).unwrap();
    let (here, there) = (source_in(&store, 0), source_in(&store, 1));
    let all = store.sources(TENANT).unwrap().len();
    drop(store);
    set.signal("pg-1", "QUIT");
    let stores = [Access::Write, Access::Read].map(|access| open(&databases, access).unwrap());
    for store in &stores {
        let (listed, absent) = noting_absent(|| store.sources(TENANT).unwrap());
        assert!(listed.iter().any(|source| source.id == here));
        assert!(listed.len() < all);
        assert_eq!(absent, ["shard 1"]);
        let error = store.source(there).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        let rows = store.shard_rows();
        assert_eq!(rows[1].number.to_string(), "1");
        assert!(rows[1].stats.is_err() && rows[0].stats.is_ok());
        assert!(store.schema_rows().unwrap()[1].state.is_none());
    }
    // Work on the home goes on; on the shard it fails at once.
    let [writing, reading] = &stores;
    let edit = |source| writing.edit_source(source, store::SourceEdit::default());
    edit(here).unwrap();
    assert_eq!(edit(there).unwrap_err().kind(), StoreErrorKind::Unavailable);
    // What it misses meanwhile it gets before anybody uses it.
    databases[0].sql("INSERT INTO tenants (name, created_at, sources_max) VALUES ('acme', 1, 7)");
    set.start_again("pg-1");
    until("taken in", || {
        stores.iter().all(|store| store.source(there).is_ok())
    });
    let spread = databases[1].sql("SELECT sources_max FROM tenants WHERE name = 'acme'");
    assert_eq!(spread.trim(), "7");
    for store in [writing, reading] {
        let (listed, absent) = noting_absent(|| store.sources(TENANT).unwrap());
        assert_eq!((listed.len(), absent.len()), (all, 0));
    }
    edit(there).unwrap();
    let owner = [writing.instance().to_owned()];
    let shard = reading.shard_of_source(there).unwrap();
    assert!(
        shard.lost_owners(&owner).is_empty(),
        "it is registered there"
    );
}

#[test]
fn a_shard_is_known_by_where_it_was_and_nothing_else_is_taken_for_it() {
    let set = ServiceSet::start(&["pg"]);
    let databases = set.postgres_shards(2);
    let (home, shard) = (&databases[0], &databases[1]);
    // One that never joined cannot be gone without, and neither can the home.
    drop(open(&databases[..1], Access::Write).unwrap());
    set.signal("pg-1", "QUIT");
    let error = open(&databases, Access::Write).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    set.start_again("pg-1");
    until("joined", || open(&databases, Access::Write).is_ok());
    set.signal("pg-0", "QUIT");
    let error = open(&databases, Access::Write).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(error.to_string().contains("does not answer"), "{error}");
    set.start_again("pg-0");
    until("back", || open(&databases, Access::Write).is_ok());

    set.signal("pg-1", "QUIT");
    let store = open(&databases, Access::Write).unwrap();
    let there = types::SourceId((1 << 40) + 1);
    set.start_again("pg-1");
    // At its place is an empty database now.
    let name = shard.url().rsplit('/').next().unwrap().to_owned();
    let maintenance = shard.url().replace(&name, "postgres");
    let psql = |sql: &str| {
        let program = std::path::Path::new(&set.variable("TEST_PG_BIN")).join("psql");
        let ran = std::process::Command::new(program)
            .args([
                "-X",
                "-q",
                "-v",
                "ON_ERROR_STOP=1",
                "-d",
                &maintenance,
                "-c",
                sql,
            ])
            .output();
        ran.is_ok_and(|ran| ran.status.success())
    };
    until("replaced", || {
        psql(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
    });
    assert!(psql(&format!("CREATE DATABASE {name}")));
    until("looked at", || {
        let error = store.source(there).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        error.to_string().contains("no shard any more")
    });
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(shard.sql(tables).trim(), "0", "nothing was made there");
    assert!(home.sql(tables).trim() != "0");
}
