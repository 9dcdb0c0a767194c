//! The embedded engine: one SQLite file in a data directory that several
//! processes may have open.

mod connection;
mod instances;
mod lock;
mod migrate;

use std::path::Path;
use std::time::Duration;

use types::Timestamp;

use crate::error::{Failure, StoreError, StoreErrorKind};
use crate::options::StoreOptions;
use crate::sql::Connection;

pub(crate) use connection::{Database, open_reader};
pub(crate) use instances::{LivingInstances, new_name};
pub(crate) use lock::{Turn, WriteTurns};
pub(crate) use migrate::look;

use connection::open_writer;
use instances::Instance;
use lock::{DirectoryLock, io_error};

pub(crate) const DATABASE_FILE: &str = "gleaner.db";

/// How long emptying the log waits for readers, while nobody else can write.
const CHECKPOINT_WAIT: Duration = Duration::from_secs(1);

/// What a store that writes to a directory holds until it is closed.
#[derive(Debug)]
pub(crate) struct Held {
    _instance: Instance,
    _lock: DirectoryLock,
}

/// An open directory, ready to be written to.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) connection: Connection,
    pub(crate) database: Database,
    pub(crate) instance: String,
    pub(crate) turns: WriteTurns,
    pub(crate) held: Held,
    /// What was done to bring it up to date.
    pub(crate) migrated: Vec<String>,
}

/// Opens `dir` for writing: made where missing, and of the newest version.
pub(crate) fn open_directory(
    dir: &Path,
    alone: bool,
    options: &StoreOptions,
    now: Timestamp,
) -> Result<Opened, StoreError> {
    std::fs::create_dir_all(dir).map_err(|e| io_error(e, dir, "create the data directory"))?;
    let database = Database::File(dir.join(DATABASE_FILE));
    let turns = WriteTurns::open(dir)?;
    // One process after the other: the second of two that find nothing
    // opens what the first has made.
    let turn = turns.take()?;
    let lock = DirectoryLock::acquire(dir, alone, &turn)?;
    let prepare = || -> Result<(rusqlite::Connection, Vec<String>), Failure> {
        let mut connection = open_writer(&database, options)?;
        let mut migrated = Vec::new();
        if !migrate::is_newest(&connection)? {
            migrated = lock.alone_for(&turn, || migrate::migrate(&mut connection, now))?;
        }
        Ok((connection, migrated))
    };
    let (connection, migrated) =
        prepare().map_err(|f| f.into_store_error("open the database", &database.describe()))?;
    let instance = new_name();
    let held = Held {
        _instance: Instance::register(dir, &instance)?,
        _lock: lock,
    };
    drop(turn);
    Ok(Opened {
        connection: Connection::Sqlite(connection),
        database,
        instance,
        turns,
        held,
        migrated,
    })
}

/// A database in memory, of the newest version.
pub(crate) fn open_memory(
    database: &Database,
    options: &StoreOptions,
    now: Timestamp,
) -> Result<Connection, StoreError> {
    let prepare = || -> Result<Connection, Failure> {
        let mut connection = open_writer(database, options)?;
        migrate::migrate(&mut connection, now)?;
        Ok(Connection::Sqlite(connection))
    };
    prepare().map_err(|f| f.into_store_error("open the database", "memory"))
}

/// Fails unless `dir` holds a database of the newest version.
pub(crate) fn check_directory(dir: &Path, options: &StoreOptions) -> Result<Database, StoreError> {
    let file = dir.join(DATABASE_FILE);
    let database = Database::File(file.clone());
    if !file
        .try_exists()
        .map_err(|e| io_error(e, &file, "look for the database"))?
    {
        return Err(StoreError::new(
            StoreErrorKind::NotFound,
            format!(
                "no database in {}; crawl something first or name another data directory",
                dir.display()
            ),
        ));
    }
    open_reader(&database, options)
        .and_then(|connection| migrate::check_readable(&connection))
        .map_err(|f| f.into_store_error("open the database", &database.describe()))?;
    Ok(database)
}

/// Whether some store has it open for writing.
pub(crate) fn is_open_by_any(database: &Database) -> bool {
    match database {
        Database::File(path) => path
            .parent()
            .is_some_and(|dir| instances::pid_of_any(dir).is_some()),
        Database::Memory(_) => false,
    }
}

/// Empties the write-ahead log into the database file.
pub(crate) fn checkpoint(connection: &rusqlite::Connection) -> Result<(), Failure> {
    let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
    let patience: i64 = connection.pragma_query_value(None, "busy_timeout", |row| row.get(0))?;
    connection.busy_timeout(CHECKPOINT_WAIT)?;
    let busy: rusqlite::Result<i64> = connection.query_row(sql, [], |row| row.get(0));
    connection.busy_timeout(Duration::from_millis(patience.unsigned_abs()))?;
    if busy? != 0 {
        // A reader still looks at an older state; the log stays until next time.
        tracing::debug!("a reader kept the write-ahead log from being emptied");
    }
    Ok(())
}

/// Bytes of the database and its log.
pub(crate) fn disk_bytes(
    connection: &rusqlite::Connection,
    database: &Database,
) -> Result<u64, Failure> {
    let pragma = |name: &str| -> Result<u64, Failure> {
        let number: i64 = connection.pragma_query_value(None, name, |row| row.get(0))?;
        Ok(number.unsigned_abs())
    };
    let log_bytes = match database {
        Database::File(path) => {
            let mut log = path.clone().into_os_string();
            log.push("-wal");
            // Absent while nothing was written since the last checkpoint.
            std::fs::metadata(log).map_or(0, |m| m.len())
        }
        Database::Memory(_) => 0,
    };
    Ok(pragma("page_count")? * pragma("page_size")? + log_bytes)
}
