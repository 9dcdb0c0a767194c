//! Every error that the API answers with, in one table. The only file that
//! knows HTTP status codes of errors.

use archive::{ArchiveError, ArchiveErrorKind};
use axum::Json;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use embed::EmbedError;
use search::{SearchError, SearchErrorKind};
use serde::Serialize;
use store::{StoreError, StoreErrorKind};
use utoipa::ToSchema;

use crate::app::UsageError;
use crate::operations::sources::NotFound;

/// What went wrong, named by what the caller can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    InvalidRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    Conflict,
    TooLarge,
    UnsupportedMediaType,
    QuotaExceeded,
    RateLimited,
    Overloaded,
    Unavailable,
    Internal,
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub code: &'static str,
    pub status: StatusCode,
    /// Whose turn it is: `request` (change it), `access` (another key),
    /// `limit` (later or less), `server` (try again, or tell the operator).
    pub kind: &'static str,
    pub help: &'static str,
}

impl Code {
    pub const ALL: [Code; 13] = [
        Code::InvalidRequest,
        Code::Unauthorized,
        Code::Forbidden,
        Code::NotFound,
        Code::MethodNotAllowed,
        Code::Conflict,
        Code::TooLarge,
        Code::UnsupportedMediaType,
        Code::QuotaExceeded,
        Code::RateLimited,
        Code::Overloaded,
        Code::Unavailable,
        Code::Internal,
    ];

    pub fn entry(self) -> Entry {
        let entry = |code, status, kind, help| Entry {
            code,
            status,
            kind,
            help,
        };
        match self {
            Code::InvalidRequest => entry(
                "invalid_request",
                StatusCode::UNPROCESSABLE_ENTITY,
                "request",
                "A field, parameter or the body is missing, malformed or out of its range. The \
                 message names it.",
            ),
            Code::Unauthorized => entry(
                "unauthorized",
                StatusCode::UNAUTHORIZED,
                "access",
                "The request needs an API key (`Authorization: Bearer …`), or the key is \
                 unknown, revoked or expired.",
            ),
            Code::Forbidden => entry(
                "forbidden",
                StatusCode::FORBIDDEN,
                "access",
                "The key's scopes do not allow this, or the request comes from another site.",
            ),
            Code::NotFound => entry(
                "not_found",
                StatusCode::NOT_FOUND,
                "request",
                "There is nothing here, or nothing that this key may see.",
            ),
            Code::MethodNotAllowed => entry(
                "method_not_allowed",
                StatusCode::METHOD_NOT_ALLOWED,
                "request",
                "The path exists, but not with this method.",
            ),
            Code::Conflict => entry(
                "conflict",
                StatusCode::CONFLICT,
                "request",
                "The request contradicts what is stored, such as cancelling a finished task.",
            ),
            Code::TooLarge => entry(
                "too_large",
                StatusCode::PAYLOAD_TOO_LARGE,
                "request",
                "The body is larger than `api.body_bytes_max`, or `api.bulk_bytes_max` for bulk imports.",
            ),
            Code::UnsupportedMediaType => entry(
                "unsupported_media_type",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "request",
                "Bodies are JSON: send `Content-Type: application/json`.",
            ),
            Code::QuotaExceeded => entry(
                "quota_exceeded",
                StatusCode::FORBIDDEN,
                "limit",
                "A quota of the tenant is used up. The message names limit and use.",
            ),
            Code::RateLimited => entry(
                "rate_limited",
                StatusCode::TOO_MANY_REQUESTS,
                "limit",
                "Too many requests; try again after `Retry-After` seconds.",
            ),
            Code::Overloaded => entry(
                "overloaded",
                StatusCode::SERVICE_UNAVAILABLE,
                "server",
                "The server has as much to do as it can; try again after `Retry-After` seconds.",
            ),
            Code::Unavailable => entry(
                "unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "server",
                "Something the server needs is not there at the moment, such as disk space.",
            ),
            Code::Internal => entry(
                "internal",
                StatusCode::INTERNAL_SERVER_ERROR,
                "server",
                "A fault of the server; its log has the request id.",
            ),
        }
    }
}

/// An error on its way to the caller.
#[derive(Debug)]
pub struct ApiError {
    pub code: Code,
    pub message: String,
    pub retry_after_s: Option<u64>,
    /// Of the answer, besides.
    pub headers: Option<Box<HeaderMap>>,
}

impl ApiError {
    pub fn new(code: Code, message: impl Into<String>) -> ApiError {
        ApiError {
            code,
            message: message.into(),
            retry_after_s: None,
            headers: None,
        }
    }

    pub fn invalid(message: impl Into<String>) -> ApiError {
        ApiError::new(Code::InvalidRequest, message)
    }

    pub fn not_found(what: &str, id: impl std::fmt::Display) -> ApiError {
        ApiError::new(Code::NotFound, format!("there is no {what} {id}"))
    }

