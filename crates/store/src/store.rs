//! The handle that everything goes through.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;
use types::{Clock, Timestamp};

use crate::connection::{Location, open_reader, open_writer};
use crate::error::{Failure, StoreError, StoreErrorKind};
use crate::lock::{DirectoryLock, io_error};
use crate::migrate;
use crate::options::{Access, StoreOptions};
use crate::readers::Readers;
use crate::writer::Writer;

const DATABASE_FILE: &str = "gleaner.db";

/// Handle on one data directory; clones share it. The last one to go finishes
/// what is queued, closes the database and releases the directory.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

/// Fields drop in order: the readers close first, so that the writer's is the
/// last connection and empties the log; the lock is released at the end.
struct Inner {
    readers: Readers,
    writer: Option<Writer>,
    clock: Arc<dyn Clock>,
    location: Location,
    _lock: Option<DirectoryLock>,
}

impl Store {
    /// Opens the data directory `dir`; with [`Access::Write`] it is created
    /// where missing and migrated to the newest version.
    pub fn open(
        dir: &Path,
        access: Access,
        options: &StoreOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Store, StoreError> {
        let location = Location::File(dir.join(DATABASE_FILE));
        match access {
            Access::Write => {
                std::fs::create_dir_all(dir)
                    .map_err(|e| io_error(e, dir, "create the data directory"))?;
                let lock = DirectoryLock::acquire(dir)?;
                Store::open_for_writing(location, options, clock, Some(lock))
            }
            Access::Read => Store::open_for_reading(dir, location, options, clock),
        }
    }

    /// A store that lives in memory and ends with its last handle, for tests.
    pub fn open_memory(clock: Arc<dyn Clock>) -> Result<Store, StoreError> {
        static OPENED: AtomicU64 = AtomicU64::new(0);
        let number = OPENED.fetch_add(1, Ordering::Relaxed);
        let location = Location::Memory(format!("gleaner-{}-{number}", std::process::id()));
        Store::open_for_writing(location, &StoreOptions::default(), clock, None)
    }

    /// Empties the write-ahead log into the database and lets go of this
    /// handle. Without it the last drop does the same but cannot report.
    pub fn close(self) -> Result<(), StoreError> {
        if self.inner.writer.is_some() {
            self.checkpoint()?;
        }
        Ok(())
    }

    /// Empties the write-ahead log into the database file.
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        self.write_alone("checkpoint", |connection| {
            let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
            let busy: i64 = connection.query_row(sql, [], |row| row.get(0))?;
            if busy != 0 {
                // A reader still looks at an older state; the log stays until next time.
                tracing::debug!("a reader kept the write-ahead log from being emptied");
            }
            Ok(())
        })
    }

    fn open_for_writing(
        location: Location,
        options: &StoreOptions,
        clock: Arc<dyn Clock>,
        lock: Option<DirectoryLock>,
    ) -> Result<Store, StoreError> {
        let place = location.describe();
        let prepare = || -> Result<Connection, Failure> {
            let mut connection = open_writer(&location, options)?;
            migrate::migrate(&mut connection, clock.now())?;
            Ok(connection)
        };
        let connection = prepare().map_err(|f| f.into_store_error("open the database", &place))?;
        let writer = Writer::start(connection, options.writer_queue_max, place)?;
        Ok(Store {
            inner: Arc::new(Inner {
                writer: Some(writer),
                readers: Readers::new(location.clone(), options.clone()),
                clock,
                location,
                _lock: lock,
            }),
        })
    }

    fn open_for_reading(
        dir: &Path,
        location: Location,
        options: &StoreOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Store, StoreError> {
        let file = dir.join(DATABASE_FILE);
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
        let place = location.describe();
        open_reader(&location, options)
            .and_then(|connection| migrate::check_readable(&connection))
            .map_err(|f| f.into_store_error("open the database", &place))?;
        Ok(Store {
            inner: Arc::new(Inner {
                writer: None,
                readers: Readers::new(location.clone(), options.clone()),
                clock,
                location,
                _lock: None,
            }),
        })
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    pub(crate) fn location(&self) -> &Location {
        &self.inner.location
    }

    pub(crate) fn read<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Connection) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        self.inner
            .readers
            .read(read)
            .map_err(|failure| failure.into_store_error(name, &self.inner.location.describe()))
    }

    pub(crate) fn write<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer(name)?.write(name, false, work)
    }

    fn write_alone<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer(name)?.write(name, true, work)
    }

    fn writer(&self, name: &str) -> Result<&Writer, StoreError> {
        self.inner.writer.as_ref().ok_or_else(|| {
            StoreError::new(
                StoreErrorKind::NotWritable,
                format!("{name}: the database was opened for reading only"),
            )
        })
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("location", &self.inner.location)
            .field("writable", &self.inner.writer.is_some())
            .finish_non_exhaustive()
    }
}
