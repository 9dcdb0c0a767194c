//! SQL as every operation speaks it, whatever engine runs it.
//!
//! Statements are written once, in what SQLite and PostgreSQL share, with `?1`
//! for parameters; [`postgres`] rewrites the few words that differ. Values are
//! the five that both engines store the same way: null, 64-bit integers (a
//! truth is 0 or 1), doubles, texts and bytes.

mod from_row;
mod sqlite;
mod value;

use crate::error::Failure;

pub(crate) use from_row::Row;
pub(crate) use value::{Parameters, ToSql, Value, ValueRef, params};

/// A connection to the database of a store.
#[derive(Debug)]
pub(crate) enum Connection {
    Sqlite(rusqlite::Connection),
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
        }
    }

    fn execute(&self, sql: &str, parameters: impl Parameters) -> Result<usize, Failure> {
        let values = parameters.values();
        match self {
            Connection::Sqlite(connection) => sqlite::execute(connection, sql, &values),
        }
    }

    fn insert(&self, sql: &str, parameters: impl Parameters) -> Result<i64, Failure> {
        let values = parameters.values();
        match self {
            Connection::Sqlite(connection) => {
                sqlite::execute(connection, sql, &values)?;
                Ok(connection.last_insert_rowid())
            }
        }
    }

    /// Statements without parameters or rows.
    pub(crate) fn run_batch(&self, sql: &str) -> Result<(), Failure> {
        match self {
            Connection::Sqlite(connection) => Ok(connection.execute_batch(sql)?),
        }
    }

    pub(crate) fn is_in_transaction(&self) -> bool {
        match self {
            Connection::Sqlite(connection) => !connection.is_autocommit(),
        }
    }

    /// Begins a transaction that sees one state of the database.
    pub(crate) fn begin_reading(&self) -> Result<(), Failure> {
        match self {
            Connection::Sqlite(_) => self.run_batch("BEGIN"),
        }
    }

    /// Begins a transaction that nobody else's writes come between.
    pub(crate) fn begin_writing(&self) -> Result<(), Failure> {
        match self {
            Connection::Sqlite(_) => self.run_batch("BEGIN IMMEDIATE"),
        }
    }

    /// Undoes the transaction, if one is open; false when that fails.
    pub(crate) fn roll_back(&self) -> bool {
        if !self.is_in_transaction() {
            return true;
        }
        let failed = self.run_batch("ROLLBACK").err();
        if let Some(failure) = &failed {
            tracing::error!(?failure, "failed to roll back");
        }
        failed.is_none()
    }

    /// A number that is another after somebody else has written.
    pub(crate) fn data_version(&self) -> Result<u64, Failure> {
        let version: Option<i64> = match self {
            Connection::Sqlite(_) => first(self, "PRAGMA data_version", [], |row| row.get(0))?,
        };
        let version = version.ok_or_else(|| Failure::bug("no data version"))?;
        Ok(version.cast_unsigned())
    }

    /// Rows that this connection has ever inserted, changed or deleted.
    pub(crate) fn rows_changed(&self) -> u64 {
        match self {
            Connection::Sqlite(connection) => connection.total_changes(),
        }
    }

    pub(crate) fn close(self) -> Result<(), Failure> {
        match self {
            Connection::Sqlite(connection) => connection.close().map_err(|(_, error)| error.into()),
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