    #[must_use]
    pub fn after(mut self, seconds: u64) -> ApiError {
        self.retry_after_s = Some(seconds);
        self
    }
}

/// The body of every error.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    pub error: ErrorDetail,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ErrorDetail {
    /// Stable name, to branch on.
    pub code: &'static str,
    /// For people.
    pub message: String,
    /// `request`, `access`, `limit` or `server`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Where the code is explained.
    pub link: String,
}

impl ApiError {
    /// As it is told, in an answer or in an event.
    pub fn body(&self) -> ErrorBody {
        let entry = self.code.entry();
        ErrorBody {
            error: ErrorDetail {
                code: entry.code,
                message: self.message.clone(),
                kind: entry.kind,
                link: format!("/docs/errors#{}", entry.code),
            },
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let entry = self.code.entry();
        let body = self.body();
        let mut response = (entry.status, Json(body)).into_response();
        if let Some(headers) = self.headers {
            response.headers_mut().extend(*headers);
        }
        if let Some(seconds) = self.retry_after_s {
            let seconds = HeaderValue::from(seconds);
            response.headers_mut().insert(RETRY_AFTER, seconds);
        }
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> ApiError {
        from_chain(store_code(error.kind()), &error)
    }
}

impl From<SearchError> for ApiError {
    fn from(error: SearchError) -> ApiError {
        from_chain(search_code(error.kind()), &error)
    }
}

fn store_code(kind: StoreErrorKind) -> Code {
    match kind {
        StoreErrorKind::NotFound => Code::NotFound,
        StoreErrorKind::Conflict => Code::Conflict,
        StoreErrorKind::QuotaExceeded => Code::QuotaExceeded,
        StoreErrorKind::DiskFull | StoreErrorKind::NotWritable => Code::Unavailable,
        _ => Code::Internal,
    }
}

fn search_code(kind: SearchErrorKind) -> Code {
    match kind {
        SearchErrorKind::Request => Code::InvalidRequest,
        SearchErrorKind::NotFound | SearchErrorKind::Busy | SearchErrorKind::Unavailable => {
            Code::Unavailable
        }
        _ => Code::Internal,
    }
}

/// A caller's mistake is told in full. Of the server's own faults only the log
/// learns the causes, which may name paths.
fn from_chain(code: Code, error: &(dyn std::error::Error + 'static)) -> ApiError {
    if matches!(code, Code::Internal | Code::Unavailable) {
        let causes = crate::causes::chain(error);
        tracing::error!(error = %causes, "a request failed");
        let message = if code == Code::Internal {
            "the server failed to answer; its log says why"
        } else {
            "the server cannot do this at the moment; its log says why"
        };
        return ApiError::new(code, message);
    }
    ApiError::new(code, error.to_string())
}

impl From<anyhow::Error> for ApiError {
    fn from(error: anyhow::Error) -> ApiError {
        ApiError::of(&error)
    }
}

impl From<UsageError> for ApiError {
    fn from(UsageError(message): UsageError) -> ApiError {
        ApiError::invalid(message)
    }
}

impl ApiError {
    /// What an error of the operations means to the caller.
    pub fn of(error: &anyhow::Error) -> ApiError {
        if let Some(error) = error.downcast_ref::<StoreError>() {
            return from_chain(store_code(error.kind()), error);
        }
        if let Some(error) = error.downcast_ref::<SearchError>() {
            return from_chain(search_code(error.kind()), error);
        }
        if let Some(refused) = error.downcast_ref::<guard::Refused>() {
            return ApiError::new(Code::Unavailable, refused.to_string());
        }
        if let Some(error) = error.downcast_ref::<EmbedError>()
            && error.is_temporary()
        {
            return from_chain(Code::Unavailable, error);
        }
        if let Some(error) = error.downcast_ref::<ArchiveError>()
            && error.kind() == ArchiveErrorKind::Unavailable
        {
            return from_chain(Code::Unavailable, error);
        }
        if error.is::<UsageError>() {
            return ApiError::invalid(format!("{error:#}"));
        }
        if error.is::<NotFound>() {
            return ApiError::new(Code::NotFound, error.to_string());
        }
        from_chain(Code::Internal, error.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_code_is_in_the_table_once() {
        let codes: HashSet<&str> = Code::ALL.iter().map(|code| code.entry().code).collect();
        assert_eq!(codes.len(), Code::ALL.len());
    }

    #[test]
    fn causes_of_the_server_s_faults_stay_in_the_log() {
        let secret = anyhow::anyhow!("/var/lib/secret").context("open the thing");
        let error = ApiError::from(secret);
        assert_eq!(error.code, Code::Internal);
        assert!(!error.message.contains("secret"), "{}", error.message);
        let usage = anyhow::Error::from(UsageError("say it otherwise".to_owned()));
        let error = ApiError::from(usage.context("read the request"));
        assert_eq!(error.code, Code::InvalidRequest);
        assert!(
            error.message.contains("say it otherwise"),
            "{}",
            error.message
        );
    }
}
