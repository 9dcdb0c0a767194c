//! Where the database of a store lives.

use std::sync::Arc;

use crate::error::Failure;
use crate::options::StoreOptions;
use crate::postgres::{self, Server};
use crate::rows::count;
use crate::sql::{Connection, first};
use crate::sqlite::{self, Database};

#[derive(Clone, Debug)]
pub(crate) enum Location {
    Sqlite(Database),
    /// A server, and the id of the database on it.
    Postgres(Server, Arc<str>),
}

impl Location {
    pub(crate) fn describe(&self) -> String {
        match self {
            Location::Sqlite(database) => database.describe(),
            Location::Postgres(server, _) => server.describe(),
        }
    }

    /// Bytes that the database takes on its disk.
    pub(crate) fn disk_bytes(&self, connection: &Connection) -> Result<u64, Failure> {
        match (self, connection) {
            (Location::Sqlite(database), Connection::Sqlite(connection)) => {
                sqlite::disk_bytes(connection, database)
            }
            _ => {
                let sql = "SELECT pg_database_size(current_database())";
                let bytes = first(connection, sql, [], |row| row.get(0))?;
                Ok(bytes.unwrap_or(0))
            }
        }
    }

    /// `None` where there can be none.
    pub(crate) fn deadlocks(&self, connection: &Connection) -> Result<Option<u64>, Failure> {
        match self {
            Location::Sqlite(_) => Ok(None),
            Location::Postgres(..) => {
                let sql = "SELECT deadlocks FROM pg_stat_database
                           WHERE datname = current_database()";
                let counted = first(connection, sql, [], |row| count(row, 0))?;
                Ok(Some(counted.unwrap_or(0)))
            }
        }
    }

    pub(crate) fn open_reader(&self, options: &StoreOptions) -> Result<Connection, Failure> {
        match self {
            Location::Sqlite(database) => {
                sqlite::open_reader(database, options).map(Connection::Sqlite)
            }
            Location::Postgres(server, _) => server.connect().map(Connection::Postgres),
        }
    }

    /// The names of stores that are open for writing somewhere.
    pub(crate) fn living(&self) -> Result<Living, Failure> {
        match self {
            Location::Sqlite(database) => Ok(Living::Here(sqlite::LivingInstances::in_directory(
                database,
            ))),
            Location::Postgres(server, _) => {
                let names = server.connect().and_then(|c| postgres::living(&c))?;
                Ok(Living::Anywhere(names))
            }
        }
    }
}

/// Stores that are open for writing.
#[derive(Debug)]
pub(crate) enum Living {
    /// In this machine's directory.
    Here(sqlite::LivingInstances),
    /// By name, on any machine.
    Anywhere(Vec<String>),
}

impl Living {
    pub(crate) fn has(&self, name: &str) -> bool {
        match self {
            Living::Here(instances) => instances.has(name),
            Living::Anywhere(names) => names.iter().any(|living| living == name),
        }
    }
}
