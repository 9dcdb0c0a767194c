//! What can go wrong with stored data, named by what the caller can do.

use std::error::Error as StdError;
use std::fmt;

use crate::postgres;

/// What the caller can do about a [`StoreError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// There is no such row, or no database in the directory.
    NotFound,
    /// Another process uses the directory: stop it, or use another directory.
    Locked { pid: Option<u32> },
    /// The database was written by a newer version: use that version.
    NewerVersion { found: u32, supported: u32 },
    /// The directory, the file or this handle does not allow writing.
    NotWritable,
    /// No room: free some space and run the same command again.
    DiskFull,
    /// The file is damaged or not a Gleaner database.
    Corrupt,
    /// The request contradicts what is stored.
    Conflict,
    /// The tenant has all that it may have: free some, or raise its limit.
    QuotaExceeded,
    /// The database server does not answer, or is too busy: nothing was
    /// written, try again later.
    Unavailable,
    /// Reading or writing failed below the database.
    Io,
    /// A fault of this program.
    Bug,
}

/// A failed operation: its kind, a message for the operator and the cause.
#[derive(Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl StoreError {
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    pub(crate) fn new(kind: StoreErrorKind, message: impl Into<String>) -> StoreError {
        StoreError {
            kind,
            message: message.into(),
            source: None,
        }
    }

    pub(crate) fn caused_by(mut self, source: impl StdError + Send + Sync + 'static) -> StoreError {
        self.source = Some(Box::new(source));
        self
    }

    /// The same failure told to one more caller, as when a group commit fails.
    pub(crate) fn repeat(&self) -> StoreError {
        let mut message = self.message.clone();
        if let Some(source) = &self.source {
            message = format!("{message}: {source}");
        }
        StoreError::new(self.kind, message)
    }

    /// With another failure as its cause.
    pub(crate) fn with_cause(self, failure: Failure) -> StoreError {
        match failure {
            Failure::Postgres(error) => self.caused_by(error),
            Failure::Sqlite(error) => self.caused_by(error),
            Failure::Store(error) => self.caused_by(error),
        }
    }

    pub(crate) fn prefixed(mut self, prefix: &str) -> StoreError {
        self.message = format!("{prefix}: {}", self.message);
        self
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for StoreError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|s| s as &(dyn StdError + 'static))
    }
}

/// What an operation inside a connection fails with; becomes a [`StoreError`]
/// with the operation's name and the database path at the crate's edge.
#[derive(Debug)]
pub(crate) enum Failure {
    Sqlite(rusqlite::Error),
    Postgres(tokio_postgres::Error),
    Store(StoreError),
}

impl Failure {
    pub(crate) fn not_found(message: impl Into<String>) -> Failure {
        Failure::Store(StoreError::new(StoreErrorKind::NotFound, message))
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Failure {
        Failure::Store(StoreError::new(StoreErrorKind::Conflict, message))
    }

    pub(crate) fn quota(message: impl Into<String>) -> Failure {
        Failure::Store(StoreError::new(StoreErrorKind::QuotaExceeded, message))
    }

    pub(crate) fn corrupt(message: impl Into<String>) -> Failure {
        Failure::Store(StoreError::new(StoreErrorKind::Corrupt, message))
    }

    pub(crate) fn bug(message: impl Into<String>) -> Failure {
        Failure::Store(StoreError::new(StoreErrorKind::Bug, message))
    }

    /// For people.
    pub(crate) fn cause(&self) -> String {
        match self {
            Failure::Sqlite(error) => error.to_string(),
            Failure::Postgres(error) => match error.source() {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            },
            Failure::Store(error) => error.to_string(),
        }
    }

    pub(crate) fn into_store_error(self, what: &str, place: &str) -> StoreError {
        match self {
            Failure::Store(error) => error.prefixed(what),
            Failure::Postgres(error) => {
                let (kind, advice) = postgres::meaning(&error);
                StoreError::new(kind, format!("{what} in {place}{advice}")).caused_by(error)
            }
            Failure::Sqlite(error) => {
                let kind = kind_of(&error);
                if let StoreErrorKind::Locked { .. } = kind {
                    // Without the cause: SQLite's words for it help nobody.
                    return StoreError::new(
                        kind,
                        format!(
                            "{what}: another program kept {place} busy for too long; close it and try again"
                        ),
                    );
                }
                let advice = match kind {
                    StoreErrorKind::DiskFull => {
                        ": no space left; free some and run the same command again"
                    }
                    StoreErrorKind::NotWritable => {
                        ": not writable; check the directory's owner and permissions"
                    }
                    StoreErrorKind::Corrupt => {
                        ": damaged or not a gleaner database; restore a copy or use another data directory"
                    }
                    _ => "",
                };
                StoreError::new(kind, format!("{what} in {place}{advice}")).caused_by(error)
            }
        }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Failure {
        Failure::Sqlite(error)
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Failure {
        Failure::Postgres(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::Store(error)
    }
}

fn kind_of(error: &rusqlite::Error) -> StoreErrorKind {
    use rusqlite::ErrorCode as Code;
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => match failure.code {
            Code::DiskFull => StoreErrorKind::DiskFull,
            Code::DatabaseCorrupt | Code::NotADatabase => StoreErrorKind::Corrupt,
            Code::ReadOnly | Code::CannotOpen | Code::PermissionDenied => {
                StoreErrorKind::NotWritable
            }
            Code::SystemIoFailure | Code::OutOfMemory | Code::NoLargeFileSupport => {
                StoreErrorKind::Io
            }
            Code::DatabaseBusy | Code::DatabaseLocked | Code::FileLockingProtocolFailed => {
                StoreErrorKind::Locked { pid: None }
            }
            _ => StoreErrorKind::Bug,
        },
        // A value of the wrong type where the schema promises another.
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::Utf8Error(..) => StoreErrorKind::Corrupt,
        rusqlite::Error::QueryReturnedNoRows => StoreErrorKind::NotFound,
        _ => StoreErrorKind::Bug,
    }
}
