//! `GET /metrics` in Prometheus's text format.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::caller::Caller;
use super::error::ApiError;
use super::routes::monitoring::health;
use super::state::Api;
use crate::services::Services;

/// For a worker, whose metrics know nothing of tenants: `/metrics` and `/health`.
pub fn router(services: Arc<Services>) -> Router {
    let metrics = |State(services): State<Arc<Services>>| async move {
        let read = tokio::task::spawn_blocking(move || text(&services)).await;
        let text = read.map_err(anyhow::Error::from).and_then(|text| text);
        text.map(as_text).map_err(ApiError::from)
    };
    Router::new()
        .route("/metrics", get(metrics))
        .route("/health", get(health))
        .with_state(services)
}

/// For the operator of a server.
pub async fn of_all(State(api): State<Api>, caller: Caller) -> Result<Response, ApiError> {
    caller.must_run_the_service()?;
    let read = |api: &Api| {
        api.services.metrics.http.cache(&api.cache.stats());
        Ok(text(&api.services)?)
    };
    let text = api.run(read).await?;
    Ok(as_text(text))
}

fn text(services: &Services) -> anyhow::Result<String> {
    let clock = services.app.clock.as_ref();
    services.metrics.sampled.refresh(&services.store, clock)?;
    if let Some(redis) = &services.redis {
        services.metrics.sampled.redis(&redis.status());
    }
    services.metrics.text()
}

fn as_text(text: String) -> Response {
    ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response()
}
