//! All routes and the layers around them.

use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY,
    RETRY_AFTER, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Version};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};
use tower_http::cors::{AllowOrigin, CorsLayer};
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::Server as OpenApiServer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::{Config as SwaggerConfig, SwaggerUi};

use super::access::know_caller;
use super::error::{ApiError, Code};
use super::observe::{REQUEST_ID, observe};
use super::routes::{
    admin, ask, bulk, cache, compat, crawls, history, llm, monitoring, pages, raw, records,
    scaling, search, sources, summaries, tasks, webhooks,
};
use super::state::Api;
use super::{dashboard, docs, etag, metrics};
use crate::operations::records as records_query;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Gleaner",
        description = "Crawl websites into a knowledge base you can search.\n\nOn loopback no key is \
            needed. Every error is `{error: {code, message, type, link}}`; the codes are explained \
            at `/docs/errors`. Every answer carries `x-request-id`.",
        license(name = "MIT OR Apache-2.0")
    ),
    // What only query parameters refer to is not found by itself.
    components(schemas(
        ask::AskSources,
        ask::AskText,
        bulk::ExportFormat,
        pages::SortInput,
        pages::StatusInput,
        raw::RawFormat,
        records_query::AvailabilityInput,
        records_query::KindInput,
        records_query::RecordSortInput
    )),
    tags(
        (name = "search", description = "Find pages"),
        (name = "sources", description = "What is crawled again and again"),
        (name = "crawls", description = "Runs, their outcome and control"),
        (name = "pages", description = "What was stored, with its history"),
        (name = "records", description = "Articles, products and jobs, by their facts"),
        (name = "summaries", description = "What pages say, in short"),
        (name = "tasks", description = "Queued work"),
        (name = "webhooks", description = "Who is told of what happens"),
        (name = "monitoring", description = "How the service is doing"),
        (name = "admin", description = "Tenants, keys, quotas and usage"),
        (name = "compatibility", description = "Calls kept from systems that Gleaner replaces")
    )
)]
struct Declared;

/// Routes that ask who is calling.
fn known() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Declared::openapi())
        .routes(routes!(tasks::scrape))
        .routes(routes!(tasks::scrape_batch))
        .routes(routes!(tasks::list))
        .routes(routes!(tasks::queue_status))
        .routes(routes!(tasks::pause_queue))
        .routes(routes!(tasks::resume_queue))
        .routes(routes!(tasks::show, tasks::cancel))
        .routes(routes!(tasks::retry))
        .routes(routes!(tasks::events))
        .routes(routes!(sources::list, sources::add))
        .routes(routes!(sources::show, sources::edit, sources::remove))
        .routes(routes!(sources::crawl))
        .routes(routes!(crawls::list))
        .routes(routes!(crawls::show))
        .routes(routes!(crawls::events))
        .routes(routes!(crawls::pause))
        .routes(routes!(crawls::resume))
        .routes(routes!(crawls::cancel))
        .routes(routes!(pages::list))
        .routes(routes!(pages::show))
        .routes(routes!(pages::note))
        .routes(routes!(pages::versions))
        .routes(routes!(pages::compare))
        .routes(routes!(raw::download))
        .routes(routes!(bulk::store))
        .routes(routes!(bulk::export))
        .routes(routes!(pages::similar))
        .routes(routes!(records::list))
        .routes(routes!(summaries::list, summaries::summarize))
        .routes(routes!(summaries::show))
        .routes(routes!(search::search_by_query, search::search_by_body))
        .routes(routes!(ask::ask))
        .routes(routes!(monitoring::stats))
        .routes(routes!(llm::metrics))
        .routes(routes!(monitoring::request_stats))
        .routes(routes!(monitoring::slow_requests))
        .routes(routes!(monitoring::errors))
        .routes(routes!(history::history))
        .routes(routes!(cache::stats))
        .routes(routes!(cache::clear))
        .routes(routes!(monitoring::system_status))
        .routes(routes!(scaling::scaling))
        .routes(routes!(compat::create_and_crawl))
        .routes(routes!(admin::keys, admin::create_key))
        .routes(routes!(admin::revoke_key))
        .routes(routes!(admin::rotate_key))
        .routes(routes!(admin::tenants, admin::create_tenant))
        .routes(routes!(admin::edit_tenant))
        .routes(routes!(admin::usage))
        .routes(routes!(webhooks::list, webhooks::add))
        .routes(routes!(webhooks::show, webhooks::edit, webhooks::remove))
        .routes(routes!(webhooks::test))
        .routes(routes!(webhooks::rotate))
        .routes(routes!(webhooks::deliveries))
        .routes(routes!(webhooks::retry_dead))
        .routes(routes!(webhooks::retry))
}

/// Routes that anybody may ask.
fn open() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(monitoring::health))
        .routes(routes!(monitoring::ready))
}

