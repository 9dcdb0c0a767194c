//! Raw copies of pages: bytes that strangers wrote, handed out so that no
//! browser runs or shows them here.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use store::Scopes;
use types::PageId;
use utoipa::{IntoParams, ToSchema};

use crate::api::caller::Caller;
use crate::api::error::{ApiError, Code, ErrorBody};
use crate::api::extract::{Path, Query};
use crate::api::state::Api;
use crate::raw::RawStore;

/// Whatever it is, it is no page of this server: nothing of it runs, loads or
/// is sent, should a browser show it all the same.
const POLICY: &str = "sandbox; default-src 'none'; frame-ancestors 'none'";

#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct RawParams {
    /// The newest unless given.
    #[param(minimum = 1)]
    pub version: Option<u32>,
    /// The body alone unless given.
    pub format: Option<RawFormat>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RawFormat {
    /// The body of the answer, as it came but for codings.
    Body,
    /// A WARC record, compressed: status, headers and body.
    Warc,
}

/// Download what the server answered
///
/// Where raw copies are kept (`archive.url`). Always a file to be saved, of no particular type.
#[utoipa::path(get, path = "/api/v2/pages/{id}/raw", tag = "pages", params(("id" = i64, Path), RawParams),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream"), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn download(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<i64>,
    Query(params): Query<RawParams>,
) -> Result<Response, ApiError> {
    let caller = caller.must(Scopes::READ)?;
    api.run(move |api| {
        let store = &api.services.store;
        let page = store.page_of_tenant(caller.tenant, PageId(id))?;
        let page = page.ok_or_else(|| ApiError::not_found("page", id))?;
        let version = params.version.unwrap_or(page.version);
        let absent = || {
            let message = format!("there is no raw copy of version {version} of page {id}");
            ApiError::new(Code::NotFound, message)
        };
        let Some(raw): Option<&Arc<RawStore>> = api.services.raw.as_ref() else {
            return Err(absent());
        };
        let (bytes, ending) = match params.format {
            Some(RawFormat::Warc) => {
                let record = raw.record(store, caller.tenant, &page, version)?;
                (record.ok_or_else(absent)?, "warc.gz")
            }
            Some(RawFormat::Body) | None => {
                let record = raw.read(store, caller.tenant, &page, version)?;
                let record = record.ok_or_else(absent)?;
                let ending = ending(&record.content_type);
                (record.body.into(), ending)
            }
        };
        let name = format!("attachment; filename=\"page-{id}-version-{version}.{ending}\"");
        let headers = [
            (CONTENT_TYPE, "application/octet-stream".to_owned()),
            (CONTENT_DISPOSITION, name),
            (CONTENT_SECURITY_POLICY, POLICY.to_owned()),
        ];
        Ok((headers, Body::from(bytes)).into_response())
    })
    .await
}

/// For the name of the file, of a few known types only.
fn ending(content_type: &str) -> &'static str {
    let essence = content_type.split(';').next().unwrap_or_default();
    match essence.trim().to_ascii_lowercase().as_str() {
        "text/html" | "application/xhtml+xml" => "html",
        "application/pdf" => "pdf",
        "text/plain" => "txt",
        "text/markdown" => "md",
        "application/xml" | "text/xml" => "xml",
        _ => "bin",
    }
}
