//! Ids are never used twice, also not after a move: what the source would give
//! out next, the destination does.

use super::tables::TABLES;
use crate::error::Failure;
use crate::sql::{Connection, execute, first, params};

/// The highest id that each table ever gave to a row, where the table knows.
pub(super) fn highest(connection: &Connection) -> Result<Vec<(&'static str, i64)>, Failure> {
    let mut found = Vec::new();
    for table in TABLES {
        let name = table.name;
        let given: Option<i64> = match connection {
            Connection::Sqlite(_) => {
                let sql = "SELECT seq FROM sqlite_sequence WHERE name = ?1";
                first(connection, sql, [name], |row| row.get(0))?
            }
            Connection::Postgres(_) => {
                let sql = format!("SELECT pg_sequence_last_value({})", sequence(name));
                first(connection, &sql, [], |row| row.get(0))?.flatten()
            }
        };
        found.extend(given.map(|given| (name, given)));
    }
    Ok(found)
}

/// Lets every table that numbers its rows go on behind its highest row, and
/// behind `given`.
pub(super) fn go_on_behind(
    connection: &Connection,
    given: &[(&'static str, i64)],
) -> Result<(), Failure> {
    for table in TABLES.iter().filter(|table| table.columns[0].name == "id") {
        let name = table.name;
        let sql = format!("SELECT max(id) FROM {name}");
        let stored: Option<i64> = first(connection, &sql, [], |row| row.get(0))?.flatten();
        let ever = given.iter().find(|(table, _)| *table == name);
        let last = stored.max(ever.map(|(_, id)| *id)).unwrap_or(0);
        if last == 0 {
            continue;
        }
        match connection {
            Connection::Sqlite(_) => {
                // Of the others, the highest row alone says what comes next.
                let sql = "SELECT count(*) FROM sqlite_schema
                           WHERE type = 'table' AND name = ?1 AND sql LIKE '%AUTOINCREMENT%'";
                let counts: Option<i64> = first(connection, sql, [name], |row| row.get(0))?;
                if counts != Some(1) {
                    continue;
                }
                let sql = "DELETE FROM sqlite_sequence WHERE name = ?1";
                execute(connection, sql, [name])?;
                let sql = "INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)";
                execute(connection, sql, params![name, last])?;
            }
            Connection::Postgres(_) => {
                let sequence = sequence(name);
                // Without a sequence it gives nothing.
                let sql = format!("SELECT setval({sequence}, ?1) WHERE {sequence} IS NOT NULL");
                first(connection, &sql, [last], |row| row.get::<i64>(0))?;
            }
        }
    }
    Ok(())
}

/// The sequence of a table's ids; nothing where the ids come from a counter.
fn sequence(table: &str) -> String {
    format!(
        "(SELECT pg_get_serial_sequence(a.attrelid::regclass::text, a.attname)::regclass
          FROM pg_attribute a WHERE a.attrelid = '{table}'::regclass AND a.attname = 'id')"
    )
}
