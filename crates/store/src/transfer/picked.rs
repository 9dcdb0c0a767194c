//! Rows of one table that are few enough to be held, looked at and changed on
//! their way into another database.

use super::tables::{TABLES, Table};
use crate::error::Failure;
use crate::sql::{self, Connection, Kind, Parameters, ToSql as _, Value, ValueRef, collect};

/// Whole rows, each with all columns of its table.
#[derive(Clone, Debug)]
pub(crate) struct Picked {
    table: &'static Table,
    pub(crate) rows: Vec<Vec<Value>>,
}

impl Picked {
    /// The rows that meet `condition`, which may go on with an order.
    pub(crate) fn read(
        connection: &Connection,
        table: &str,
        condition: &str,
        parameters: impl Parameters,
    ) -> Result<Picked, Failure> {
        let table = named(table);
        let columns = table.column_list();
        let sql = format!("SELECT {columns} FROM {} WHERE {condition}", table.name);
        let rows = collect(connection, &sql, parameters, |row| {
            let value = |column| Ok(Value::from(row.value(column)?));
            (0..table.columns.len()).map(value).collect()
        })?;
        Ok(Picked { table, rows })
    }

    /// No rows of the same table.
    pub(crate) fn none_of(&self) -> Picked {
        Picked {
            table: self.table,
            rows: Vec::new(),
        }
    }

    /// Where a column stands in each row.
    pub(crate) fn column(&self, name: &str) -> usize {
        let mut columns = self.table.columns.iter();
        columns
            .position(|column| column.name == name)
            .unwrap_or_else(|| panic!("bug: {} has no column {name}", self.table.name))
    }

    /// The numbers in a column, one for each row; 0 where there is none.
    pub(crate) fn numbers(&self, name: &str) -> Vec<i64> {
        let column = self.column(name);
        self.rows.iter().map(|row| number(&row[column])).collect()
    }

    /// Inserts the rows, in the transaction that is open.
    pub(crate) fn insert(&self, connection: &Connection) -> Result<(), Failure> {
        if self.rows.is_empty() {
            return Ok(());
        }
        connection.settle()?;
        let (table, columns) = (self.table.name, self.table.column_list());
        let Connection::Postgres(server) = connection else {
            let places: Vec<String> = (1..=self.table.columns.len())
                .map(|n| format!("?{n}"))
                .collect();
            let places = places.join(", ");
            let sql = format!("INSERT INTO {table} ({columns}) VALUES ({places})");
            for row in &self.rows {
                sql::execute(connection, &sql, row)?;
            }
            return Ok(());
        };
        let kinds: Vec<Kind> = self.table.columns.iter().map(|c| c.kind).collect();
        let sql = format!("COPY {table} ({columns}) FROM STDIN (FORMAT binary)");
        let rows = self.rows.iter().map(|row| {
            let values = row.iter().map(|value| value.to_sql());
            values.collect::<Vec<ValueRef<'_>>>()
        });
        let copied = server.copy_in(&sql, &kinds, rows)?;
        if copied != self.rows.len() as u64 {
            return Err(Failure::bug(format!(
                "{copied} of {} rows were copied into {table}",
                self.rows.len()
            )));
        }
        Ok(())
    }
}

/// A number as it is stored; 0 for anything else.
pub(crate) fn number(value: &Value) -> i64 {
    match value {
        Value::Integer(number) => *number,
        _ => 0,
    }
}

fn named(name: &str) -> &'static Table {
    TABLES
        .iter()
        .find(|table| table.name == name)
        .unwrap_or_else(|| panic!("bug: {name} is no table"))
}
