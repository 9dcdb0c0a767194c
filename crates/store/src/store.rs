//! The handle that everything goes through.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use types::{Clock, Timestamp};

use crate::error::{Failure, StoreError, StoreErrorKind};
use crate::location::Location;
use crate::options::{Access, StoreOptions};
use crate::postgres::{self, Heartbeat, Server};
use crate::readers::Readers;
use crate::sql::Connection;
use crate::sqlite::{self, Database, WriteTurns};
use crate::transfer;
use crate::watch::{Bell, Watcher};
use crate::writer::{WriteStats, Writer};

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
    _held: Option<Held>,
}

/// What says to others that a store is open for writing.
enum Held {
    Directory { _locks: sqlite::Held },
    Heartbeat { _beats: Heartbeat },
}

/// What a writing store is made of.
struct Parts {
    connection: Connection,
    location: Location,
    instance: String,
    /// `None` in memory, where nobody else can write.
    turns: Option<WriteTurns>,
    held: Option<Held>,
}

impl Store {
    /// Opens the data directory `dir`. For writing it is created where missing
    /// and migrated to the newest version, unless another process uses it.
    /// What a [`crate::Move`] has not completed is refused.
    pub fn open(
        dir: &Path,
        access: Access,
        options: &StoreOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Store, StoreError> {
        transfer::finished(Store::open_any(dir, access, options, clock)?)
    }

    /// Opens `dir`, also while a move still fills it.
    pub(crate) fn open_any(
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

    /// Opens a database on a PostgreSQL server, directly or through a pooler
    /// in transaction mode: `postgres://user:password@host:5432/database`. For
    /// writing it is migrated to the newest version. [`Access::WriteAlone`] is
    /// refused: a server is for many. So is what a [`crate::Move`] has not completed.
    pub fn open_server(
        url: &str,
        access: Access,
        options: &StoreOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Store, StoreError> {
        transfer::finished(Store::open_any_server(url, access, options, clock)?)
    }

    /// Opens a server's database, also while a move still fills it.
    pub(crate) fn open_any_server(
        url: &str,
        access: Access,
        options: &StoreOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Store, StoreError> {
        let server = Server::new(url, options.prepared_statements)?;
        match access {
            Access::Read => {
                let id = postgres::check(&server)?;
                let location = Location::Postgres(server, id.into());
                Ok(Store::reading(location, options, clock))
            }
            Access::Write => {
                let instance = sqlite::new_name();
                let (connection, id) = postgres::open(&server, &instance, clock.now())?;
                let heartbeat = postgres::register(&server, &instance)?;
                let parts = Parts {
                    connection: Connection::Postgres(connection),
                    location: Location::Postgres(server, id.into()),
                    instance,
                    turns: None,
                    held: Some(Held::Heartbeat { _beats: heartbeat }),
                };
                Store::start(parts, options, clock)
            }
            Access::WriteAlone => Err(StoreError::new(
                StoreErrorKind::Conflict,
                "a database on a server cannot be taken for one process alone",
            )),
        }
    }

    /// Tells a server's database from any other that was ever at its address;
    /// `None` for an embedded one, which its data directory tells apart. What
    /// is derived from a database and kept elsewhere belongs to this id.
    pub fn database_id(&self) -> Option<&str> {
        match self.location() {
            Location::Sqlite(_) => None,
            Location::Postgres(_, id) => Some(id),
        }
    }

    /// A store that lives in memory and ends with its last handle, for tests.
    pub fn open_memory(clock: Arc<dyn Clock>) -> Result<Store, StoreError> {
        static OPENED: AtomicU64 = AtomicU64::new(0);
        let number = OPENED.fetch_add(1, Ordering::Relaxed);
        let database = Database::Memory(format!("gleaner-{}-{number}", std::process::id()));
        let options = StoreOptions::default();
        let parts = Parts {
            connection: sqlite::open_memory(&database, &options, clock.now())?,
            location: Location::Sqlite(database),
            instance: sqlite::new_name(),
            turns: None,
            held: None,
        };
        Store::start(parts, &options, clock)
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
        self.write_alone("checkpoint", |connection| match connection {
            Connection::Sqlite(connection) => sqlite::checkpoint(connection),
            // The server sees to its log itself.
            Connection::Postgres(_) => Ok(()),
        })
    }

    fn open_for_writing(
        dir: &Path,
        alone: bool,
        options: &StoreOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Store, StoreError> {
        let opened = sqlite::open_directory(dir, alone, options, clock.now())?;
        let parts = Parts {
            connection: opened.connection,
            location: Location::Sqlite(opened.database),
            instance: opened.instance,
            turns: Some(opened.turns),
            held: Some(Held::Directory {
                _locks: opened.held,
            }),
        };
        Store::start(parts, options, clock)
    }

    fn start(
        parts: Parts,
        options: &StoreOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Store, StoreError> {
        let bell = Arc::new(Bell::default());
        let writer = Writer::start(
            parts.connection,
            parts.turns,
            bell.clone(),
            parts.location.clone(),
            options,
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
        let location = Location::Sqlite(sqlite::check_directory(dir, options)?);
        Ok(Store::reading(location, options, clock))
    }

    fn reading(location: Location, options: &StoreOptions, clock: Arc<dyn Clock>) -> Store {
        Store {
            inner: Arc::new(Inner {
                readers: Readers::new(location.clone(), options.clone()),
                watcher: Watcher::default(),
                writer: None,
                bell: Arc::new(Bell::default()),
                clock,
                location,
                instance: sqlite::new_name(),
                _held: None,
            }),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    pub(crate) fn location(&self) -> &Location {
        &self.inner.location
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
        read: impl FnMut(&Connection) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        self.inner
            .readers
            .read(read)
            .map_err(|failure| failure.into_store_error(name, &self.inner.location.describe()))
    }

    pub(crate) fn write<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnMut(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer(name)?.write(name, false, work)
    }

    pub(crate) fn write_alone<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnMut(&Connection) -> Result<T, Failure> + Send + 'static,
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
