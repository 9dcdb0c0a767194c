//! SQL as every operation speaks it, whatever engine runs it.
//!
//! Statements are written once, in what SQLite and PostgreSQL share, with `?1`
//! for parameters; [`crate::postgres`] rewrites the few words that differ.
//! Values are the five that both store the same way: null, 64-bit integers (a
//! truth is 0 or 1), doubles, texts and bytes.

mod from_row;
mod sqlite;
mod value;

use std::fmt::Write as _;

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

    fn send(&self, sql: &str, parameters: impl Parameters) -> Result<(), Failure> {
        let values = parameters.values();
        match self {
            Connection::Sqlite(connection) => sqlite::execute(connection, sql, &values).map(drop),
            Connection::Postgres(connection) => connection.send(sql, &values),
        }
    }

    /// Waits for what was sent ahead; the first of it that failed.
    pub(crate) fn settle(&self) -> Result<(), Failure> {
        match self {
            Connection::Sqlite(_) => Ok(()),
            Connection::Postgres(connection) => connection.settle(),
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

/// Runs a statement of which nobody needs to know how many rows it changed. A
/// server gets it ahead of the statements that follow and nobody waits for it;
/// that it failed is told by one of those, or at the end of the operation.
pub(crate) fn send(
    connection: &Connection,
    sql: &str,
    parameters: impl Parameters,
) -> Result<(), Failure> {
    connection.send(sql, parameters)
}

/// Runs one query for each of `parameters` and converts its rows; a server is
/// asked all at once.
pub(crate) fn collect_each<T>(
    connection: &Connection,
    sql: &str,
    parameters: &[Vec<ValueRef<'_>>],
    mut convert: impl FnMut(&Row<'_>) -> Result<T, Failure>,
) -> Result<Vec<Vec<T>>, Failure> {
    match connection {
        Connection::Sqlite(connection) => {
            let one = |values: &Vec<ValueRef<'_>>| {
                let mut rows = Vec::new();
                sqlite::for_each(connection, sql, values, |row| {
                    rows.push(convert(row)?);
                    Ok(())
                })?;
                Ok(rows)
            };
            parameters.iter().map(one).collect()
        }
        Connection::Postgres(connection) => connection.collect_each(sql, parameters, convert),
    }
}

/// Rows that one statement inserts, so that statements have few forms; the few
/// chunks of a page are one statement.
const ROWS_AT_ONCE: [usize; 10] = [64, 16, 8, 7, 6, 5, 4, 3, 2, 1];

/// Cuts rows of `columns` values each into steps, and makes of each the
/// statement `insert VALUES (…), (…) ending` with its values.
pub(crate) fn many_rows<'v>(
    insert: &str,
    columns: usize,
    ending: &str,
    values: &'v [ValueRef<'v>],
) -> Vec<(String, &'v [ValueRef<'v>])> {
    let mut steps = Vec::new();
    let mut rest = values;
    for rows in ROWS_AT_ONCE {
        let mut sql = String::new();
        while rest.len() >= rows * columns {
            if sql.is_empty() {
                sql = with_rows(insert, columns, ending, rows);
            }
            let (step, behind) = rest.split_at(rows * columns);
            steps.push((sql.clone(), step));
            rest = behind;
        }
    }
    steps
}

fn with_rows(insert: &str, columns: usize, ending: &str, rows: usize) -> String {
    let mut sql = format!("{insert} VALUES ");
    for row in 0..rows {
        sql.push_str(if row == 0 { "(" } else { ", (" });
        for column in 1..=columns {
            let separator = if column == 1 { "?" } else { ", ?" };
            let _ = write!(sql, "{separator}{}", row * columns + column);
        }
        sql.push(')');
    }
    sql.push_str(ending);
    sql
}

/// Inserts one row into a table that numbers its rows itself; its `id`.
pub(crate) fn insert(
    connection: &Connection,
    sql: &str,
    parameters: impl Parameters,
) -> Result<i64, Failure> {
    connection.insert(sql, parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_rows_become_few_statements_of_few_forms() {
        let values: Vec<ValueRef<'_>> = (0..2 * 70).map(ValueRef::Integer).collect();
        let steps = many_rows(
            "INSERT INTO t (a, b)",
            2,
            " ON CONFLICT DO NOTHING",
            &values,
        );
        let rows: Vec<usize> = steps.iter().map(|(_, values)| values.len() / 2).collect();
        assert_eq!(rows, [64, 6]);
        let all: Vec<ValueRef<'_>> = steps.iter().flat_map(|(_, part)| part.to_vec()).collect();
        assert_eq!(all, values);
        assert_eq!(
            many_rows(
                "INSERT INTO t (a, b)",
                2,
                " ON CONFLICT DO NOTHING",
                &values[..4]
            )[0]
            .0,
            "INSERT INTO t (a, b) VALUES (?1, ?2), (?3, ?4) ON CONFLICT DO NOTHING"
        );
        assert!(many_rows("INSERT INTO t (a)", 1, "", &[]).is_empty());
    }
}
