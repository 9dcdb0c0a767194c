//! Forward-only schema migrations of a server's database.
//!
//! PostgreSQL changes schemas in transactions, so a migration is there whole or
//! not at all. One process after the other looks and migrates: an advisory lock
//! of the transaction orders them, which works through a pooler as well.

use std::hash::{BuildHasher, RandomState};

use types::Timestamp;

use super::connection::Connection;
use crate::codec::schema_checksum;
use crate::error::{Failure, StoreError, StoreErrorKind};
use crate::sql::ValueRef;

struct Migration {
    version: i64,
    name: &'static str,
    sql: &'static str,
}

/// Version numbers are those of the embedded engine's schema.
const MIGRATIONS: &[Migration] = &[
    Migration {
        version: BASE,
        name: "base",
        sql: include_str!("../../migrations/postgres/0001_base.sql"),
    },
    Migration {
        version: 8,
        name: "publishing",
        sql: include_str!("../../migrations/postgres/0002_publishing.sql"),
    },
    Migration {
        version: 9,
        name: "newest",
        sql: include_str!("../../migrations/postgres/0003_newest.sql"),
    },
];

/// The first version that servers had.
const BASE: i64 = 7;

/// Held while somebody looks at or changes the schema: "GLNR" and a 2.
const SCHEMA_TURN: i64 = 0x474C_4E52_0002;

/// A change of the schema waits no longer than this for other transactions,
/// as everybody else would wait behind it.
const LOCK_WAIT_MS: u32 = 5_000;

/// Brings the database to the newest version, or says why it cannot be used.
pub(super) fn migrate(connection: &Connection, now: Timestamp) -> Result<(), Failure> {
    if version(connection)? == newest() {
        return Ok(());
    }
    connection.begin_alone(SCHEMA_TURN, LOCK_WAIT_MS)?;
    let migrated = apply(connection, now).and_then(|()| connection.commit(false));
    if migrated.is_err() {
        connection.roll_back()?;
    }
    migrated
}

fn apply(connection: &Connection, now: Timestamp) -> Result<(), Failure> {
    // Another process may have been faster.
    let found = version(connection)?;
    if found == 0 {
        check_empty(connection)?;
    }
    for migration in MIGRATIONS.iter().filter(|m| m.version > found) {
        connection.run_batch(migration.sql)?;
        connection.execute(
            "INSERT INTO schema_migrations (version, name, checksum, applied_at)
             VALUES (?1, ?2, ?3, ?4)",
            &[
                ValueRef::Integer(migration.version),
                ValueRef::Text(migration.name),
                ValueRef::Text(&schema_checksum(migration.sql)),
                ValueRef::Integer(now.0),
            ],
        )?;
        if migration.version == BASE {
            let sql = "INSERT INTO meta (key, value) VALUES ('database_id', ?1)";
            connection.execute(sql, &[ValueRef::Text(&new_database_id())])?;
            let sql = "INSERT INTO tenants (name, created_at) VALUES ('default', ?1)";
            let id = connection.insert(sql, &[ValueRef::Integer(now.0)])?;
            if id != types::TenantId::DEFAULT.0 {
                return Err(Failure::bug(format!("the default tenant has number {id}")));
            }
        }
        tracing::info!(
            version = migration.version,
            name = migration.name,
            "migrated the database"
        );
    }
    Ok(())
}

/// Whether there is nothing yet; see [`super::is_vacant`].
pub(super) fn is_vacant(connection: &Connection) -> Result<bool, Failure> {
    if version(connection)? > 0 {
        return Ok(false);
    }
    check_empty(connection).map(|()| true)
}

/// A database address in the environment may be meant for another program.
fn check_empty(connection: &Connection) -> Result<(), Failure> {
    let sql = "SELECT count(*) FROM pg_class c
               WHERE c.relkind IN ('r', 'p') AND c.relnamespace = current_schema()::regnamespace
                 AND NOT EXISTS (SELECT 1 FROM pg_depend d
                                 WHERE d.objid = c.oid AND d.deptype = 'e')";
    let tables: Option<i64> = connection.first(sql, &[], |row| row.get(0))?;
    if tables != Some(0) {
        return Err(Failure::conflict(
            "the database has tables of another program; name an empty one in the database URL",
        ));
    }
    Ok(())
}

/// Tells a database from any other that was ever at its address.
fn new_database_id() -> String {
    let random = || RandomState::new().hash_one(std::process::id());
    format!("{:016x}", random())
}

/// The name that the database got when it was made.
pub(super) fn database_id(connection: &Connection) -> Result<String, Failure> {
    let sql = "SELECT value FROM meta WHERE key = 'database_id'";
    let id = connection.first(sql, &[], |row| row.get(0))?;
    id.ok_or_else(|| Failure::corrupt("the database has no id"))
}

/// Fails unless the database is of the newest version.
pub(super) fn check(connection: &Connection) -> Result<(), Failure> {
    let (found, newest) = (version(connection)?, newest());
    if found == 0 {
        return Err(Failure::not_found(
            "the database is still empty; crawl something first",
        ));
    }
    if found < newest {
        let message = format!(
            "the database is of version {found} and this program reads version {newest}; \
             run a command that writes once to upgrade it"
        );
        return Err(StoreError::new(StoreErrorKind::NotWritable, message).into());
    }
    Ok(())
}

fn newest() -> i64 {
    MIGRATIONS.last().map_or(0, |migration| migration.version)
}

/// Version of a database whose history is the one compiled in; 0 for an empty one.
fn version(connection: &Connection) -> Result<i64, Failure> {
    let sql = "SELECT count(*) FROM information_schema.tables
               WHERE table_schema = current_schema() AND table_name = 'schema_migrations'";
    let is_ours = connection.first(sql, &[], |row| row.get::<i64>(0))?;
    if is_ours != Some(1) {
        return Ok(0);
    }
    let mut found = 0;
    let sql = "SELECT version, name, checksum FROM schema_migrations ORDER BY version";
    connection.for_each(sql, &[], |row| {
        found = row.get(0)?;
        let Some(known) = MIGRATIONS.iter().find(|m| m.version == found) else {
            return Ok(());
        };
        if row.text(2)? != schema_checksum(known.sql) {
            return Err(Failure::corrupt(format!(
                "migration {found} ({}) was applied in a form this program does not know; \
                 use the program that made the database",
                row.text(1)?
            )));
        }
        Ok(())
    })?;
    if found > newest() {
        let kind = StoreErrorKind::NewerVersion {
            found: u32::try_from(found).unwrap_or(u32::MAX),
            supported: u32::try_from(newest()).unwrap_or(u32::MAX),
        };
        let message = format!(
            "the database is of version {found}, this program knows up to {}; use a newer program \
             or another database",
            newest()
        );
        return Err(StoreError::new(kind, message).into());
    }
    Ok(found)
}
