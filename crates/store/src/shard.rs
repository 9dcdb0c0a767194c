//! One database: its readers, its writer, and who it tells of commits.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use types::Timestamp;

use crate::error::{Failure, StoreError, StoreErrorKind};
use crate::late::Late;
use crate::location::Location;
use crate::options::{Access, StoreOptions};
use crate::placement::ShardNumber;
use crate::postgres::{self, Heartbeat, Server, StepName, fault_of_failure};
use crate::presence::{Attempt, Presence};
use crate::readers::Readers;
use crate::sql::{Connection, first};
use crate::sqlite::{self, Database, WriteTurns};
use crate::watch::{Bell, Watcher};
use crate::writer::{WriteStats, Writer};

pub(crate) struct Shard {
    /// Made when the database is opened.
    open: OnceLock<OpenShard>,
    /// How to open a database that did not answer at first.
    late: Option<Late>,
    presence: Presence,
    bell: Arc<Bell>,
    location: Location,
    access: Access,
    instance: String,
    number: ShardNumber,
}

/// What there is of a database that is open. Fields drop in order: the readers
/// close first, so that the writer's is the last connection and empties the
/// log; the locks are released at the end.
pub(crate) struct OpenShard {
    readers: Readers,
    watcher: Watcher,
    writer: Option<Writer>,
    migrated: Vec<StepName>,
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
    /// `None` in memory, where nobody else can write.
    turns: Option<WriteTurns>,
    held: Option<Held>,
    migrated: Vec<StepName>,
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
            let shard = Shard::closed(location, access, &sqlite::new_name(), options);
            return shard.opened(|shard| Ok(OpenShard::reading(&shard.location, options)));
        }
        let opened = sqlite::open_directory(dir, access == Access::WriteAlone, options, now)?;
        let parts = Parts {
            connection: opened.connection,
            turns: Some(opened.turns),
            held: Some(Held::Directory {
                _locks: opened.held,
            }),
            migrated: opened.migrated,
        };
        let location = Location::Sqlite(opened.database);
        let shard = Shard::closed(location, access, &opened.instance, options);
        shard.opened(|shard| OpenShard::writing(parts, &shard.location, &shard.bell, options))
    }

    /// A database on a server. All that one process has open are known by one
    /// name, `instance`.
    pub(crate) fn open_server(
        server: &Server,
        access: Access,
        instance: &str,
        options: &StoreOptions,
        now: Timestamp,
    ) -> Result<Shard, StoreError> {
        let (id, parts) = connect(server, access, instance, now)?;
        let location = Location::Postgres(server.clone(), id.into());
        let shard = Shard::closed(location, access, instance, options);
        shard.opened(|shard| match parts {
            Some(parts) => OpenShard::writing(parts, &shard.location, &shard.bell, options),
            None => Ok(OpenShard::reading(&shard.location, options)),
        })
    }

    /// A database that does not answer now, whose id and number are known. It
    /// is opened when it is asked for something and answers.
    pub(crate) fn open_later(
        late: Late,
        access: Access,
        instance: &str,
        id: &str,
        why: &StoreError,
    ) -> Shard {
        let location = Location::Postgres(late.server.clone(), id.into());
        let place = location.describe();
        let presence = Presence::absent(late.options.read_wait, place, why);
        let mut shard = Shard::closed(location, access, instance, &late.options);
        shard.presence = presence;
        shard.late = Some(late);
        shard
    }

    pub(crate) fn open_memory(name: String, now: Timestamp) -> Result<Shard, StoreError> {
        let database = Database::Memory(name);
        let options = StoreOptions::default();
        let parts = Parts {
            connection: sqlite::open_memory(&database, &options, now)?,
            turns: None,
            held: None,
            migrated: Vec::new(),
        };
        let (location, instance) = (Location::Sqlite(database), sqlite::new_name());
        let shard = Shard::closed(location, Access::Write, &instance, &options);
        shard.opened(|shard| OpenShard::writing(parts, &shard.location, &shard.bell, &options))
    }

    fn closed(location: Location, access: Access, instance: &str, options: &StoreOptions) -> Shard {
        Shard {
            open: OnceLock::new(),
            late: None,
            presence: Presence::new(options.read_wait, location.describe()),
            bell: Arc::new(Bell::default()),
            location,
            access,
            instance: instance.to_owned(),
            number: ShardNumber::HOME,
        }
    }

    fn opened(
        self,
        open: impl FnOnce(&Shard) -> Result<OpenShard, StoreError>,
    ) -> Result<Shard, StoreError> {
        let open = open(&self)?;
        self.open.get_or_init(|| open);
        Ok(self)
    }

    /// What there is of it, once it is open.
    pub(crate) fn open(&self) -> Result<&OpenShard, StoreError> {
        if let Some(open) = self.open.get() {
            return Ok(open);
        }
        let late = self
            .late
            .as_ref()
            .ok_or_else(|| StoreError::new(StoreErrorKind::Bug, "a database was never opened"))?;
        late.open(self)
    }

    /// Opens a database that did not answer when the others were opened;
    /// `prepare` has it before anybody else. At most now and then it is tried.
    pub(crate) fn open_now(
        &self,
        late: &Late,
        prepare: impl FnOnce(&OpenShard) -> Result<(), StoreError>,
    ) -> Result<&OpenShard, StoreError> {
        self.presence.check()?;
        match self
            .connect_late(late)
            .and_then(|open| prepare(&open).map(|()| open))
        {
            Ok(open) => {
                self.presence.answered();
                tracing::info!(shard = %self.number, place = self.describe(), "a shard was taken in");
                Ok(self.open.get_or_init(|| open))
            }
            Err(error) => {
                let is_away = postgres::is_away(&error);
                if self.presence.stays_away(&error) && !is_away {
                    tracing::error!(shard = %self.number, %error, "a shard cannot be used");
                }
                // Whatever is wrong, to who asks it is a database that is away.
                let message = error.repeat().to_string();
                Err(StoreError::new(StoreErrorKind::Unavailable, message))
            }
        }
    }

    fn connect_late(&self, late: &Late) -> Result<OpenShard, StoreError> {
        let (server, options) = (&late.server, &late.options);
        let place = self.describe();
        // Nothing is made where a shard should be.
        if postgres::is_vacant(server)? {
            let message = format!("{place} is empty and no shard any more");
            return Err(StoreError::new(StoreErrorKind::Conflict, message));
        }
        let (id, parts) = connect(server, self.access, &self.instance, late.clock.now())?;
        if Some(id.as_str()) != self.database_id() {
            let number = self.number;
            let message =
                format!("{place} is another database than shard {number}, which was there");
            return Err(StoreError::new(StoreErrorKind::Conflict, message));
        }
        match parts {
            Some(parts) => OpenShard::writing(parts, &self.location, &self.bell, options),
            None => Ok(OpenShard::reading(&self.location, options)),
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
        self.access != Access::Read
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.get().is_some()
    }

    /// What was done to bring it up to date when it was opened.
    pub(crate) fn migrated(&self) -> &[StepName] {
        self.open.get().map_or(&[], |open| &open.migrated)
    }

    pub(crate) fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }

    /// See [`crate::Store::data_version`].
    pub(crate) fn data_version(&self) -> Result<u64, StoreError> {
        let open = self.open()?;
        let version = self.presence.ask(|| {
            let version = open.watcher.version(&self.location);
            version.map_err(|failure| Attempt {
                fault: fault_of_failure(&failure),
                failure,
            })
        });
        version.map_err(|f| f.into_store_error("look for commits", &self.describe()))
    }

    /// Fails at once when the database cannot be reached.
    pub(crate) fn ping(&self) -> Result<(), StoreError> {
        let open = self.open()?;
        let asked = self.presence.ask_once(|| {
            open.readers
                .read(|connection| first(connection, "SELECT 1", [], |_| Ok(())).map(drop))
        });
        asked.map_err(|f| f.into_store_error("reach the database", &self.describe()))
    }

    /// Waits a little for a server that just went away, see [`Presence`].
    pub(crate) fn read<T>(
        &self,
        name: &'static str,
        mut read: impl FnMut(&Connection) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        let open = self.open()?;
        self.presence
            .ask(|| open.readers.read(&mut read))
            .map_err(|failure| failure.into_store_error(name, &self.describe()))
    }

    pub(crate) fn write<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnMut(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.open()?.write(name, work)
    }

    /// Outside of any transaction.
    pub(crate) fn write_alone<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnMut(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.open()?.writer(name)?.write(name, true, work)
    }

    /// Empties the write-ahead log into the database file.
    pub(crate) fn checkpoint(&self) -> Result<(), StoreError> {
        if !self.is_open() {
            return Ok(());
        }
        self.write_alone("checkpoint", |connection| match connection {
            Connection::Sqlite(connection) => sqlite::checkpoint(connection),
            // The server sees to its log itself.
            Connection::Postgres(_) => Ok(()),
        })
    }

    pub(crate) fn write_stats(&self) -> WriteStats {
        let writer = self.open.get().and_then(|open| open.writer.as_ref());
        writer.map_or_else(WriteStats::default, Writer::stats)
    }
}

