//! Many pages at once: handed in and given out as JSON lines.

use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use store::Scopes;
use types::{SourceId, TenantId};
use utoipa::{IntoParams, ToSchema};

use crate::api::caller::Caller;
use crate::api::error::{ApiError, Code, ErrorBody};
use crate::api::extract::Query;
use crate::api::state::Api;
use crate::operations::export::Export;
use crate::operations::import::{Importer, LINE_BYTES_MAX};
use crate::operations::moment;
use crate::operations::sources;
use crate::view::{ImportReport, PageLine};

pub const PATH: &str = "/api/v2/pages/bulk";

/// A sender that says nothing for so long has gone away.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Of a sender that says who it is by the type of what it sends.
const TYPES: [&str; 4] = [
    "application/x-ndjson",
    "application/jsonl",
    "application/json",
    "text/plain",
];

#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct BulkParams {
    /// The source that new pages become pages of; without one, a source of their own that is
    /// never crawled.
    pub source: Option<i64>,
}

/// Store many pages
///
/// One JSON object a line, as `GET /api/v2/export` writes them. Lines are stored a hundred at a
/// time; one that is wrong is named in the answer and the others are stored all the same. A page
/// is known by its URL, so sending the same lines again changes nothing. When it answers, the
/// pages can be found by keyword; their vectors follow.
#[utoipa::path(post, path = "/api/v2/pages/bulk", tag = "pages", params(BulkParams),
    request_body(content = PageLine, content_type = "application/x-ndjson"),
    responses((status = 200, body = ImportReport), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn store(
    State(api): State<Api>,
    caller: Caller,
    Query(params): Query<BulkParams>,
    request: Request,
) -> Result<Json<ImportReport>, ApiError> {
    let caller = caller.must(Scopes::WRITE)?;
    check_type(request.headers())?;
    let source = params.source.map(SourceId);
    let mut importer = api
        .run(move |api| Ok(Importer::new(api.services.clone(), caller.tenant, source)?))
        .await?;
    let mut lines = Lines::new(api.services.app.config.api.bulk_bytes_max);
    let mut body = request.into_body().into_data_stream();
    loop {
        let Ok(part) = tokio::time::timeout(SILENCE_MAX, body.next()).await else {
            return Err(ApiError::invalid("the body stopped half-way"));
        };
        let is_end = part.is_none();
        if let Some(part) = part {
            let part = part.map_err(|_| ApiError::invalid("the body broke off"))?;
            lines.add(&part)?;
        }
        if lines.is_worth_it() || is_end {
            let ready = lines.take(is_end);
            importer = api
                .run(move |_| {
                    for line in ready {
                        match line {
                            Line::Whole(bytes) => importer.line(&bytes)?,
                            Line::TooLong => importer.long_line(),
                        }
                    }
                    Ok(importer)
                })
                .await?;
        }
        if is_end {
            break;
        }
    }
    api.run(move |_| Ok(Json(importer.finish()?))).await
}

fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let given = headers.get(CONTENT_TYPE).and_then(|t| t.to_str().ok());
    let plain = given.map(|given| given.split(';').next().unwrap_or_default().trim());
    if plain.is_some_and(|plain| TYPES.iter().any(|t| t.eq_ignore_ascii_case(plain))) {
        return Ok(());
    }
    let message = "send JSON lines with `Content-Type: application/x-ndjson`";
    Err(ApiError::new(Code::UnsupportedMediaType, message))
}

enum Line {
    Whole(Vec<u8>),
    TooLong,
}

/// Cuts a body into lines. Holds one line more than is handed on at a time.
struct Lines {
    ready: Vec<Line>,
    ready_bytes: usize,
    begun: Vec<u8>,
    is_too_long: bool,
    bytes: u64,
    bytes_max: u64,
}

impl Lines {
    fn new(bytes_max: u64) -> Lines {
        Lines {
            ready: Vec::new(),
            ready_bytes: 0,
            begun: Vec::new(),
            is_too_long: false,
            bytes: 0,
            bytes_max,
        }
    }

