//! Moving all that a database holds to another one, of whichever engine.
//!
//! Every table of [`tables`] is copied in the order of its primary key, some
//! thousand rows at a time. Ids stay what they are. Each batch is one
//! transaction of the destination, which notes in it how far the move is, so
//! one that was killed goes on where it was. What says which process is at work
//! is not copied; tasks that somebody ran are queued again first, as the rescue
//! of a lost worker leaves them.
//!
//! The source must not change meanwhile. A data directory is opened alone; of a
//! server's database every read looks whether somebody committed something.
//! At the end both sides are read once more and compared. Only then does the
//! destination count as a database: until then [`Store::open`] refuses it.
//!
//! Which rows belong to one source is said by each table ([`belongs`]).

mod batch;
mod belongs;
mod copy;
mod ends;
mod note;
mod numbering;
mod picked;
mod tables;
#[cfg(test)]
mod tests;
mod verify;

use std::ops::ControlFlow;

use crate::error::{Failure, StoreError, StoreErrorKind};
use crate::sql::{Connection, Kind, first};
use crate::sqlite;
use crate::store::Store;

use batch::KeyValue;
use note::Note;
use tables::TABLES;

pub use belongs::Selection;
pub use ends::{MoveDestination, Place};
pub(crate) use ends::{check_finished, finished};
pub(crate) use picked::{Picked, number};

/// How much of a table a [`Selection`] means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSize {
    pub table: &'static str,
    pub rows: u64,
    /// Of the values: 8 for a number, texts and blobs by their length.
    pub bytes: u64,
}

/// What a move is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveStage {
    Copying,
    /// Reading both sides once more.
    Verifying,
}

/// How far a stage is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveProgress {
    pub stage: MoveStage,
    pub table: &'static str,
    /// Of all tables; those of earlier runs included.
    pub rows: u64,
    pub rows_total: u64,
}

/// A table that is the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedTable {
    pub table: &'static str,
    pub rows: u64,
    /// Sum of the rows' hashes in hexadecimal, the same in whatever order.
    pub checksum: String,
}

/// A move of everything, begun and not yet done.
#[derive(Debug)]
pub struct Move {
    from: Store,
    to: Store,
    note: Note,
    sizes: Vec<TableSize>,
    rows_before: u64,
}

impl Store {
    /// Rows and bytes of every table that a move copies. Reads all of them.
    pub fn table_sizes(&self, selection: Selection) -> Result<Vec<TableSize>, StoreError> {
        self.first().read("measure the tables", |connection| {
            let size = |table| size(connection, table, selection);
            TABLES.iter().map(size).collect()
        })
    }
}

impl Move {
    /// Begins to move everything from one database to another, or goes on with
    /// a move between the two. Both come from [`Place`], which opens them as a
    /// move needs them.
    ///
    /// Fails with [`StoreErrorKind::Locked`] while other processes have one of
    /// them open, and with [`StoreErrorKind::Conflict`] when the destination
    /// holds anything else, or the source changed since the move began.
    pub fn begin(from: Store, to: Store) -> Result<Move, StoreError> {
        ends::check_alone(&from)?;
        queue_again(&from)?;
        let fresh = sqlite::new_name();
        let source = from.first().write("name the database", move |connection| {
            ends::source_id(connection, &fresh)
        })?;
        let (schema, commits) = from.first().read("look at the source", |connection| {
            Ok((ends::schema(connection)?, ends::commits(connection)?))
        })?;
        let sizes = from.table_sizes(Selection::Everything)?;
        let fresh = Note {
            source,
            from: from.place(),
            began_at: to.now().0,
            schema,
            commits,
            table: TABLES.first().map(|table| table.name.to_owned()),
            after: Vec::new(),
            rows: 0,
        };
        let (note, is_new) = take_up(&to, fresh)?;
        // After the note: whoever opens it from now on sees that it is taken.
        if let Err(refused) = ends::check_alone(&to) {
            if is_new {
                let note = note.clone();
                to.first()
                    .write("take a move back", move |c| note.remove(c))?;
            }
            return Err(refused);
        }
        if note.rows == 0 {
            to.first().write("make room", |connection| {
                if !ends::is_empty(connection)? {
                    return Err(occupied());
                }
                ends::clear_seeds(connection)
            })?;
        }
        Ok(Move {
            rows_before: note.rows,
            from,
            to,
            note,
            sizes,
        })
    }

    /// Rows that arrived in earlier runs; 0 for a move that just began.
    pub fn rows_before(&self) -> u64 {
        self.rows_before
    }

