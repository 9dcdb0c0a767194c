//! SQL as every operation speaks it, whatever engine runs it.
//!
//! Statements are written once, in what SQLite and PostgreSQL share, with `?1`
//! for parameters; [`crate::postgres`] rewrites the few words that differ.
//! Values are the five that both store the same way: null, 64-bit integers (a
//! truth is 0 or 1), doubles, texts and bytes.

mod from_row;
mod sqlite;
mod value;

use crate::error::Failure;
use crate::postgres::{self, Fault};

pub(crate) use from_row::Row;
pub(crate) use value::{Kind, Parameters, ToSql, Value, ValueRef, params};

/// A connection to the database of a store.
#[derive(Debug)]
pub(crate) enum Connection {
    Sqlite(rusqlite::Connection),
    Postgres(postgres::Connection),
}

impl Connection {
    /// Hands each row to `each`, in order.
    pub(crate) fn for_each(
        &self,
        sql: &str,
        parameters: impl Parameters,
        each: impl FnMut(&Row<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let values = parameters.values();
        match self {
            Connection::Sqlite(connection) => sqlite::for_each(connection, sql, &values, each),
            Connection::Postgres(connection) => connection.for_each(sql, &values, each),
        }
    }

    fn first<T>(
        &self,
        sql: &str,
        parameters: impl Parameters,
        convert: impl FnOnce(&Row<'_>) -> Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        let values = parameters.values();
        match self {
            Connection::Sqlite(connection) => sqlite::first(connection, sql, &values, convert),
            Connection::Postgres(connection) => connection.first(sql, &values, convert),
        }
    }

    fn execute(&self, sql: &str, parameters: impl Parameters) -> Result<usize, Failure> {
        let values = parameters.values();
        match self {
            Connection::Sqlite(connection) => sqlite::execute(connection, sql, &values),
            Connection::Postgres(connection) => connection.execute(sql, &values),
        }
    }

    fn insert(&self, sql: &str, parameters: impl Parameters) -> Result<i64, Failure> {
        let values = parameters.values();
        match self {
            Connection::Sqlite(connection) => {
                sqlite::execute(connection, sql, &values)?;
                Ok(connection.last_insert_rowid())
            }
            Connection::Postgres(connection) => connection.insert(sql, &values),
        }
    }

    /// Begins a transaction that sees one state of the database.
    pub(crate) fn begin_reading(&self) -> Result<(), Failure> {
        match self {
            Connection::Sqlite(connection) => Ok(connection.execute_batch("BEGIN")?),
            Connection::Postgres(connection) => connection.begin_reading(),
        }
    }

    /// Begins a transaction that nobody else's writes come between.
    pub(crate) fn begin_writing(&self) -> Result<(), Failure> {
        match self {
            Connection::Sqlite(connection) => Ok(connection.execute_batch("BEGIN IMMEDIATE")?),
            Connection::Postgres(connection) => connection.begin_writing(),
        }
    }

    /// Ends the transaction for good. `has_changed`: others want to know.
    pub(crate) fn commit(&self, has_changed: bool) -> Result<(), Failure> {
        match self {
            Connection::Sqlite(connection) => Ok(connection.execute_batch("COMMIT")?),
            Connection::Postgres(connection) => connection.commit(has_changed),
        }
    }

    /// Undoes the transaction, if one is open; false when that fails.
    pub(crate) fn roll_back(&self) -> bool {
        if !self.is_in_transaction() {
            return true;
        }
        let undone = match self {
            Connection::Sqlite(connection) => {
                connection.execute_batch("ROLLBACK").map_err(Failure::from)
            }
            Connection::Postgres(connection) => connection.roll_back(),
        };
        if let Err(failure) = &undone
            && self.fault().is_none()
        {
            tracing::error!(?failure, "failed to roll back");
        }
        undone.is_ok()
    }

    /// Where [`Connection::undo_operation`] goes back to.
    pub(crate) fn set_savepoint(&self) -> Result<(), Failure> {
        match self {
            Connection::Sqlite(connection) => Ok(connection.execute_batch("SAVEPOINT operation")?),
            Connection::Postgres(connection) => connection.set_savepoint(),
        }
    }

    pub(crate) fn keep_operation(&self) -> Result<(), Failure> {
        match self {
            Connection::Sqlite(connection) => Ok(connection.execute_batch("RELEASE operation")?),
            Connection::Postgres(connection) => connection.keep_operation(),
        }
    }

    pub(crate) fn undo_operation(&self) -> Result<(), Failure> {
        match self {
            Connection::Sqlite(connection) => {
                Ok(connection.execute_batch("ROLLBACK TO operation; RELEASE operation")?)
            }
            Connection::Postgres(connection) => connection.undo_operation(),
        }
    }

    pub(crate) fn is_in_transaction(&self) -> bool {
        match self {
            Connection::Sqlite(connection) => !connection.is_autocommit(),
            Connection::Postgres(connection) => connection.is_in_transaction(),
        }
    }

    /// Whether what failed may succeed when it is run again, and why.
    pub(crate) fn fault(&self) -> Option<Fault> {
        match self {
            Connection::Sqlite(_) => None,
            Connection::Postgres(connection) => connection.fault(),
        }
    }

    /// A number that is another after somebody else has written.
    pub(crate) fn data_version(&self) -> Result<u64, Failure> {
        let sql = match self {
            Connection::Sqlite(_) => "PRAGMA data_version",
            Connection::Postgres(_) => "SELECT version FROM commits",
        };
        let version: Option<i64> = first(self, sql, [], |row| row.get(0))?;
        let version = version.ok_or_else(|| Failure::bug("no data version"))?;
        Ok(version.cast_unsigned())
    }

    /// From now on all ids are above `id`. For a database that is still empty.
    pub(crate) fn give_ids_above(&self, id: i64) -> Result<(), Failure> {
        match self {
            Connection::Sqlite(_) => Err(Failure::conflict(
                "a data directory is no shard; shards are databases on servers",
            )),
            Connection::Postgres(connection) => connection.give_ids_above(id),
        }
    }

    /// Rows that this connection has ever inserted, changed or deleted.
    pub(crate) fn rows_changed(&self) -> u64 {
        match self {
            Connection::Sqlite(connection) => connection.total_changes(),
            Connection::Postgres(connection) => connection.rows_changed(),
        }
    }

    pub(crate) fn close(self) -> Result<(), Failure> {
        match self {
            Connection::Sqlite(connection) => connection.close().map_err(|(_, error)| error.into()),
            // The server is told when the last handle goes.
            Connection::Postgres(_) => Ok(()),
        }
    }
}

/// Runs a query and converts its rows.
pub(crate) fn collect<T>(
    connection: &Connection,
    sql: &str,
    parameters: impl Parameters,
    mut convert: impl FnMut(&Row<'_>) -> Result<T, Failure>,
) -> Result<Vec<T>, Failure> {
    let mut rows = Vec::new();
    connection.for_each(sql, parameters, |row| {
        rows.push(convert(row)?);
        Ok(())
    })?;
    Ok(rows)
}

/// The first row, if any.
pub(crate) fn first<T>(
    connection: &Connection,
    sql: &str,
    parameters: impl Parameters,
    convert: impl FnOnce(&Row<'_>) -> Result<T, Failure>,
) -> Result<Option<T>, Failure> {
    connection.first(sql, parameters, convert)
}

/// Runs a statement; the number of rows it changed.
pub(crate) fn execute(
    connection: &Connection,
    sql: &str,
    parameters: impl Parameters,
) -> Result<usize, Failure> {
    connection.execute(sql, parameters)
}

/// Inserts one row into a table that numbers its rows itself; its `id`.
pub(crate) fn insert(
    connection: &Connection,
    sql: &str,
    parameters: impl Parameters,
) -> Result<i64, Failure> {
    connection.insert(sql, parameters)
}
