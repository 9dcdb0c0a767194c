//! Migrations that are made up, on a real server.

use std::sync::Arc;
use std::thread;

use testkit::services::Postgres;
use types::{ManualClock, TenantId};

use super::plan::check_list;
use super::*;
use crate::postgres::instances::announce;
use crate::{Access, NewSource, Store, StoreOptions};

const NOW: Timestamp = Timestamp(5);

/// What a program one version ahead knows: a column that older programs do not
/// fill, an index on it, and what was there before it.
const NEWER: &[Migration] = &[
    Migration {
        version: BASE,
        name: MIGRATIONS[0].name,
        compatible_from: BASE,
        steps: MIGRATIONS[0].steps,
    },
    Migration {
        version: 8,
        name: MIGRATIONS[1].name,
        compatible_from: 8,
        steps: MIGRATIONS[1].steps,
    },
    Migration {
        version: 9,
        name: MIGRATIONS[2].name,
        compatible_from: 8,
        steps: MIGRATIONS[2].steps,
    },
    Migration {
        version: 10,
        name: MIGRATIONS[3].name,
        compatible_from: 8,
        steps: MIGRATIONS[3].steps,
    },
    Migration {
        version: 11,
        name: MIGRATIONS[4].name,
        compatible_from: 8,
        steps: MIGRATIONS[4].steps,
    },
    Migration {
        version: 12,
        name: "titles",
        compatible_from: 11,
        steps: &[
            Step::Expand(
                "CREATE TABLE made_up (id BIGINT PRIMARY KEY);
                 ALTER TABLE sources ADD COLUMN title TEXT",
            ),
            Step::Index {
                name: "sources_title",
                unique: false,
                on: "sources (tenant_id, title)",
            },
            Step::Backfill {
                sql: "UPDATE sources SET title = upper(name) WHERE id IN
                        (SELECT id FROM sources WHERE title IS NULL ORDER BY id LIMIT ?1)",
                rows: 10,
            },
            Step::Contract("ALTER TABLE sources DROP COLUMN trouble"),
        ],
    },
];

const STEPS: [&str; 4] = [
    "12 (titles): expand",
    "12 (titles): index sources_title",
    "12 (titles): backfill",
    "12 (titles): contract",
];

/// Short, so that a test that waits in vain is over soon.
const SHORT: Patience = Patience {
    lock: Duration::from_millis(100),
    index_lock: Duration::from_millis(300),
    attempts: 3,
    turn: Duration::from_secs(30),
};

fn server(database: &Postgres) -> Server {
    Server::new(&database.url(), &StoreOptions::default()).unwrap()
}

/// A store of the program as it is, which is the older of the two.
fn older(database: &Postgres) -> Store {
    let clock = Arc::new(ManualClock::at(Timestamp(1_000)));
    let options = StoreOptions::default();
    Store::open_server(&database.url(), Access::Write, &options, clock).unwrap()
}

fn add_sources(store: &Store, from: usize, to: usize) {
    for number in from..to {
        let source = NewSource {
            tenant: TenantId::DEFAULT,
            name: format!("source {number}"),
            seeds: vec![format!("https://{number}.example/")],
            policy: "{}".to_owned(),
        };
        store.ensure_source(source).unwrap();
    }
}

/// Migrates as the newer program would; the steps that were done.
fn migrate_newer(
    server: &Server,
    watch: &mut dyn FnMut(&str) -> Result<(), Failure>,
) -> Result<Vec<String>, Failure> {
    run(server, SHORT, watch, Migrator::open)
}

fn contract_newer(server: &Server) -> Vec<String> {
    run(server, SHORT, &mut |_| Ok(()), Migrator::contract).unwrap()
}

fn run<'a>(
    server: &'a Server,
    patience: Patience,
    watch: &'a mut dyn FnMut(&str) -> Result<(), Failure>,
    work: impl FnOnce(&mut Migrator<'a>, &Connection) -> Result<(), Failure>,
) -> Result<Vec<String>, Failure> {
    let connection = server.connect()?;
    let mut migrator = Migrator {
        migrations: NEWER,
        direct: server,
        patience,
        now: NOW,
        watch,
        done: Vec::new(),
    };
    work(&mut migrator, &connection)?;
    Ok(migrator.done)
}

fn number(database: &Postgres, sql: &str) -> i64 {
    database.sql(sql).trim().parse().unwrap()
}

fn waiting(server: &Server) -> Vec<String> {
    let connection = server.connect().unwrap();
    look_with(&connection, NEWER).unwrap().waiting
}

