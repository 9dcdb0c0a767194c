//! Where the database of a store lives.

use crate::error::Failure;
use crate::options::StoreOptions;
use crate::sql::Connection;
use crate::sqlite::{self, Database};

#[derive(Clone, Debug)]
pub(crate) enum Location {
    Sqlite(Database),
}

impl Location {
    pub(crate) fn describe(&self) -> String {
        match self {
            Location::Sqlite(database) => database.describe(),
        }
    }

    /// Bytes that the database takes on its disk.
    pub(crate) fn disk_bytes(&self, connection: &Connection) -> Result<u64, Failure> {
        match (self, connection) {
            (Location::Sqlite(database), Connection::Sqlite(connection)) => {
                sqlite::disk_bytes(connection, database)
            }
        }
    }

    pub(crate) fn open_reader(&self, options: &StoreOptions) -> Result<Connection, Failure> {
        match self {
            Location::Sqlite(database) => {
                sqlite::open_reader(database, options).map(Connection::Sqlite)
            }
        }
    }
}
