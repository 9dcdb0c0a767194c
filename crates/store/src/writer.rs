//! The one thread that writes, and its group commit.
//!
//! Operations wait in a bounded channel. The thread takes all that is waiting
//! (within limits), runs each in a savepoint of one transaction, commits once
//! and then answers everybody. So a commit's fsync is shared by all who wait,
//! and one failing operation takes nobody else with it.
//!
//! Other processes write to the same database. Each group waits for its turn
//! ([`crate::sqlite`]), and nothing read before it is relied on after it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::error::{Failure, StoreError, StoreErrorKind};
use crate::sql::Connection;
use crate::sqlite::{Turn, WriteTurns};
use crate::watch::Bell;

/// Rows after which a group commits although more operations wait: about a
/// tenth of a second of work, so that no caller waits long for others.
const GROUP_ROWS_MAX: u64 = 20_000;
const GROUP_OPERATIONS_MAX: usize = 256;

pub(crate) struct Writer {
    operations: Option<Sender<Box<dyn Operation>>>,
    totals: Arc<Totals>,
    thread: Option<JoinHandle<()>>,
}

/// What the writer of this process has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteStats {
    pub commits: u64,
    /// Several share a commit.
    pub operations: u64,
    /// At work, waiting for other processes not counted.
    pub busy: Duration,
    /// Waiting for other processes to write.
    pub lock_wait: Duration,
    /// Operations that wait now.
    pub waiting: usize,
}

#[derive(Debug, Default)]
struct Totals {
    commits: AtomicU64,
    operations: AtomicU64,
    busy_ns: AtomicU64,
    lock_wait_ns: AtomicU64,
}

fn add_since(total: &AtomicU64, start: Instant) {
    let ns = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
    total.fetch_add(ns, Ordering::Relaxed);
}

/// One write, waiting to be run and then to be answered.
trait Operation: Send {
    /// Runs inside the group's transaction and keeps its result.
    fn run(&mut self, connection: &Connection, place: &str) -> bool;
    /// Why `run` failed, to be told to others who suffer from it.
    fn failure(&self) -> Option<StoreError>;
    /// Needs the connection outside any transaction.
    fn runs_alone(&self) -> bool;
    /// Tells the caller, after the commit or after it failed.
    fn answer(self: Box<Self>, committed: Result<(), &StoreError>);
}

struct Typed<T, F> {
    name: &'static str,
    alone: bool,
    work: Option<F>,
    result: Option<Result<T, StoreError>>,
    reply: Sender<Result<T, StoreError>>,
}

impl Writer {
    pub(crate) fn start(
        connection: Connection,
        turns: Option<WriteTurns>,
        bell: Arc<Bell>,
        queue_max: usize,
        place: String,
    ) -> Result<Writer, StoreError> {
        let (operations, waiting) = bounded(queue_max.max(1));
        let totals: Arc<Totals> = Arc::default();
        let groups = Groups {
            connection,
            turns,
            bell,
            place,
            totals: totals.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || groups.write_all(&waiting))
            .map_err(|e| {
                StoreError::new(StoreErrorKind::Io, "start the writer thread").caused_by(e)
            })?;
        Ok(Writer {
            operations: Some(operations),
            totals,
            thread: Some(thread),
        })
    }

    /// Runs `work` on the writer and returns once it is durable.
    pub(crate) fn write<T: Send + 'static>(
        &self,
        name: &'static str,
        alone: bool,
        work: impl FnMut(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = bounded(1);
        let operation = Box::new(Typed {
            name,
            alone,
            work: Some(work),
            result: None,
            reply,
        });
        let stopped = || {
            StoreError::new(
                StoreErrorKind::Bug,
                format!("{name}: the writer has stopped"),
            )
        };
        let operations = self.operations.as_ref().ok_or_else(stopped)?;
        operations.send(operation).map_err(|_| stopped())?;
        answer.recv().map_err(|_| stopped())?
    }
}

impl Writer {
    pub(crate) fn stats(&self) -> WriteStats {
        let read = |total: &AtomicU64| total.load(Ordering::Relaxed);
        let totals = &self.totals;
        WriteStats {
            commits: read(&totals.commits),
            operations: read(&totals.operations),
            busy: Duration::from_nanos(read(&totals.busy_ns)),
            lock_wait: Duration::from_nanos(read(&totals.lock_wait_ns)),
            waiting: self.operations.as_ref().map_or(0, Sender::len),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Closing the channel ends the thread after what is still waiting.
        self.operations = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's writer thread panicked");
        }
    }
}

impl<T: Send, F> Operation for Typed<T, F>
where
    F: FnOnce(&Connection) -> Result<T, Failure> + Send,
{
    fn run(&mut self, connection: &Connection, place: &str) -> bool {
        let Some(work) = self.work.take() else {
            return false;
        };
        let name = self.name;
        // A fault in one operation must not take down everyone's writer; the
        // savepoint undoes whatever it had done.
        let result = match catch_unwind(AssertUnwindSafe(|| work(connection))) {
            Ok(result) => result.map_err(|failure| failure.into_store_error(name, place)),
            Err(_) => Err(StoreError::new(
                StoreErrorKind::Bug,
                format!("{name}: the operation panicked"),
            )),
        };
        let done = result.is_ok();
        self.result = Some(result);
        done
    }

    fn failure(&self) -> Option<StoreError> {
        let result = self.result.as_ref()?;
        result.as_ref().err().map(StoreError::repeat)
    }

    fn runs_alone(&self) -> bool {
        self.alone
    }

    fn answer(self: Box<Self>, committed: Result<(), &StoreError>) {
        let result = match (self.result, committed) {
            (Some(Err(own)), _) => Err(own),
            (_, Err(shared)) => Err(shared.repeat()),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => Err(StoreError::new(
                StoreErrorKind::Bug,
                format!("{}: the operation was never run", self.name),
            )),
        };
        // A caller that went away does not need its answer.
        let _ = self.reply.send(result);
    }
}

