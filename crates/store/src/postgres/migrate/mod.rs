//! Forward-only migrations of a server's database, while others use it.
//!
//! A migration is a list of steps (`plan`), each of which is done as a whole and
//! noted, so that whoever comes next goes on where the last one was stopped.
//! Steps of one transaction take the turn to change the schema in it, which
//! works through a pooler as well; an index that is built alongside writes takes
//! the turn in a session, for which the server has to be reached directly.
//!
//! The lock is only ever tried, never waited for: a statement that waits holds
//! a snapshot, which the building of an index would wait for in its turn.
//!
//! What is expanded is fit for programs of the version and of those that it is
//! `compatible_from`. Programs announce themselves where stores are registered;
//! what is contracted waits until none that needs it is left, see `contract`.

mod contract;
mod first;
mod indexes;
mod notes;
mod plan;
mod state;
#[cfg(test)]
mod tests;
mod turn;

use std::time::{Duration, Instant};

use types::Timestamp;

use super::connection::Connection;
use super::server::Server;
use crate::error::{Failure, StoreError, StoreErrorKind};
use crate::postgres::Fault;
use crate::sql::ValueRef;
use first::{check_empty, plant};
use notes::{NOTES, is_done, note, note_step, note_version};
use plan::{BASE, MIGRATIONS, Migration, Step};
use state::{State, newest, older_programs, set_compatible_from};

pub(super) use first::{database_id, is_vacant};
pub(crate) use state::program_version;

/// Held while somebody looks at or changes the schema: "GLNR" and a 2.
const SCHEMA_TURN: i64 = 0x474C_4E52_0002;

/// How long steps wait for others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// A change of a table waits no longer than this for transactions that use
    /// it: everybody else who wants the table waits behind it.
    lock: Duration,
    /// Building an index holds nobody up while it waits.
    index_lock: Duration,
    /// Attempts to get a lock, with rests in between.
    attempts: u32,
    /// For another process that migrates the database.
    turn: Duration,
}

const PATIENCE: Patience = Patience {
    lock: Duration::from_secs(2),
    index_lock: Duration::from_secs(60),
    attempts: 10,
    turn: Duration::from_secs(60),
};

/// What was done, or waits: `9 (titles): expand`.
pub(crate) type StepName = String;

/// What brings a database up to date.
pub(super) struct Migrator<'a> {
    migrations: &'static [Migration],
    /// Straight to the server, where that is known.
    direct: &'a Server,
    patience: Patience,
    now: Timestamp,
    /// Hears of each batch and of each step that was noted; tests stop there.
    watch: &'a mut dyn FnMut(&str) -> Result<(), Failure>,
    done: Vec<StepName>,
}

/// Brings the database to the newest version, or says why it cannot be used;
/// the steps that were done.
pub(super) fn migrate(
    connection: &Connection,
    direct: &Server,
    now: Timestamp,
) -> Result<Vec<StepName>, Failure> {
    let mut unwatched = |_: &str| Ok(());
    let mut migrator = Migrator::new(direct, now, &mut unwatched);
    migrator.open(connection)?;
    Ok(migrator.done)
}

/// Does what was left for when no older program is at work any more.
pub(crate) fn contract(
    connection: &Connection,
    direct: &Server,
    now: Timestamp,
) -> Result<(Vec<StepName>, SchemaState), Failure> {
    let mut unwatched = |_: &str| Ok(());
    let mut migrator = Migrator::new(direct, now, &mut unwatched);
    migrator.contract(connection)?;
    let done = migrator.done;
    Ok((done, look(connection)?))
}

/// How far a database is, as people want to know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchemaState {
    /// The newest version whose programs the database is fit for.
    pub version: u32,
    /// The oldest version whose programs may use it.
    pub compatible_from: u32,
    /// Steps that still have to be done, such as `9 (titles): contract`.
    pub waiting: Vec<String>,
    /// Processes at work that know an older version only. What is contracted
    /// waits for their end.
    pub older_programs: u64,
}

pub(crate) fn look(connection: &Connection) -> Result<SchemaState, Failure> {
    look_with(connection, MIGRATIONS)
}

fn look_with(connection: &Connection, migrations: &[Migration]) -> Result<SchemaState, Failure> {
    let state = State::read(connection, migrations)?;
    let waiting = [state.opening(migrations), state.contracting(migrations)].concat();
    let older_programs = match state.notes_steps {
        true => older_programs(connection, state.version)?,
        false => 0,
    };
    let number = |version: i64| u32::try_from(version).unwrap_or(u32::MAX);
    Ok(SchemaState {
        version: number(state.version),
        compatible_from: number(state.compatible_from),
        waiting: waiting.iter().map(|(m, at)| m.describe(*at)).collect(),
        older_programs,
    })
}

