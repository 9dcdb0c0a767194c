//! Calls kept word for word from systems that Gleaner replaces.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use store::{NewSource, Scopes};
use types::Priority;
use utoipa::ToSchema;

use crate::api::caller::Caller;
use crate::api::error::{ApiError, ErrorBody};
use crate::api::extract::Body;
use crate::api::state::Api;
use crate::operations::sources::{self, EditSource};
use crate::pipeline::settings::SourceSettings;
use crate::pipeline::start::policy_json;

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
        let wanted = SourceSettings {
            pages_max: input.max_pages,
            ..SourceSettings::default()
        };
        let source = store.ensure_source(NewSource {
            tenant: caller.tenant,
            name: seed.host().to_owned(),
            seeds: vec![seed.to_string()],
            policy: policy_json(&wanted.over(&app.config.crawl)),
        })?;
        if input.max_pages.is_some() {
            // Whatever else a known source is set to stays.
            let known = sources::find(store, caller.tenant, source)?;
            let settings = SourceSettings {
                pages_max: input.max_pages,
                ..SourceSettings::from_json(&known.settings)?
            };
            let edit = EditSource {
                settings: Some(settings),
                ..EditSource::default()
            };
            sources::edit(app, store, caller.tenant, source, edit)?;
        }
        let queued = sources::crawl(store, caller.tenant, source, &[], Priority::DEFAULT)?;
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
