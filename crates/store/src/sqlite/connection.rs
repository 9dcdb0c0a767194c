//! Opening SQLite connections with the settings that everything here counts on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::error::Failure;
use crate::options::{StoreOptions, Synchronous};

/// Statements kept prepared for each connection; there are fewer than this.
const STATEMENTS_KEPT: usize = 256;
/// Readers only wait while a log is recovered or removed.
const READER_BUSY_WAIT: Duration = Duration::from_secs(10);
/// Readers live from the memory map; this covers what is not mapped.
const READER_CACHE_KIB: i64 = 4 * 1024;
/// Log size at which a commit copies the log into the database, in pages:
/// 32 MiB. The longer the log, the more often a page of an index is changed
/// again before it has to be copied.
const WAL_AUTOCHECKPOINT_PAGES: i64 = 4096;
const WAL_KEPT_BYTES: i64 = 64 * 1024 * 1024;
/// A usual page's compressed content (5 KB) fits without an overflow chain.
/// 4,096 took the same processor time for each crawled page (313 µs).
const PAGE_BYTES: i64 = 8192;

/// Where the database lives.
#[derive(Clone, Debug)]
pub(crate) enum Database {
    File(PathBuf),
    /// A named in-memory database, shared by the connections of this process.
    Memory(String),
}

impl Database {
    pub(crate) fn describe(&self) -> String {
        match self {
            Database::File(path) => path.display().to_string(),
            Database::Memory(_) => "memory".to_owned(),
        }
    }

    fn open(&self, flags: OpenFlags) -> rusqlite::Result<Connection> {
        match self {
            Database::File(path) => Connection::open_with_flags(path, flags),
            Database::Memory(name) => Connection::open_with_flags(
                Path::new(&format!("file:/{name}?vfs=memdb")),
                flags | OpenFlags::SQLITE_OPEN_URI,
            ),
        }
    }
}

pub(crate) fn open_writer(
    database: &Database,
    options: &StoreOptions,
) -> Result<Connection, Failure> {
    let connection = database.open(
        OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(options.busy_wait)?;
    // Takes effect on a new file only, and must come before the first table.
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    if matches!(database, Database::File(_)) {
        let mode: String =
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
        if !mode.eq_ignore_ascii_case("wal") {
            return Err(Failure::conflict(format!(
                "the file system does not support write-ahead logging (journal mode is {mode})"
            )));
        }
    }
    let synchronous = match options.synchronous {
        Synchronous::Full => "FULL",
        Synchronous::Normal => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "wal_autocheckpoint", WAL_AUTOCHECKPOINT_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", WAL_KEPT_BYTES)?;
    connection.pragma_update(None, "cache_size", -i64::from(options.cache_mb) * 1024)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    if options.database_mb_max > 0 {
        let pages = i64::from(options.database_mb_max) * 1024 * 1024 / PAGE_BYTES;
        connection.pragma_update(None, "max_page_count", pages)?;
    }
    finish(&connection, options)?;
    Ok(connection)
}

pub(crate) fn open_reader(
    database: &Database,
    options: &StoreOptions,
) -> Result<Connection, Failure> {
    let connection =
        database.open(OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(READER_BUSY_WAIT)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    finish(&connection, options)?;
    Ok(connection)
}

fn finish(connection: &Connection, options: &StoreOptions) -> Result<(), Failure> {
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    let mmap_bytes = i64::from(options.mmap_mb) * 1024 * 1024;
    // Some builds and file systems refuse a map; reading still works.
    connection.pragma_update(None, "mmap_size", mmap_bytes)?;
    // Without it SQLite may plan a statement again for every new value bound
    // to it (`LIMIT ?`, partial indexes): measured at half the time of reads.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    Ok(())
}
