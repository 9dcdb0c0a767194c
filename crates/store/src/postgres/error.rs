//! What a server's errors mean (SQLSTATE, PostgreSQL appendix A).

use std::error::Error;
use std::io;

use tokio_postgres::error::SqlState;

use crate::error::{Failure, StoreError, StoreErrorKind};

/// Why a transaction may succeed when it is run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection is gone, perhaps with the answer to a commit.
    Lost,
    /// What this connection had prepared is of no use any more.
    Stale,
    /// The server undid the transaction for another's sake.
    Undone,
}

/// What an error says about trying again.
pub(super) fn fault_of(error: &tokio_postgres::Error) -> Option<Fault> {
    let Some(code) = error.code().map(SqlState::code) else {
        if is_of_tls(error) {
            return None;
        }
        // Not said by the server: the socket, or a value that does not fit.
        let is_of_the_socket = error.source().is_some_and(<dyn Error>::is::<io::Error>);
        return (error.is_closed() || is_of_the_socket).then_some(Fault::Lost);
    };
    match code {
        // Serialisation failure, deadlock, lock not available.
        "40001" | "40P01" | "55P03" => Some(Fault::Undone),
        // The statement was prepared before a migration, or on a server
        // connection that the pooler has since replaced.
        "0A000" | "26000" => Some(Fault::Stale),
        // Shut down, crashed, starting; too many connections; idle for too long.
        "57P01" | "57P02" | "57P03" | "53300" | "25P03" => Some(Fault::Lost),
        _ if code.starts_with("08") => Some(Fault::Lost),
        _ => None,
    }
}

/// No waiting makes a certificate one that is trusted.
fn is_of_tls(error: &tokio_postgres::Error) -> bool {
    let cause = error.source().and_then(<dyn Error>::downcast_ref);
    let cause = cause.and_then(io::Error::get_ref);
    cause.is_some_and(<dyn Error + Send + Sync>::is::<rustls::Error>)
}

/// What a failed attempt to connect or to ask says about trying again.
pub(crate) fn fault_of_failure(failure: &Failure) -> Option<Fault> {
    match failure {
        Failure::Postgres(error) => fault_of(error),
        Failure::Store(error) => {
            let cause = error.source()?.downcast_ref::<tokio_postgres::Error>()?;
            fault_of(cause)
        }
        Failure::Sqlite(_) => None,
    }
}

/// Whether a database could not be opened because nobody answered.
pub(crate) fn is_away(error: &StoreError) -> bool {
    let cause = error.source();
    let cause = cause.and_then(|cause| cause.downcast_ref::<tokio_postgres::Error>());
    cause.and_then(fault_of) == Some(Fault::Lost)
}

/// The kind of an error and, for people, what to do about it.
pub(crate) fn meaning(error: &tokio_postgres::Error) -> (StoreErrorKind, &'static str) {
    use StoreErrorKind as Kind;
    let Some(code) = error.code().map(SqlState::code) else {
        if is_of_tls(error) {
            return (
                Kind::NotWritable,
                ": no trusted connection; the server's certificate has to be for the name in the \
                 database URL, and signed by a public authority or one in store.ca_file",
            );
        }
        return match fault_of(error) {
            Some(_) => (
                Kind::Unavailable,
                ": the server does not answer; check the address and that it runs",
            ),
            None => (Kind::Bug, ""),
        };
    };
    match code {
        "28000" | "28P01" => (
            Kind::NotWritable,
            ": the server refuses the user or password; check the database URL",
        ),
        "3D000" => (
            Kind::NotFound,
            ": there is no such database; create it first (`createdb`)",
        ),
        "42501" => (
            Kind::NotWritable,
            ": the user may not do this; it needs to own the database",
        ),
        "25006" => (
            Kind::NotWritable,
            ": the server takes no writes; name the primary, not a replica",
        ),
        "26000" => (
            Kind::Unavailable,
            ": a pooler lost a prepared statement; use PgBouncer 1.21 or newer with \
             max_prepared_statements, or set database.prepared_statements = false",
        ),
        "53100" => (Kind::DiskFull, ": the server's disk is full"),
        "57014" => (Kind::Unavailable, ": the statement took too long"),
        _ if fault_of(error).is_some() || code.starts_with("53") => {
            (Kind::Unavailable, ": the server is busy or restarting")
        }
        _ => (Kind::Bug, ""),
    }
}