    pub fn table_sizes(&self) -> &[TableSize] {
        &self.sizes
    }

    /// Copies what is left, compares both sides and declares the destination
    /// complete. `watch` hears of each batch and may break off: `None` then,
    /// and the same move can be begun again.
    ///
    /// Fails with [`StoreErrorKind::Conflict`] when the sides differ or the
    /// source changed meanwhile; the destination stays unfinished.
    pub fn run(
        &mut self,
        watch: &mut dyn FnMut(&MoveProgress) -> ControlFlow<()>,
    ) -> Result<Option<Vec<MovedTable>>, StoreError> {
        if self.copy(watch)?.is_break() {
            return Ok(None);
        }
        self.analyze()?;
        let Some(tables) = self.compare(watch)? else {
            return Ok(None);
        };
        ends::check_alone(&self.from)?;
        self.check_unchanged()?;
        let given = self
            .from
            .first()
            .read("read the last ids", numbering::highest)?;
        let note = self.note.clone();
        self.to
            .first()
            .write("finish the move", move |connection| {
                numbering::go_on_behind(connection, &given)?;
                note.remove(connection)
            })?;
        Ok(Some(tables))
    }

    /// Lets the server know what its tables hold, before somebody asks it.
    fn analyze(&self) -> Result<(), StoreError> {
        self.to.first().write_alone("analyze", |connection| {
            let Connection::Postgres(server) = connection else {
                return Ok(());
            };
            let names: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
            server.run_batch(&format!("ANALYZE {}", names.join(", ")))
        })
    }

    fn check_unchanged(&self) -> Result<(), StoreError> {
        let commits = self.note.commits;
        self.from.first().read("look at the source", |connection| {
            check_commits(connection, commits)
        })
    }
}

/// What nobody runs any more waits again, before it is copied.
fn queue_again(store: &Store) -> Result<(), StoreError> {
    let owners = store.running_owners()?;
    let lost = store.lost_owners(&owners);
    if lost.len() < owners.len() {
        return Err(StoreError::new(
            StoreErrorKind::Locked { pid: None },
            format!("somebody still runs tasks of {}; stop it", store.place()),
        ));
    }
    if !owners.is_empty() {
        store.rescue_tasks(&lost, false)?;
    }
    Ok(())
}

/// The note of the move that is to go on, and whether it is new.
fn take_up(to: &Store, fresh: Note) -> Result<(Note, bool), StoreError> {
    to.first().write("begin the move", move |connection| {
        let Some(note) = Note::read(connection)? else {
            if !ends::is_empty(connection)? {
                return Err(occupied());
            }
            fresh.insert(connection)?;
            return Ok((fresh.clone(), true));
        };
        let changed = |what: &str| {
            Err(Failure::conflict(format!(
                "the destination holds an unfinished move {what}; drop it and start over"
            )))
        };
        if note.source != fresh.source {
            return changed(&format!("from another database ({})", note.from));
        }
        if note.schema != fresh.schema {
            return changed("that another version of this program began");
        }
        if note.commits != fresh.commits {
            return changed("of a source that has changed since");
        }
        Ok((note, false))
    })
}

fn occupied() -> Failure {
    Failure::conflict("the destination is not empty; name a new directory or an empty database")
}

/// Fails when somebody has committed something since.
fn check_commits(connection: &Connection, expected: Option<u64>) -> Result<(), Failure> {
    if ends::commits(connection)? == expected {
        return Ok(());
    }
    Err(Failure::conflict(
        "the source changed while it was moved; stop all that write to it, drop the \
         destination and start over",
    ))
}

fn size(
    connection: &Connection,
    table: &'static tables::Table,
    selection: Selection,
) -> Result<TableSize, Failure> {
    let bytes = table.columns.iter().map(|column| match column.kind {
        Kind::Integer | Kind::Real => "8".to_owned(),
        Kind::Text | Kind::Bytes => format!("coalesce(octet_length({}), 0)", column.name),
    });
    let bytes: Vec<String> = bytes.collect();
    let mut sql = format!(
        "SELECT count(*), coalesce(sum({}), 0) FROM {}",
        bytes.join(" + "),
        table.name
    );
    if let Some(condition) = belongs::condition(table, selection) {
        sql.push_str(" WHERE ");
        sql.push_str(&condition);
    }
    let size = first(connection, &sql, [], |row| {
        Ok(TableSize {
            table: table.name,
            rows: row.get(0)?,
            bytes: row.get(1)?,
        })
    })?;
    size.ok_or_else(|| Failure::bug("a count without a row"))
}
