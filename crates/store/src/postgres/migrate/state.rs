//! What has been done to a database, as it says itself.

use std::collections::BTreeSet;

use super::plan::{MIGRATIONS, Migration};
use crate::error::{Failure, StoreError, StoreErrorKind};
use crate::postgres::connection::Connection;
use crate::postgres::instances::{ANNOUNCED_FROM, CONTRACT_WAIT_S};
use crate::sql::ValueRef;

/// How far the migrations of a database are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// The newest version whose programs it is fit for; 0 of an empty one.
    pub(super) version: i64,
    /// The oldest program that may use it.
    pub(super) compatible_from: i64,
    /// Has the tables that steps are noted in.
    pub(super) notes_steps: bool,
    /// Version and place of each step that was noted.
    pub(super) done: BTreeSet<(i64, usize)>,
}

impl State {
    pub(super) fn read(
        connection: &Connection,
        migrations: &[Migration],
    ) -> Result<State, Failure> {
        let mut tables: BTreeSet<String> = BTreeSet::new();
        let sql = "SELECT CAST(table_name AS TEXT) FROM information_schema.tables
                   WHERE table_schema = current_schema()
                     AND table_name IN ('schema_migrations', 'schema_steps')";
        connection.for_each(sql, &[], |row| {
            tables.insert(row.get(0)?);
            Ok(())
        })?;
        let mut state = State {
            version: 0,
            compatible_from: 0,
            notes_steps: tables.contains("schema_steps"),
            done: BTreeSet::new(),
        };
        if !tables.contains("schema_migrations") {
            return Ok(state);
        }
        let sql = "SELECT version, name, checksum FROM schema_migrations ORDER BY version";
        connection.for_each(sql, &[], |row| {
            state.version = row.get(0)?;
            let Some(known) = migrations.iter().find(|m| m.version == state.version) else {
                return Ok(());
            };
            if row.text(2)? != known.checksum() {
                return Err(Failure::corrupt(format!(
                    "migration {} ({}) was applied in a form this program does not know; \
                     use the program that made the database",
                    state.version,
                    row.text(1)?
                )));
            }
            Ok(())
        })?;
        // Those of before it was written down only know themselves.
        let written = connection.first(COMPATIBLE_FROM, &[], |row| row.get::<i64>(0))?;
        state.compatible_from = written.unwrap_or(state.version);
        if state.notes_steps {
            let sql = "SELECT version, step FROM schema_steps";
            connection.for_each(sql, &[], |row| {
                let step: i64 = row.get(1)?;
                let step = usize::try_from(step)
                    .map_err(|_| Failure::corrupt("a step of a migration has no place"))?;
                state.done.insert((row.get(0)?, step));
                Ok(())
            })?;
        }
        Ok(state)
    }

    /// Fails unless a program of these migrations may use the database.
    pub(super) fn check_not_too_new(&self, migrations: &[Migration]) -> Result<(), Failure> {
        let known = newest(migrations);
        if known >= self.compatible_from {
            return Ok(());
        }
        // From it on all later programs may use it.
        let found = self.version.max(self.compatible_from);
        let kind = StoreErrorKind::NewerVersion {
            found: u32::try_from(found).unwrap_or(u32::MAX),
            supported: u32::try_from(known).unwrap_or(u32::MAX),
        };
        let message = format!(
            "the database is of version {found}, this program knows up to {known}; use a newer \
             program or another database"
        );
        Err(StoreError::new(kind, message).into())
    }

    /// Steps that no process can do without, in their order.
    pub(super) fn opening<'m>(&self, migrations: &'m [Migration]) -> Vec<(&'m Migration, usize)> {
        let migrations = migrations.iter().filter(|m| m.version > self.version);
        migrations
            .flat_map(|m| m.opening().map(move |(at, _)| (m, at)))
            .filter(|(m, at)| !self.done.contains(&(m.version, *at)))
            .collect()
    }

    /// Steps that wait until no older program is left.
    pub(super) fn contracting<'m>(
        &self,
        migrations: &'m [Migration],
    ) -> Vec<(&'m Migration, usize)> {
        let migrations = migrations.iter().filter(|m| m.version <= self.version);
        migrations
            .flat_map(|m| m.contracting().map(move |(at, _)| (m, at)))
            .filter(|(m, at)| !self.done.contains(&(m.version, *at)))
            .collect()
    }
}

const COMPATIBLE_FROM: &str =
    "SELECT CAST(value AS BIGINT) FROM meta WHERE key = 'compatible_from'";

/// Which program may use the database from now on.
pub(super) fn set_compatible_from(connection: &Connection, version: i64) -> Result<(), Failure> {
    connection.execute(
        "INSERT INTO meta (key, value) VALUES ('compatible_from', ?1)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        &[ValueRef::Text(&version.to_string())],
    )?;
    Ok(())
}

/// The version that a program of these migrations knows.
pub(super) fn newest(migrations: &[Migration]) -> i64 {
    migrations.last().map_or(0, |migration| migration.version)
}

/// That of this program.
pub(crate) fn program_version() -> i64 {
    newest(MIGRATIONS)
}

/// Processes at work that do not know `version`. One that was not heard of for
/// a while counts all the same: it may only have been held up.
pub(super) fn older_programs(connection: &Connection, version: i64) -> Result<u64, Failure> {
    let sql = format!(
        "SELECT count(*) FROM instances WHERE coalesce(version, {ANNOUNCED_FROM}) < ?1
           AND seen_at > now() - interval '{CONTRACT_WAIT_S} s'"
    );
    let values = [ValueRef::Integer(version)];
    let count: Option<i64> = connection.first(&sql, &values, |row| row.get(0))?;
    Ok(count.unwrap_or(0).unsigned_abs())
}
