/// What the caller can do about a failed extraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtractErrorKind {
    /// The bytes are not what they claim to be. Trying again cannot help.
    Malformed,
    /// A limit was met before anything useful was read.
    TooLarge,
    /// A library failed on the input in a way it should not.
    Internal,
}

/// A failed extraction. Pages rarely fail: HTML and text always yield something.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ExtractError {
    kind: ExtractErrorKind,
    message: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl ExtractError {
    #[must_use]
    pub fn kind(&self) -> ExtractErrorKind {
        self.kind
    }

    pub(crate) fn new(kind: ExtractErrorKind, message: impl Into<String>) -> ExtractError {
        ExtractError {
            kind,
            message: message.into(),
            source: None,
        }
    }

    pub(crate) fn caused_by(
        self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> ExtractError {
        ExtractError {
            source: Some(source.into()),
            ..self
        }
    }
}
