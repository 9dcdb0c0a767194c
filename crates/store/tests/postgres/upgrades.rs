//! Databases of older versions.

use crate::engine::Database;
use crate::support::clock;

/// As the first version that had servers left it.
#[test]
fn an_older_database_is_brought_up_to_date_with_what_it_has() {
    let database = Database::new();
    let clock = clock();
    let tenant = database.open(clock.clone()).create_tenant("acme").unwrap();
    database.execute(
        "DROP TABLE publisher; DROP TABLE publications;
         DELETE FROM schema_migrations WHERE version > 7",
    );
    let store = database.open(clock);
    assert_eq!(store.tenant_by_name("acme").unwrap(), Some(tenant));
    assert_eq!(store.tenants().unwrap().len(), 2);
    assert_eq!(store.publishing().unwrap(), None);
    assert_eq!(
        database.number("SELECT max(version) FROM schema_migrations"),
        8
    );
}
