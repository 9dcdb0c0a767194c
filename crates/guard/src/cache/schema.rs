//! The file of the disk tier: how it is opened, recognised and begun anew.
//!
//! Nothing in it is worth repairing. A file that is damaged is set aside, one
//! of another version or from before a restart of the machine is deleted. Only a
//! database that was never a cache is left alone.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::options::CacheOptions;

/// "GCch", in the header of the file.
const APPLICATION_ID: i32 = 0x4743_6368;
/// Of the tables below and of what is in them.
const VERSION: i32 = 1;
/// A page of results (some 10 KB) takes one or two.
const PAGE_BYTES: u64 = 8192;
/// 32 MiB: what values in flight may take beside the smallest of caches.
const PAGES_MAX_MIN: u64 = 4096;
/// A caller who waits for longer had better compute.
const READER_BUSY_WAIT: Duration = Duration::from_millis(100);
const CACHE_KIB: i64 = 2 * 1024;
const WAL_KEPT_BYTES: i64 = 16 * 1024 * 1024;

const TABLES: &str = "
    -- AUTOINCREMENT: a number is never given twice, even if its row is gone.
    CREATE TABLE invalidation (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        area TEXT,
        scope INTEGER
    ) STRICT;
    CREATE INDEX invalidation_target ON invalidation (scope, area);

    -- The value comes last: without it a row is read from one page.
    CREATE TABLE entry (
        id INTEGER PRIMARY KEY,
        scope INTEGER NOT NULL,
        area TEXT NOT NULL,
        name BLOB NOT NULL,
        stamp INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        last_used INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        digest BLOB NOT NULL,
        value BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX entry_key ON entry (scope, area, name);
    CREATE INDEX entry_area ON entry (area);
    CREATE INDEX entry_expires_at ON entry (expires_at);
    CREATE INDEX entry_last_used ON entry (last_used);

    -- Kept by triggers, so that it is right whichever process writes.
    CREATE TABLE usage (
        area TEXT PRIMARY KEY,
        entries INTEGER NOT NULL,
        bytes INTEGER NOT NULL
    ) STRICT;
    CREATE TRIGGER entry_added AFTER INSERT ON entry BEGIN
        INSERT INTO usage (area, entries, bytes) VALUES (new.area, 1, new.bytes)
        ON CONFLICT (area) DO UPDATE
            SET entries = entries + 1, bytes = bytes + excluded.bytes;
    END;
    CREATE TRIGGER entry_replaced AFTER UPDATE OF bytes ON entry BEGIN
        UPDATE usage SET bytes = bytes + new.bytes - old.bytes WHERE area = new.area;
    END;
    CREATE TRIGGER entry_gone AFTER DELETE ON entry BEGIN
        UPDATE usage SET entries = entries - 1, bytes = bytes - old.bytes
        WHERE area = old.area;
    END;

    CREATE TABLE boot (id TEXT NOT NULL) STRICT;
";

#[derive(Debug, thiserror::Error)]
pub(crate) enum DiskError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("it is a database of something else; choose another path")]
    Foreign,
    #[error("the file system does not support write-ahead logging")]
    NoWal,
    #[error("it was removed or replaced while in use")]
    Replaced,
    #[error("Redis does not answer")]
    Away,
    #[error("another process keeps it busy")]
    Stuck,
    /// Of another version or boot; never leaves this file.
    #[error("it is outdated")]
    Outdated,
}

impl DiskError {
    fn code(&self) -> Option<ErrorCode> {
        match self {
            DiskError::Sqlite(error) => error.sqlite_error_code(),
            _ => None,
        }
    }

    /// Someone else is at it: the next attempt may succeed.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self, DiskError::Away)
            || matches!(
                self.code(),
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
            )
    }

    pub(crate) fn is_damage(&self) -> bool {
        matches!(
            self.code(),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        )
    }
}

