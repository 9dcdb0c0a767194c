//! Forward-only schema migrations, checked at every start.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use types::Timestamp;

use crate::codec::schema_checksum;
use crate::error::{Failure, StoreError, StoreErrorKind};
use crate::postgres::SchemaState;

struct Migration {
    version: u32,
    name: &'static str,
    sql: &'static str,
}

const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "base",
        sql: include_str!("../../migrations/sqlite/0001_base.sql"),
    },
    Migration {
        version: 2,
        name: "tasks",
        sql: include_str!("../../migrations/sqlite/0002_tasks.sql"),
    },
    Migration {
        version: 3,
        name: "sources",
        sql: include_str!("../../migrations/sqlite/0003_sources.sql"),
    },
    Migration {
        version: 4,
        name: "service",
        sql: include_str!("../../migrations/sqlite/0004_service.sql"),
    },
    Migration {
        version: 5,
        name: "records",
        sql: include_str!("../../migrations/sqlite/0005_records.sql"),
    },
    Migration {
        version: 6,
        name: "webhooks",
        sql: include_str!("../../migrations/sqlite/0006_webhooks.sql"),
    },
    Migration {
        version: 7,
        name: "breakers",
        sql: include_str!("../../migrations/sqlite/0007_breakers.sql"),
    },
    Migration {
        version: 8,
        name: "publishing",
        sql: include_str!("../../migrations/sqlite/0008_publishing.sql"),
    },
    Migration {
        version: 9,
        name: "newest",
        sql: include_str!("../../migrations/sqlite/0009_newest.sql"),
    },
    Migration {
        version: 10,
        name: "raw_copies",
        sql: include_str!("../../migrations/sqlite/0010_raw_copies.sql"),
    },
    Migration {
        version: 11,
        name: "summaries",
        sql: include_str!("../../migrations/sqlite/0011_summaries.sql"),
    },
];

/// "GLNR": says that a SQLite file is ours.
const APPLICATION_ID: i64 = 0x474C_4E52;

/// Brings the database to the newest version, or says why it cannot be used;
/// what was done. Nobody else has the file open meanwhile, so a migration needs
/// no steps as those of a server have them.
pub(crate) fn migrate(connection: &mut Connection, now: Timestamp) -> Result<Vec<String>, Failure> {
    let mut done = Vec::new();
    let mut found = inspect(connection)?;
    if found == 0 {
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    for migration in MIGRATIONS {
        if migration.version <= found {
            continue;
        }
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(migration.sql)?;
        transaction.execute(
            "INSERT INTO schema_migrations (version, name, checksum, applied_at) VALUES (?1, ?2, ?3, ?4)",
            params![migration.version, migration.name, schema_checksum(migration.sql), now.0],
        )?;
        if migration.version == 1 {
            transaction.execute(
                "INSERT INTO tenants (id, name, created_at) VALUES (1, 'default', ?1)",
                [now.0],
            )?;
        }
        transaction.pragma_update(None, "user_version", migration.version)?;
        transaction.commit()?;
        found = migration.version;
        tracing::info!(
            version = found,
            name = migration.name,
            "migrated the database to version {found}"
        );
        done.push(format!("{found} ({})", migration.name));
    }
    Ok(done)
}

/// How far the database is: always as new as this program.
pub(crate) fn look(connection: &Connection) -> Result<SchemaState, Failure> {
    let version = inspect(connection)?;
    Ok(SchemaState {
        version,
        compatible_from: version,
        ..SchemaState::default()
    })
}

/// False for a new or older database, which [`migrate`] has to change.
pub(crate) fn is_newest(connection: &Connection) -> Result<bool, Failure> {
    Ok(inspect(connection)? == newest_version())
}

/// Like [`migrate`] for a handle that may not write: an older database is refused.
pub(crate) fn check_readable(connection: &Connection) -> Result<(), Failure> {
    let found = inspect(connection)?;
    let newest = newest_version();
    if found == 0 {
        // Another process is about to create it.
        return Err(Failure::not_found(
            "the database is still empty; crawl something first",
        ));
    }
    if found < newest {
        return Err(StoreError::new(
            StoreErrorKind::NotWritable,
            format!("the database is of version {found} and this program reads version {newest}; run a command that writes once to upgrade it"),
        )
        .into());
    }
    Ok(())
}

fn newest_version() -> u32 {
    MIGRATIONS.last().map_or(0, |m| m.version)
}

/// Version of a database that is ours and whose history is the one compiled in.
fn inspect(connection: &Connection) -> Result<u32, Failure> {
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let application: i64 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let supported = newest_version();
    if application != APPLICATION_ID {
        let tables: i64 =
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        if found != 0 || tables != 0 || application != 0 {
            return Err(Failure::corrupt(
                "the file is a database of another program; use another data directory",
            ));
        }
    }
    if found > supported {
        return Err(StoreError::new(
            StoreErrorKind::NewerVersion { found, supported },
            format!("the database is of version {found}, this program knows up to {supported}; use a newer program or another data directory"),
        )
        .into());
    }
    for migration in MIGRATIONS.iter().filter(|m| m.version <= found) {
        let stored: Option<String> = connection
            .query_row(
                "SELECT checksum FROM schema_migrations WHERE version = ?1",
                [migration.version],
                |row| row.get(0),
            )
            .optional()?;
        if stored.as_deref() != Some(schema_checksum(migration.sql).as_str()) {
            return Err(Failure::corrupt(format!(
                "migration {} ({}) was applied in a form this program does not know; use the program that made the database",
                migration.version, migration.name
            )));
        }
    }
    Ok(found)
}
