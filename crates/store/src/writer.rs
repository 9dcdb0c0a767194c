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
use crate::location::Location;
use crate::options::StoreOptions;
use crate::postgres::Fault;
use crate::presence::rest;
use crate::sql::Connection;
use crate::sqlite::{Turn, WriteTurns};
use crate::watch::{Bell, Commit, take_for_workers};

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

impl WriteStats {
    pub(crate) fn and(self, other: WriteStats) -> WriteStats {
        WriteStats {
            commits: self.commits + other.commits,
            operations: self.operations + other.operations,
            busy: self.busy + other.busy,
            lock_wait: self.lock_wait + other.lock_wait,
            waiting: self.waiting + other.waiting,
        }
    }
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
    work: F,
    result: Option<Result<T, StoreError>>,
    reply: Sender<Result<T, StoreError>>,
}

impl Writer {
    pub(crate) fn start(
        connection: Connection,
        turns: Option<WriteTurns>,
        bell: Arc<Bell>,
        location: Location,
        options: &StoreOptions,
    ) -> Result<Writer, StoreError> {
        let (operations, waiting) = bounded(options.writer_queue_max.max(1));
        let totals: Arc<Totals> = Arc::default();
        let groups = Groups {
            connection,
            turns,
            bell,
            location,
            options: options.clone(),
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
            work,
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
    F: FnMut(&Connection) -> Result<T, Failure> + Send,
{
    fn run(&mut self, connection: &Connection, place: &str) -> bool {
        let name = self.name;
        let work = &mut self.work;
        // A fault in one operation must not take down everyone's writer; the
        // savepoint undoes whatever it had done.
        let worked = catch_unwind(AssertUnwindSafe(|| {
            let result = work(connection);
            // What was sent ahead belongs to this operation, and so does its failure.
            connection.settle().and(result)
        }));
        let result = match worked {
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
    /// `None` where the database itself orders who writes.
    turns: Option<WriteTurns>,
    bell: Arc<Bell>,
    location: Location,
    options: StoreOptions,
    totals: Arc<Totals>,
}

type Group = Vec<Box<dyn Operation>>;

/// What may join a group.
struct Behind<'w> {
    waiting: &'w Receiver<Box<dyn Operation>>,
    /// Taken from the queue, but must run alone.
    held_back: &'w mut Option<Box<dyn Operation>>,
}

/// How the group's transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// `true`: rows were changed.
    Committed(bool),
    /// The only operation failed and rolled everything back.
    Empty,
}

impl Groups {
    fn write_all(mut self, waiting: &Receiver<Box<dyn Operation>>) {
        let mut held_back = None;
        loop {
            let Some(first) = held_back.take().or_else(|| waiting.recv().ok()) else {
                break;
            };
            if first.runs_alone() {
                self.run_alone(first);
                continue;
            }
            held_back = self.write_group(first, waiting);
        }
        // The last connection empties and removes the log: not while another
        // process is about to write.
        let turn = self.turns.as_ref().map(WriteTurns::take);
        if let Err(failure) = self.connection.close() {
            let error = failure.into_store_error("close the database", &self.location.describe());
            tracing::warn!(%error, "failed to close the database");
        }
        drop(turn);
    }

    fn run_alone(&self, mut operation: Box<dyn Operation>) {
        match self.take_turn() {
            Ok(turn) => {
                operation.run(&self.connection, &self.location.describe());
                drop(turn);
                operation.answer(Ok(()));
            }
            Err(error) => operation.answer(Err(&error)),
        }
    }

    fn take_turn(&self) -> Result<Option<Turn<'_>>, StoreError> {
        let start = Instant::now();
        let turn = self.turns.as_ref().map(WriteTurns::take).transpose();
        add_since(&self.totals.lock_wait_ns, start);
        turn
    }

    /// Writes `first` and what waits behind it. Returns an operation that was
    /// taken from the queue but must run alone.
    fn write_group(
        &mut self,
        first: Box<dyn Operation>,
        waiting: &Receiver<Box<dyn Operation>>,
    ) -> Option<Box<dyn Operation>> {
        let mut group: Group = vec![first];
        let mut held_back = None;
        let begun = Instant::now();
        let mut attempts = 0;
        // What a group that failed had noted is nothing to anybody.
        take_for_workers();
        let ended = loop {
            // Only at first: who comes later is not made to wait for a server
            // that went away.
            let more = (attempts == 0).then_some(Behind {
                waiting,
                held_back: &mut held_back,
            });
            let error = match self.try_group(&mut group, more) {
                Ok(ended) => break Ok(ended),
                Err(failure) => failure,
            };
            let Some(fault) = self.connection.fault() else {
                break Err(error);
            };
            attempts += 1;
            if begun.elapsed() >= self.options.server_wait {
                break Err(error);
            }
            tracing::warn!(?fault, attempts, "a write is run again");
            match self.recover(fault, attempts, begun) {
                Ok(true) => break Ok(Ended::Committed(true)),
                Ok(false) => {}
                Err(error) => break Err(error),
            }
        };
        match ended {
            Ok(ended) => {
                if let Ended::Committed(has_changed) = ended {
                    self.totals.commits.fetch_add(1, Ordering::Relaxed);
                    let operations = group.len() as u64;
                    let total = &self.totals.operations;
                    total.fetch_add(operations, Ordering::Relaxed);
                    // Or whoever looks for work in vain at each bell would ring it.
                    if has_changed {
                        self.bell.ring(Commit {
                            is_own: true,
                            is_for_workers: take_for_workers(),
                        });
                    }
                }
                answer_all(group, Ok(()));
            }
            Err(failure) => {
                let error = failure.into_store_error("write", &self.location.describe());
                // Every caller hears of it.
                tracing::debug!(%error, operations = group.len(), "failed to commit");
                answer_all(group, Err(&error));
            }
        }
        held_back
    }

    /// Runs the group, and what waits behind it, in one transaction. An error
    /// means that nothing of it was committed, unless the connection was lost.
    fn try_group(&self, group: &mut Group, mut more: Option<Behind<'_>>) -> Result<Ended, Failure> {
        let connection = &self.connection;
        let place = self.location.describe();
        let turn = self.take_turn()?;
        let rows_before = connection.rows_changed();
        let start = Instant::now();
        connection.begin_writing()?;
        if self.turns.is_none() {
            add_since(&self.totals.lock_wait_ns, start);
        }
        let start = Instant::now();
        let mut at = 0;
        while let Some(operation) = group.get_mut(at) {
            // Its transaction is gone, and with it all that ran before.
            let ran = run_in_group(connection, operation.as_mut(), at == 0, &place);
            if let Err(failure) = ran {
                connection.roll_back();
                return Err(failure);
            }
            at += 1;
            let rows = connection.rows_changed().saturating_sub(rows_before);
            let is_full = rows >= GROUP_ROWS_MAX || group.len() >= GROUP_OPERATIONS_MAX;
            if at < group.len() || is_full {
                continue;
            }
            let Some(behind) = &mut more else {
                continue;
            };
            match behind.waiting.try_recv() {
                Ok(operation) if operation.runs_alone() => {
                    *behind.held_back = Some(operation);
                    break;
                }
                Ok(operation) => group.push(operation),
                Err(_) => break,
            }
        }
        if !connection.is_in_transaction() {
            add_since(&self.totals.busy_ns, start);
            return Ok(Ended::Empty);
        }
        let has_changed = connection.rows_changed() != rows_before;
        let committed = connection.commit(has_changed);
        add_since(&self.totals.busy_ns, start);
        if let Err(failure) = committed {
            connection.roll_back();
            return Err(failure);
        }
        drop(turn);
        Ok(Ended::Committed(has_changed))
    }

    /// Makes the connection good for another attempt. True when it turns out
    /// that the last one was committed after all.
    fn recover(&mut self, fault: Fault, attempts: u32, begun: Instant) -> Result<bool, Failure> {
        rest(attempts);
        if fault == Fault::Undone && self.connection.roll_back() {
            return Ok(false);
        }
        let (mark, in_doubt) = match &self.connection {
            Connection::Postgres(lost) => (lost.mark(), lost.is_in_doubt()),
            Connection::Sqlite(_) => (None, false),
        };
        loop {
            let found = self.location.open_reader(&self.options);
            let found = found.and_then(|connection| {
                let carried_out = match &connection {
                    Connection::Postgres(new) => new.take_over(mark.clone(), in_doubt)?,
                    Connection::Sqlite(_) => false,
                };
                Ok((connection, carried_out))
            });
            match found {
                Ok((connection, carried_out)) => {
                    self.connection = connection;
                    return Ok(carried_out);
                }
                Err(failure) if begun.elapsed() >= self.options.server_wait => return Err(failure),
                Err(failure) => {
                    tracing::debug!(?failure, "the database server is not back yet");
                    rest(attempts + 1);
                }
            }
        }
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
    if !is_first {
        connection.set_savepoint()?;
    }
    let is_done = operation.run(connection, place);
    if is_done {
        return if is_first {
            Ok(())
        } else {
            connection.keep_operation()
        };
    }
    // The server may take the whole group when it is run again; a full disk or
    // a read error makes SQLite drop the whole transaction.
    let is_gone = !is_first && !connection.is_in_transaction();
    if is_gone || connection.fault().is_some() {
        let error = operation.failure().unwrap_or_else(|| {
            StoreError::new(StoreErrorKind::Bug, "the transaction ended by itself")
        });
        return Err(Failure::Store(error));
    }
    if is_first {
        connection.roll_back();
        return Ok(());
    }
    connection.undo_operation()
}

fn answer_all(group: Group, committed: Result<(), &StoreError>) {
    for operation in group {
        operation.answer(committed);
    }
}
