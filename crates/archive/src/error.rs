//! What can go wrong, named by what the caller can do.

use std::error::Error;
use std::fmt;

/// What a caller can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ArchiveErrorKind {
    /// The settings cannot be used as they are.
    Config,
    /// There is no object of this key.
    Absent,
    /// The place does not answer, or not as it should; later it may.
    Unavailable,
    /// The object is larger than the caller takes.
    TooLarge,
    /// The object is no WARC record of a response.
    Corrupt,
}

#[derive(Debug)]
pub struct ArchiveError {
    kind: ArchiveErrorKind,
    problem: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl ArchiveError {
    pub(crate) fn new(kind: ArchiveErrorKind, problem: impl Into<String>) -> ArchiveError {
        ArchiveError {
            kind,
            problem: problem.into(),
            source: None,
        }
    }

    pub(crate) fn config(problem: impl Into<String>) -> ArchiveError {
        ArchiveError::new(ArchiveErrorKind::Config, problem)
    }

    #[must_use]
    pub(crate) fn with_source(
        mut self,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> ArchiveError {
        self.source = Some(source.into());
        self
    }

    #[must_use]
    pub fn kind(&self) -> ArchiveErrorKind {
        self.kind
    }
}

impl fmt::Display for ArchiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

impl Error for ArchiveError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
