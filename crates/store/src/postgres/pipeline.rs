//! Statements that are under way together: each round trip to a server takes
//! longer than most statements do.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::sql::ValueRef;

/// Statements on their way at a time, and bytes of their parameters.
const SENT_MAX: usize = 256;
const SENT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Queries on their way at a time: all their rows may be in memory.
const AHEAD_MAX: usize = 64;

type Outcome = Pin<Box<dyn Future<Output = Result<u64, tokio_postgres::Error>> + Send>>;

/// Statements that were sent and not heard of yet, in the order of sending.
#[derive(Default)]
pub(super) struct Sent {
    outcomes: VecDeque<Outcome>,
    bytes: usize,
}

impl Sent {
    /// Sends a statement; true when it is time to wait for all of them.
    pub(super) fn put(
        &mut self,
        bytes: usize,
        statement: impl Future<Output = Result<u64, tokio_postgres::Error>> + Send + 'static,
    ) -> bool {
        self.outcomes.push_back(Box::pin(begun(statement)));
        self.bytes += bytes;
        self.outcomes.len() >= SENT_MAX || self.bytes >= SENT_BYTES_MAX
    }

    /// The one that was sent first.
    pub(super) fn next(&mut self) -> Option<Outcome> {
        let next = self.outcomes.pop_front();
        if next.is_none() {
            self.bytes = 0;
        }
        next
    }
}

impl fmt::Debug for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sent")
            .field("statements", &self.outcomes.len())
            .field("bytes", &self.bytes)
            .finish()
    }
}

/// The answers to queries, in order, with up to [`AHEAD_MAX`] on their way.
pub(super) fn ahead<F: Future>(queries: impl Iterator<Item = F>) -> impl Iterator<Item = Begun<F>> {
    let mut queries = queries.map(begun);
    let mut under_way = VecDeque::new();
    std::iter::from_fn(move || {
        while under_way.len() < AHEAD_MAX {
            match queries.next() {
                Some(query) => under_way.push_back(query),
                None => break,
            }
        }
        under_way.pop_front()
    })
}

/// Polls `future` once: the client library sends a statement, all of it and
/// behind those sent before, when it is first polled.
pub(super) fn begun<F: Future>(future: F) -> Begun<F> {
    let mut future = Box::pin(future);
    let mut context = Context::from_waker(Waker::noop());
    let output = match future.as_mut().poll(&mut context) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    };
    Begun { future, output }
}

/// A future that was polled once, and its output if that was enough.
pub(super) struct Begun<F: Future> {
    future: Pin<Box<F>>,
    output: Option<F::Output>,
}

// Nothing is pinned in here: the future is in a box of its own.
impl<F: Future> Unpin for Begun<F> {}

impl<F: Future> Future for Begun<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        match self.output.take() {
            Some(output) => Poll::Ready(output),
            None => self.future.as_mut().poll(context),
        }
    }
}

/// A parameter that outlives its statement's caller.
#[derive(Clone, Debug)]
pub(super) enum Kept {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

impl Kept {
    pub(super) fn of(value: ValueRef<'_>) -> Kept {
        match value {
            ValueRef::Null => Kept::Null,
            ValueRef::Integer(number) => Kept::Integer(number),
            ValueRef::Real(number) => Kept::Real(number),
            ValueRef::Text(text) => Kept::Text(text.to_owned()),
            ValueRef::Blob(bytes) => Kept::Blob(bytes.to_owned()),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Kept::Text(text) => text.len(),
            Kept::Blob(bytes) => bytes.len(),
            Kept::Null | Kept::Integer(_) | Kept::Real(_) => size_of::<i64>(),
        }
    }

    fn value(&self) -> ValueRef<'_> {
        match self {
            Kept::Null => ValueRef::Null,
            Kept::Integer(number) => ValueRef::Integer(*number),
            Kept::Real(number) => ValueRef::Real(*number),
            Kept::Text(text) => ValueRef::Text(text),
            Kept::Blob(bytes) => ValueRef::Blob(bytes),
        }
    }
}

impl ToSql for Kept {
    fn to_sql(
        &self,
        parameter: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        self.value().to_sql(parameter, out)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn queries_begin_before_the_first_is_waited_for() {
        let begun = Cell::new(0);
        let query = |number: usize| {
            let begun = &begun;
            async move {
                begun.set(begun.get() + 1);
                number
            }
        };
        let mut answers = ahead((0..AHEAD_MAX * 2).map(query));
        let first = answers.next().expect("an answer");
        assert_eq!(begun.get(), AHEAD_MAX);
        let rest: Vec<usize> = std::iter::once(first)
            .chain(answers)
            .map(super::super::driver::wait)
            .collect();
        assert_eq!(rest, (0..AHEAD_MAX * 2).collect::<Vec<_>>());
    }
}
