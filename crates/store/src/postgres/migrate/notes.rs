//! What a database has written down of its migrations.

use types::Timestamp;

use super::plan::Migration;
use super::state::{State, set_compatible_from};
use crate::error::Failure;
use crate::postgres::connection::Connection;
use crate::sql::ValueRef;

pub(super) fn is_done(state: &State, migration: &Migration, at: usize) -> bool {
    let opens = !migration.steps[at].contracts();
    (opens && state.version >= migration.version) || state.done.contains(&(migration.version, at))
}

/// Notes a step, and with the last one that opens the migration, its version.
pub(super) fn note(
    connection: &Connection,
    migration: &Migration,
    at: usize,
    now: Timestamp,
) -> Result<(), Failure> {
    note_step(connection, migration, at, now)?;
    if migration.opening().last().map(|(last, _)| last) == Some(at) {
        let before = State::read(connection, &[])?.compatible_from;
        set_compatible_from(connection, before.max(migration.compatible_from))?;
        note_version(connection, migration, now)?;
    }
    Ok(())
}

pub(super) fn note_step(
    connection: &Connection,
    migration: &Migration,
    at: usize,
    now: Timestamp,
) -> Result<(), Failure> {
    connection.execute(
        "INSERT INTO schema_steps (version, step, description, done_at) VALUES (?1, ?2, ?3, ?4)",
        &[
            ValueRef::Integer(migration.version),
            ValueRef::Integer(at as i64),
            ValueRef::Text(&migration.describe(at)),
            ValueRef::Integer(now.0),
        ],
    )?;
    Ok(())
}

pub(super) fn note_version(
    connection: &Connection,
    migration: &Migration,
    now: Timestamp,
) -> Result<(), Failure> {
    connection.execute(
        "INSERT INTO schema_migrations (version, name, checksum, applied_at)
         VALUES (?1, ?2, ?3, ?4)",
        &[
            ValueRef::Integer(migration.version),
            ValueRef::Text(migration.name),
            ValueRef::Text(&migration.checksum()),
            ValueRef::Integer(now.0),
        ],
    )?;
    Ok(())
}

/// Not a migration: it has to be there before one can be noted, and programs
/// of before it do not mind it.
pub(super) const NOTES: &str = r#"
    CREATE TABLE IF NOT EXISTS schema_steps (
      version BIGINT NOT NULL,
      step BIGINT NOT NULL,               -- its place in the migration, from 0
      description TEXT COLLATE "C" NOT NULL,
      done_at BIGINT NOT NULL,
      PRIMARY KEY (version, step)
    );
    ALTER TABLE instances ADD COLUMN IF NOT EXISTS version BIGINT"#;
