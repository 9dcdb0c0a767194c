//! How a database is taken away again.

use std::ops::ControlFlow;

use store::{NewSource, ShardNumber, SourceMove, Standing, Store, StoreErrorKind};
use types::{TaskId, TenantId};

use crate::engine::Database;
use crate::joining::{refusal, source_in};
use crate::picture::all_pages;
use crate::suite::tasks::task;
use crate::support::{Site, clock, page, stored};

const ONE: ShardNumber = ShardNumber::new(1);

fn spec(host: &str) -> NewSource {
    NewSource {
        tenant: TenantId::DEFAULT,
        name: host.to_owned(),
        seeds: vec![format!("https://{host}/")],
        policy: "{}".to_owned(),
    }
}

fn move_all(store: &Store) {
    for one in store.misplaced().unwrap() {
        let moved = store
            .move_source(one.source, one.to, &mut |_| ControlFlow::Continue(()))
            .unwrap();
        assert!(matches!(moved, SourceMove::Moved { .. }), "{moved:?}");
    }
}

/// A task in the second database, where nobody works.
fn task_there(store: &Store) -> TaskId {
    let queued = store.shards()[1].enqueue_tasks(vec![task("embed")]);
    queued.unwrap()[0].id
}

#[test]
fn a_drained_database_gets_nothing_new_and_leaves_when_nothing_needs_it() {
    let (database, clock) = (Database::new(), clock());
    let store = database.open(clock.clone());
    let site = Site {
        store: store.clone(),
        source: source_in(&store, 1),
        clock: clock.clone(),
    };
    site.visit(vec![("a", stored(page("A", &["kites"])))]);
    let crawl = site.store.crawls(site.source, 1).unwrap()[0].id;
    let completed = store::CrawlStatus::Completed;
    store.finish_crawl(crawl, completed, None).unwrap();
    let task = task_there(&store);
    let pages = store.pages(&all_pages()).unwrap();

    store.set_draining(ONE, true).unwrap();
    let standing = |store: &Store| -> Vec<Standing> {
        let rows = store.shard_rows().into_iter();
        rows.map(|row| row.standing).collect()
    };
    assert_eq!(standing(&store), [Standing::Active, Standing::Draining]);
    for n in 0..20 {
        let source = store
            .ensure_source(spec(&format!("new-{n}.example")))
            .unwrap();
        let place = store.shard_of_source(source).unwrap().shard_number();
        assert_eq!(place, ShardNumber::HOME);
    }
    let needed = store.take_away(ONE).unwrap().expect("it has sources");
    assert!(needed.ends_with("sources"), "{needed}");
    move_all(&store);
    let needed = store.take_away(ONE).unwrap().expect("it has a task");
    assert!(needed.starts_with("1 unfinished tasks"), "{needed}");
    // Nothing was taken away yet.
    assert_eq!(database.open(clock.clone()).shards().len(), 2);
    store.cancel_task(TenantId::DEFAULT, task).unwrap();
    assert_eq!(store.take_away(ONE).unwrap(), None);

    // Whoever still has it open may not put anything there.
    let late = store.shards()[1].ensure_source(spec("late.example"));
    assert_eq!(late.unwrap_err().kind(), StoreErrorKind::Conflict);
    drop((site, store));
    let named = refusal(database.try_open(&[0, 1], clock.clone()));
    assert!(named.contains("was taken away"), "{named}");
    let alone = database.try_open(&[0], clock.clone()).unwrap();
    assert_eq!(alone.pages(&all_pages()).unwrap(), pages);
    drop(alone);
    // Its number is nobody else's: its ids are in use.
    let other = Database::new();
    let urls =
        [&database.shards[0], &other.shards[1]].map(testkit::services::Postgres::pgbouncer_url);
    let joined = crate::engine::open(&urls, clock).unwrap();
    assert_eq!(joined.shards()[1].shard_number(), ShardNumber::new(2));
}

#[test]
fn draining_can_be_called_off_and_is_for_shards_that_are_there() {
    let database = Database::new();
    let store = database.open(clock());
    let there = source_in(&store, 1);
    for (number, words) in [(0, "the home cannot"), (7, "there is no shard 7")] {
        let refused = store
            .set_draining(ShardNumber::new(number), true)
            .unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Conflict);
        assert!(refused.to_string().contains(words), "{refused}");
    }
    let early = store.take_away(ONE).unwrap_err();
    assert!(
        early.to_string().contains("is not being drained"),
        "{early}"
    );
    store.set_draining(ONE, true).unwrap();
    let misplaced = store.misplaced().unwrap();
    assert!(misplaced.iter().any(|one| one.source == there));
    // As somebody leaves it who dies while taking it away.
    database.shards[1].sql("INSERT INTO meta (key, value) VALUES ('left', '1')");
    store.set_draining(ONE, false).unwrap();
    assert_eq!(store.misplaced().unwrap(), []);
    let another = store.shards()[1].ensure_source(spec("another.example"));
    another.unwrap();
}
