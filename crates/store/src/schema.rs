//! How far the migrations of each database are.

use crate::Store;
use crate::error::{StoreError, StoreErrorKind};
use crate::location::Location;
use crate::placement::ShardNumber;
use crate::postgres::{self, SchemaState};
use crate::shard::Shard;
use crate::sql::Connection;
use crate::sqlite;

/// The schema of one of the databases that are open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaRow {
    pub number: ShardNumber,
    /// Host, port and database, or a file.
    pub place: String,
    /// Steps that this process did, such as `9 (titles): expand`.
    pub done: Vec<String>,
    /// `None`: the database does not answer.
    pub state: Option<SchemaState>,
}

impl Store {
    /// How far the migrations of each database are; what was done when they
    /// were opened is among `done`.
    pub fn schema_rows(&self) -> Result<Vec<SchemaRow>, StoreError> {
        let row = |shard: &Shard| schema_row(shard, &[], look(shard));
        self.all().map(row).collect()
    }

    /// Takes away what older programs needed and this one does not, where none
    /// of them is at work; what has to wait is still `waiting` then. An embedded
    /// database has nothing of that sort: its migrations wait for nobody.
    pub fn contract(&self) -> Result<Vec<SchemaRow>, StoreError> {
        let row = |shard: &Shard| match shard.location() {
            Location::Sqlite(_) => schema_row(shard, &[], look(shard)),
            Location::Postgres(server, _) => {
                // A connection of its own would wait where this one does not.
                let contracted = shard
                    .ping()
                    .and_then(|()| postgres::contract(server, self.now()));
                match contracted {
                    Ok((done, state)) => schema_row(shard, &done, Ok(state)),
                    Err(error) => schema_row(shard, &[], Err(error)),
                }
            }
        };
        self.all().map(row).collect()
    }
}

fn look(shard: &Shard) -> Result<SchemaState, StoreError> {
    shard.read("look at the schema", |connection| match connection {
        Connection::Sqlite(connection) => sqlite::look(connection),
        Connection::Postgres(connection) => postgres::look(connection),
    })
}

fn schema_row(
    shard: &Shard,
    done: &[String],
    state: Result<SchemaState, StoreError>,
) -> Result<SchemaRow, StoreError> {
    let state = match state {
        Ok(state) => Some(state),
        Err(error) if error.kind() == StoreErrorKind::Unavailable => None,
        Err(error) => return Err(error),
    };
    Ok(SchemaRow {
        number: shard.number(),
        place: shard.describe(),
        done: [shard.migrated(), done].concat(),
        state,
    })
}
