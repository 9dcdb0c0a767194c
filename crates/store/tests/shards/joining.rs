//! How databases come together.

use store::{NewSource, Store, StoreErrorKind};
use types::{SourceId, TenantId};

use crate::engine::Database;
use crate::support::clock;

/// A source in the database with this number.
pub(crate) fn source_in(store: &Store, shard: u16) -> SourceId {
    let sources = (0..100).map(|n| {
        let source = NewSource {
            tenant: TenantId::DEFAULT,
            name: format!("source {n}"),
            seeds: vec![format!("https://host-{n}.example/")],
            policy: "{}".to_owned(),
        };
        store.ensure_source(source).unwrap()
    });
    let mut sources = sources.filter(|id| {
        let place = store.shard_of_source(*id).unwrap().shard_number();
        place.to_string() == shard.to_string()
    });
    sources.next().expect("one of a hundred is there")
}

pub(crate) fn refusal(opened: Result<Store, store::StoreError>) -> String {
    let error = opened.expect_err("it is refused");
    assert_eq!(error.kind(), StoreErrorKind::Conflict);
    error.to_string()
}

#[test]
fn an_empty_database_joins_and_gives_ids_of_its_own() {
    let database = Database::new();
    let store = database.open(clock());
    assert_eq!(store.shards().len(), 2);
    let (here, there) = (source_in(&store, 0), source_in(&store, 1));
    assert!(here.0 < 1 << 40, "{here}");
    assert!(there.0 > 1 << 40 && there.0 < 2 << 40, "{there}");
    let has = |shard: usize, id: SourceId| {
        let sql = format!("SELECT count(*) FROM sources WHERE id = {}", id.0);
        database.shards[shard].sql(&sql).trim() == "1"
    };
    assert!(has(0, here) && !has(0, there));
    assert!(has(1, there) && !has(1, here));
}

#[test]
fn all_shards_are_named_each_once_and_the_home_first() {
    let database = Database::new();
    let store = database.open(clock());
    let there = source_in(&store, 1);
    drop(store);
    let without = refusal(database.try_open(&[0], clock()));
    assert!(without.contains("shard 1 ("), "{without}");
    assert!(without.contains("name all shards"), "{without}");
    let other = refusal(database.try_open(&[1], clock()));
    assert!(other.contains("is shard 1 of another database"), "{other}");
    let turned = refusal(database.try_open(&[1, 0], clock()));
    assert!(
        turned.contains("is shard 1 of another database"),
        "{turned}"
    );
    let twice = refusal(database.try_open(&[0, 1, 1], clock()));
    assert!(twice.contains("named twice"), "{twice}");
    // Nothing of it changed what they are.
    let store = database.open(clock());
    assert!(store.source(there).unwrap().is_some());
}

#[test]
fn a_database_with_data_of_its_own_does_not_join() {
    let database = Database::new();
    let alone = database.try_open(&[1], clock()).unwrap();
    alone.create_tenant("acme").unwrap();
    drop(alone);
    let refused = refusal(database.try_open(&[0, 1], clock()));
    assert!(refused.contains("data of its own"), "{refused}");
    // It was not listed either.
    database.try_open(&[0], clock()).unwrap();
}

#[test]
fn a_shard_of_one_home_is_none_of_another() {
    let (ours, theirs) = (Database::new(), Database::new());
    drop(ours.open(clock()));
    let urls = [&theirs.shards[0], &ours.shards[1]].map(testkit::services::Postgres::pgbouncer_url);
    let urls = [urls[0].as_str(), urls[1].as_str()];
    let options = store::StoreOptions::default();
    let opened = Store::open_servers(&urls, store::Access::Write, &options, clock());
    let refused = refusal(opened);
    assert!(refused.contains("a shard of another database"), "{refused}");
}

#[test]
fn what_a_shard_misses_of_the_catalogue_it_gets_when_it_is_opened() {
    let database = Database::new();
    drop(database.open(clock()));
    database.shards[0]
        .sql("INSERT INTO tenants (name, created_at, sources_max) VALUES ('acme', 1, 7)");
    let store = database.open(clock());
    let tenant = store.tenant_by_name("acme").unwrap().unwrap();
    let sql = format!(
        "SELECT name, sources_max FROM tenants WHERE id = {}",
        tenant.id.0
    );
    assert_eq!(database.shards[1].sql(&sql).trim(), "acme|7");
}
