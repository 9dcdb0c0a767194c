//! One database: its readers, its writer, and who it tells of commits.

use std::path::Path;
use std::sync::Arc;

use types::Timestamp;

use crate::error::{Failure, StoreError, StoreErrorKind};
use crate::location::Location;
use crate::options::{Access, StoreOptions};
use crate::placement::ShardNumber;
use crate::postgres::{self, Heartbeat, Server};
use crate::readers::Readers;
use crate::sql::{Connection, first};
use crate::sqlite::{self, Database, WriteTurns};
use crate::watch::{Bell, Watcher};
use crate::writer::{WriteStats, Writer};

/// Fields drop in order: the readers close first, so that the writer's is the
/// last connection and empties the log; the locks are released at the end.
pub(crate) struct Shard {
    readers: Readers,
    watcher: Watcher,
    writer: Option<Writer>,
    bell: Arc<Bell>,
    location: Location,
    instance: String,
    number: ShardNumber,
    _held: Option<Held>,
}

/// What says to others that a database is open for writing.
enum Held {
    Directory { _locks: sqlite::Held },
    Heartbeat { _beats: Heartbeat },
}

/// What a database that is written to is made of.
struct Parts {
    connection: Connection,
    location: Location,
    instance: String,
    /// `None` in memory, where nobody else can write.
    turns: Option<WriteTurns>,
    held: Option<Held>,
}

impl Shard {
    /// The database of a data directory.
    pub(crate) fn open_directory(
        dir: &Path,
        access: Access,
        options: &StoreOptions,
        now: Timestamp,
    ) -> Result<Shard, StoreError> {
        if access == Access::Read {
            let location = Location::Sqlite(sqlite::check_directory(dir, options)?);
            return Ok(Shard::reading(location, options));
        }
        let opened = sqlite::open_directory(dir, access == Access::WriteAlone, options, now)?;
        let parts = Parts {
            connection: opened.connection,
            location: Location::Sqlite(opened.database),
            instance: opened.instance,
            turns: Some(opened.turns),
            held: Some(Held::Directory {
                _locks: opened.held,
            }),
        };
        Shard::start(parts, options)
    }

    /// A database on a server. All that one process has open are known by one
    /// name, `instance`.
    pub(crate) fn open_server(
        url: &str,
        access: Access,
        instance: &str,
        options: &StoreOptions,
        now: Timestamp,
    ) -> Result<Shard, StoreError> {
        let server = Server::new(url, options.prepared_statements)?;
        match access {
            Access::Read => {
                let id = postgres::check(&server)?;
                let location = Location::Postgres(server, id.into());
                Ok(Shard::reading(location, options))
            }
            Access::Write => {
                let (connection, id) = postgres::open(&server, instance, now)?;
                let heartbeat = postgres::register(&server, instance)?;
                let parts = Parts {
                    connection: Connection::Postgres(connection),
                    location: Location::Postgres(server, id.into()),
                    instance: instance.to_owned(),
                    turns: None,
                    held: Some(Held::Heartbeat { _beats: heartbeat }),
                };
                Shard::start(parts, options)
            }
            Access::WriteAlone => Err(StoreError::new(
                StoreErrorKind::Conflict,
                "a database on a server cannot be taken for one process alone",
            )),
        }
    }

    pub(crate) fn open_memory(name: String, now: Timestamp) -> Result<Shard, StoreError> {
        let database = Database::Memory(name);
        let options = StoreOptions::default();
        let parts = Parts {
            connection: sqlite::open_memory(&database, &options, now)?,
            location: Location::Sqlite(database),
            instance: sqlite::new_name(),
            turns: None,
            held: None,
        };
        Shard::start(parts, &options)
    }

    fn start(parts: Parts, options: &StoreOptions) -> Result<Shard, StoreError> {
        let bell = Arc::new(Bell::default());
        let writer = Writer::start(
            parts.connection,
            parts.turns,
            bell.clone(),
            parts.location.clone(),
            options,
        )?;
        Ok(Shard {
            readers: Readers::new(parts.location.clone(), options.clone()),
            watcher: Watcher::default(),
            writer: Some(writer),
            bell,
            location: parts.location,
            instance: parts.instance,
            number: ShardNumber::HOME,
            _held: parts.held,
        })
    }

    fn reading(location: Location, options: &StoreOptions) -> Shard {
        Shard {
            readers: Readers::new(location.clone(), options.clone()),
            watcher: Watcher::default(),
            writer: None,
            bell: Arc::new(Bell::default()),
            location,
            instance: sqlite::new_name(),
            number: ShardNumber::HOME,
            _held: None,
        }
    }

    pub(crate) fn numbered(mut self, number: ShardNumber) -> Shard {
        self.number = number;
        self
    }

    pub(crate) fn number(&self) -> ShardNumber {
        self.number
    }

    pub(crate) fn location(&self) -> &Location {
        &self.location
    }

    /// Host, port and database, or a file; never a password.
    pub(crate) fn describe(&self) -> String {
        self.location.describe()
    }

    pub(crate) fn database_id(&self) -> Option<&str> {
        match &self.location {
            Location::Sqlite(_) => None,
            Location::Postgres(_, id) => Some(id),
        }
    }

    pub(crate) fn instance(&self) -> &str {
        &self.instance
    }

    pub(crate) fn writes(&self) -> bool {
        self.writer.is_some()
    }

    pub(crate) fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }

    /// See [`crate::Store::data_version`].
    pub(crate) fn data_version(&self) -> Result<u64, StoreError> {
        self.watcher.version(&self.location)
    }

    /// Fails at once when the database cannot be reached.
    pub(crate) fn ping(&self) -> Result<(), StoreError> {
        self.read("reach the database", |connection| {
            first(connection, "SELECT 1", [], |_| Ok(()))?;
            Ok(())
        })
    }

    pub(crate) fn read<T>(
        &self,
        name: &'static str,
        read: impl FnMut(&Connection) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        self.readers
            .read(read)
            .map_err(|failure| failure.into_store_error(name, &self.describe()))
    }

    pub(crate) fn write<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnMut(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer(name)?.write(name, false, work)
    }

    /// Outside of any transaction.
    pub(crate) fn write_alone<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnMut(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer(name)?.write(name, true, work)
    }

    /// Empties the write-ahead log into the database file.
    pub(crate) fn checkpoint(&self) -> Result<(), StoreError> {
        self.write_alone("checkpoint", |connection| match connection {
            Connection::Sqlite(connection) => sqlite::checkpoint(connection),
            // The server sees to its log itself.
            Connection::Postgres(_) => Ok(()),
        })
    }

    pub(crate) fn write_stats(&self) -> WriteStats {
        let writer = self.writer.as_ref();
        writer.map_or_else(WriteStats::default, Writer::stats)
    }

    fn writer(&self, name: &str) -> Result<&Writer, StoreError> {
        self.writer.as_ref().ok_or_else(|| {
            StoreError::new(
                StoreErrorKind::NotWritable,
                format!("{name}: the database was opened for reading only"),
            )
        })
    }
}
