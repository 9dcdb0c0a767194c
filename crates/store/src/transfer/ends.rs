//! The two databases of a move: what each has to be.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use types::Clock;

use super::note::Note;
use super::tables::TABLES;
use crate::error::{Failure, StoreError, StoreErrorKind};
use crate::location::{Living, Location};
use crate::options::{Access, DirectUrls, StoreOptions};
use crate::postgres::{self, Server};
use crate::shard::Shard;
use crate::sql::{Connection, execute, first};
use crate::sqlite;
use crate::store::Store;

/// Where a database is to be moved from or to.
#[derive(Clone)]
pub enum Place {
    /// A data directory with an embedded database.
    Directory(PathBuf),
    /// The URL of a database on a PostgreSQL server.
    Server(String),
}

/// What a [`Place`] is as the destination of a move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MoveDestination {
    /// Nothing is there, or a database without anything in it.
    Empty,
    /// A move that was interrupted, and where it came from. It can go on.
    Unfinished { from: String },
    /// A database with something in it.
    Occupied,
}

impl Place {
    /// Opens the database that is to be moved, as the only process where that
    /// can be had. Nothing is created.
    pub fn open_source(
        &self,
        options: &StoreOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Store, StoreError> {
        let options = &for_one_place(options);
        // Says when there is none; an older one is brought up to date below.
        let looked = match self {
            Place::Directory(dir) => sqlite::check_directory(dir, options).map(drop),
            Place::Server(url) => {
                Server::new(url, options).and_then(|server| postgres::check(&server).map(drop))
            }
        };
        match looked {
            Err(error) if error.kind() != StoreErrorKind::NotWritable => return Err(error),
            _ => {}
        }
        match self {
            Place::Directory(dir) => Store::open(dir, Access::WriteAlone, options, clock),
            Place::Server(url) => Store::open_server(url, Access::Write, options, clock),
        }
    }

    /// Opens the database that is to be filled, also with an unfinished move in
    /// it; it is created where missing.
    pub fn open_destination(
        &self,
        options: &StoreOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Store, StoreError> {
        let options = &for_one_place(options);
        match self {
            Place::Directory(dir) => Store::open_any(dir, Access::WriteAlone, options, clock),
            Place::Server(url) => Store::open_any_server(url, Access::Write, options, clock),
        }
    }

    /// Looks at a destination without changing anything.
    pub fn look(
        &self,
        options: &StoreOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<MoveDestination, StoreError> {
        let options = &for_one_place(options);
        let store = match self {
            Place::Directory(dir) => {
                if !dir.join(sqlite::DATABASE_FILE).exists() {
                    return Ok(MoveDestination::Empty);
                }
                Store::open_any(dir, Access::Read, options, clock)?
            }
            Place::Server(url) => {
                let server = Server::new(url, options)?;
                if postgres::is_vacant(&server)? {
                    return Ok(MoveDestination::Empty);
                }
                Store::open_any_server(url, Access::Read, options, clock)?
            }
        };
        store.first().read("look at the destination", |connection| {
            Ok(match Note::read(connection)? {
                Some(note) => MoveDestination::Unfinished { from: note.from },
                None if is_empty(connection)? => MoveDestination::Empty,
                None => MoveDestination::Occupied,
            })
        })
    }
}

/// Counting all rows of a table takes as long as it takes; and what is said of
/// the configured databases is not said of this one.
fn for_one_place(options: &StoreOptions) -> StoreOptions {
    StoreOptions {
        statement_timeout: Duration::ZERO,
        direct_urls: DirectUrls::default(),
        ..options.clone()
    }
}

impl fmt::Debug for Place {
    /// Without the URL: it may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Directory(dir) => f.debug_tuple("Directory").field(dir).finish(),
            Place::Server(_) => f.debug_tuple("Server").finish_non_exhaustive(),
        }
    }
}

impl Store {
    /// Where the database lies, for people: a file, or host, port and name of
    /// a server's database. Never a password.
    pub fn place(&self) -> String {
        self.first().describe()
    }