    fn add(&mut self, part: &[u8]) -> Result<(), ApiError> {
        self.bytes += part.len() as u64;
        if self.bytes > self.bytes_max {
            let message = format!(
                "a bulk body has at most {} bytes (`api.bulk_bytes_max`); lines before that are \
                 stored, send the rest by itself",
                self.bytes_max
            );
            return Err(ApiError::new(Code::TooLarge, message));
        }
        let mut rest = part;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.go_on(&rest[..end]);
            self.end_line();
            rest = &rest[end + 1..];
        }
        self.go_on(rest);
        Ok(())
    }

    fn go_on(&mut self, part: &[u8]) {
        if self.begun.len() + part.len() > LINE_BYTES_MAX {
            self.is_too_long = true;
            self.begun = Vec::new();
        } else if !self.is_too_long {
            self.begun.extend_from_slice(part);
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.begun);
        self.ready_bytes += line.len();
        self.ready.push(if std::mem::take(&mut self.is_too_long) {
            Line::TooLong
        } else {
            Line::Whole(line)
        });
    }

    /// A thread is not troubled for single lines.
    fn is_worth_it(&self) -> bool {
        self.ready.len() >= crate::operations::import::BATCH || self.ready_bytes >= LINE_BYTES_MAX
    }

    fn take(&mut self, is_end: bool) -> Vec<Line> {
        if is_end && (!self.begun.is_empty() || self.is_too_long) {
            self.end_line();
        }
        self.ready_bytes = 0;
        std::mem::take(&mut self.ready)
    }
}

#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ExportParams {
    /// JSON lines unless given.
    pub format: Option<ExportFormat>,
    pub source: Option<i64>,
    /// Exact host name.
    pub host: Option<String>,
    /// Only what changed at or after this moment (RFC 3339); pages that went since come as
    /// `gone`.
    #[param(format = DateTime)]
    pub changed_since: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ExportFormat {
    Jsonl,
}

/// Export pages
///
/// Every live page as a line of JSON, with its content as Markdown, its record and its notes, as
/// `POST /api/v2/pages/bulk` takes them. An answer that breaks off before its end is not whole.
#[utoipa::path(get, path = "/api/v2/export", tag = "pages", params(ExportParams),
    responses((status = 200, body = PageLine, content_type = "application/x-ndjson"), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn export(
    State(api): State<Api>,
    caller: Caller,
    Query(params): Query<ExportParams>,
) -> Result<Response, ApiError> {
    let caller = caller.must(Scopes::READ)?;
    let tenant = caller.tenant;
    let ExportFormat::Jsonl = params.format.unwrap_or(ExportFormat::Jsonl);
    let since = moment("changed_since", params.changed_since.as_deref())?;
    let source = params.source.map(SourceId);
    // Says now, and not within the stream, that there is no such source.
    api.run(move |api| check_source(api, tenant, source))
        .await?;
    let export = Export::new(tenant, source, params.host, since);
    let parts = stream::try_unfold((api, export), move |(api, mut export)| async move {
        let step = api
            .run_for(tenant, move |api| {
                let lines = export.next(&api.services.store)?;
                Ok((as_lines(&lines)?, export))
            })
            .await;
        match step {
            Ok((part, _)) if part.is_empty() => Ok(None),
            Ok((part, export)) => Ok(Some((part, (api, export)))),
            Err(error) => Err(std::io::Error::other(error.message)),
        }
    });
    let headers = [
        (CONTENT_TYPE, "application/x-ndjson"),
        (CONTENT_DISPOSITION, "attachment; filename=\"pages.jsonl\""),
    ];
    Ok((headers, Body::from_stream(parts)).into_response())
}

fn check_source(api: &Api, tenant: TenantId, source: Option<SourceId>) -> Result<(), ApiError> {
    if let Some(id) = source {
        sources::find(&api.services.store, tenant, id)?;
    }
    Ok(())
}

fn as_lines(lines: &[PageLine]) -> Result<Bytes, ApiError> {
    let mut bytes = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut bytes, line).map_err(anyhow::Error::from)?;
        bytes.push(b'\n');
    }
    Ok(Bytes::from(bytes))
}
