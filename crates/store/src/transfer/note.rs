//! What a destination has written down of the move that fills it.

use serde::{Deserialize, Serialize};

use super::batch::KeyValue;
use crate::error::Failure;
use crate::sql::{Connection, execute, first, params};

/// How far a move is. It lies in the destination's `meta` from the beginning
/// until the copy is verified, and changes with each batch of rows, in the
/// same transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    /// Id of the database that is moved.
    pub(super) source: String,
    /// Where that lies, for people; no password.
    pub(super) from: String,
    /// Milliseconds since 1970.
    pub(super) began_at: i64,
    /// Of the schema on both sides.
    pub(super) schema: i64,
    /// `commits` of a source on a server: it has to stay as it is.
    pub(super) commits: Option<u64>,
    /// The table that comes next, or is under way; none after the last.
    pub(super) table: Option<String>,
    /// Key of its last row that arrived; empty before the first.
    pub(super) after: Vec<KeyValue>,
    /// Rows that arrived, of all tables.
    pub(super) rows: u64,
}

impl Note {
    pub(super) fn read(connection: &Connection) -> Result<Option<Note>, Failure> {
        let text: Option<String> = first(
            connection,
            "SELECT value FROM meta WHERE key = 'move'",
            [],
            |row| row.get(0),
        )?;
        let Some(text) = text else { return Ok(None) };
        let note = serde_json::from_str(&text)
            .map_err(|error| Failure::corrupt(format!("the note of a move: {error}")))?;
        Ok(Some(note))
    }

    /// Notes that a move begins.
    pub(super) fn insert(&self, connection: &Connection) -> Result<(), Failure> {
        let sql = "INSERT INTO meta (key, value) VALUES ('move', ?1)";
        execute(connection, sql, [self.text()?])?;
        Ok(())
    }

    /// Notes that a move is as far as `next`, if nobody else moved it on.
    pub(super) fn advance(&self, connection: &Connection, next: &Note) -> Result<(), Failure> {
        let sql = "UPDATE meta SET value = ?2 WHERE key = 'move' AND value = ?1";
        let changed = execute(connection, sql, params![self.text()?, next.text()?])?;
        only_one(changed)
    }

    /// Notes that the move is done, or never was.
    pub(super) fn remove(&self, connection: &Connection) -> Result<(), Failure> {
        let sql = "DELETE FROM meta WHERE key = 'move' AND value = ?1";
        only_one(execute(connection, sql, [self.text()?])?)
    }

    fn text(&self) -> Result<String, Failure> {
        serde_json::to_string(self)
            .map_err(|error| Failure::bug(format!("the note of a move: {error}")))
    }
}

fn only_one(changed: usize) -> Result<(), Failure> {
    if changed == 1 {
        return Ok(());
    }
    Err(Failure::conflict(
        "another process fills the same database; let one of them do it",
    ))
}
