//! Rows on their way from one database to the other, a bounded number at a time.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::belongs::{Selection, condition};
use super::tables::Table;
use crate::error::Failure;
use crate::rows::as_i64;
use crate::sql::{self, Connection, Kind, Row, ValueRef};

/// Rows of a batch at most: some milliseconds of reading, and one transaction
/// of a fraction of a second.
const ROWS_MAX: usize = 5_000;
/// Bytes of texts and blobs after which a batch takes no further row.
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// Rows asked for at first: how large they are is not known yet.
const ROWS_FIRST: usize = 200;

/// One value of a primary key, as it is noted down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum KeyValue {
    Integer(i64),
    Text(String),
}

impl sql::ToSql for KeyValue {
    fn to_sql(&self) -> ValueRef<'_> {
        match self {
            KeyValue::Integer(number) => ValueRef::Integer(*number),
            KeyValue::Text(text) => ValueRef::Text(text),
        }
    }
}

/// Goes through the rows of a table in the order of its primary key.
#[derive(Debug)]
pub(super) struct Walk {
    table: &'static Table,
    selection: Selection,
    /// Key of the last row that was taken; empty before the first.
    pub(super) after: Vec<KeyValue>,
    limit: usize,
    pub(super) is_done: bool,
}

/// What one read of a [`Walk`] went through.
#[derive(Debug)]
struct Passed {
    rows: usize,
    bytes: usize,
    last: Vec<KeyValue>,
    is_done: bool,
}

impl Walk {
    pub(super) fn new(table: &'static Table, selection: Selection, after: Vec<KeyValue>) -> Walk {
        Walk {
            table,
            selection,
            after,
            limit: ROWS_FIRST,
            is_done: false,
        }
    }

    /// The next rows, in one batch. Nothing moves on before [`Walk::pass`].
    pub(super) fn batch(&self, connection: &Connection) -> Result<Batch, Failure> {
        let mut batch = Batch::new(self.table);
        let passed = self.read(connection, |row| batch.add(row))?;
        batch.passed = Some(passed);
        Ok(batch)
    }

    /// Goes on behind what `batch` has.
    pub(super) fn pass(&mut self, batch: &Batch) {
        let Some(passed) = &batch.passed else { return };
        self.is_done = passed.is_done;
        if passed.rows > 0 {
            self.after.clone_from(&passed.last);
            // As many as fit, by the size of those that were just seen.
            let row_bytes = passed.bytes.div_ceil(passed.rows).max(1);
            self.limit = (BYTES_MAX / row_bytes).clamp(1, ROWS_MAX);
        }
    }

    /// Hands rows to `take`, which tells how many bytes it took of each.
    fn read(
        &self,
        connection: &Connection,
        mut take: impl FnMut(&Row<'_>) -> Result<usize, Failure>,
    ) -> Result<Passed, Failure> {
        let sql = statement(self.table, self.selection, self.after.len());
        let limit = as_i64(self.limit);
        let mut parameters: Vec<&dyn sql::ToSql> = vec![&limit];
        parameters.extend(self.after.iter().map(|value| value as &dyn sql::ToSql));
        let mut passed = Passed {
            rows: 0,
            bytes: 0,
            last: Vec::new(),
            is_done: false,
        };
        let mut seen = 0;
        connection.for_each(&sql, parameters.as_slice(), |row| {
            seen += 1;
            // The rest is read again as the next batch.
            if passed.bytes < BYTES_MAX {
                passed.bytes += take(row)?;
                passed.rows += 1;
                passed.last = key_of(self.table, row)?;
            }
            Ok(())
        })?;
        passed.is_done = seen < self.limit && passed.rows == seen;
        Ok(passed)
    }
}

/// Walks the primary key. `?1` is how many rows at most; the key follows.
pub(super) fn statement(table: &Table, selection: Selection, key_values: usize) -> String {
    let mut conditions: Vec<String> = condition(table, selection).into_iter().collect();
    if key_values > 0 {
        let values: Vec<String> = (0..key_values).map(|n| format!("?{}", n + 2)).collect();
        conditions.push(format!("({}) > ({})", table.key_list(), values.join(", ")));
    }
    let mut sql = format!("SELECT {} FROM {}", table.column_list(), table.name);
    if !conditions.is_empty() {
        sql.push_str(" WHERE ");
        sql.push_str(&conditions.join(" AND "));
    }
    sql.push_str(&format!(" ORDER BY {} LIMIT ?1", table.key_list()));
    sql
}

fn key_of(table: &Table, row: &Row<'_>) -> Result<Vec<KeyValue>, Failure> {
    let value = |index| match row.value(index)? {
        ValueRef::Integer(number) => Ok(KeyValue::Integer(number)),
        ValueRef::Text(text) => Ok(KeyValue::Text(text.to_owned())),
        _ => Err(Failure::corrupt(format!(
            "a key of {} is neither a number nor a text",
            table.name
        ))),
    };
    (0..table.key).map(value).collect()
}

/// Rows of one table in memory.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) table: &'static Table,
    cells: Vec<Cell>,
    texts: String,
    blobs: Vec<u8>,
    passed: Option<Passed>,
}