impl OpenShard {
    fn writing(
        parts: Parts,
        location: &Location,
        bell: &Arc<Bell>,
        options: &StoreOptions,
    ) -> Result<OpenShard, StoreError> {
        let writer = Writer::start(
            parts.connection,
            parts.turns,
            bell.clone(),
            location.clone(),
            options,
        )?;
        Ok(OpenShard {
            readers: Readers::new(location.clone(), options.clone()),
            watcher: Watcher::default(),
            writer: Some(writer),
            migrated: parts.migrated,
            _held: parts.held,
        })
    }

    fn reading(location: &Location, options: &StoreOptions) -> OpenShard {
        OpenShard {
            readers: Readers::new(location.clone(), options.clone()),
            watcher: Watcher::default(),
            writer: None,
            migrated: Vec::new(),
            _held: None,
        }
    }

    pub(crate) fn write<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnMut(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.writer(name)?.write(name, false, work)
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

/// The id of a database on a server, and what it is written with.
fn connect(
    server: &Server,
    access: Access,
    instance: &str,
    now: Timestamp,
) -> Result<(String, Option<Parts>), StoreError> {
    match access {
        Access::Read => Ok((postgres::check(server)?, None)),
        Access::Write => {
            let opened = postgres::open(server, instance, now)?;
            let parts = Parts {
                connection: Connection::Postgres(opened.connection),
                turns: None,
                held: Some(Held::Heartbeat {
                    _beats: opened.heartbeat,
                }),
                migrated: opened.migrated,
            };
            Ok((opened.id, Some(parts)))
        }
        Access::WriteAlone => Err(StoreError::new(
            StoreErrorKind::Conflict,
            "a database on a server cannot be taken for one process alone",
        )),
    }
}
