//! What went wrong, by what the caller can do about it.

use std::path::{Path, PathBuf};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchErrorKind {
    /// The request cannot be answered as asked: a filter or vector is wrong.
    Request,
    /// The index directory cannot be read or written; it may be deleted, it is derived data.
    Index,
    /// Another process holds the index for writing: leave it to that one.
    Busy,
    /// There is no index yet.
    NotFound,
    /// The search server does not answer, or takes nothing at the moment.
    Unavailable,
    /// The search server does not let us: credentials, rights, or somebody else's index.
    Refused,
    /// The store failed.
    Store,
    /// A defect of this crate.
    Bug,
}

#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SearchError {
    kind: SearchErrorKind,
    message: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl SearchError {
    #[must_use]
    pub fn kind(&self) -> SearchErrorKind {
        self.kind
    }

    pub(crate) fn request(message: impl Into<String>) -> SearchError {
        SearchError {
            kind: SearchErrorKind::Request,
            message: message.into(),
            source: None,
        }
    }

    pub(crate) fn bug(message: impl Into<String>) -> SearchError {
        SearchError {
            kind: SearchErrorKind::Bug,
            message: message.into(),
            source: None,
        }
    }

    pub(crate) fn busy() -> SearchError {
        SearchError {
            kind: SearchErrorKind::Busy,
            message: "search index is being written by another process".into(),
            source: None,
        }
    }

    /// True when the store failed in this way.
    pub(crate) fn is_of_store(&self, kind: store::StoreErrorKind) -> bool {
        let source = self.source.as_deref();
        source
            .and_then(|source| source.downcast_ref::<store::StoreError>())
            .is_some_and(|error| error.kind() == kind)
    }

    pub(crate) fn damaged() -> SearchError {
        SearchError {
            kind: SearchErrorKind::Index,
            message: "search index is damaged".into(),
            source: None,
        }
    }

    pub(crate) fn not_found(dir: &Path) -> SearchError {
        SearchError {
            kind: SearchErrorKind::NotFound,
            message: format!("no search index in {}", dir.display()),
            source: None,
        }
    }

    pub(crate) fn no_tables() -> SearchError {
        SearchError {
            kind: SearchErrorKind::NotFound,
            message: "no search tables in the database".into(),
            source: None,
        }
    }

    pub(crate) fn no_index(name: &str, server: &str) -> SearchError {
        SearchError {
            kind: SearchErrorKind::NotFound,
            message: format!("no complete search index {name} on {server}"),
            source: None,
        }
    }

    /// What a search server does, or what is wrong with it.
    pub(crate) fn of_server(kind: SearchErrorKind, message: impl Into<String>) -> SearchError {
        SearchError {
            kind,
            message: message.into(),
            source: None,
        }
    }

    pub(crate) fn caused_by(
        mut self,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> SearchError {
        self.source = Some(Box::new(source));
        self
    }

    pub(crate) fn io(action: &str, path: PathBuf, source: std::io::Error) -> SearchError {
        SearchError {
            kind: SearchErrorKind::Index,
            message: format!("{action} {}", path.display()),
            source: Some(Box::new(source)),
        }
    }
}

impl From<tantivy::TantivyError> for SearchError {
    fn from(source: tantivy::TantivyError) -> SearchError {
        if let tantivy::TantivyError::LockFailure(..) = source {
            return SearchError::busy();
        }
        SearchError {
            kind: SearchErrorKind::Index,
            message: "use search index".into(),
            source: Some(Box::new(source)),
        }
    }
}

impl From<store::StoreError> for SearchError {
    fn from(source: store::StoreError) -> SearchError {
        SearchError {
            kind: SearchErrorKind::Store,
            message: "read the store for searching".into(),
            source: Some(Box::new(source)),
        }
    }
}

impl From<std::io::Error> for SearchError {
    fn from(source: std::io::Error) -> SearchError {
        SearchError::from(tantivy::TantivyError::from(source))
    }
}