const UNFILLED: &str = "SELECT count(*) FROM sources WHERE title IS NULL";

#[test]
fn the_made_up_migrations_are_well_formed() {
    check_list(NEWER);
}

#[test]
fn a_migration_that_is_stopped_anywhere_goes_on_where_it_was() {
    // Batches and steps, one more each time, until nothing is left to stop at.
    for stop_at in 1.. {
        let database = Postgres::fresh();
        let store = older(&database);
        add_sources(&store, 0, 25);
        let server = server(&database);
        let mut heard = 0;
        let stopped = migrate_newer(&server, &mut |_| {
            heard += 1;
            match heard == stop_at {
                true => Err(Failure::bug("stopped by the test")),
                false => Ok(()),
            }
        });
        if stopped.is_ok() {
            assert_eq!(heard, 6, "three steps and three batches");
            return;
        }
        // The older program goes on, and is started, as if nothing was.
        add_sources(&store, 25, 27);
        drop(older(&database));
        let done = migrate_newer(&server, &mut |_| Ok(())).unwrap();
        let left = STEPS[..3].iter().skip(3 - done.len());
        assert!(done.iter().eq(left), "stopped at {stop_at}: {done:?}");
        assert_eq!(number(&database, UNFILLED), i64::from(stop_at == 6) * 2);
        assert_eq!(waiting(&server), STEPS[3..]);
        let noted = "SELECT count(*) FROM schema_steps WHERE version = 12";
        assert_eq!(number(&database, noted), 3);
    }
}

#[test]
fn an_older_program_works_beside_a_newer_one_until_the_schema_is_contracted() {
    let database = Postgres::fresh();
    let (store, server) = (older(&database), server(&database));
    add_sources(&store, 0, 3);
    migrate_newer(&server, &mut |_| Ok(())).unwrap();
    let connection = server.connect().unwrap();
    assert_eq!(announce(&connection, "newer", 12).unwrap(), 11);
    check_with(&connection, NEWER).unwrap();
    // What runs goes on, and another is started.
    add_sources(&store, 3, 5);
    let another = older(&database);
    assert_eq!(another.sources(TenantId::DEFAULT).unwrap().len(), 5);
    let state = &another.schema_rows().unwrap()[0];
    let state = state.state.as_ref().unwrap();
    assert_eq!((state.version, state.compatible_from), (12, 11));
    assert_eq!(look_with(&connection, NEWER).unwrap().older_programs, 2);
    // Nothing is taken from them.
    assert!(contract_newer(&server).is_empty());
    drop(store);
    assert!(contract_newer(&server).is_empty());
    assert_eq!(waiting(&server), STEPS[3..]);
    drop(another);
    assert_eq!(contract_newer(&server), STEPS[3..]);
    assert!(waiting(&server).is_empty());
    assert!(contract_newer(&server).is_empty(), "once");
    let clock = Arc::new(ManualClock::default());
    for access in [Access::Write, Access::Read] {
        let options = StoreOptions::default();
        let refused = Store::open_server(&database.url(), access, &options, clock.clone());
        let error = refused.expect_err("too new");
        assert_eq!(
            error.kind(),
            StoreErrorKind::NewerVersion {
                found: 12,
                supported: 11
            }
        );
        assert!(error.to_string().contains("use a newer program"), "{error}");
    }
    // It left no trace of itself.
    assert_eq!(number(&database, "SELECT count(*) FROM instances"), 1);
    check_with(&connection, NEWER).unwrap();
}

#[test]
fn an_older_program_that_comes_just_before_the_contraction_puts_it_off() {
    let database = Postgres::fresh();
    drop(older(&database));
    let server = server(&database);
    migrate_newer(&server, &mut |_| Ok(())).unwrap();
    let connection = server.connect().unwrap();
    // It has looked whether it may, and registers between the two counts.
    let mut come = |_: &str| announce(&connection, "late", 11).map(drop);
    let contracted = run(&server, SHORT, &mut come, Migrator::contract);
    assert!(contracted.unwrap().is_empty());
    // As before: it may stay, and another may come.
    drop(older(&database));
    database.sql("DELETE FROM instances");
    assert_eq!(contract_newer(&server), STEPS[3..]);
}

#[test]
fn two_processes_that_migrate_at_once_do_each_step_once() {
    let database = Postgres::fresh();
    let store = older(&database);
    add_sources(&store, 0, 60);
    let server = server(&database);
    let done: Vec<Vec<String>> = thread::scope(|scope| {
        let migrate = || migrate_newer(&server, &mut |_| Ok(())).unwrap();
        let processes: Vec<_> = (0..3).map(|_| scope.spawn(migrate)).collect();
        processes
            .into_iter()
            .map(|one| one.join().unwrap())
            .collect()
    });
    let mut done = done.concat();
    done.sort();
    let mut steps = STEPS[..3].to_vec();
    steps.sort_unstable();
    assert_eq!(done, steps);
    assert_eq!(number(&database, UNFILLED), 0);
}