/// Fails unless this program can read the database as it is.
pub(super) fn check(connection: &Connection) -> Result<(), Failure> {
    check_with(connection, MIGRATIONS)
}

fn check_with(connection: &Connection, migrations: &[Migration]) -> Result<(), Failure> {
    let state = State::read(connection, migrations)?;
    state.check_not_too_new(migrations)?;
    let (found, newest) = (state.version, newest(migrations));
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

/// Fails when the database was taken from programs of this version after it
/// was looked at. Whoever registered before asking is waited for, see `contract`.
pub(super) fn check_again(connection: &Connection) -> Result<(), Failure> {
    State::read(connection, MIGRATIONS)?.check_not_too_new(MIGRATIONS)
}

impl<'a> Migrator<'a> {
    fn new(
        direct: &'a Server,
        now: Timestamp,
        watch: &'a mut dyn FnMut(&str) -> Result<(), Failure>,
    ) -> Migrator<'a> {
        Migrator {
            migrations: MIGRATIONS,
            direct,
            patience: PATIENCE,
            now,
            watch,
            done: Vec::new(),
        }
    }

    /// Does all that programs of this version need.
    fn open(&mut self, connection: &Connection) -> Result<(), Failure> {
        let state = State::read(connection, self.migrations)?;
        state.check_not_too_new(self.migrations)?;
        let missing = state.opening(self.migrations);
        if state.notes_steps && missing.is_empty() {
            return Ok(());
        }
        // Also where another process makes it meanwhile.
        if state.version == 0 && self.create(connection)? {
            return Ok(());
        }
        self.make_notes(connection)?;
        for (migration, at) in State::read(connection, self.migrations)?.opening(self.migrations) {
            self.check_alone(connection, migration)?;
            let has_run = match &migration.steps[at] {
                Step::Expand(sql) => self.run_once(connection, migration, at, |connection| {
                    connection.run_batch(sql)
                })?,
                Step::Backfill { sql, rows } => {
                    self.backfill(connection, migration, at, sql, *rows)?
                }
                Step::Index { .. } => self.build_index(connection, migration, at)?,
                Step::Contract(_) => unreachable!("bug: contracting steps open nothing"),
            };
            if has_run {
                self.tell(migration, at)?;
            }
        }
        Ok(())
    }

    /// Makes all tables of an empty database, at once; false when another
    /// process was faster.
    fn create(&mut self, connection: &Connection) -> Result<bool, Failure> {
        let (migrations, now) = (self.migrations, self.now);
        let is_made = self.in_turn(connection, |connection| {
            if State::read(connection, migrations)?.version > 0 {
                return Ok(false);
            }
            check_empty(connection)?;
            for migration in migrations {
                for step in migration.steps {
                    match step {
                        Step::Expand(sql) | Step::Contract(sql) => connection.run_batch(sql)?,
                        Step::Index { name, unique, on } => {
                            connection.run_batch(&Step::build(name, *unique, on, false))?;
                        }
                        Step::Backfill { .. } => {}
                    }
                }
                note_version(connection, migration, now)?;
                if migration.version == BASE {
                    plant(connection, now)?;
                }
            }
            connection.run_batch(NOTES)?;
            let mut compatible_from = BASE;
            for migration in migrations {
                for at in 0..migration.steps.len() {
                    note_step(connection, migration, at, now)?;
                }
                let contracts = migration.contracting().next().is_some();
                compatible_from = compatible_from.max(match contracts {
                    true => migration.version,
                    false => migration.compatible_from,
                });
            }
            set_compatible_from(connection, compatible_from)?;
            Ok(true)
        })?;
        if is_made {
            let version = newest(migrations);
            tracing::info!(version, "made the tables of version {version}");
            self.done.push(format!("{version}: all tables"));
        }
        Ok(is_made)
    }

    /// Where steps are noted and programs announce themselves.
    fn make_notes(&self, connection: &Connection) -> Result<(), Failure> {
        let migrations = self.migrations;
        self.in_turn(connection, |connection| {
            let state = State::read(connection, migrations)?;
            if !state.notes_steps {
                connection.run_batch(NOTES)?;
                set_compatible_from(connection, state.compatible_from)?;
            }
            Ok(())
        })
    }

    /// A migration that older programs would not survive waits for nobody: that
    /// they are stopped is up to whoever started them.
    fn check_alone(&self, connection: &Connection, migration: &Migration) -> Result<(), Failure> {
        let older = older_programs(connection, migration.compatible_from)?;
        if older == 0 {
            return Ok(());
        }
        let message = format!(
            "{older} processes of an older version are at work, which cannot go on with version \
             {}; stop them first (one that was killed is forgotten after two minutes)",
            migration.version
        );
        Err(StoreError::new(StoreErrorKind::Locked { pid: None }, message).into())
    }

    /// Runs a step and notes it, in one transaction; false when another process did.
    fn run_once(
        &self,
        connection: &Connection,
        migration: &Migration,
        at: usize,
        mut work: impl FnMut(&Connection) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        let (migrations, now) = (self.migrations, self.now);
        self.in_turn(connection, |connection| {
            if is_done(&State::read(connection, migrations)?, migration, at) {
                return Ok(false);
            }
            work(connection)?;
            note(connection, migration, at, now)?;
            Ok(true)
        })
    }

    /// Changes rows a batch at a time; several processes take turns. True when
    /// this one found nothing left.
    fn backfill(
        &mut self,
        connection: &Connection,
        migration: &Migration,
        at: usize,
        sql: &str,
        rows: u32,
    ) -> Result<bool, Failure> {
        let (migrations, now) = (self.migrations, self.now);
        let mut changed_ever = 0;
        loop {
            let changed = self.in_turn(connection, |connection| {
                if is_done(&State::read(connection, migrations)?, migration, at) {
                    return Ok(None);
                }
                let changed = connection.execute(sql, &[ValueRef::Integer(rows.into())])?;
                if changed == 0 {
                    note(connection, migration, at, now)?;
                }
                Ok(Some(changed))
            })?;
            match changed {
                None => return Ok(false),
                Some(0) => return Ok(true),
                Some(changed) => changed_ever += changed,
            }
            tracing::debug!(changed_ever, "migration {}", migration.describe(at));
            (self.watch)("batch")?;
        }
    }

    fn tell(&mut self, migration: &Migration, at: usize) -> Result<(), Failure> {
        let step = migration.describe(at);
        tracing::info!(
            version = migration.version,
            name = migration.name,
            "migrated the database: {step}"
        );
        (self.watch)(&step)?;
        self.done.push(step);
        Ok(())
    }

    /// Runs `work` in a transaction that nobody else migrates or writes beside.
    /// A lock that is not to be had, or a transaction that the server undid, is
    /// tried again for a while.
    fn in_turn<T>(
        &self,
        connection: &Connection,
        mut work: impl FnMut(&Connection) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let begun = Instant::now();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let tried = self.try_turn(connection, &mut work);
            if connection.is_in_transaction() {
                // What went wrong is known.
                let _ = connection.roll_back();
            }
            match tried {
                Ok(Some(value)) => return Ok(value),
                Ok(None) if begun.elapsed() < self.patience.turn => rest(attempts),
                Ok(None) => return Err(is_migrated_elsewhere()),
                Err(failure) => self.rest_or_give_up(connection, attempts, failure)?,
            }
        }
    }

    /// `None` while another process has the turn.
    fn try_turn<T>(
        &self,
        connection: &Connection,
        work: &mut impl FnMut(&Connection) -> Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        if !connection.begin_if_free(SCHEMA_TURN, self.patience.lock)? {
            return Ok(None);
        }
        let value = work(connection)?;
        connection.commit(false)?;
        Ok(Some(value))
    }

    /// Rests before a step is tried again; fails when it was tried often enough.
    fn rest_or_give_up(
        &self,
        connection: &Connection,
        attempts: u32,
        failure: Failure,
    ) -> Result<(), Failure> {
        if connection.fault() != Some(Fault::Undone) {
            return Err(failure);
        }
        if attempts >= self.patience.attempts {
            let blocker = connection.longest_transaction().ok().flatten();
            let blocker = blocker.map_or_else(String::new, |blocker| format!(" ({blocker})"));
            let message = format!(
                "a table that is to be changed was in use by a long transaction{blocker}; end it, \
                 or wait for it, and run `gleaner upgrade` again"
            );
            let kind = StoreErrorKind::Unavailable;
            return Err(StoreError::new(kind, message).with_cause(failure).into());
        }
        tracing::warn!(
            attempts,
            "another transaction is in the way of a migration, which is tried again"
        );
        rest(attempts);
        Ok(())
    }
}

fn is_migrated_elsewhere() -> Failure {
    let message = "another process is migrating the database; wait until it is done, and try again";
    StoreError::new(StoreErrorKind::Unavailable, message).into()
}

/// Waits before the next attempt: 50 ms, doubled up to 3.2 s.
fn rest(attempts: u32) {
    let pause = Duration::from_millis(50 << attempts.saturating_sub(1).min(6));
    let _ = crossbeam_channel::never::<()>().recv_timeout(pause);
}