/// What the writer's thread works with.
struct Groups {
    connection: Connection,
    /// `None` in memory.
    turns: Option<WriteTurns>,
    bell: Arc<Bell>,
    place: String,
    totals: Arc<Totals>,
}

impl Groups {
    fn write_all(self, waiting: &Receiver<Box<dyn Operation>>) {
        let mut held_back = None;
        loop {
            let Some(first) = held_back.take().or_else(|| waiting.recv().ok()) else {
                break;
            };
            let start = Instant::now();
            let turn = self.take_turn();
            add_since(&self.totals.lock_wait_ns, start);
            let turn = match turn {
                Ok(turn) => turn,
                Err(error) => {
                    first.answer(Err(&error));
                    continue;
                }
            };
            if first.runs_alone() {
                let mut alone = first;
                alone.run(&self.connection, &self.place);
                drop(turn);
                alone.answer(Ok(()));
                continue;
            }
            let start = Instant::now();
            held_back = self.write_group(turn, first, waiting);
            add_since(&self.totals.busy_ns, start);
        }
        // The last connection empties and removes the log: not while another
        // process is about to write.
        let turn = self.turns.as_ref().map(WriteTurns::take);
        if let Err(failure) = self.connection.close() {
            let error = failure.into_store_error("close the database", &self.place);
            tracing::warn!(%error, "failed to close the database");
        }
        drop(turn);
    }

    fn take_turn(&self) -> Result<Option<Turn<'_>>, StoreError> {
        self.turns.as_ref().map(WriteTurns::take).transpose()
    }

    /// Writes `first` and what waits behind it. Returns an operation that was
    /// taken from the queue but must run alone.
    fn write_group(
        &self,
        turn: Option<Turn<'_>>,
        first: Box<dyn Operation>,
        waiting: &Receiver<Box<dyn Operation>>,
    ) -> Option<Box<dyn Operation>> {
        let (connection, place) = (&self.connection, self.place.as_str());
        let mut held_back = None;
        let mut group: Vec<Box<dyn Operation>> = Vec::new();
        let rows_before = connection.rows_changed();
        let mut next = Some(first);
        while let Some(mut operation) = next.take() {
            match run_in_group(connection, operation.as_mut(), group.is_empty(), place) {
                Ok(()) => group.push(operation),
                Err(error) => {
                    // The transaction is lost, and with it all that ran before.
                    let error = error.into_store_error("write a group", place);
                    operation.answer(Err(&error));
                    answer_all(group, Err(&error));
                    connection.roll_back();
                    return None;
                }
            }
            let rows = connection.rows_changed().saturating_sub(rows_before);
            if rows >= GROUP_ROWS_MAX || group.len() >= GROUP_OPERATIONS_MAX {
                break;
            }
            match waiting.try_recv() {
                Ok(operation) if operation.runs_alone() => {
                    held_back = Some(operation);
                    break;
                }
                Ok(operation) => next = Some(operation),
                Err(_) => break,
            }
        }
        if !connection.is_in_transaction() {
            // The only operation failed and rolled everything back.
            drop(turn);
            answer_all(group, Ok(()));
            return held_back;
        }
        match connection.run_batch("COMMIT") {
            Ok(()) => {
                self.totals.commits.fetch_add(1, Ordering::Relaxed);
                let operations = group.len() as u64;
                self.totals
                    .operations
                    .fetch_add(operations, Ordering::Relaxed);
                drop(turn);
                // Or whoever looks for work in vain at each bell would ring it.
                if connection.rows_changed() != rows_before {
                    self.bell.ring();
                }
                answer_all(group, Ok(()));
            }
            Err(error) => {
                connection.roll_back();
                drop(turn);
                let error = error.into_store_error("commit", place);
                // Every caller hears of it.
                tracing::debug!(%error, operations = group.len(), "failed to commit");
                answer_all(group, Err(&error));
            }
        }
        held_back
    }
}

/// Runs one operation; its own failure is undone here and is no error. An
/// error means that the group's transaction is gone.
///
/// The first operation has the transaction to itself and needs no savepoint,
/// which would copy every database page it touches.
fn run_in_group(
    connection: &Connection,
    operation: &mut dyn Operation,
    is_first: bool,
    place: &str,
) -> Result<(), Failure> {
    if !connection.is_in_transaction() {
        connection.begin_writing()?;
    }
    if is_first {
        if !operation.run(connection, place) {
            connection.roll_back();
        }
        return Ok(());
    }
    connection.run_batch("SAVEPOINT operation")?;
    if operation.run(connection, place) {
        connection.run_batch("RELEASE operation")?;
    } else if !connection.is_in_transaction() {
        // A full disk or a read error makes SQLite drop the whole transaction.
        let error = operation.failure().unwrap_or_else(|| {
            StoreError::new(StoreErrorKind::Bug, "the transaction ended by itself")
        });
        return Err(Failure::Store(error));
    } else {
        connection.run_batch("ROLLBACK TO operation; RELEASE operation")?;
    }
    Ok(())
}

fn answer_all(group: Vec<Box<dyn Operation>>, committed: Result<(), &StoreError>) {
    for operation in group {
        operation.answer(committed);
    }
}
