//! One connection to a server: statements, transactions, and what became of them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, RowStream, Statement};

use super::driver::wait;
use super::error::{Fault, fault_of};
use super::pipeline::{Kept, Sent, ahead, begun};
use super::translate::translate;
use super::value::{type_of, type_of_kind};
use crate::error::Failure;
use crate::sql::{Kind, Row, ValueRef};

/// Statements kept prepared; lists of pages are built in a few hundred forms.
const STATEMENTS_KEPT: usize = 512;

/// Whoever holds this advisory lock of the database may write to it: "GLNR"
/// and a 1. It is the first thing that a writing transaction takes and ends
/// with it, so no two transactions can wait for each other.
pub(super) const WRITE_TURN: i64 = 0x474C_4E52_0001;

/// A transaction that stands still for so long is ended by the server: its
/// process hangs, and everyone else waits for it.
pub(super) const IDLE_MS: u32 = 60_000;

/// What a connection may do and for how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Statements are prepared on the server.
    pub(super) prepares: bool,
    /// A statement that takes longer is ended by the server; 0 means none.
    pub(super) statement: Duration,
}

pub(crate) struct Connection {
    client: Arc<Client>,
    prepares: bool,
    statement_ms: u128,
    statements: RefCell<HashMap<String, Statement>>,
    /// On their way; see [`Connection::send`].
    sent: RefCell<Sent>,
    in_transaction: Cell<bool>,
    /// A statement of the transaction failed; the server takes no more.
    aborted: Cell<bool>,
    fault: Cell<Option<Fault>>,
    changed: Cell<u64>,
    /// Of the last commit, on a connection that writes.
    mark: RefCell<Option<Mark>>,
    /// The commit of `mark` was sent and not answered.
    in_doubt: Cell<bool>,
}

/// What a commit leaves in the database, so that it can be asked whether it
/// was carried out when the answer to it was lost. A transaction's own number
/// would not do: a server that crashed may give it out again.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    instance: String,
    number: i64,
}

impl Connection {
    /// See [`crate::sql::Connection::give_ids_above`].
    pub(crate) fn give_ids_above(&self, id: i64) -> Result<(), Failure> {
        let mut tables: Vec<String> = Vec::new();
        let sql = "SELECT CAST(table_name AS TEXT) FROM information_schema.columns
                   WHERE table_schema = current_schema() AND column_name = 'id'
                     AND is_identity = 'YES'";
        self.for_each(sql, &[], |row| {
            tables.push(row.get(0)?);
            Ok(())
        })?;
        for table in tables {
            let next = id + 1;
            self.run_batch(&format!(
                "ALTER TABLE {table} ALTER COLUMN id RESTART WITH {next}"
            ))?;
        }
        let sql = "UPDATE counters SET value = ?1 WHERE name IN ('page_id', 'chunk_id')";
        self.execute(sql, &[ValueRef::Integer(id)])?;
        Ok(())
    }
}

impl Mark {
    /// Before the first commit of a store.
    pub(crate) fn first(instance: &str) -> Mark {
        Mark {
            instance: instance.to_owned(),
            number: 0,
        }
    }
}

impl Connection {
    pub(super) fn new(client: Client, limits: Limits) -> Connection {
        Connection {
            client: Arc::new(client),
            prepares: limits.prepares,
            statement_ms: limits.statement.as_millis(),
            statements: RefCell::default(),
            sent: RefCell::default(),
            in_transaction: Cell::new(false),
            aborted: Cell::new(false),
            fault: Cell::new(None),
            changed: Cell::new(0),
            mark: RefCell::default(),
            in_doubt: Cell::new(false),
        }
    }