#[derive(Debug)]
enum Cell {
    Null,
    Integer(i64),
    Real(f64),
    Text(Range<usize>),
    Blob(Range<usize>),
}

impl Batch {
    fn new(table: &'static Table) -> Batch {
        Batch {
            table,
            cells: Vec::new(),
            texts: String::new(),
            blobs: Vec::new(),
            passed: None,
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.cells.len() / self.table.columns.len()
    }

    /// Takes a row; how many bytes it has.
    fn add(&mut self, row: &Row<'_>) -> Result<usize, Failure> {
        let before = self.texts.len() + self.blobs.len();
        for (index, column) in self.table.columns.iter().enumerate() {
            let cell = match typed(self.table, column.kind, row.value(index)?)? {
                ValueRef::Null => Cell::Null,
                ValueRef::Integer(number) => Cell::Integer(number),
                ValueRef::Real(number) => Cell::Real(number),
                ValueRef::Text(text) => {
                    let start = self.texts.len();
                    self.texts.push_str(text);
                    Cell::Text(start..self.texts.len())
                }
                ValueRef::Blob(bytes) => {
                    let start = self.blobs.len();
                    self.blobs.extend_from_slice(bytes);
                    Cell::Blob(start..self.blobs.len())
                }
            };
            self.cells.push(cell);
        }
        let bytes = self.texts.len() + self.blobs.len() - before;
        Ok(bytes + 8 * self.table.columns.len())
    }

    fn value(&self, cell: &Cell) -> ValueRef<'_> {
        match cell {
            Cell::Null => ValueRef::Null,
            Cell::Integer(number) => ValueRef::Integer(*number),
            Cell::Real(number) => ValueRef::Real(*number),
            Cell::Text(range) => ValueRef::Text(&self.texts[range.clone()]),
            Cell::Blob(range) => ValueRef::Blob(&self.blobs[range.clone()]),
        }
    }

    pub(super) fn each_row(&self) -> impl Iterator<Item = Vec<ValueRef<'_>>> {
        let rows = self.cells.chunks(self.table.columns.len());
        rows.map(|cells| cells.iter().map(|cell| self.value(cell)).collect())
    }

    /// Inserts the rows, in the transaction that is open.
    pub(super) fn write(&self, connection: &Connection) -> Result<(), Failure> {
        let (table, columns) = (self.table.name, self.table.column_list());
        if self.rows() == 0 {
            return Ok(());
        }
        let Connection::Postgres(server) = connection else {
            let places: Vec<String> = (1..=self.table.columns.len())
                .map(|n| format!("?{n}"))
                .collect();
            let sql = format!(
                "INSERT INTO {table} ({columns}) VALUES ({})",
                places.join(", ")
            );
            for row in self.each_row() {
                sql::execute(connection, &sql, row.as_slice())?;
            }
            return Ok(());
        };
        let kinds: Vec<Kind> = self.table.columns.iter().map(|c| c.kind).collect();
        let sql = format!("COPY {table} ({columns}) FROM STDIN (FORMAT binary)");
        let copied = server.copy_in(&sql, &kinds, self.each_row())?;
        if copied != self.rows() as u64 {
            return Err(Failure::bug(format!(
                "{copied} of {} rows were copied into {table}",
                self.rows()
            )));
        }
        Ok(())
    }
}

/// The value, if it is of the column's kind.
fn typed<'v>(table: &Table, kind: Kind, value: ValueRef<'v>) -> Result<ValueRef<'v>, Failure> {
    match (kind, value) {
        (_, ValueRef::Null)
        | (Kind::Integer, ValueRef::Integer(_))
        | (Kind::Real, ValueRef::Real(_))
        | (Kind::Text, ValueRef::Text(_))
        | (Kind::Bytes, ValueRef::Blob(_)) => Ok(value),
        _ => Err(Failure::corrupt(format!(
            "a column of {} holds a value of another type",
            table.name
        ))),
    }
}
