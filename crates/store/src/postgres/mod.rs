//! The engine of many machines: a database on a PostgreSQL server, directly or
//! through a pooler in transaction mode.
//!
//! # Who may write when
//! Writing transactions take turns, all processes on all machines: the first
//! thing each does is to take one advisory lock, which ends with it. So change
//! numbers become visible in their order, every operation sees what it decides
//! on unchanged until it commits, and there is no second lock to wait for while
//! holding the first, hence no deadlock. What is lost by it is small: each
//! process commits what waits as one group, and more writing at a time takes
//! more shards. Reading transactions see one state of the database and wait
//! for nobody. The heartbeats of stores are outside of the turns and touch one
//! row each.
//!
//! # What a lost connection means
//! A group whose connection is lost, or which the server undid, is run again on
//! a new one. Each commit leaves a mark of its store; when the answer to one was
//! lost, the mark tells whether it was carried out.
//!
//! Nothing here is tied to a session: no `LISTEN`, no session locks or settings.
//! Only an index that a migration builds beside writers is, see [`migrate`].

mod connection;
mod driver;
mod error;
mod instances;
mod migrate;
mod pipeline;
mod server;
#[cfg(test)]
mod tests;
mod translate;
mod value;

use types::Timestamp;

use crate::error::{Failure, StoreError};

use connection::Mark;

pub(crate) use connection::Connection;
pub(crate) use error::{Fault, fault_of_failure, is_away, meaning};
pub(crate) use instances::{Heartbeat, living};
pub use migrate::SchemaState;
pub(crate) use migrate::{StepName, look};
pub(crate) use server::Server;
#[cfg(test)]
pub(crate) use translate::translate;
pub(crate) use value::value;

/// A database that is open for writing.
pub(crate) struct Opened {
    pub(crate) connection: Connection,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) id: String,
    /// What was done to bring it up to date.
    pub(crate) migrated: Vec<StepName>,
}

/// Connects for writing to a database, which is brought to the newest version,
/// and makes `instance` known as a store that lives.
pub(crate) fn open(server: &Server, instance: &str, now: Timestamp) -> Result<Opened, StoreError> {
    let connect = || {
        let connection = server.connect()?;
        let migrated = migrate::migrate(&connection, server.direct(), now)?;
        connection.take_over(Some(Mark::first(instance)), false)?;
        let id = migrate::database_id(&connection)?;
        let heartbeat = Heartbeat::start(server, instance)?;
        migrate::check_again(&connection)?;
        Ok(Opened {
            connection,
            heartbeat,
            id,
            migrated,
        })
    };
    connect().map_err(|f: Failure| f.into_store_error("open the database", &server.describe()))
}

/// Does what migrations left for when no older program is at work any more; see
/// [`SchemaState`].
pub(crate) fn contract(
    server: &Server,
    now: Timestamp,
) -> Result<(Vec<StepName>, SchemaState), StoreError> {
    let connect = || {
        let connection = server.connect()?;
        migrate::contract(&connection, server.direct(), now)
    };
    connect().map_err(|f: Failure| f.into_store_error("migrate the database", &server.describe()))
}

/// The id of a database that can be read.
pub(crate) fn check(server: &Server) -> Result<String, StoreError> {
    let read = |connection: Connection| {
        migrate::check(&connection)?;
        migrate::database_id(&connection)
    };
    server
        .connect()
        .and_then(read)
        .map_err(|f| f.into_store_error("open the database", &server.describe()))
}

/// Whether the database has no tables yet, of anybody. Fails when it has some
/// and none are ours.
pub(crate) fn is_vacant(server: &Server) -> Result<bool, StoreError> {
    server
        .connect()
        .and_then(|connection| migrate::is_vacant(&connection))
        .map_err(|f| f.into_store_error("open the database", &server.describe()))
}
