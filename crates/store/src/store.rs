//! The handle that everything goes through.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use types::{Clock, Timestamp};

use crate::connection::{Location, open_reader, open_writer};
use crate::error::{Failure, StoreError, StoreErrorKind};
use crate::instances::{self, Instance};
use crate::lock::{DirectoryLock, WriteTurns, io_error};
use crate::migrate;
use crate::options::{Access, StoreOptions};
use crate::readers::Readers;
use crate::watch::{Bell, Watcher};
use crate::writer::{WriteStats, Writer};

/// How long emptying the log waits for readers, while nobody else can write.
const CHECKPOINT_WAIT: Duration = Duration::from_secs(1);

const DATABASE_FILE: &str = "gleaner.db";

/// Handle on one data directory; clones share it. The last one to go finishes
/// what is queued, closes the database and releases the directory.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

/// Fields drop in order: the readers close first, so that the writer's is the
/// last connection and empties the log; the locks are released at the end.
struct Inner {
    readers: Readers,
    watcher: Watcher,
    writer: Option<Writer>,
    bell: Arc<Bell>,
    clock: Arc<dyn Clock>,
    location: Location,
    instance: String,
    _held: Option<(Instance, DirectoryLock)>,
}

/// What a writing store is made of, besides its connection.
struct Parts {
    location: Location,
    instance: String,
    /// `None` in memory, where nobody else can write.
    turns: Option<WriteTurns>,
    held: Option<(Instance, DirectoryLock)>,
}

impl Store {
    /// Opens the data directory `dir`. For writing it is created where missing
    /// and migrated to the newest version, unless another process uses it.
    pub fn open(
        dir: &Path,
        access: Access,
        options: &StoreOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Store, StoreError> {
        match access {
            Access::Write => Store::open_for_writing(dir, false, options, clock),
            Access::WriteAlone => Store::open_for_writing(dir, true, options, clock),
            Access::Read => Store::open_for_reading(dir, options, clock),
        }
    }

    /// A store that lives in memory and ends with its last handle, for tests.
    pub fn open_memory(clock: Arc<dyn Clock>) -> Result<Store, StoreError> {
        static OPENED: AtomicU64 = AtomicU64::new(0);
        let number = OPENED.fetch_add(1, Ordering::Relaxed);
        let location = Location::Memory(format!("gleaner-{}-{number}", std::process::id()));
        let options = StoreOptions::default();
        let prepare = || -> Result<Connection, Failure> {
            let mut connection = open_writer(&location, &options)?;
            migrate::migrate(&mut connection, clock.now())?;
            Ok(connection)
        };
        let connection =
            prepare().map_err(|f| f.into_store_error("open the database", "memory"))?;
        let parts = Parts {
            location,
            instance: instances::new_name(),
            turns: None,
            held: None,
        };
        Store::start(connection, parts, &options, clock)
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
            let patience: i64 =
                connection.pragma_query_value(None, "busy_timeout", |row| row.get(0))?;
            connection.busy_timeout(CHECKPOINT_WAIT)?;
            let busy: rusqlite::Result<i64> = connection.query_row(sql, [], |row| row.get(0));
            connection.busy_timeout(Duration::from_millis(patience.unsigned_abs()))?;
            let busy = busy?;
            if busy != 0 {
                // A reader still looks at an older state; the log stays until next time.
                tracing::debug!("a reader kept the write-ahead log from being emptied");
            }
            Ok(())
        })
    }

    fn open_for_writing(
        dir: &Path,
        alone: bool,
        options: &StoreOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Store, StoreError> {
        std::fs::create_dir_all(dir).map_err(|e| io_error(e, dir, "create the data directory"))?;
        let location = Location::File(dir.join(DATABASE_FILE));
        let turns = WriteTurns::open(dir)?;
        // One process after the other: the second of two that find nothing
        // opens what the first has made.
        let turn = turns.take()?;
        let lock = DirectoryLock::acquire(dir, alone, &turn)?;
        let prepare = || -> Result<Connection, Failure> {
            let mut connection = open_writer(&location, options)?;
            if !migrate::is_newest(&connection)? {
                lock.alone_for(&turn, || migrate::migrate(&mut connection, clock.now()))?;
            }
            Ok(connection)
        };
        let connection =
            prepare().map_err(|f| f.into_store_error("open the database", &location.describe()))?;
        let instance = instances::new_name();
        let held = Instance::register(dir, &instance)?;
        drop(turn);
        let parts = Parts {
            location,
            instance,
            turns: Some(turns),
            held: Some((held, lock)),
        };
        Store::start(connection, parts, options, clock)
    }

    fn start(
        connection: Connection,
        parts: Parts,
        options: &StoreOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Store, StoreError> {
        let bell = Arc::new(Bell::default());
        let writer = Writer::start(
            connection,
            parts.turns,
            bell.clone(),
            options.writer_queue_max,
            parts.location.describe(),
        )?;
        Ok(Store {
            inner: Arc::new(Inner {
                readers: Readers::new(parts.location.clone(), options.clone()),
                watcher: Watcher::default(),
                writer: Some(writer),
                bell,
                clock,
                location: parts.location,
                instance: parts.instance,
                _held: parts.held,
            }),
        })
    }

    fn open_for_reading(
        dir: &Path,
        options: &StoreOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Store, StoreError> {
        let file = dir.join(DATABASE_FILE);
        let location = Location::File(file.clone());
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
                readers: Readers::new(location.clone(), options.clone()),
                watcher: Watcher::default(),
                writer: None,
                bell: Arc::new(Bell::default()),
                clock,
                location,
                instance: instances::new_name(),
                _held: None,
            }),
        })
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    pub(crate) fn location(&self) -> &Location {
        &self.inner.location
    }

    /// `None` in memory.
    pub(crate) fn directory(&self) -> Option<&Path> {
        match self.location() {
            Location::File(path) => path.parent(),
            Location::Memory(_) => None,
        }
    }

    pub(crate) fn instance_name(&self) -> &str {
        &self.inner.instance
    }

    pub(crate) fn writes(&self) -> bool {
        self.inner.writer.is_some()
    }

    pub(crate) fn bell(&self) -> &Arc<Bell> {
        &self.inner.bell
    }

    pub(crate) fn watcher(&self) -> &Watcher {
        &self.inner.watcher
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

    /// What this process has written; zeros when it only reads.
    pub fn write_stats(&self) -> WriteStats {
        let writer = self.inner.writer.as_ref();
        writer.map_or_else(WriteStats::default, Writer::stats)
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
