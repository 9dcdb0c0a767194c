//! Bodies, queries and paths of requests, whose errors look like all others.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequest, Request};
use axum::http::StatusCode;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::error::{ApiError, Code};

/// A JSON object.
#[derive(Clone, Copy, Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Body<T>, ApiError> {
        let Json(body) = <Json<Value> as FromRequest<S>>::from_request(request, state).await?;
        read_object(body)
    }
}

/// One that may be left out, or be `null`; whatever type it says it has.
impl<T: DeserializeOwned, S: Send + Sync> OptionalFromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Option<Body<T>>, ApiError> {
        let bytes = Bytes::from_request(request, state).await?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let body: Option<Value> = serde_json::from_slice(&bytes)
            .map_err(|e| ApiError::invalid(format!("the body: {e}")))?;
        body.map(read_object).transpose()
    }
}

fn read_object<T: DeserializeOwned>(body: Value) -> Result<Body<T>, ApiError> {
    // serde would read a struct from an array as well.
    if !body.is_object() {
        return Err(ApiError::invalid("the body is no JSON object"));
    }
    // Says which field is wrong.
    let value = serde_path_to_error::deserialize(body);
    value
        .map(Body)
        .map_err(|e| ApiError::invalid(format!("the body: {e}")))
}

/// Reads an object within a body. Like a body, it is none when it is an array.
pub fn object<'de, D: Deserializer<'de>, T: DeserializeOwned>(from: D) -> Result<T, D::Error> {
    let value = Value::deserialize(from)?;
    if value.is_array() {
        return Err(D::Error::custom(
            "invalid type: an array, expected an object",
        ));
    }
    serde_path_to_error::deserialize(value).map_err(D::Error::custom)
}

/// The query string.
#[derive(Clone, Copy, Debug, FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(ApiError))]
pub struct Query<T>(pub T);

/// Parts of the path.
#[derive(Clone, Copy, Debug, FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(ApiError))]
pub struct Path<T>(pub T);

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> ApiError {
        let code = match rejection.status() {
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedMediaType,
            StatusCode::PAYLOAD_TOO_LARGE => Code::TooLarge,
            _ => Code::InvalidRequest,
        };
        ApiError::new(code, rejection.body_text())
    }
}

impl From<BytesRejection> for ApiError {
    fn from(rejection: BytesRejection) -> ApiError {
        let code = match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Code::TooLarge,
            _ => Code::InvalidRequest,
        };
        ApiError::new(code, rejection.body_text())
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> ApiError {
        ApiError::invalid(rejection.body_text())
    }
}

impl From<PathRejection> for ApiError {
    /// An id that is none names nothing.
    fn from(rejection: PathRejection) -> ApiError {
        ApiError::new(Code::NotFound, rejection.body_text())
    }
}
