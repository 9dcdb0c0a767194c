//! Statements on SQLite, each prepared once per connection.

use rusqlite::types::{ToSqlOutput, ValueRef as Native};
use rusqlite::{Connection, params_from_iter};

use super::{Row, ValueRef};
use crate::error::Failure;

impl rusqlite::ToSql for ValueRef<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match *self {
            ValueRef::Null => Native::Null,
            ValueRef::Integer(number) => Native::Integer(number),
            ValueRef::Real(number) => Native::Real(number),
            ValueRef::Text(text) => Native::Text(text.as_bytes()),
            ValueRef::Blob(bytes) => Native::Blob(bytes),
        }))
    }
}

pub(super) fn value<'r>(row: &'r rusqlite::Row<'_>, index: usize) -> Result<ValueRef<'r>, Failure> {
    Ok(match row.get_ref(index)? {
        Native::Null => ValueRef::Null,
        Native::Integer(number) => ValueRef::Integer(number),
        Native::Real(number) => ValueRef::Real(number),
        Native::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => ValueRef::Text(text),
            Err(_) => return Err(Failure::corrupt("a stored text is no UTF-8")),
        },
        Native::Blob(bytes) => ValueRef::Blob(bytes),
    })
}

pub(super) fn for_each(
    connection: &Connection,
    sql: &str,
    values: &[ValueRef<'_>],
    mut each: impl FnMut(&Row<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    while let Some(row) = rows.next()? {
        each(&Row::Sqlite(row))?;
    }
    Ok(())
}

pub(super) fn first<T>(
    connection: &Connection,
    sql: &str,
    values: &[ValueRef<'_>],
    convert: impl FnOnce(&Row<'_>) -> Result<T, Failure>,
) -> Result<Option<T>, Failure> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let row = rows.next()?;
    row.map(|row| convert(&Row::Sqlite(row))).transpose()
}

pub(super) fn execute(
    connection: &Connection,
    sql: &str,
    values: &[ValueRef<'_>],
) -> Result<usize, Failure> {
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.execute(params_from_iter(values))?)
}
