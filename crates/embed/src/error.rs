//! What can go wrong, named by what the caller can do about it.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

type Source = Arc<dyn Error + Send + Sync + 'static>;

/// What a caller can do about a failed embedding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmbedErrorKind {
    /// The configuration cannot work; change it.
    Config,
    /// The model file is missing or broken; install another.
    Model,
    /// The endpoint did not answer in time or refused for now; try later.
    Unavailable,
    /// The endpoint will not take this request or text; trying again is no use.
    Refused,
    /// The endpoint answered with something other than the vectors asked for.
    BadResponse,
    /// The queue is full; try later.
    Overloaded,
    /// The embedder was stopped.
    Stopped,
}

/// Why a text has no vector. Cheap to clone: one failed batch fails many texts.
#[derive(Clone, Debug)]
pub struct EmbedError {
    kind: EmbedErrorKind,
    message: String,
    retry_after: Option<Duration>,
    source: Option<Source>,
}

impl EmbedError {
    pub(crate) fn new(kind: EmbedErrorKind, message: impl Into<String>) -> EmbedError {
        EmbedError {
            kind,
            message: message.into(),
            retry_after: None,
            source: None,
        }
    }

    pub(crate) fn with_source(mut self, source: impl Error + Send + Sync + 'static) -> EmbedError {
        self.source = Some(Arc::new(source));
        self
    }

    pub(crate) fn with_retry_after(mut self, after: Option<Duration>) -> EmbedError {
        self.retry_after = after;
        self
    }

    pub(crate) fn stopped() -> EmbedError {
        EmbedError::new(EmbedErrorKind::Stopped, "the embedder was stopped")
    }

    #[must_use]
    pub fn kind(&self) -> EmbedErrorKind {
        self.kind
    }

    /// How long the endpoint asked to be left alone, when it said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Whether the same call may work later without any change.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(
            self.kind,
            EmbedErrorKind::Unavailable | EmbedErrorKind::Overloaded
        )
    }
}

impl fmt::Display for EmbedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for EmbedError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|s| s.as_ref() as _)
    }
}

impl From<ModelError> for EmbedError {
    fn from(error: ModelError) -> EmbedError {
        EmbedError::new(EmbedErrorKind::Model, "open the embedding model").with_source(error)
    }
}

/// What a caller can do about a model file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelErrorKind {
    /// The file cannot be read or written; see the source.
    Io,
    /// Not a model file at all.
    NotAModel,
    /// A model file of a version or shape this program does not know.
    Unsupported,
    /// Cut short, altered or inconsistent; fetch it again.
    Corrupt,
    /// The pruned file would not fit the size asked for.
    TooLarge,
}

/// Why a model file cannot be used.
#[derive(Debug)]
pub struct ModelError {
    kind: ModelErrorKind,
    message: String,
    source: Option<std::io::Error>,
}

impl ModelError {
    pub(crate) fn new(kind: ModelErrorKind, message: impl Into<String>) -> ModelError {
        ModelError {
            kind,
            message: message.into(),
            source: None,
        }
    }

    pub(crate) fn corrupt(message: impl Into<String>) -> ModelError {
        ModelError::new(ModelErrorKind::Corrupt, message)
    }

    pub(crate) fn io(message: impl Into<String>, source: std::io::Error) -> ModelError {
        ModelError {
            kind: ModelErrorKind::Io,
            message: message.into(),
            source: Some(source),
        }
    }

    #[must_use]
    pub fn kind(&self) -> ModelErrorKind {
        self.kind
    }
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for ModelError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|s| s as _)
    }
}