/// The API as a document, without a server.
pub fn document() -> Document {
    let (_, document) = known().merge(open()).split_for_parts();
    document
}

/// Everything that `gleaner serve` answers.
pub fn router(api: Api) -> Router {
    let (known, known_document) = known().split_for_parts();
    let (open, open_document) = open().split_for_parts();
    let mut document = known_document;
    document.merge(open_document);
    // Seen from the document, so that calls stay below a proxy's prefix, too.
    document.servers = Some(vec![OpenApiServer::new("./")]);
    let known = known
        .route("/metrics", get(metrics::of_all))
        .layer(middleware::from_fn_with_state(api.clone(), know_caller));
    // Relative to `docs/`, so that all of it works below a proxy's prefix.
    let swagger = SwaggerUi::new("/").config(SwaggerConfig::from("../openapi.json"));
    let limits = &api.services.app.config.api;
    let cors = cors(&limits.cors_origins);
    // Event streams are small and must not wait in a compressor's buffer.
    let compressed = SizeAbove::new(1024).and(NotForContentType::SSE);
    Router::new()
        .merge(known)
        .merge(open)
        .merge(dashboard::router())
        .route("/openapi.json", get(|| async { Json(document) }))
        .route(
            "/docs",
            get(|| async { (StatusCode::SEE_OTHER, [(LOCATION, "docs/")]) }),
        )
        .route("/docs/errors", get(|| async { Html(docs::errors()) }))
        .nest("/docs/", Router::from(swagger))
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(cors)
        .layer(middleware::from_fn(etag::tag))
        .layer(DefaultBodyLimit::max(limits.body_bytes_max))
        .layer(CompressionLayer::new().compress_when(compressed))
        .layer(middleware::from_fn_with_state(api.clone(), limit_load))
        .layer(middleware::from_fn_with_state(api.clone(), part))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(api.clone(), observe))
        .layer(middleware::from_fn(secure))
        .with_state(api)
}

/// Other sites' pages may ask only when configured; then with keys, never
/// with cookies.
fn cors(origins: &[String]) -> CorsLayer {
    let origins = origins
        .iter()
        .filter_map(|origin| HeaderValue::from_str(origin).ok());
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([
            Method::GET,
            Method::POST,
            Method::PATCH,
            Method::PUT,
            Method::DELETE,
        ])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE, LAST_EVENT_ID])
        .expose_headers([REQUEST_ID, RETRY_AFTER])
}

/// Longest bulk import.
const BULK_MAX: Duration = Duration::from_secs(30 * 60);
/// Longest answer; a model's own time-outs end before.
const ANSWER_MAX: Duration = Duration::from_secs(10 * 60);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

async fn not_found() -> ApiError {
    ApiError::new(Code::NotFound, "there is nothing at this path; see /docs")
}

async fn wrong_method(method: Method) -> ApiError {
    let message = format!("this path does not answer {method}; see /docs");
    ApiError::new(Code::MethodNotAllowed, message)
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    // The panic hook has logged it.
    let message = "the server failed to answer; its log says why";
    ApiError::new(Code::Internal, message).into_response()
}

/// Requests beyond the limit are refused at once, rather than all made slow;
/// one that takes too long is given up. Event streams have limits of their own.
async fn limit_load(
    State(api): State<Api>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let Ok(_place) = api.places.clone().try_acquire_owned() else {
        let message = "the server has as many requests at a time as it takes";
        return Err(ApiError::new(Code::Overloaded, message).after(1));
    };
    let mut longest = Duration::from_secs(api.services.app.config.api.timeout_s);
    if request.uri().path() == bulk::PATH {
        // Long as long as the sender sends; silence ends it.
        longest = longest.max(BULK_MAX);
    }
    if request.uri().path() == ask::PATH {
        // A language model thinks as long as it is configured to.
        longest = longest.max(ANSWER_MAX);
    }
    match tokio::time::timeout(longest, next.run(request)).await {
        Ok(response) => Ok(response),
        Err(_) => {
            let message = format!("the answer took longer than {} s", longest.as_secs());
            Err(ApiError::new(Code::Overloaded, message).after(5))
        }
    }
}

/// Once the server is being stopped, connections end with their next answer, so
/// that their requests go to others before it stops listening. HTTP/2 has a
/// farewell of its own.
async fn part(State(api): State<Api>, request: Request, next: Next) -> Response {
    let names_connections = request.version() <= Version::HTTP_11;
    let mut response = next.run(request).await;
    if names_connections && api.services.is_leaving() {
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Nothing here is meant to be framed, guessed at, or to load from elsewhere.
async fn secure(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let policy = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; \
                  frame-ancestors 'none'; base-uri 'none'; form-action 'self'";
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers
        .entry(CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static(policy));
    response
}

/// As checked in: `openapi.json`.
pub fn document_json() -> anyhow::Result<String> {
    let mut text = document().to_pretty_json()?;
    text.push('\n');
    Ok(text)
}
