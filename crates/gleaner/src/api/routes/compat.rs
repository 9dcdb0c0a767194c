//! Calls kept word for word from systems that Gleaner replaces.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use store::Scopes;
use utoipa::ToSchema;

use crate::api::caller::Caller;
use crate::api::error::{ApiError, ErrorBody};
use crate::api::extract::Body;
use crate::api::state::Api;
use crate::operations::sources;

const PAGES_MAX: u64 = 1_000_000;

#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct WebsiteInput {
    #[schema(example = "https://example.org")]
    pub url: String,
    /// Pages stored at most, 1 to 1000000; as configured unless given.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub max_pages: Option<u64>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct WebsiteCreated {
    /// Of the source.
    pub id: i64,
    pub url: String,
    pub task_id: i64,
    pub status: &'static str,
}

/// Create a website and crawl it
///
/// Asked again, the same website is crawled again.
#[utoipa::path(post, path = "/api/v1/web-knowledge/websites/create-and-crawl/", tag = "compatibility", request_body = WebsiteInput,
    responses((status = 201, body = WebsiteCreated), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody)))]
pub async fn create_and_crawl(
    State(api): State<Api>,
    caller: Caller,
    Body(input): Body<WebsiteInput>,
) -> Result<(StatusCode, Json<WebsiteCreated>), ApiError> {
    let caller = caller.must(Scopes::WRITE)?;
    if let Some(pages) = input.max_pages
        && !(1..=PAGES_MAX).contains(&pages)
    {
        let message = format!("max_pages is 1 to {PAGES_MAX}, not {pages}");
        return Err(ApiError::invalid(message));
    }
    api.run(move |api| {
        let (app, store) = (&api.services.app, &api.services.store);
        let seed = sources::seeds(&[input.url])?.remove(0);
        let (source, queued) =
            sources::create_and_crawl(app, store, caller.tenant, &seed, input.max_pages)?;
        let created = WebsiteCreated {
            id: source.0,
            url: seed.to_string(),
            task_id: queued.id.0,
            status: "queued",
        };
        Ok((StatusCode::CREATED, Json(created)))
    })
    .await
}
