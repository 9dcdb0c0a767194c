//! Databases of older versions.

use crate::engine::Database;
use crate::support::clock;

/// What takes the last migrations back.
const WITHOUT_NEWEST: &str = "
    DROP INDEX crawls_tenant_newest, crawls_source_newest, tasks_newest;
    DROP TABLE raw_removals;
    ALTER TABLE page_versions DROP COLUMN raw_key;
    DROP TABLE summaries, llm_use, llm_reservations;
    DROP INDEX pages_to_summarize, pages_to_summarize_source;
    ALTER TABLE pages DROP COLUMN summarized_hash;
    ALTER TABLE tenants DROP COLUMN tokens_warned_day, DROP COLUMN tokens_exhausted_day;
    CREATE INDEX crawls_tenant ON crawls (tenant_id, id);
    CREATE INDEX crawls_source ON crawls (source_id, id);
    CREATE INDEX tasks_list ON tasks (tenant_id, kind, state, id);
    DELETE FROM schema_migrations WHERE version > 8;";

const STEPS: [&str; 7] = [
    "9 (newest): index crawls_tenant_newest",
    "9 (newest): index crawls_source_newest",
    "9 (newest): index tasks_newest",
    "10 (raw_copies): expand",
    "11 (summaries): expand",
    "11 (summaries): index pages_to_summarize",
    "11 (summaries): index pages_to_summarize_source",
];

/// As the first version that had servers left it.
#[test]
fn an_older_database_is_brought_up_to_date_with_what_it_has() {
    let database = Database::new();
    let clock = clock();
    let tenant = database.open(clock.clone()).create_tenant("acme").unwrap();
    database.execute(WITHOUT_NEWEST);
    database.execute(
        "DROP TABLE publisher; DROP TABLE publications; DROP TABLE schema_steps;
         ALTER TABLE instances DROP COLUMN version;
         DELETE FROM meta WHERE key = 'compatible_from';
         DELETE FROM schema_migrations WHERE version > 7",
    );
    let store = database.open(clock);
    assert_eq!(store.tenant_by_name("acme").unwrap(), Some(tenant));
    assert_eq!(store.tenants().unwrap().len(), 2);
    assert_eq!(store.publishing().unwrap(), None);
    assert_eq!(
        database.number("SELECT max(version) FROM schema_migrations"),
        11
    );
    let schema = store.schema_rows().unwrap().remove(0);
    assert_eq!(schema.done[0], "8 (publishing): expand");
    assert_eq!(schema.done[1..], STEPS);
    let state = schema.state.unwrap();
    assert_eq!((state.version, state.compatible_from), (11, 8));
    assert_eq!(state.waiting, ["9 (newest): contract"]);
    assert_eq!(state.older_programs, 0);
}

/// As the last version without steps left it, with one of its processes at work.
#[test]
fn a_database_of_before_there_were_steps_is_used_beside_its_program() {
    let database = Database::new();
    let older = database.open(clock());
    database.execute(WITHOUT_NEWEST);
    database.execute(
        "DROP TABLE schema_steps; ALTER TABLE instances DROP COLUMN version;
         DELETE FROM meta WHERE key = 'compatible_from';
         INSERT INTO instances (name, seen_at) VALUES ('older', now())",
    );
    let store = database.open(clock());
    older.create_tenant("acme").unwrap();
    assert!(store.tenant_by_name("acme").unwrap().is_some());
    let schema = store.schema_rows().unwrap().remove(0);
    assert_eq!(schema.done, STEPS);
    let state = schema.state.unwrap();
    assert_eq!((state.version, state.compatible_from), (11, 8));
    assert_eq!(state.waiting, ["9 (newest): contract"]);
    assert_eq!(state.older_programs, 2, "it and the store that is open");
}
