//! Indexes that are built while others write.
//!
//! PostgreSQL builds them in several transactions of its own, so the turn to
//! migrate is held by the session, and the server has to be reached directly.
//! A build that fails leaves an index that is kept up to date and not used; it
//! is dropped before the next attempt.

use std::time::Instant;

use super::{
    Migration, Migrator, SCHEMA_TURN, State, Step, database_id, is_done, is_migrated_elsewhere,
    note, rest,
};
use crate::error::{Failure, StoreError, StoreErrorKind};
use crate::postgres::connection::Connection;
use crate::postgres::server::refuses_parameters;
use crate::sql::ValueRef;

impl Migrator<'_> {
    /// Builds the index of a step and notes it; false when another process did.
    pub(super) fn build_index(
        &self,
        connection: &Connection,
        migration: &Migration,
        at: usize,
    ) -> Result<bool, Failure> {
        let Step::Index { name, unique, on } = &migration.steps[at] else {
            unreachable!("bug: only indexes are built here")
        };
        let session = self.session()?;
        self.check_same(connection, &session)?;
        let begun = Instant::now();
        let mut attempts = 0;
        while !takes_turn(&session)? {
            if begun.elapsed() >= self.patience.turn {
                return Err(is_migrated_elsewhere());
            }
            attempts += 1;
            rest(attempts);
        }
        let state = State::read(&session, self.migrations)?;
        if is_done(&state, migration, at) {
            leave_turn(&session)?;
            return Ok(false);
        }
        let mut attempts = 0;
        loop {
            attempts += 1;
            match build(&session, name, *unique, on) {
                Ok(()) => break,
                Err(failure) => self.rest_or_give_up(&session, attempts, failure)?,
            }
        }
        session.run_batch("BEGIN")?;
        note(&session, migration, at, self.now)?;
        session.run_batch("COMMIT")?;
        leave_turn(&session)?;
        Ok(true)
    }

    /// The way past a pooler is configured apart, and may lead elsewhere.
    fn check_same(&self, connection: &Connection, session: &Connection) -> Result<(), Failure> {
        let is_ours = State::read(session, self.migrations)?.version > 0;
        if is_ours && database_id(session)? == database_id(connection)? {
            return Ok(());
        }
        Err(Failure::conflict(format!(
            "{} is another database; name the same ones in DATABASE_URL_DIRECT \
             (store.direct_urls), in the same order",
            self.direct.describe()
        )))
    }

    /// A connection that is the same session of the server from its first to
    /// its last statement.
    fn session(&self) -> Result<Connection, Failure> {
        let lock_ms = self.patience.index_lock.as_millis();
        let session = self
            .direct
            .connect_with(&format!("-c lock_timeout={lock_ms} -c statement_timeout=0"));
        let not_direct = || {
            let message = format!(
                "{} is a pooler, and an index can only be built on a connection straight to the \
                 server; name that in DATABASE_URL_DIRECT (store.direct_urls)",
                self.direct.describe()
            );
            StoreError::new(StoreErrorKind::Conflict, message)
        };
        let session = match session {
            Err(failure) if refuses_parameters(&failure) => return Err(not_direct().into()),
            session => session?,
        };
        // A pooler may have been told to pass over parameters.
        let sql = "SELECT setting FROM pg_settings WHERE name = 'lock_timeout'";
        let set: Option<String> = session.first(sql, &[], |row| row.get(0))?;
        if set != Some(lock_ms.to_string()) {
            return Err(not_direct().into());
        }
        Ok(session)
    }
}

fn takes_turn(session: &Connection) -> Result<bool, Failure> {
    let sql = "SELECT CAST(pg_try_advisory_lock(?1) AS INT)::BIGINT";
    let values = [ValueRef::Integer(SCHEMA_TURN)];
    let taken: Option<i64> = session.first(sql, &values, |row| row.get(0))?;
    Ok(taken == Some(1))
}

fn leave_turn(session: &Connection) -> Result<(), Failure> {
    session.run_batch(&format!("SELECT pg_advisory_unlock({SCHEMA_TURN})"))
}

fn build(session: &Connection, name: &str, unique: bool, on: &str) -> Result<(), Failure> {
    let sql = "SELECT CAST(CAST(i.indisvalid AS INT) AS BIGINT) FROM pg_index i
               JOIN pg_class c ON c.oid = i.indexrelid
               WHERE c.relname = ?1 AND c.relnamespace = current_schema()::regnamespace";
    let is_valid: Option<i64> = session.first(sql, &[ValueRef::Text(name)], |row| row.get(0))?;
    match is_valid {
        Some(1) => return Ok(()),
        Some(_) => {
            tracing::warn!("index {name} was left unfinished and is built anew");
            session.run_batch(&format!("DROP INDEX CONCURRENTLY IF EXISTS {name}"))?;
        }
        None => {}
    }
    session.run_batch(&Step::build(name, unique, on, true))
}
