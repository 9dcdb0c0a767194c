//! What can go wrong, named by what the caller can do about it.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

type Source = Arc<dyn Error + Send + Sync + 'static>;

/// What a caller can do about a request that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LlmErrorKind {
    /// The configuration cannot work: address, key, model or account.
    Config,
    /// The endpoint did not answer in time, or said that it is at fault; try later.
    Unavailable,
    /// The endpoint is asked too much; try later.
    Throttled,
    /// The endpoint will not take this prompt; trying again is no use.
    Refused,
    /// The prompt does not fit into the model's context; send a shorter one.
    TooLong,
    /// The answer was cut short, too large or not understood; another try may do better.
    BadResponse,
}

impl LlmErrorKind {
    /// Stable code, as logged and counted.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            LlmErrorKind::Config => "config",
            LlmErrorKind::Unavailable => "unavailable",
            LlmErrorKind::Throttled => "throttled",
            LlmErrorKind::Refused => "refused",
            LlmErrorKind::TooLong => "too_long",
            LlmErrorKind::BadResponse => "bad_response",
        }
    }
}

/// Why there is no reply. Says neither key nor address.
#[derive(Clone, Debug)]
pub struct LlmError {
    kind: LlmErrorKind,
    message: String,
    retry_after: Option<Duration>,
    source: Option<Source>,
}

impl LlmError {
    /// For callers that govern requests and refuse one themselves, too.
    #[must_use]
    pub fn new(kind: LlmErrorKind, message: impl Into<String>) -> LlmError {
        LlmError {
            kind,
            message: message.into(),
            retry_after: None,
            source: None,
        }
    }

    pub(crate) fn config(message: impl Into<String>) -> LlmError {
        LlmError::new(LlmErrorKind::Config, message)
    }

    pub(crate) fn bad(message: impl Into<String>) -> LlmError {
        LlmError::new(LlmErrorKind::BadResponse, message)
    }

    pub(crate) fn with_source(mut self, source: impl Error + Send + Sync + 'static) -> LlmError {
        self.source = Some(Arc::new(source));
        self
    }

    pub(crate) fn with_retry_after(mut self, after: Option<Duration>) -> LlmError {
        self.retry_after = after;
        self
    }

    #[must_use]
    pub fn kind(&self) -> LlmErrorKind {
        self.kind
    }

    /// How long the endpoint asked to be left alone, when it said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Whether the same request may work later without any change.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        use LlmErrorKind::{BadResponse, Throttled, Unavailable};
        matches!(self.kind, Unavailable | Throttled | BadResponse)
    }
}

impl fmt::Display for LlmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for LlmError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|s| s.as_ref() as _)
    }
}