#[test]
fn an_empty_database_is_made_once_by_many_processes() {
    let database = Postgres::fresh();
    let server = server(&database);
    let made: Vec<usize> = thread::scope(|scope| {
        let make = || migrate_newer(&server, &mut |_| Ok(())).unwrap().len();
        let processes: Vec<_> = (0..3).map(|_| scope.spawn(make)).collect();
        processes
            .into_iter()
            .map(|one| one.join().unwrap())
            .collect()
    });
    assert_eq!(made.iter().sum::<usize>(), 1, "{made:?}");
    assert!(waiting(&server).is_empty(), "nothing to contract");
    let state = look_with(&server.connect().unwrap(), NEWER).unwrap();
    assert_eq!((state.version, state.compatible_from), (12, 12));
    assert_eq!(number(&database, "SELECT count(*) FROM tenants"), 1);
}

/// A transaction of another program that has used the table and stays open.
fn long_transaction(server: &Server) -> Connection {
    let connection = server.connect().unwrap();
    connection
        .run_batch("BEGIN; INSERT INTO counters VALUES ('x', 1); SELECT 1 FROM sources LIMIT 1")
        .unwrap();
    connection
}

#[test]
fn a_long_transaction_is_waited_for_again_and_again_and_then_named() {
    let database = Postgres::fresh();
    let store = older(&database);
    let server = server(&database);
    let blocker = long_transaction(&server);
    let begun = Instant::now();
    let refused = migrate_newer(&server, &mut |_| Ok(())).unwrap_err();
    let error = refused.into_store_error("open the database", "here");
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    let message = error.to_string();
    assert!(message.contains("long transaction (process "), "{message}");
    assert!(message.contains("gleaner, open for"), "{message}");
    assert!(begun.elapsed() >= SHORT.lock * SHORT.attempts);
    // Nobody else was kept from writing, or is.
    add_sources(&store, 0, 1);
    blocker.run_batch("COMMIT").unwrap();
    migrate_newer(&server, &mut |_| Ok(())).unwrap();
}

#[test]
fn a_transaction_that_ends_in_time_only_delays_a_migration() {
    let database = Postgres::fresh();
    drop(older(&database));
    let server = server(&database);
    let blocker = long_transaction(&server);
    let patience = Patience {
        attempts: 1_000,
        ..SHORT
    };
    let failed = "SELECT xact_rollback FROM pg_stat_database WHERE datname = current_database()";
    thread::scope(|scope| {
        let migrating = scope.spawn(|| run(&server, patience, &mut |_| Ok(()), Migrator::open));
        let before = number(&database, failed);
        while number(&database, failed) < before + 2 {
            thread::yield_now();
        }
        blocker.run_batch("COMMIT").unwrap();
        assert_eq!(migrating.join().unwrap().unwrap(), STEPS[..3]);
    });
}

/// Migrated up to the index, with a transaction that building it has to wait for.
fn before_the_index(database: &Postgres) -> (Server, Connection) {
    let server = server(database);
    let stop = |_: &str| Err(Failure::bug("stopped by the test"));
    migrate_newer(&server, &mut { stop }).unwrap_err();
    let blocker = long_transaction(&server);
    let sql = "UPDATE sources SET title = name WHERE id = 1";
    blocker.run_batch(sql).unwrap();
    (server, blocker)
}

#[test]
fn an_index_is_built_while_others_write() {
    let database = Postgres::fresh();
    let store = older(&database);
    add_sources(&store, 0, 20);
    let (server, blocker) = before_the_index(&database);
    let patience = Patience {
        index_lock: Duration::from_secs(120),
        ..SHORT
    };
    let building = "SELECT count(*) FROM pg_stat_progress_create_index
                    WHERE relid = 'sources'::regclass AND phase LIKE 'waiting%'";
    thread::scope(|scope| {
        let migrating = scope.spawn(|| run(&server, patience, &mut |_| Ok(()), Migrator::open));
        while number(&database, building) == 0 {
            assert!(!migrating.is_finished());
            thread::yield_now();
        }
        // As long as the transaction is open the index is being built.
        add_sources(&store, 20, 25);
        assert_eq!(number(&database, building), 1);
        blocker.run_batch("COMMIT").unwrap();
        assert_eq!(migrating.join().unwrap().unwrap(), STEPS[1..3]);
    });
    assert_eq!(number(&database, VALID), 1);
}

