//! What a server ends or undoes, with a real one.

use std::sync::Arc;
use std::time::Duration;

use testkit::services::Postgres;
use types::{ManualClock, TenantId};

use super::Server;
use crate::error::StoreErrorKind;
use crate::{Access, NewSource, Store, StoreOptions};

fn open(database: &Postgres, options: &StoreOptions) -> Store {
    let clock = Arc::new(ManualClock::default());
    Store::open_server(&database.url(), Access::Write, options, clock).unwrap()
}

fn source(number: usize) -> NewSource {
    NewSource {
        tenant: TenantId::DEFAULT,
        name: format!("source {number}"),
        seeds: vec![format!("https://{number}.example/")],
        policy: "{}".to_owned(),
    }
}

#[test]
fn a_write_that_the_server_undoes_for_anothers_sake_is_run_again() {
    let database = Postgres::fresh();
    let store = open(&database, &StoreOptions::default());
    // Serialisation failure, deadlock, lock not available: in the statement, and
    // as late as in the commit.
    for (number, (code, when)) in [
        ("40001", "BEFORE INSERT"),
        ("40P01", "BEFORE INSERT"),
        ("55P03", "BEFORE INSERT"),
        ("40001", "AFTER INSERT DEFERRED"),
        ("40P01", "AFTER INSERT DEFERRED"),
    ]
    .into_iter()
    .enumerate()
    {
        let (constraint, when, deferred) = match when.strip_suffix(" DEFERRED") {
            Some(when) => ("CONSTRAINT", when, "DEFERRABLE INITIALLY DEFERRED"),
            None => ("", when, ""),
        };
        // A sequence is not undone.
        database.sql(&format!(
            "DROP TRIGGER IF EXISTS fail ON sources;
             DROP SEQUENCE IF EXISTS tries; CREATE SEQUENCE tries;
             CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
               IF nextval('tries') < 3 THEN
                 RAISE EXCEPTION 'not this time' USING ERRCODE = '{code}';
               END IF;
               RETURN NEW;
             END $$;
             CREATE {constraint} TRIGGER fail {when} ON sources {deferred}
               FOR EACH ROW EXECUTE FUNCTION fail()"
        ));
        let id = store.ensure_source(source(number)).unwrap();
        assert!(store.source(id).unwrap().is_some(), "{code} {when}");
        let tries = database.sql("SELECT last_value FROM tries");
        assert_eq!(tries.trim(), "3", "{code} {when}");
    }
    let sources = database.sql("SELECT count(*) FROM sources");
    assert_eq!(sources.trim(), "5");
}

#[test]
fn what_takes_too_long_is_ended_whether_it_reads_or_writes() {
    let database = Postgres::fresh();
    let options = StoreOptions {
        statement_timeout: Duration::from_millis(200),
        ..StoreOptions::default()
    };
    let store = open(&database, &options);
    let server = Server::new(&database.url(), &options).unwrap();
    let blocker = server.connect().unwrap();
    blocker
        .run_batch("BEGIN; LOCK TABLE sources IN ACCESS EXCLUSIVE MODE")
        .unwrap();
    let read = store.sources(TenantId::DEFAULT).unwrap_err();
    let write = store.ensure_source(source(1)).unwrap_err();
    for error in [read, write] {
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        assert!(error.to_string().contains("took too long"), "{error}");
    }
    blocker.run_batch("COMMIT").unwrap();
    store.ensure_source(source(1)).unwrap();
    assert_eq!(store.sources(TenantId::DEFAULT).unwrap().len(), 1);
}
