//! The two passes over all rows: copying them, and comparing both sides.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crossbeam_channel::{Sender, bounded};

use super::batch::{Batch, Walk};
use super::belongs::Selection;
use super::note::Note;
use super::tables::{TABLES, Table};
use super::verify::Checksum;
use super::{KeyValue, Move, MoveProgress, MoveStage, MovedTable, check_commits};
use crate::error::{StoreError, StoreErrorKind};
use crate::store::Store;

/// Batches that are read before the last one is written.
const READ_AHEAD: usize = 1;

/// Rows, and where the move is once they are written.
struct Step {
    batch: Batch,
    table: Option<&'static Table>,
    after: Vec<KeyValue>,
}

impl Move {
    /// Copies what is left. Reading goes on while rows are written.
    pub(super) fn copy(
        &mut self,
        watch: &mut dyn FnMut(&MoveProgress) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, StoreError> {
        let (from, note) = (self.from.clone(), self.note.clone());
        thread::scope(|scope| {
            let (steps, read) = bounded(READ_AHEAD);
            scope.spawn(move || {
                if let Err(error) = read_rest(&from, &note, &steps) {
                    // Nobody waits for it where the writing failed first.
                    let _ = steps.send(Err(error));
                }
            });
            for step in read {
                let progress = self.write(step?)?;
                if watch(&progress).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    fn write(&mut self, step: Step) -> Result<MoveProgress, StoreError> {
        let note = self.note.clone();
        let next = Note {
            table: step.table.map(|table| table.name.to_owned()),
            after: step.after,
            rows: note.rows + step.batch.rows() as u64,
            ..note.clone()
        };
        self.note = next.clone();
        let batch = step.batch;
        let table = batch.table;
        self.to.first().write("copy rows", move |connection| {
            batch.write(connection)?;
            note.advance(connection, &next)
        })?;
        Ok(self.progress(MoveStage::Copying, table.name, self.note.rows))
    }

    fn progress(&self, stage: MoveStage, table: &'static str, rows: u64) -> MoveProgress {
        MoveProgress {
            stage,
            table,
            rows,
            rows_total: self.sizes.iter().map(|size| size.rows).sum(),
        }
    }

    /// Reads both sides at the same time; `None` when `watch` broke it off.
    pub(super) fn compare(
        &self,
        watch: &mut dyn FnMut(&MoveProgress) -> ControlFlow<()>,
    ) -> Result<Option<Vec<MovedTable>>, StoreError> {
        let is_over = AtomicBool::new(false);
        let sums = thread::scope(|scope| {
            let (passed, heard) = bounded(1);
            let source = scope.spawn({
                let (store, over) = (&self.from, &is_over);
                move || checksums_or_end(store, over, &passed)
            });
            let destination = scope.spawn({
                let (store, over) = (&self.to, &is_over);
                // Only one of both is told of.
                let (silent, _) = bounded(1);
                move || checksums_or_end(store, over, &silent)
            });
            let mut rows = 0;
            for (table, more) in heard {
                rows += more;
                let progress = self.progress(MoveStage::Verifying, table, rows);
                if watch(&progress).is_break() {
                    is_over.store(true, Ordering::Relaxed);
                }
            }
            [source, destination].map(|side| {
                let panicked = |_| {
                    StoreError::new(StoreErrorKind::Bug, "a thread that compares rows panicked")
                };
                side.join().map_err(panicked)?
            })
        });
        let [source, destination] = sums;
        let (Some(source), Some(destination)) = (source?, destination?) else {
            return Ok(None);
        };
        self.judge(&source, &destination).map(Some)
    }

    fn judge(
        &self,
        source: &[Checksum],
        destination: &[Checksum],
    ) -> Result<Vec<MovedTable>, StoreError> {
        let (mut moved, mut different) = (Vec::new(), Vec::new());
        for ((table, here), there) in TABLES.iter().zip(source).zip(destination) {
            if here != there {
                different.push(format!(
                    "{} ({} rows there, {} here)",
                    table.name, here.rows, there.rows
                ));
            }
            moved.push(MovedTable {
                table: table.name,
                rows: here.rows,
                checksum: here.hex(),
            });
        }
        if different.is_empty() {
            return Ok(moved);
        }
        Err(StoreError::new(
            StoreErrorKind::Conflict,
            format!(
                "{} is no true copy of {}: {} differ; the source may have changed since the move \
                 began. Drop the destination and start over",
                self.to.place(),
                self.from.place(),
                different.join(", ")
            ),
        ))
    }
}

/// Reads all rows that a move still has to copy.
fn read_rest(
    from: &Store,
    note: &Note,
    steps: &Sender<Result<Step, StoreError>>,
) -> Result<(), StoreError> {
    let Some(name) = &note.table else {
        return Ok(());
    };
    let unknown = || {
        let message = format!("the destination waits for rows of {name}, which is no table");
        StoreError::new(StoreErrorKind::Corrupt, message)
    };
    let at = TABLES.iter().position(|table| table.name == name);
    let mut after = note.after.clone();
    for (index, table) in TABLES.iter().enumerate().skip(at.ok_or_else(unknown)?) {
        let mut walk = Walk::new(table, Selection::Everything, after);
        while !walk.is_done {
            let batch = from.first().read("read rows", |connection| {
                check_commits(connection, note.commits)?;
                walk.batch(connection)
            })?;
            walk.pass(&batch);
            if batch.rows() == 0 {
                continue;
            }
            let (table, after) = if walk.is_done {
                (TABLES.get(index + 1), Vec::new())
            } else {
                (Some(table), walk.after.clone())
            };
            let step = Step {
                batch,
                table,
                after,
            };
            if steps.send(Ok(step)).is_err() {
                return Ok(());
            }
        }
        after = Vec::new();
    }
    Ok(())
}

/// Like [`checksums`], and a failure ends the other side, too.
fn checksums_or_end(
    store: &Store,
    is_over: &AtomicBool,
    passed: &Sender<(&'static str, u64)>,
) -> Result<Option<Vec<Checksum>>, StoreError> {
    let sums = checksums(store, is_over, passed);
    if sums.is_err() {
        is_over.store(true, Ordering::Relaxed);
    }
    sums
}

/// Of every table; `None` when it was broken off. Tells `passed` of each batch.
fn checksums(
    store: &Store,
    is_over: &AtomicBool,
    passed: &Sender<(&'static str, u64)>,
) -> Result<Option<Vec<Checksum>>, StoreError> {
    let mut sums = Vec::new();
    for table in TABLES {
        let mut sum = Checksum::default();
        let mut walk = Walk::new(table, Selection::Everything, Vec::new());
        while !walk.is_done {
            if is_over.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let batch = store
                .first()
                .read("compare rows", |connection| walk.batch(connection))?;
            walk.pass(&batch);
            sum.add(&batch);
            // Where nobody listens it goes on all the same.
            let _ = passed.send((table.name, batch.rows() as u64));
        }
        sums.push(sum);
    }
    Ok(Some(sums))
}