const VALID: &str = "SELECT count(*) FROM pg_index
                     WHERE indexrelid = 'sources_title'::regclass AND indisvalid";

#[test]
fn an_index_whose_building_broke_off_is_built_anew() {
    let database = Postgres::fresh();
    add_sources(&older(&database), 0, 20);
    let (server, blocker) = before_the_index(&database);
    // It waits for longer than it may, each time, which leaves an index of no use.
    let refused = migrate_newer(&server, &mut |_| Ok(())).unwrap_err();
    let error = refused.into_store_error("open the database", "here");
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert_eq!(number(&database, VALID), 0);
    blocker.run_batch("COMMIT").unwrap();
    let done = migrate_newer(&server, &mut |_| Ok(())).unwrap();
    assert_eq!(done, STEPS[1..3]);
    assert_eq!(number(&database, VALID), 1);
}

#[test]
fn an_index_that_was_built_and_not_noted_is_taken_as_it_is() {
    let database = Postgres::fresh();
    drop(older(&database));
    let server = server(&database);
    let stop = |_: &str| Err(Failure::bug("stopped by the test"));
    migrate_newer(&server, &mut { stop }).unwrap_err();
    database.sql("CREATE INDEX sources_title ON sources (tenant_id, title)");
    let of_index = "SELECT CAST('sources_title'::regclass AS OID)";
    let before = number(&database, of_index);
    assert_eq!(
        migrate_newer(&server, &mut |_| Ok(())).unwrap(),
        STEPS[1..3]
    );
    assert_eq!(number(&database, of_index), before);
}

#[test]
fn an_index_needs_the_server_itself_and_says_so() {
    let database = Postgres::fresh();
    drop(older(&database));
    let pooled = Server::new(&database.pgbouncer_url(), &StoreOptions::default()).unwrap();
    let refused = migrate_newer(&pooled, &mut |_| Ok(())).unwrap_err();
    let error = refused.into_store_error("open the database", "here");
    assert_eq!(error.kind(), StoreErrorKind::Conflict);
    assert!(error.to_string().contains("DATABASE_URL_DIRECT"), "{error}");
    // Where it leads elsewhere nothing is done there; where it is right it goes on.
    let other = Postgres::fresh();
    drop(older(&other));
    let migrate = |direct: &Postgres| {
        let pooled = pooled
            .clone()
            .reached_directly(Some(&direct.url()), &StoreOptions::default());
        let pooled = pooled.unwrap();
        let connection = pooled.connect()?;
        let mut migrator = Migrator {
            migrations: NEWER,
            direct: pooled.direct(),
            patience: SHORT,
            now: NOW,
            watch: &mut |_| Ok(()),
            done: Vec::new(),
        };
        migrator.open(&connection).map(|()| migrator.done)
    };
    for elsewhere in [&other, &Postgres::fresh()] {
        let refused = migrate(elsewhere).unwrap_err();
        let error = refused.into_store_error("open the database", "here");
        assert!(error.to_string().contains("another database"), "{error}");
    }
    assert_eq!(migrate(&database).unwrap(), STEPS[1..3]);
}

#[test]
fn what_older_programs_would_not_survive_waits_until_they_are_stopped() {
    const BREAKING: &[Migration] = &[Migration {
        version: 12,
        name: "breaking",
        compatible_from: 12,
        steps: &[Step::Expand("ALTER TABLE sources DROP COLUMN trouble")],
    }];
    let database = Postgres::fresh();
    let (store, server) = (older(&database), server(&database));
    let migrate = || {
        let connection = server.connect()?;
        let mut migrator = Migrator {
            migrations: BREAKING,
            direct: &server,
            patience: SHORT,
            now: NOW,
            watch: &mut |_| Ok(()),
            done: Vec::new(),
        };
        migrator.open(&connection)
    };
    let refused = migrate().unwrap_err().into_store_error("open", "here");
    let message = refused.to_string();
    assert!(
        message.contains("1 processes of an older version"),
        "{message}"
    );
    add_sources(&store, 0, 1);
    drop(store);
    migrate().unwrap();
    let clock = Arc::new(ManualClock::default());
    let options = StoreOptions::default();
    let refused = Store::open_server(&database.url(), Access::Write, &options, clock);
    assert!(matches!(
        refused.unwrap_err().kind(),
        StoreErrorKind::NewerVersion { found: 12, .. }
    ));
}