/// Opens the file for writing, creating what is missing. One process at a time
/// does so, as it may have to delete the file.
pub(crate) fn open_writer(path: &Path, options: &CacheOptions) -> Result<Connection, DiskError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let door = File::create(beside(path, ".lock"))?;
    door.lock()?;
    match prepare(path, options) {
        Err(DiskError::Outdated) => remove(path)?,
        Err(error) if error.is_damage() => {
            tracing::warn!(path = %path.display(), %error, "the cache on disk is damaged; set aside and begun anew");
            set_aside(path)?;
        }
        result => return result,
    }
    prepare(path, options)
}

pub(crate) fn open_reader(path: &Path) -> Result<Connection, DiskError> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(READER_BUSY_WAIT)?;
    // No memory map: it would turn a file cut short into a signal.
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    Ok(connection)
}

/// The database first: a log without its database is discarded by SQLite, a
/// database without its log may be half a transaction.
pub(crate) fn remove(path: &Path) -> std::io::Result<()> {
    for file in [path.to_owned(), beside(path, "-wal"), beside(path, "-shm")] {
        match fs::remove_file(file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Keeps the damaged file, one of them, for whoever wants to know why; and in
/// case the path named something that never was a cache.
pub(crate) fn set_aside(path: &Path) -> std::io::Result<()> {
    fs::rename(path, beside(path, ".damaged"))?;
    remove(path)
}

fn prepare(path: &Path, options: &CacheOptions) -> Result<Connection, DiskError> {
    let mut connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(options.busy_wait)?;
    // Before anything is changed in a file that may be somebody else's.
    let is_new = recognise(&connection)?;
    connection.pragma_update(None, "page_size", PAGE_BYTES.cast_signed())?;
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(DiskError::NoWal);
    }
    // Only a loss of power can lose a commit so, and `boot` tells of that.
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.pragma_update(None, "journal_size_limit", WAL_KEPT_BYTES)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // Room for indexes, partly filled pages and what is not swept yet; past it
    // writing fails rather than the file growing without end.
    let pages_max = (options.disk_bytes_max / PAGE_BYTES).saturating_mul(2);
    let pages_max = i64::try_from(pages_max.max(PAGES_MAX_MIN)).unwrap_or(i64::MAX);
    connection.pragma_update(None, "max_page_count", pages_max)?;
    let boot = boot_id();
    if is_new {
        let begin = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        begin.execute_batch(TABLES)?;
        begin.execute("INSERT INTO boot (id) VALUES (?1)", [&boot])?;
        begin.pragma_update(None, "user_version", VERSION)?;
        begin.pragma_update(None, "application_id", APPLICATION_ID)?;
        begin.commit()?;
    } else {
        let written_in: String =
            connection.query_row("SELECT id FROM boot", [], |row| row.get(0))?;
        if written_in != boot {
            return Err(DiskError::Outdated);
        }
    }
    Ok(connection)
}

/// Whether the file is still empty; an error if it is not ours to use.
fn recognise(connection: &Connection) -> Result<bool, DiskError> {
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    match (number("application_id")?, number("user_version")?) {
        (0, 0) if tables == 0 => Ok(true),
        (APPLICATION_ID, VERSION) => Ok(false),
        (APPLICATION_ID, _) => Err(DiskError::Outdated),
        _ => Err(DiskError::Foreign),
    }
}

/// Which run of the machine this is. After a loss of power the file may lack
/// invalidations, so whatever is older than the machine's start is not used.
/// Other systems than Linux do not tell.
fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Which file a path leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Identity(Option<(u64, u64)>);

impl Identity {
    pub(crate) fn of(path: &Path) -> std::io::Result<Identity> {
        let metadata = fs::metadata(path)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            Ok(Identity(Some((metadata.dev(), metadata.ino()))))
        }
        #[cfg(not(unix))]
        {
            drop(metadata);
            Ok(Identity(None))
        }
    }
}