    /// Other stores that have the database open for writing. Of a data
    /// directory that was opened for reading: one, when there are any.
    pub fn others_alive(&self) -> Result<usize, StoreError> {
        let living = self.first().location().living();
        let living =
            living.map_err(|f| f.into_store_error("see who else is there", &self.place()))?;
        Ok(match living {
            Living::Anywhere(names) => {
                let others = names.iter().filter(|name| *name != self.instance());
                others.count()
            }
            Living::Here(_) if self.first().writes() => 0,
            Living::Here(_) => match self.first().location() {
                Location::Sqlite(database) => usize::from(sqlite::is_open_by_any(database)),
                Location::Postgres(..) => 0,
            },
        })
    }
}

/// Lets through a store whose database is no unfinished copy of another.
pub(crate) fn finished(store: Store) -> Result<Store, StoreError> {
    check_finished(store.first())?;
    Ok(store)
}

/// Fails on a database that is an unfinished copy of another.
pub(crate) fn check_finished(shard: &Shard) -> Result<(), StoreError> {
    let note = shard.read("open the database", Note::read)?;
    let Some(note) = note else { return Ok(()) };
    Err(StoreError::new(
        StoreErrorKind::Conflict,
        format!(
            "{} is being filled from {} and is not complete; run the same `gleaner migrate` again \
             to go on with it, or drop this database and start over",
            shard.describe(),
            note.from
        ),
    ))
}

/// Fails while other stores have the database open for writing.
pub(super) fn check_alone(store: &Store) -> Result<(), StoreError> {
    let others = store.others_alive()?;
    if others == 0 {
        return Ok(());
    }
    Err(StoreError::new(
        StoreErrorKind::Locked { pid: None },
        format!(
            "{others} other processes have {} open; stop them (one that was killed is forgotten \
             after 12 seconds)",
            store.place()
        ),
    ))
}

/// Whether nothing was ever stored, beside what every new database has.
pub(super) fn is_empty(connection: &Connection) -> Result<bool, Failure> {
    for table in TABLES {
        let condition = match table.name {
            "counters" => "value <> 0",
            "tenants" => "id <> 1",
            _ => table.only().unwrap_or("1 = 1"),
        };
        let sql = format!("SELECT 1 FROM {} WHERE {condition} LIMIT 1", table.name);
        let found: Option<i64> = first(connection, &sql, [], |row| row.get(0))?;
        if found.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Removes the rows that every new database has, to make room for the source's.
pub(super) fn clear_seeds(connection: &Connection) -> Result<(), Failure> {
    for table in ["counters", "tenants"] {
        execute(connection, &format!("DELETE FROM {table}"), [])?;
    }
    Ok(())
}

/// The id of the database, given to an embedded one when it is first moved.
pub(super) fn source_id(connection: &Connection, fresh: &str) -> Result<String, Failure> {
    execute(
        connection,
        "INSERT INTO meta (key, value) VALUES ('database_id', ?1) ON CONFLICT (key) DO NOTHING",
        [fresh],
    )?;
    let sql = "SELECT value FROM meta WHERE key = 'database_id'";
    let id = first(connection, sql, [], |row| row.get(0))?;
    id.ok_or_else(|| Failure::bug("the database has no id"))
}

pub(super) fn schema(connection: &Connection) -> Result<i64, Failure> {
    let sql = "SELECT max(version) FROM schema_migrations";
    let version = first(connection, sql, [], |row| row.get(0))?;
    version.ok_or_else(|| Failure::corrupt("the database has no version"))
}

/// A number that grows with each change of a server's database.
pub(super) fn commits(connection: &Connection) -> Result<Option<u64>, Failure> {
    match connection {
        // Nobody else can write while it is open alone.
        Connection::Sqlite(_) => Ok(None),
        Connection::Postgres(_) => connection.data_version().map(Some),
    }
}