    pub(crate) fn for_each(
        &self,
        sql: &str,
        values: &[ValueRef<'_>],
        mut each: impl FnMut(&Row<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut rows = pin!(self.query(sql, values)?);
        while let Some(row) = self.watch(wait(rows.try_next()))? {
            each(&Row::Postgres(&row))?;
        }
        // INSERT … RETURNING and its like.
        self.add_changed(rows.rows_affected(), sql);
        Ok(())
    }

    pub(crate) fn first<T>(
        &self,
        sql: &str,
        values: &[ValueRef<'_>],
        convert: impl FnOnce(&Row<'_>) -> Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        let mut rows = pin!(self.query(sql, values)?);
        let row = self.watch(wait(rows.try_next()))?;
        // A statement is done once all its rows are read.
        while row.is_some() && self.watch(wait(rows.try_next()))?.is_some() {}
        self.add_changed(rows.rows_affected(), sql);
        row.map(|row| convert(&Row::Postgres(&row))).transpose()
    }

    pub(crate) fn execute(&self, sql: &str, values: &[ValueRef<'_>]) -> Result<usize, Failure> {
        let mut rows = pin!(self.query(sql, values)?);
        while self.watch(wait(rows.try_next()))?.is_some() {}
        let changed = rows.rows_affected().unwrap_or(0);
        self.changed.set(self.changed.get() + changed);
        Ok(usize::try_from(changed).unwrap_or(usize::MAX))
    }

    /// Sends a statement without waiting for what comes of it: that is heard
    /// of before the next one that is waited for, or by [`Connection::settle`].
    /// The server runs them in the order in which they were sent.
    pub(crate) fn send(&self, sql: &str, values: &[ValueRef<'_>]) -> Result<(), Failure> {
        let kept: Vec<Kept> = values.iter().map(|value| Kept::of(*value)).collect();
        let bytes = kept.iter().map(Kept::bytes).sum();
        let client = self.client.clone();
        if self.prepares {
            let statement = self.prepared(sql, values.len())?;
            self.put(
                bytes,
                async move { client.execute_raw(&statement, kept).await },
            )
        } else {
            let types: Vec<Type> = values.iter().map(|value| type_of(*value)).collect();
            let sql = translate(sql);
            self.put(bytes, async move {
                let parameters = kept.into_iter().zip(types);
                let mut rows = pin!(client.query_typed_raw(&sql, parameters).await?);
                while rows.try_next().await?.is_some() {}
                Ok(rows.rows_affected().unwrap_or(0))
            })
        }
    }

    fn put(
        &self,
        bytes: usize,
        statement: impl Future<Output = Result<u64, tokio_postgres::Error>> + Send + 'static,
    ) -> Result<(), Failure> {
        let is_full = self.sent.borrow_mut().put(bytes, statement);
        if is_full { self.settle() } else { Ok(()) }
    }

    /// Waits for all that was sent. The first of it that failed is the error:
    /// those behind it only say that the transaction is over.
    pub(crate) fn settle(&self) -> Result<(), Failure> {
        let mut outcome = Ok(());
        loop {
            // Not while waiting: nothing is held then.
            let Some(next) = self.sent.borrow_mut().next() else {
                return outcome;
            };
            match self.watch(wait(next)) {
                Ok(changed) => self.changed.set(self.changed.get() + changed),
                Err(failure) => outcome = outcome.and(Err(failure)),
            }
        }
    }

    /// Runs one query for each of the parameters without waiting in between;
    /// their rows in the same order.
    pub(crate) fn collect_each<T>(
        &self,
        sql: &str,
        parameters: &[Vec<ValueRef<'_>>],
        mut convert: impl FnMut(&Row<'_>) -> Result<T, Failure>,
    ) -> Result<Vec<Vec<T>>, Failure> {
        let mut found = Vec::with_capacity(parameters.len());
        let Some(first) = parameters.first() else {
            return Ok(found);
        };
        let statement = match self.prepares {
            true => Some(self.prepared(sql, first.len())?),
            false => None,
        };
        let translated = translate(sql);
        let ask = |values: &Vec<ValueRef<'_>>| {
            let kept: Vec<Kept> = values.iter().map(|value| Kept::of(*value)).collect();
            let types: Vec<Type> = values.iter().map(|value| type_of(*value)).collect();
            let (client, statement) = (&self.client, statement.as_ref());
            let sql = translated.as_str();
            async move {
                let rows = match statement {
                    Some(statement) => client.query_raw(statement, kept).await?,
                    None => {
                        let parameters = kept.into_iter().zip(types);
                        client.query_typed_raw(sql, parameters).await?
                    }
                };
                rows.try_collect::<Vec<_>>().await
            }
        };
        let mut answers = ahead(parameters.iter().map(ask)).peekable();
        // The first are on their way; what was sent before them is answered first.
        answers.peek();
        self.settle()?;
        for answer in answers {
            let rows = self.watch(wait(answer))?;
            let rows = rows.iter().map(|row| convert(&Row::Postgres(row)));
            found.push(rows.collect::<Result<Vec<T>, Failure>>()?);
        }
        Ok(found)
    }

    /// Sends a statement and waits for it, and for all that was sent before: in
    /// this order, as the client library takes nothing off the connection behind
    /// an answer that is not taken.
    fn ask<T>(
        &self,
        statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Failure> {
        let statement = begun(statement);
        self.settle()?;
        self.watch(wait(statement))
    }

    pub(crate) fn insert(&self, sql: &str, values: &[ValueRef<'_>]) -> Result<i64, Failure> {
        let sql = format!("{sql} RETURNING id");
        let id = self.first(&sql, values, |row| row.get(0))?;
        id.ok_or_else(|| Failure::bug("an inserted row has no id"))
    }

    /// Runs `COPY … FROM STDIN (FORMAT binary)` over `rows`; how many there were.
    pub(crate) fn copy_in<'v>(
        &self,
        sql: &str,
        kinds: &[Kind],
        rows: impl Iterator<Item = Vec<ValueRef<'v>>>,
    ) -> Result<u64, Failure> {
        let types: Vec<Type> = kinds.iter().copied().map(type_of_kind).collect();
        let copied = self.watch(wait(async {
            let sink = self.client.copy_in(sql).await?;
            let mut writer = pin!(BinaryCopyInWriter::new(sink, &types));
            for row in rows {
                writer.as_mut().write_raw(row).await?;
            }
            writer.finish().await
        }))?;
        self.changed.set(self.changed.get() + copied);
        Ok(copied)
    }

    /// Statements without parameters, whose rows nobody wants.
    pub(crate) fn run_batch(&self, sql: &str) -> Result<(), Failure> {
        self.ask(self.client.batch_execute(sql))
    }

    /// The same, sent ahead.
    fn send_batch(&self, sql: &'static str) -> Result<(), Failure> {
        let client = self.client.clone();
        self.put(sql.len(), async move {
            client.batch_execute(sql).await.map(|()| 0)
        })
    }

    pub(crate) fn begin_reading(&self) -> Result<(), Failure> {
        let statement_ms = self.statement_ms;
        self.run_batch(&format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
             SET LOCAL statement_timeout = {statement_ms}"
        ))?;
        self.begun();
        Ok(())
    }

    /// Waits for this store's turn among all that write to the database.
    pub(crate) fn begin_writing(&self) -> Result<(), Failure> {
        let statement_ms = self.statement_ms;
        self.run_batch(&format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED;
             SET LOCAL idle_in_transaction_session_timeout = {IDLE_MS};
             SELECT pg_advisory_xact_lock({WRITE_TURN});
             SET LOCAL statement_timeout = {statement_ms}"
        ))?;
        self.begun();
        Ok(())
    }

    /// A transaction that holds `lock` and waits for others no longer than given.
    pub(crate) fn begin_alone(&self, lock: i64, wait_ms: u32) -> Result<(), Failure> {
        self.run_batch(&format!(
            "BEGIN; SELECT pg_advisory_xact_lock({lock}); SET LOCAL lock_timeout = {wait_ms}"
        ))?;
        self.begun();
        Ok(())
    }

    pub(super) fn begun(&self) {
        self.in_transaction.set(true);
        self.aborted.set(false);
        self.fault.set(None);
    }

    pub(crate) fn commit(&self, has_changed: bool) -> Result<(), Failure> {
        self.settle()?;
        // The server would answer "rolled back", which is no error to it.
        if self.aborted.get() {
            return Err(Failure::bug(
                "a failed statement was passed over in a transaction",
            ));
        }
        let mut marked = self.mark.borrow_mut();
        match marked.as_mut().filter(|_| has_changed) {
            Some(mark) => {
                mark.number += 1;
                self.in_doubt.set(true);
                // The instance's name is of our own making.
                self.run_batch(&format!(
                    "UPDATE commits SET version = version + 1;
                     INSERT INTO instances (name, seen_at, mark) VALUES ('{}', now(), {})
                       ON CONFLICT (name) DO UPDATE SET mark = excluded.mark;
                     COMMIT",
                    mark.instance, mark.number
                ))?;
                self.in_doubt.set(false);
            }
            None => {
                self.run_batch("COMMIT")?;
            }
        }
        self.in_transaction.set(false);
        Ok(())
    }

    pub(crate) fn roll_back(&self) -> Result<(), Failure> {
        // What failed is known, or does not matter any more.
        let _ = self.settle();
        if self.fault() == Some(Fault::Lost) {
            return Err(Failure::bug("the connection is lost"));
        }
        let undone = self.run_batch("ROLLBACK");
        self.in_transaction.set(false);
        self.aborted.set(false);
        self.in_doubt.set(false);
        undone
    }

    pub(crate) fn set_savepoint(&self) -> Result<(), Failure> {
        self.send_batch("SAVEPOINT operation")
    }

    pub(crate) fn keep_operation(&self) -> Result<(), Failure> {
        self.send_batch("RELEASE operation")
    }

    pub(crate) fn undo_operation(&self) -> Result<(), Failure> {
        let _ = self.settle();
        self.run_batch("ROLLBACK TO operation; RELEASE operation")?;
        self.aborted.set(false);
        Ok(())
    }

    pub(crate) fn is_in_transaction(&self) -> bool {
        self.in_transaction.get()
    }

    pub(crate) fn rows_changed(&self) -> u64 {
        self.changed.get()
    }

    /// Whether what failed may succeed when it is run again.
    pub(crate) fn fault(&self) -> Option<Fault> {
        if self.client.is_closed() {
            return Some(Fault::Lost);
        }
        self.fault.get()
    }

    /// Whether a commit was sent and not answered.
    pub(crate) fn is_in_doubt(&self) -> bool {
        self.in_doubt.get()
    }

    /// Goes on with the marks of a connection that was lost. True when the last
    /// commit of it was carried out; where that is in doubt, the turn to write
    /// is waited for, as the lost transaction may still have it.
    pub(crate) fn take_over(&self, mark: Option<Mark>, in_doubt: bool) -> Result<bool, Failure> {
        let carried_out = match mark.as_ref().filter(|_| in_doubt) {
            Some(mark) => {
                self.begin_writing()?;
                let sql = "SELECT mark FROM instances WHERE name = ?1";
                let stored =
                    self.first(sql, &[ValueRef::Text(&mark.instance)], |row| row.get(0))?;
                self.roll_back()?;
                stored == Some(mark.number)
            }
            None => false,
        };
        self.mark.replace(mark);
        Ok(carried_out)
    }

    /// The last mark, carried out or not.
    pub(crate) fn mark(&self) -> Option<Mark> {
        self.mark.borrow().clone()
    }

    fn query(&self, sql: &str, values: &[ValueRef<'_>]) -> Result<RowStream, Failure> {
        let parameters = values.iter().map(|value| value as &(dyn ToSql + Sync));
        if self.prepares {
            let statement = self.prepared(sql, values.len())?;
            self.ask(self.client.query_raw(&statement, parameters))
        } else {
            let types: Vec<Type> = values.iter().map(|value| type_of(*value)).collect();
            let parameters = parameters.zip(types);
            let sql = translate(sql);
            self.ask(self.client.query_typed_raw(&sql, parameters))
        }
    }

    fn prepared(&self, sql: &str, parameters: usize) -> Result<Statement, Failure> {
        if let Some(statement) = self.statements.borrow().get(sql) {
            return Ok(statement.clone());
        }
        let translated = translate(sql);
        let types = types_of_unused(&translated, parameters);
        let statement = self.ask(self.client.prepare_typed(&translated, &types))?;
        let mut statements = self.statements.borrow_mut();
        if statements.len() >= STATEMENTS_KEPT {
            statements.clear();
        }
        statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// Takes note of what an error means for the transaction.
    fn watch<T>(&self, result: Result<T, tokio_postgres::Error>) -> Result<T, Failure> {
        result.map_err(|error| {
            self.aborted.set(true);
            if let Some(fault) = fault_of(&error) {
                self.fault.set(Some(fault));
            }
            Failure::Postgres(error)
        })
    }

    /// A query tells how many rows it gave, which is no change.
    fn add_changed(&self, rows: Option<u64>, sql: &str) {
        let sql = sql.trim_start();
        if ["INSERT", "UPDATE", "DELETE"]
            .iter()
            .any(|verb| sql.starts_with(verb))
        {
            self.changed.set(self.changed.get() + rows.unwrap_or(0));
        }
    }
}

/// The server finds out the types of parameters from where they stand; one
/// that stands nowhere, as where a list of one source needs no tenant, is told.
fn types_of_unused(sql: &str, parameters: usize) -> Vec<Type> {
    let is_used = |number: usize| {
        let name = format!("${number}");
        let mut found = sql.match_indices(&name);
        found.any(|(at, _)| !sql[at + name.len()..].starts_with(|c: char| c.is_ascii_digit()))
    };
    (1..=parameters)
        .map(|number| {
            if is_used(number) {
                Type::UNKNOWN
            } else {
                Type::INT8
            }
        })
        .collect()
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("in_transaction", &self.in_transaction.get())
            .field("fault", &self.fault())
            .finish_non_exhaustive()
    }
}
