//! Taking away what older programs needed, when none of them is left.
//!
//! First the database says that it is for programs of the new version only;
//! then whoever is at work is counted. A program that opens the database
//! registers before it looks whether it may: either it sees what the database
//! says and goes away, or it is counted, and what is to be contracted waits.

use super::state::{State, older_programs, set_compatible_from};
use super::{Migration, Migrator, Step, is_done, note_step};
use crate::error::Failure;
use crate::postgres::connection::Connection;

impl Migrator<'_> {
    /// Contracts what can be; the rest waits, which is no failure.
    pub(super) fn contract(&mut self, connection: &Connection) -> Result<(), Failure> {
        let state = State::read(connection, self.migrations)?;
        for (migration, at) in state.contracting(self.migrations) {
            if !self.claim(connection, migration)? {
                return Ok(());
            }
            let Step::Contract(sql) = &migration.steps[at] else {
                unreachable!("bug: only contracting steps are listed here")
            };
            (self.watch)("claimed")?;
            match self.contract_once(connection, migration, at, sql)? {
                Contracted::Now => self.tell(migration, at)?,
                Contracted::Before => {}
                Contracted::NotYet => return Ok(()),
            }
        }
        Ok(())
    }

    /// Takes the database from older programs that are not at work; false when
    /// some are.
    fn claim(&self, connection: &Connection, migration: &Migration) -> Result<bool, Failure> {
        let migrations = self.migrations;
        self.in_turn(connection, |connection| {
            if older_programs(connection, migration.version)? > 0 {
                return Ok(false);
            }
            let state = State::read(connection, migrations)?;
            if state.compatible_from < migration.version {
                set_compatible_from(connection, migration.version)?;
            }
            Ok(true)
        })
    }

    fn contract_once(
        &self,
        connection: &Connection,
        migration: &Migration,
        at: usize,
        sql: &str,
    ) -> Result<Contracted, Failure> {
        let (migrations, now) = (self.migrations, self.now);
        self.in_turn(connection, |connection| {
            let state = State::read(connection, migrations)?;
            if is_done(&state, migration, at) {
                return Ok(Contracted::Before);
            }
            if older_programs(connection, migration.version)? > 0 {
                // One came in between. It may stay, and so may others like it.
                let is_begun = migration
                    .contracting()
                    .any(|(other, _)| is_done(&state, migration, other));
                if !is_begun {
                    set_compatible_from(connection, self.before(&state, migration))?;
                }
                return Ok(Contracted::NotYet);
            }
            connection.run_batch(sql)?;
            note_step(connection, migration, at, now)?;
            Ok(Contracted::Now)
        })
    }

    /// Since when programs may use the database while `migration` is expanded.
    fn before(&self, state: &State, migration: &Migration) -> i64 {
        let contracted = |m: &&Migration| m.contracting().any(|(at, _)| is_done(state, m, at));
        let applied = self
            .migrations
            .iter()
            .filter(|m| m.version <= state.version);
        let earlier = applied.clone().filter(|m| m.version < migration.version);
        let contracted = earlier.filter(contracted).map(|m| m.version).max();
        let compatible = applied.map(|m| m.compatible_from).max();
        contracted.max(compatible).unwrap_or(migration.version)
    }
}

enum Contracted {
    Now,
    /// By another process.
    Before,
    /// Older programs are at work.
    NotYet,
}
